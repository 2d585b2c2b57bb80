//! Who may do what: links, sessions, accounts, tokens, roles.

use super::*;

use server::access::{LINK_LIFE, now};
use server::api::Need;

fn is_change(route: &Route) -> bool {
    matches!(route.need, Need::Change(_) | Need::Write)
}

#[tokio::test]
async fn a_link_works_once_and_not_for_long() {
    let setup = Setup::new().await;
    let access = &setup.api.access;
    let link = access.make_link(Role::Operator, now()).expect("a link");
    let answer = setup.json(LOGIN, &json!({ "link": link })).send().await.expect("an answer");
    let set = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    let name = format!("s7mpa_{}=", setup.api.address.port());
    assert!(set.starts_with(&name) && set.contains("; HttpOnly; SameSite=Strict"), "{set}");
    assert!(!set.contains("Secure"), "plain HTTP: {set}");
    assert_eq!(status(setup.json(LOGIN, &json!({ "link": link }))).await, 401, "used");
    let old = access.make_link(Role::Admin, now() - LINK_LIFE.as_secs() as i64).expect("a link");
    assert_eq!(status(setup.json(LOGIN, &json!({ "link": old }))).await, 401, "too old");
    assert_eq!(status(setup.json(LOGIN, &json!({ "link": "" }))).await, 401);

    // Any tab of the browser: the cookie is all that it takes.
    let cookie = cookie_of(&answer);
    for _ in 0..2 {
        let (status, who) = ask(setup.bare(Method::GET, SESSION).header("cookie", &cookie)).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!((&who["role"], &who["by"]), (&json!("operator"), &json!("session")), "{who}");
    }
    let out = || setup.json("/api/s7mpa/v1/logout", &json!({})).header("cookie", &cookie);
    assert_eq!(status(out()).await, 403, "no Origin");
    let own = format!("http://{}", setup.api.address);
    assert_eq!(status(out().header("origin", own)).await, 204);
    assert_eq!(status(setup.bare(Method::GET, SESSION).header("cookie", &cookie)).await, 401, "replayed");
}

#[tokio::test]
async fn a_page_of_ours_can_read_everything_with_its_cookie() {
    let setup = Setup::new().await;
    let cookie = setup.cookie(Role::Admin).await;
    for route in setup.api.routes().iter().filter(|route| !is_change(route) && route.path != LOGIN) {
        let mut request = setup.bare(method_of(route), &path_of(route)).header("cookie", &cookie);
        request = request.header("sec-fetch-site", "same-origin").header("sec-fetch-mode", "cors");
        if method_of(route) == Method::POST {
            request = request.header("origin", format!("http://{}", setup.api.address));
            request = request.header("content-type", "application/x-www-form-urlencoded").body("query=1");
        }
        let answer = request.send().await.expect("an answer");
        let code = answer.status().as_u16();
        // The host of the path has no window in the last seconds, no report, no profile and no log line.
        let not_there = [
            "{pid}",
            "/now",
            "/report",
            "/flamegraph",
            "/columns",
            "/waits",
            "/logs",
            "/histogram",
            "/streams",
            "/postmortems",
            "/events",
        ];
        let is_missing = not_there.iter().any(|end| route.path.ends_with(end));
        let allowed = [200, 204, 400].contains(&code) || (is_missing && code == 404);
        assert!(allowed, "{} {}: {code}", route.method, route.path);
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert!(
            answer.headers()["content-security-policy"]
                .to_str()
                .expect("text")
                .starts_with("default-src 'none'")
        );
    }
    // A link from another site leads to the page; what the page asks for comes from itself.
    let link = |path| {
        let request = setup.bare(Method::GET, path).header("sec-fetch-site", "cross-site");
        request.header("sec-fetch-mode", "navigate").header("cookie", &cookie)
    };
    assert_eq!(status(link("/")).await, 200);
    assert_eq!(status(link("/api/v1/labels")).await, 403);
}

#[tokio::test]
async fn each_route_takes_its_role_and_a_viewer_changes_nothing() {
    let setup = Setup::new().await;
    let tokens = Role::ALL.map(|role| (role, setup.token_of(role)));
    let mut refused = 0;
    for route in setup.api.routes() {
        let may = |role: Role| match route.need {
            Need::Nothing => None,
            Need::Read(least) | Need::Change(least) => Some(role >= least),
            Need::Write => Some(role.may_write()),
        };
        // Logging out is everybody's own.
        assert!(
            !is_change(route) || may(Role::Viewer) == Some(false) || route.path.ends_with("/logout"),
            "{route:?}"
        );
        for (role, token) in &tokens {
            let Some(may) = may(*role) else { continue };
            let request = setup.bare(method_of(route), &path_of(route)).bearer_auth(token);
            let got = status(request.header("content-type", "application/json").body("{}")).await;
            assert_eq!(got != 403, may, "{role}: {route:?}: {got}");
            assert_ne!(got, 401, "{role}: {route:?}");
            refused += usize::from(got == 403 && is_change(route));
        }
    }
    assert!(refused >= 2, "a viewer and an operator at DELETE sessions/{{id}}");
}

