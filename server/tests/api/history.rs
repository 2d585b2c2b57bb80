//! Reports, states over time, and how a host is, over HTTP.

use std::time::SystemTime;

use agent_common::wire::finding::AlertState;
use agent_common::wire::finding::testing::alert;
use server::store::Note;

use super::v1::{checked, document};
use super::*;

/// A report of `h` that ends at this second.
fn report(second: u64, verdict: &str) -> Note {
    let finding = alert("a", AlertState::Open).finding;
    let report = json!({
        "verdict": verdict,
        "window_s": 10.0,
        "until_unix_ns": second * 1_000_000_000,
        "host": "h",
        "coverage": {},
        "self": {},
        "processes": [],
        "findings": [finding],
    });
    Note::report("h", report.to_string().as_bytes(), UnixNs(0)).expect("a report")
}

/// An API over the same store, with reports, alerts, and windows of thread time of an hour ago; and the second before the first.
async fn with_history() -> (Setup, u64) {
    let setup = Setup::new().await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    // What is older than the store keeps would not be there.
    let begin = now - 3_600;
    let store = EmbeddedStore::open(setup.dir.path(), embedded::Options::default()).expect("store");
    let windows: Vec<Window> = (1..=100)
        .map(|second| {
            let end = UnixNs((begin + second) * 1_000_000_000);
            let time = |name: &str| Point::new(name.to_owned(), end).tag("host", "h");
            let points = [
                time("s7mpa_thread_time")
                    .tag("pid", "7")
                    .tag("start", "1")
                    .tag("comm", "web")
                    .field("oncpu_ns", 250_u64)
                    .field("lost_ns", second),
                time("s7mpa_process")
                    .tag("pid", "8")
                    .tag("start", "1")
                    .tag("comm", "db")
                    .field("user_ns", 1_u64),
                time("s7mpa_host_time").field("oncpu_ns", 500_u64),
                time("s7mpa_host").field("load1", 0.5).field("uptime_ns", second),
            ];
            let stream = "fedcba9876543210".to_owned();
            let head =
                WindowHead { host: "h".into(), stream, seq: second, points: 4, span_ns: 1_000_000_000, end };
            Window::from_points(head, &points)
        })
        .collect();
    store.write(&windows).expect("written");
    let open = |id: &str, state, second: u64| {
        let mut alert = alert(id, state);
        (alert.host, alert.at_unix_ns) = ("h".to_owned(), (begin + second) * 1_000_000_000);
        Note::alert("h", &serde_json::to_vec(&alert).expect("JSON")).expect("an alert")
    };
    let notes = [
        report(begin + 10, "first"),
        report(begin + 75, "second"),
        open("over", AlertState::Open, 5),
        open("over", AlertState::Resolved, 20),
        open("later", AlertState::Open, 30),
    ];
    store.keep(&notes).expect("kept");
    (setup, begin)
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_listed_with_what_they_found_and_read_by_time() {
    let (setup, begin) = with_history().await;
    let document = document(&setup).await;
    let list = async |query: &str| {
        let path = format!("/reports?from={begin}&to={}&{query}", begin + 100);
        checked(&setup, &document, "/reports", &path).await.1
    };
    let all = list("host=h").await;
    let verdicts: Vec<&str> = all["reports"]
        .as_array()
        .expect("reports")
        .iter()
        .filter_map(|one| one["verdict"].as_str())
        .collect();
    assert_eq!((verdicts, &all["more"]), (vec!["second", "first"], &json!(false)));
    assert!(all["reports"][0]["findings"][0]["class"].is_string());
    let one = list("limit=1").await;
    assert_eq!((one["reports"].as_array().map(Vec::len), &one["more"]), (Some(1), &json!(true)));
    assert_eq!(list("limit=1&offset=1").await["reports"][0]["verdict"], "first");
    assert_eq!(list("host=other").await["reports"], json!([]));
    let refused = checked(&setup, &document, "/reports", "/reports?limit=1000").await;
    assert_eq!(refused.0, 400);
    let of = async |query: &str| {
        checked(&setup, &document, "/hosts/{host}/report", &format!("/hosts/h/report{query}")).await.1
    };
    assert_eq!(of("").await["report"]["verdict"], "second");
    assert_eq!(of(&format!("?at={}", begin + 15)).await["report"]["verdict"], "first");
    let none = checked(&setup, &document, "/hosts/{host}/report", "/hosts/other/report").await;
    assert_eq!(none.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn states_are_there_over_time() {
    let (setup, begin) = with_history().await;
    let document = document(&setup).await;
    let of = async |template: &str, path: &str| {
        let times = format!("from={begin}&to={}", begin + 20);
        checked(&setup, &document, template, &format!("{path}?{times}&step=10s")).await.1
    };
    let process = of("/hosts/{host}/processes/{pid}/states", "/hosts/h/processes/7/states").await;
    assert_eq!(process["states"]["oncpu"], json!([2500.0, 2500.0]));
    assert_eq!((&process["states"]["lost"], &process["windows"]), (&json!([55.0, 155.0]), &json!([10, 10])));
    let host = of("/hosts/{host}/states", "/hosts/h/states").await;
    assert_eq!(host["states"]["oncpu"], json!([5000.0, 5000.0]));
    let path = format!("/hosts/h/states?from={begin}&to={}", begin + 7200);
    let (_, usual) = checked(&setup, &document, "/hosts/{host}/states", &path).await;
    assert_eq!(usual["windows"].as_array().map(Vec::len), Some(554), "no more than a page draws");
    for wrong in ["step=10ms", "step=0s"] {
        let path = format!("/hosts/h/states?{wrong}");
        assert_eq!(checked(&setup, &document, "/hosts/{host}/states", &path).await.0, 400, "{wrong}");
    }
    let path = format!("/hosts/h/states?from={begin}&to={}&step=1s", begin + 7200);
    assert_eq!(checked(&setup, &document, "/hosts/{host}/states", &path).await.0, 400, "too many");
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_host_is_at_a_second_is_one_answer() {
    let (setup, begin) = with_history().await;
    let document = document(&setup).await;
    let at = async |second: u64, query: &str| {
        let path = format!("/hosts/h/now?at={}&{query}", begin + second);
        checked(&setup, &document, "/hosts/{host}/now", &path).await
    };
    let (_, now) = at(80, "limit=1").await;
    assert_eq!(now["span_s"], json!(10.0));
    assert!(
        now["to"]
            .as_str()
            .is_some_and(|to| to.contains(&agent_common::text::utc_ms(((begin + 80) * 1000) as i64)))
    );
    assert_eq!(now["measurements"]["s7mpa_host"][0]["values"]["uptime_ns"], json!(80.0));
    assert_eq!((&now["total_processes"], &now["processes"][0]["comm"]), (&json!(2), &json!("web")));
    assert_eq!(now["processes"].as_array().map(Vec::len), Some(1));
    assert_eq!(now["report"]["verdict"], "second");
    let ids: Vec<&str> =
        now["alerts"].as_array().expect("alerts").iter().filter_map(|one| one["id"].as_str()).collect();
    assert_eq!(ids, ["later"], "open then");
    let (_, before) = at(12, "").await;
    let ids: Vec<&str> =
        before["alerts"].as_array().expect("alerts").iter().filter_map(|one| one["id"].as_str()).collect();
    assert_eq!((ids, &before["report"]["verdict"]), (vec!["over"], &json!("first")));
    let (_, late) = at(130, "").await;
    assert_eq!(
        late["to"],
        json!(agent_common::text::utc_ms(((begin + 100) * 1000) as i64)),
        "the newest there is"
    );
    assert_eq!(at(1_000, "").await.0, 404);
}
