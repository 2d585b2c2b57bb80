//! On addresses that other machines reach: TLS, and somebody who may log in.

use super::*;

use agent_common::settings::Content;
use server::access::{Access, now};
use server::api::ApiError;
use server::config::Certificate;

fn everywhere() -> Http {
    Http { listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), ..Http::default() }
}

fn client(pem: &[u8]) -> Client {
    let root = reqwest::Certificate::from_pem(pem).expect("a certificate");
    Client::builder().add_root_certificate(root).build().expect("a client")
}

#[tokio::test]
async fn without_anybody_who_may_log_in_it_does_not_listen_and_says_what_to_do() {
    let (dir, source) = empty();
    let refused =
        Api::start(options(&dir, everywhere()), source, Health::default()).await.expect_err("nobody");
    assert!(matches!(refused, ApiError::NoAccounts(_)), "{refused}");
    assert!(refused.to_string().contains("agent user add"), "{refused}");
}

#[tokio::test]
async fn with_an_account_it_speaks_tls_alone_with_a_certificate_of_its_own() {
    let (dir, source) = empty();
    let access = Access::open(dir.path()).expect("accounts");
    access.add_account("alice", Role::Viewer, "correct horse", now()).expect("an account");
    let setup = Setup::with(dir, everywhere(), source).await;
    let port = setup.api.address.port();
    let print = setup.api.fingerprint.clone().expect("a fingerprint");
    assert_eq!(print.split(':').count(), 32, "{print}");
    assert!(setup.api.url.starts_with("https://"), "{}", setup.api.url);
    let pem = std::fs::read(setup.dir.path().join("http.crt")).expect("the certificate");
    let key = std::fs::metadata(setup.dir.path().join("http.key")).expect("the key");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);

    let client = client(&pem);
    let login = client
        .post(format!("https://127.0.0.1:{port}{LOGIN}"))
        .header("content-type", "application/json")
        .body(json!({ "user": "alice", "password": "correct horse" }).to_string());
    let answer = login.send().await.expect("an answer");
    let set = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(
        set.starts_with(&format!("__Host-s7mpa_{port}="))
            && set.contains("; Path=/;")
            && set.ends_with("; Secure"),
        "{set}"
    );
    let cookie = cookie_of(&answer);
    let who =
        |cookie: &str| client.get(format!("https://localhost:{port}{SESSION}")).header("cookie", cookie);
    assert_eq!(status(who(&cookie)).await, 200);
    // A cookie that could have been set without TLS is none.
    assert_eq!(status(who(cookie.strip_prefix("__Host-").expect("the prefix"))).await, 401);
    let plain = Client::new().get(format!("http://127.0.0.1:{port}/healthz")).send().await;
    assert!(plain.is_err(), "{plain:?}");
    assert!(
        Client::new().get(format!("https://127.0.0.1:{port}/healthz")).send().await.is_err(),
        "not known to the client"
    );
    for host in ["evil.example", "203.0.113.1"] {
        assert_eq!(status(who(&cookie).header("host", host)).await, 421, "{host}");
    }
}

#[tokio::test]
async fn an_operators_certificate_is_used_on_loopback_too() {
    let (dir, source) = empty();
    // Any pair of files will do: one that another server has signed for itself.
    let (other, nothing) = empty();
    Access::open(other.path())
        .expect("accounts")
        .create_token("t", Role::Viewer, None, now())
        .expect("a token");
    drop(Api::start(options(&other, everywhere()), nothing, Health::default()).await.expect("the other"));
    let file = |name: &str| Content::File(other.path().join(name));
    let http = Http {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        certificate: Some(Certificate { chain: file("http.crt"), key: file("http.key") }),
        ..Http::default()
    };
    let setup = Setup::with(dir, http.clone(), source).await;
    let client = client(&std::fs::read(other.path().join("http.crt")).expect("the certificate"));
    assert_eq!(status(client.get(format!("https://{}/healthz", setup.api.address))).await, 200);

    let wrong = Certificate { chain: file("http.key"), key: file("http.key") };
    let (dir, source) = empty();
    let http = Http { certificate: Some(wrong), ..http };
    let refused =
        Api::start(options(&dir, http), source, Health::default()).await.expect_err("no certificate");
    assert!(refused.to_string().contains("PEM certificate"), "{refused}");
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_holder() {
    let (dir, source) = empty();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let http = Http { listen: holder.local_addr().expect("its number"), ..Http::default() };
    let refused = Api::start(options(&dir, http), source, Health::default()).await.expect_err("in use");
    let text = refused.to_string();
    assert!(text.contains("is in use by process") && text.contains("server.http.listen"), "{text}");
    assert!(!dir.path().join("run/api.token").exists(), "another server's token would be overwritten");
}
