//! Rules and their alerts, as Prometheus's API shows them; functions of the user's own in queries.

use agent_common::settings::server::{RuleFile, Rules as Settings};
use server::rules::{Loaded, Rules};

use super::*;

const RULES: &str = r#"
groups:
  - name: own
    interval: 1s
    limit: 5
    rules:
      - { record: one, expr: one(), labels: { of: rules } }
      - alert: Always
        expr: vector(1.5) > one()
        keep_firing_for: 1m
        labels: { severity: info }
        annotations: { summary: "value {{ $value }}" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_alerts_are_those_of_prometheus() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = Arc::new(EmbeddedStore::open(dir.path(), embedded::Options::default()).expect("store"));
    let settings = Settings {
        macros: "# just one\none() = vector(1)".to_owned(),
        files: vec![RuleFile { path: "/etc/s7mpa/rules.d/own.yml".into(), text: RULES.to_owned() }],
        ..Settings::default()
    };
    let loaded = Loaded::read(&settings);
    assert_eq!(loaded.faults, [] as [String; 0]);
    let rules = Rules::start(loaded, store, &dir.path().join(FILE), Box::new(|_| ())).expect("rules");
    let board = Arc::clone(rules.board());
    let source = Arc::new(Embedded::new(dir.path().join(FILE)));
    let health = Health::default();
    health.evaluate(Arc::clone(&board));
    let setup = Setup::of(dir, loopback(), source, health).await;
    let begun = std::time::Instant::now();
    while board.groups()[0].evaluated_ms.is_none() {
        assert!(begun.elapsed() < Duration::from_secs(90), "no evaluation");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::task::spawn_blocking(move || rules.stop()).await.expect("the end");

    let all = data(setup.get("/api/v1/rules")).await;
    let group = &all["groups"][0];
    assert_eq!((&group["name"], &group["file"]), (&json!("own"), &json!("/etc/s7mpa/rules.d/own.yml")));
    assert_eq!((&group["interval"], &group["limit"]), (&json!(1.0), &json!(5)));
    let [one, always] = group["rules"].as_array().expect("rules").as_slice() else { panic!("{group}") };
    assert_eq!(
        (&one["type"], &one["health"], &one["query"]),
        (&json!("recording"), &json!("ok"), &json!("one()"))
    );
    assert_eq!((&always["type"], &always["state"]), (&json!("alerting"), &json!("firing")));
    assert_eq!((&always["duration"], &always["keepFiringFor"]), (&json!(0.0), &json!(60.0)));
    assert_eq!(always["annotations"]["summary"], json!("value {{ $value }}"), "as the file has it");
    assert_eq!(always["alerts"][0]["annotations"]["summary"], json!("value 1.5"));
    assert_eq!(always["alerts"][0]["value"], json!("1.5e+00"));

    let alerts = data(setup.get("/api/v1/alerts")).await;
    let labels = json!({ "alertname": "Always", "severity": "info" });
    assert_eq!(alerts["alerts"].as_array().map(Vec::len), Some(1), "{alerts}");
    assert_eq!((&alerts["alerts"][0]["labels"], &alerts["alerts"][0]["state"]), (&labels, &json!("firing")));

    let records = data(setup.get("/api/v1/rules?type=record")).await;
    assert_eq!(records["groups"][0]["rules"].as_array().map(Vec::len), Some(1));
    let (status, refused) = ask(setup.get("/api/v1/rules?type=other")).await;
    assert_eq!((status, &refused["errorType"]), (StatusCode::BAD_REQUEST, &json!("bad_data")));

    let found = data(setup.get("/api/v1/query?query=one()%2B1")).await;
    assert_eq!(found["result"][0]["value"][1], json!("2"));
    let found = data(setup.post("/api/v1/query", "query=one%7Bof%3D%22rules%22%7D")).await;
    assert_eq!(found["result"][0]["metric"], json!({ "__name__": "one", "of": "rules" }));
    let found = data(setup.get("/api/v1/query?query=ALERTS")).await;
    assert_eq!(found["result"][0]["metric"]["alertstate"], json!("firing"));
}
