//! What people do in the page: acknowledge and silence alerts, make accounts and tokens; and what it asks for its graphs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use agent_common::wire::finding::AlertState;
use agent_common::wire::finding::testing::alert;
use agent_common::wire::silence::Silences;

use super::v1::{checked, document};
use super::*;
use server::store::Note;

const BASE: &str = "/api/s7mpa/v1";

/// A server with an alert that has just opened, and where its silences are told.
async fn with_alert() -> (Setup, Silences) {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = EmbeddedStore::open(dir.path(), embedded::Options::default()).expect("store");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let mut open = alert("a/1", AlertState::Open);
    (open.host, open.at_unix_ns, open.opened_unix_ns) = ("h".to_owned(), now, now);
    let note = Note::alert("h", &serde_json::to_vec(&open).expect("JSON")).expect("an alert");
    store.keep(&[note]).expect("kept");
    let source = Arc::new(Embedded::new(dir.path().join(FILE)));
    let silences = Silences::default();
    let health = Health::new(silences.clone());
    (Setup::of(dir, loopback(), source, health).await, silences)
}

impl Setup {
    async fn sent(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request = self.bare(method, &format!("{BASE}{path}")).bearer_auth(&self.token);
        let answer = request.header("content-type", "application/json").body(body.to_string()).send().await;
        let answer = answer.expect("an answer");
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.expect("text")).unwrap_or(Value::Null))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_acknowledged_with_a_name_and_a_note_until_that_is_taken_back() {
    let (setup, _) = with_alert().await;
    let document = document(&setup).await;
    let said = async || checked(&setup, &document, "/alerts", "/alerts").await.1["alerts"][0].clone();
    assert_eq!((&said().await["acknowledged"], &said().await["silenced"]), (&Value::Null, &Value::Null));
    let body = json!({ "host": "h", "id": "a/1", "note": "<b>I look at it</b>" });
    assert_eq!(setup.sent(Method::POST, "/alerts/acknowledge", &body).await.0, 204);
    let known = said().await["acknowledged"].clone();
    assert_eq!((&known["by"], &known["note"]), (&json!("owner"), &json!("<b>I look at it</b>")));
    for wrong in [json!({}), json!({ "host": "h" }), json!({ "host": "h", "id": "a/1", "x": 1 })] {
        assert_eq!(setup.sent(Method::POST, "/alerts/acknowledge", &wrong).await.0, 400, "{wrong}");
    }
    let back = "/alerts/acknowledge?host=h&id=a%2F1";
    assert_eq!(setup.sent(Method::DELETE, back, &json!({})).await.0, 204);
    assert_eq!(setup.sent(Method::DELETE, back, &json!({})).await.0, 404);
    assert_eq!(said().await["acknowledged"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_is_in_lists_and_reaches_the_notifiers_and_outlives_a_restart() {
    let (setup, silences) = with_alert().await;
    let document = document(&setup).await;
    for (wrong, why) in [
        (json!({ "match": {}, "duration_s": 60 }), "all alerts"),
        (json!({ "match": { "class": "cpu-user" }, "duration_s": 0 }), "no time"),
        (json!({ "match": { "class": "cpu-user" }, "duration_s": 3_000_000 }), "for ever"),
        (json!({ "match": { "pid": "1" }, "duration_s": 60 }), "an unknown condition"),
    ] {
        assert_eq!(setup.sent(Method::POST, "/silences", &wrong).await.0, 400, "{why}");
    }
    let body = json!({ "match": { "host": "h", "comm": "worker" }, "duration_s": 600, "note": "upgrade" });
    let (status, made) = setup.sent(Method::POST, "/silences", &body).await;
    assert_eq!(status, 200);
    let (_, listed) = checked(&setup, &document, "/silences", "/silences").await;
    assert_eq!(listed["silences"][0]["id"], made["id"]);
    let (_, alerts) = checked(&setup, &document, "/alerts", "/alerts").await;
    assert_eq!(alerts["alerts"][0]["silenced"], made["id"]);
    assert_eq!(silences.all().len(), 1, "the notifiers know it");
    assert_eq!(checked(&setup, &document, "/server", "/server").await.1["silences"], 1);

    let Setup { dir, api, .. } = setup;
    drop(api);
    let source = Arc::new(Embedded::new(dir.path().join(FILE)));
    let again = Silences::default();
    let setup = Setup::of(dir, loopback(), source, Health::new(again.clone())).await;
    assert_eq!(again.all().len(), 1, "also after a restart");
    let path = format!("/silences/{}", made["id"]);
    assert_eq!(setup.sent(Method::DELETE, &path, &json!({})).await.0, 204);
    assert_eq!(setup.sent(Method::DELETE, &path, &json!({})).await.0, 404);
    assert!(again.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_tokens_are_made_changed_and_removed() {
    let (setup, _) = with_alert().await;
    let document = document(&setup).await;
    let user = json!({ "name": "alice", "password": "correct horse battery", "role": "viewer" });
    assert_eq!(setup.sent(Method::POST, "/users", &user).await.0, 204);
    assert_eq!(setup.sent(Method::POST, "/users", &user).await.0, 409);
    for wrong in [
        json!({ "name": "bob", "password": "short", "role": "viewer" }),
        json!({ "name": "b b", "password": "correct horse battery", "role": "viewer" }),
        json!({ "name": "bob", "password": "correct horse battery", "role": "writer" }),
    ] {
        assert_eq!(setup.sent(Method::POST, "/users", &wrong).await.0, 400, "{wrong}");
    }
    let login = json!({ "user": "alice", "password": "correct horse battery" });
    assert_eq!(status(setup.json(LOGIN, &login)).await, 200);
    let other = json!({ "password": "another horse battery", "role": "operator" });
    assert_eq!(setup.sent(Method::PUT, "/users/alice", &other).await.0, 204);
    assert_eq!(setup.sent(Method::PUT, "/users/nobody", &other).await.0, 404);
    assert_eq!(status(setup.json(LOGIN, &login)).await, 401, "the old password");
    // What is refused changes nothing.
    let wrong = json!({ "password": "a third horse battery", "role": "writer" });
    assert_eq!(setup.sent(Method::PUT, "/users/alice", &wrong).await.0, 400);
    let login = json!({ "user": "alice", "password": "another horse battery" });
    assert_eq!(status(setup.json(LOGIN, &login)).await, 200);
    let (_, all) = checked(&setup, &document, "/users", "/users").await;
    assert_eq!((&all["users"][0]["name"], &all["users"][0]["role"]), (&json!("alice"), &json!("operator")));
    assert_eq!(setup.sent(Method::DELETE, "/users/alice", &json!({})).await.0, 204);
    assert_eq!(setup.sent(Method::DELETE, "/users/alice", &json!({})).await.0, 404);

    let token = json!({ "name": "grafana", "role": "viewer" });
    let (status, made) = setup.sent(Method::POST, "/tokens", &token).await;
    assert_eq!((status, setup.sent(Method::POST, "/tokens", &token).await.0), (200, 409));
    let secret = made["token"].as_str().expect("a token");
    let hosts = |secret: &str| setup.bare(Method::GET, &format!("{BASE}/hosts")).bearer_auth(secret);
    assert_eq!(super::status(hosts(secret)).await, 200);
    let (_, all) = checked(&setup, &document, "/tokens", "/tokens").await;
    assert!(!all.to_string().contains(secret), "it is said once");
    assert_eq!(setup.sent(Method::DELETE, "/tokens/grafana", &json!({})).await.0, 204);
    assert_eq!(super::status(hosts(secret)).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_metric_comes_in_the_parts_of_a_graph() {
    let setup = v1::with_host().await;
    let document = document(&setup).await;
    let ask = async |query: &str| {
        checked(&setup, &document, "/hosts/{host}/series", &format!("/hosts/h/series?{query}")).await
    };
    let time = format!("from={}&to={}", T0_S, T0_S + 60);
    let (_, one) = ask(&format!("select=s7mpa_host_load1&step=10s&{time}")).await;
    assert_eq!(one["windows"].as_array().map(Vec::len), Some(6));
    assert_eq!(one["series"][0]["labels"]["__name__"], "s7mpa_host_load1");
    let (_, two) =
        ask(&format!("select=s7mpa_host_load1&select=%7B__name__%3D~%22s7mpa_host_load.*%22%7D&{time}"))
            .await;
    assert!(two["series"].as_array().is_some_and(|all| !all.is_empty()));
    for wrong in [
        "",
        "select=",
        "select=rate(x%5B5m%5D)",
        "select=%7B%7D",
        "select=x&step=0.1s",
        "select=x&from=-10000d",
    ] {
        assert_eq!(ask(wrong).await.0, 400, "{wrong}");
    }
}

/// A store that counts how often it is read, and fails at first.
#[derive(Debug)]
struct Counting {
    store: Embedded,
    reads: Arc<AtomicUsize>,
}

impl Source for Counting {
    fn read(
        &self,
        over: &dyn Fn() -> bool,
        with: &mut dyn FnMut(&dyn promql::Reader),
    ) -> Result<(), ReadError> {
        if self.reads.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(ReadError { message: "not yet".to_owned() });
        }
        // Others come meanwhile.
        std::thread::sleep(Duration::from_millis(200));
        self.store.read(over, with)
    }

    fn stored(&self, with: &mut dyn FnMut(&Reader) -> Result<(), StoreError>) -> Result<(), ReadError> {
        self.store.stored(with)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_many_ask_for_is_made_once_and_a_failure_is_not_kept() {
    let Setup { dir, .. } = v1::with_host().await;
    let reads = Arc::new(AtomicUsize::new(0));
    let store = Embedded::new(dir.path().join(FILE));
    let setup = Setup::over(dir, Arc::new(Counting { store, reads: Arc::clone(&reads) })).await;
    // A hundred parts of two processes: more than the kilobyte from which answers are packed.
    let (select, to) = ("s7mpa_process_rss_bytes", T0_S + 100);
    let path = format!("{BASE}/hosts/h/series?select={select}&step=1s&from={T0_S}&to={to}");
    assert_eq!(status(setup.get(&path)).await, 500);
    let asked = (0..8).map(|_| setup.get(&path).send());
    let answers: Vec<reqwest::Response> =
        futures_util::future::join_all(asked).await.into_iter().map(|one| one.expect("an answer")).collect();
    assert_eq!(reads.load(Ordering::Relaxed), 2, "one failed, one for all");
    let tag = answers[0].headers()["etag"].clone();
    assert!(answers.iter().all(|one| one.status() == StatusCode::OK && one.headers()["etag"] == tag));
    let again = setup.get(&path).header("if-none-match", &tag).send().await.expect("an answer");
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    let packed = setup.get(&path).header("accept-encoding", "gzip").send().await.expect("an answer");
    assert_eq!(
        (&packed.headers()["content-encoding"], &packed.headers()["etag"]),
        (&"gzip".parse().expect("text"), &tag)
    );
    assert_eq!(packed.bytes().await.expect("bytes")[..2], [0x1f, 0x8b], "gzip's mark");
    // Who may not see it does not get it for having been asked by others.
    assert_eq!(status(setup.bare(Method::GET, &path)).await, 401);
}
