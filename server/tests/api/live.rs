//! Live questions: what the collector is asked, what becomes of what it answers, and how many there are.

use std::io::Write as _;
use std::net::TcpStream;

use agent_common::pair::{Live, LiveFailure, LiveFailureKind, LiveSpan};
use agent_common::units::{BootNs, DurNs, MonoNs};
use profile::block::{Builder, Group, Looked, MAX_MESSAGE, pack_whole};
use profile::{Frame, Kind, Point, Thread, Timeline};
use server::questions::{Asked, Collector};
use tokio::sync::mpsc::Receiver;

use super::*;

const GRAPH: &str = "/api/s7mpa/v1/hosts/h/live/flamegraph";
const REPORT: &str = "/api/s7mpa/v1/hosts/h/live/report";

/// An API beside a collector of host `h`, whose questions come out here.
async fn with_collector() -> (Setup, Receiver<Asked>) {
    let (collector, asked) = Collector::new("h");
    let health = Health::default();
    health.ask(collector);
    let (dir, source) = empty();
    (Setup::of(dir, loopback(), source, health).await, asked)
}

fn post(setup: &Setup, path: &str) -> RequestBuilder {
    setup.json(path, &json!({})).bearer_auth(&setup.token)
}

/// A block of one stack.
fn block() -> Vec<u8> {
    let comm: Arc<str> = "web".into();
    let thread = Thread { tgid: 7, tid: 7, comm: Arc::clone(&comm), process: Some(comm), group: None };
    let timeline = Timeline {
        frames: vec![Frame::new("main", Kind::Native), Frame::new("busy", Kind::Native)],
        stacks: vec![[0, 1].into()],
        threads: vec![thread],
        points: vec![Point { at: MonoNs(1), thread: 0, stack: 0, weight: 42 }],
        ..Timeline::default()
    };
    let mut builder = Builder::new(UnixNs(1_000_000_000), DurNs(5_000_000_000), 1, 97, usize::MAX);
    builder.add(Looked::Cpu, 0, &timeline, |thread| Group {
        tgid: thread.tgid,
        start: BootNs(1),
        comm: Arc::clone(thread.process_name()),
        cgroup: "/".into(),
        container: "".into(),
    });
    pack_whole(&builder.finish(), MAX_MESSAGE).expect("it is small")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_is_about_one_process_and_bounded() {
    let (setup, mut asked) = with_collector().await;
    let answering = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(Asked { live, answer }) = asked.recv().await {
            seen.push(live);
            let result = match live {
                Live::Stacks { .. } => Ok(block()),
                Live::Report { .. } => Ok(b"{\"host\":\"h\",\"findings\":[],\"processes\":[]}".to_vec()),
            };
            let _ = answer.send(result);
        }
        seen
    });
    let (code, graph) = ask(post(&setup, &format!("{GRAPH}?pid=7&seconds=5&by=process"))).await;
    assert_eq!(code, StatusCode::OK, "{graph}");
    assert_eq!((&graph["total"], &graph["frames"][1]["name"]), (&json!(42), &json!("web-7")));
    let (_, report) = ask(post(&setup, &format!("{REPORT}?pid=7&ahead=true&seconds=60"))).await;
    assert_eq!(report["report"]["host"], "h");
    for wrong in [
        "",
        "pid=0",
        "pid=-7",
        "pid=7&seconds=0",
        "pid=7&seconds=301",
        "pid=7&seconds=61&ahead=true",
        "pid=7&kind=fly",
        "pid=7&ahead=x",
    ] {
        let (code, problem) = ask(post(&setup, &format!("{GRAPH}?{wrong}"))).await;
        assert_eq!(code, StatusCode::BAD_REQUEST, "{wrong}: {problem}");
    }
    let elsewhere = GRAPH.replace("/h/", "/other/");
    assert_eq!(status(post(&setup, &format!("{elsewhere}?pid=7"))).await, 404);
    let viewer = setup.token_of(Role::Viewer);
    let refused = setup.json(&format!("{GRAPH}?pid=7"), &json!({})).bearer_auth(viewer);
    assert_eq!(status(refused).await, 403);
    let (_, log) = ask(setup.get("/api/s7mpa/v1/audit")).await;
    assert!(log["entries"].as_array().expect("entries").iter().any(|one| {
        one["what"].as_str().is_some_and(|what| what.contains("live/flamegraph")) && one["outcome"] == "done"
    }));
    drop(setup);
    let seen = answering.await.expect("an end");
    let span = LiveSpan::Past(5);
    assert_eq!(seen, [Live::Stacks { pid: 7, span }, Live::Report { pid: 7, span: LiveSpan::Ahead(60) }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_none_and_failures_are_told_apart() {
    let (setup, mut asked) = with_collector().await;
    let whole = block();
    let failure = |kind| Err(LiveFailure::new(kind, "it says\u{1b}[31m so"));
    let answers = [
        (GRAPH, Ok(Vec::new()), 502),
        (GRAPH, Ok(whole[..whole.len() / 2].to_vec()), 502),
        (GRAPH, Ok(vec![0xff; 4 << 20]), 502),
        (REPORT, Ok(whole.clone()), 502),
        (REPORT, Ok(vec![b'['; 1 << 20]), 502),
        (GRAPH, failure(LiveFailureKind::NoProcess), 404),
        (GRAPH, failure(LiveFailureKind::Busy), 429),
        (GRAPH, failure(LiveFailureKind::Refused), 400),
        (REPORT, failure(LiveFailureKind::Broken), 503),
    ];
    for (path, result, expected) in answers {
        let answering = async {
            let Asked { answer, .. } = asked.recv().await.expect("a question");
            let _ = answer.send(result);
        };
        let asking = ask(post(&setup, &format!("{path}?pid=7")));
        let ((), (code, problem)) = tokio::join!(answering, asking);
        assert_eq!(code.as_u16(), expected, "{problem}");
        assert!(!problem["detail"].as_str().expect("text").contains('\u{1b}'), "{problem}");
    }
    // The relay is gone.
    drop(asked);
    assert_eq!(status(post(&setup, &format!("{GRAPH}?pid=7"))).await, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_flood_two_are_asked_and_the_rest_sent_away() {
    let (setup, mut asked) = with_collector().await;
    let one = || {
        let request = post(&setup, &format!("{GRAPH}?pid=7"));
        tokio::spawn(async move { request.send().await.expect("an answer") })
    };
    let waiting = [one(), one()];
    let questions = [asked.recv().await.expect("one"), asked.recv().await.expect("another")];
    for _ in 0..30 {
        let answer = one().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 429);
        assert!(answer.headers().contains_key("retry-after"));
    }
    assert!(asked.try_recv().is_err(), "the collector has learnt of none of them");
    for question in questions {
        let _ = question.answer.send(Ok(block()));
    }
    for request in waiting {
        assert_eq!(request.await.expect("an answer").status().as_u16(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_is_in_the_audit_log_all_the_same() {
    let (setup, mut asked) = with_collector().await;
    let head = format!(
        "POST {GRAPH}?pid=4242 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}",
        setup.token
    );
    let mut stream = TcpStream::connect(setup.api.address).expect("connect");
    stream.write_all(head.as_bytes()).expect("it takes it");
    let question = asked.recv().await.expect("a question");
    drop(stream);
    // Its connection has ended when its place is free: another one is answered meanwhile.
    assert_eq!(status(setup.get("/api/s7mpa/v1/session")).await, 200);
    let _ = question.answer.send(Err(LiveFailure::new(LiveFailureKind::NoProcess, "no such process")));
    for _ in 0..600 {
        let (_, log) = ask(setup.get("/api/s7mpa/v1/audit")).await;
        let entries = log["entries"].as_array().expect("entries");
        let is_it = |one: &Value| one["what"].as_str().is_some_and(|what| what.contains("live/flamegraph"));
        if let Some(entry) = entries.iter().find(|one| is_it(one)) {
            assert_eq!(entry["outcome"], "failed");
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is not in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_who_somebody_is_is_kept_nowhere() {
    let setup = Setup::new().await;
    for path in ["audit", "sessions", "session"] {
        let answer = setup.get(&format!("/api/s7mpa/v1/{path}")).send().await.expect("an answer");
        assert_eq!(answer.headers()["cache-control"], "no-store", "{path}");
        assert!(!answer.headers().contains_key("etag"), "{path}");
    }
    let other = setup.get("/api/s7mpa/v1/hosts").send().await.expect("an answer");
    assert_eq!(other.headers()["cache-control"], "private, no-cache");
    let query = setup.get("/api/v1/query?query=1").send().await.expect("an answer");
    assert!(query.headers().contains_key("etag"));
}