#[tokio::test]
async fn accounts_log_in_by_password_and_lose_their_sessions_with_it() {
    let setup = Setup::new().await;
    let access = &setup.api.access;
    access.add_account("alice", Role::Admin, "correct horse", now()).expect("an account");
    let login =
        |user: &str, password: &str| setup.json(LOGIN, &json!({ "user": user, "password": password }));
    let answer = login("alice", "correct horse").send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let cookie = cookie_of(&answer);
    let who = || setup.bare(Method::GET, SESSION).header("cookie", &cookie);
    assert_eq!(ask(who()).await.1["role"], json!("admin"));
    // The same words, whether there is such an account or not.
    let (wrong, words) = ask(login("alice", "wrong horse")).await;
    assert_eq!((wrong, &words["status"]), (StatusCode::UNAUTHORIZED, &json!(401)));
    assert_eq!(ask(login("nobody", "correct horse")).await, (wrong, words));
    // In force with the next request.
    access.set_role("alice", Role::Viewer).expect("another role");
    assert_eq!(ask(who()).await.1["role"], json!("viewer"));
    access.set_password("alice", "battery staple").expect("another password");
    assert_eq!(status(who()).await, 401);
    assert_eq!(status(login("alice", "correct horse")).await, 401);
    let again = cookie_of(&login("alice", "battery staple").send().await.expect("an answer"));
    access.remove_account("alice").expect("it is there");
    assert_eq!(status(setup.bare(Method::GET, SESSION).header("cookie", again)).await, 401);
    for body in ["", "{}", "[]", "{\"user\":\"a\"}", "{\"link\":7}", "\u{0}"] {
        let request = setup.bare(Method::POST, LOGIN).header("content-type", "application/json").body(body);
        let answer = request.send().await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["content-type"].as_bytes()),
            (400, &b"application/problem+json"[..])
        );
    }
}

#[tokio::test]
async fn an_admin_sees_who_did_what_and_ends_sessions() {
    let setup = Setup::new().await;
    setup.api.access.add_account("bob", Role::Viewer, "correct horse", now()).expect("an account");
    let login = |password: &str| setup.json(LOGIN, &json!({ "user": "bob", "password": password }));
    assert_eq!(status(login("wrong")).await, 401);
    let cookie = cookie_of(&login("correct horse").send().await.expect("an answer"));
    let (_, all) = ask(setup.get("/api/s7mpa/v1/sessions")).await;
    let of_bob = all["sessions"].as_array().expect("a list").iter().find(|one| one["account"] == "bob");
    let id = of_bob.expect("bob's")["id"].as_i64().expect("a number");
    let end = || {
        let request = setup.bare(Method::DELETE, &format!("/api/s7mpa/v1/sessions/{id}"));
        request.bearer_auth(&setup.token).header("content-type", "application/json")
    };
    assert_eq!((status(end()).await, status(end()).await), (204, 404));
    assert_eq!(status(setup.bare(Method::GET, SESSION).header("cookie", cookie)).await, 401);
    let (_, log) = ask(setup.get("/api/s7mpa/v1/audit")).await;
    let said = |what: &str, who: &str, outcome: &str| {
        log["entries"].as_array().expect("a list").iter().any(|entry| {
            entry["what"].as_str().is_some_and(|own| own.contains(what))
                && (&entry["who"], &entry["outcome"], &entry["address"])
                    == (&json!(who), &json!(outcome), &json!("127.0.0.1"))
        })
    };
    assert!(said("login", "bob", "failed") && said("login", "bob", "done"), "{log}");
    assert!(said("DELETE /api/s7mpa/v1/sessions/", "owner", "done"), "{log}");
    assert_eq!(
        ask(setup.get("/api/s7mpa/v1/audit?limit=1")).await.1["entries"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(status(setup.get("/api/s7mpa/v1/audit?limit=0")).await, 400);
}

#[tokio::test]
async fn behind_a_proxy_it_goes_by_what_that_says_and_by_nobody_elses_word() {
    let (dir, source) = empty();
    let http = Http {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        hosts: vec!["monitor.example".to_owned()],
        path_prefix: "/s7mpa".to_owned(),
        trusted_proxies: vec!["127.0.0.2".parse().expect("an address")],
        ..Http::default()
    };
    let setup = Setup::with(dir, http, source).await;
    assert!(setup.api.url.ends_with("/s7mpa/"), "{}", setup.api.url);
    for path in ["/s7mpa/api/v1/labels", "/api/v1/labels"] {
        assert_eq!(status(setup.get(path)).await, 200, "with the prefix, and where the proxy cuts it off");
    }
    let link = || json!({ "link": setup.api.access.make_link(Role::Viewer, now()).expect("a link") });
    let through = |from: [u8; 4]| {
        let client = Client::builder().local_address(std::net::IpAddr::from(from)).build().expect("a client");
        client
            .post(format!("http://{}/s7mpa{LOGIN}", setup.api.address))
            .header("content-type", "application/json")
            .header("x-forwarded-host", "monitor.example")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-for", "203.0.113.9")
            .body(link().to_string())
    };
    let trusted =
        through([127, 0, 0, 2]).header("origin", "https://monitor.example").send().await.expect("an answer");
    let set = trusted.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(set.starts_with("__Host-s7mpa_") && set.ends_with("; Secure"), "{set}");
    let (_, log) = ask(setup.get("/api/s7mpa/v1/audit")).await;
    assert_eq!(log["entries"][0]["address"], json!("203.0.113.9"));
    let other = through([127, 0, 0, 3]).send().await.expect("an answer");
    let set = other.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(set.starts_with("s7mpa_"), "headers of a stranger do not count: {set}");
    assert_eq!(status(through([127, 0, 0, 3]).header("origin", "https://monitor.example")).await, 403);
}
