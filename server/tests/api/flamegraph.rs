//! Flame graphs, columns and waits over HTTP, out of a store of profiles.

use std::collections::BTreeMap;
use std::time::SystemTime;

use agent_common::units::{BootNs, DurNs, MonoNs};
use flamegraphs::pprof;
use profile::block::{Block, Builder, Group, Looked};
use profile::graph::{Graph, ROOT_ID, child_id};
use profile::{Frame, Kind, Point, Thread, Timeline};
use server::store::profiles::{self, Message, ProfileStore};

use super::v1::{checked, document};
use super::*;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const ALERT: &str = "cpu-user/process/7/1700000000";

/// Stacks of a column: process, stack, weight. `[x]` is a reason, `x*` a frame of who ended the wait.
type Stacks = [(u32, &'static str, &'static str, u64)];

const CPU: &Stacks = &[
    (7, "web", "main;parse;copy", 60),
    (7, "web", "main;parse", 20),
    (8, "web", "main;write", 15),
    (9, "db", "main", 5),
];
const WAITS: &Stacks = &[
    (7, "web", "main;ask;[net_recv];send*;db*", 3_000_000),
    (7, "web", "main;idle;[poll];timer*;[interrupt]*", 90_000_000),
    (9, "db", "main;[fsync];done*;[interrupt]*", 2_000_000),
];

fn timeline(stacks: &Stacks) -> Timeline {
    let mut all = Timeline::default();
    for (tgid, comm, stack, weight) in stacks {
        let frame = |text: &str| match text.as_bytes() {
            [b'[', .., b']'] => Frame::new(text, Kind::Reason),
            [.., b'*'] => Frame::new(text.trim_end_matches('*'), Kind::Waker),
            _ => Frame::new(text, Kind::Native),
        };
        let first = all.frames.len() as u32;
        all.frames.extend(stack.split(';').map(frame));
        all.stacks.push((first..all.frames.len() as u32).collect());
        let comm: Arc<str> = (*comm).into();
        all.threads.push(Thread {
            tgid: *tgid,
            tid: *tgid,
            comm: Arc::clone(&comm),
            process: Some(comm),
            group: None,
        });
        let at = all.stacks.len() as u32 - 1;
        all.points.push(Point { at: MonoNs(1), thread: at, stack: at, weight: *weight });
    }
    all
}

fn group(thread: &Thread) -> Group {
    Group {
        tgid: thread.tgid,
        start: BootNs(u64::from(thread.tgid) * 1_000_000),
        comm: Arc::clone(thread.process_name()),
        cgroup: format!("/system.slice/{}.service", thread.process_name()).into(),
        container: "".into(),
    }
}

/// A minute with these samples in its first column and these waits in its last.
fn minute(from: u64, cpu: &Stacks, waits: &Stacks) -> Block {
    let mut builder = Builder::new(UnixNs(from), DurNs(10 * SECOND), 6, 100, usize::MAX);
    builder.add(Looked::Cpu, 0, &timeline(cpu), group);
    builder.add(Looked::Wait, 5, &timeline(waits), group);
    builder.count("expected", 110);
    builder.count("captured", 100);
    builder.count("lost ring_full", 10);
    builder.finish()
}

fn message(host: &str, seq: u64, block: Block) -> Message {
    let stream = "0123456789abcdef".to_owned();
    let (span_ns, end) = (block.to().0 - block.from.0, block.to());
    Message { head: WindowHead { host: host.to_owned(), stream, seq, points: 0, span_ns, end }, block }
}

/// An API with two minutes of host `h` and one of host `other`, and the start of the first, ns.
async fn with_profiles() -> (Setup, u64) {
    let setup = Setup::new().await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let from = now / MINUTE * MINUTE - 30 * MINUTE;
    let store = ProfileStore::open(setup.dir.path(), profiles::Options::default()).expect("a store");
    let second = [(7, "web", "main;parse;copy", 10), (7, "web", "main;new", 40)];
    let evidence = Block { alerts: vec![ALERT.to_owned()], ..minute(from, CPU, WAITS) };
    let messages = [
        message("h", 1, minute(from, CPU, WAITS)),
        message("h", 2, minute(from + MINUTE, &second, &[])),
        message("other", 1, minute(from, &[(7, "mail", "main", 3)], &[])),
        message("h", 3, evidence),
    ];
    store.write(&messages).expect("written");
    (setup, from)
}

/// Parameters of a minute.
fn between(from: u64) -> String {
    format!("from={}&to={}", from / SECOND, (from + MINUTE) / SECOND)
}

/// Own weights by path.
fn own(graph: &Value) -> BTreeMap<String, u64> {
    let list = |name: &str| -> Vec<u64> {
        let numbers = graph["nodes"][name].as_array().expect("a column");
        numbers.iter().map(|one| one.as_u64().expect("a number")).collect()
    };
    let (depths, frames, own) = (list("depth"), list("frame"), list("own"));
    let mut path: Vec<String> = Vec::new();
    let mut all = BTreeMap::new();
    for at in 0..depths.len() {
        path.truncate(depths[at] as usize);
        path.push(graph["frames"][frames[at] as usize]["name"].as_str().expect("a name").to_owned());
        if own[at] > 0 {
            all.insert(path[1..].join(";"), own[at]);
        }
    }
    all
}

fn weights(all: &[(&str, u64)]) -> BTreeMap<String, u64> {
    all.iter().map(|(path, weight)| ((*path).to_owned(), *weight)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_is_the_same_graph_in_every_format() {
    let (setup, from) = with_profiles().await;
    let document = document(&setup).await;
    let path = format!("/flamegraph?host=h&{}", between(from));
    let (_, graph) = checked(&setup, &document, "/flamegraph", &path).await;
    let expected =
        [("db;main", 5), ("web;main;parse", 20), ("web;main;parse;copy", 60), ("web;main;write", 15)];
    assert_eq!(own(&graph), weights(&expected));
    assert_eq!(
        (&graph["total"], &graph["unit"], &graph["hosts"]),
        (&json!(100), &json!("samples"), &json!(["h"]))
    );
    let covers = &graph["covers"];
    assert_eq!((&covers["expected"], &covers["lost"]["ring_full"]), (&json!(110), &json!(10)));

    let get = async |format: &str| {
        let answer = setup.get(&format!("{BASE}{path}&format={format}")).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200, "{format}");
        let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
        let described =
            &document["paths"][format!("{BASE}/flamegraph")]["get"]["responses"]["200"]["content"][&kind];
        assert!(described.is_object(), "{kind} is not described");
        answer.bytes().await.expect("bytes")
    };
    let folded = String::from_utf8(get("folded").await.to_vec()).expect("text");
    let lines: BTreeMap<String, u64> = folded
        .lines()
        .map(|line| line.rsplit_once(' ').expect("a weight"))
        .map(|(stack, weight)| (stack.to_owned(), weight.parse().expect("a number")))
        .collect();
    assert_eq!(lines, weights(&expected));
    let (decoded, about) = Graph::decode(&get("binary").await).expect("a graph");
    let depths: Vec<u32> = decoded.nodes.iter().map(|node| node.depth).collect();
    let values: Vec<u64> = decoded.nodes.iter().map(|node| node.value).collect();
    assert_eq!(
        (json!(depths), json!(values)),
        (graph["nodes"]["depth"].clone(), graph["nodes"]["value"].clone())
    );
    let about: Value = serde_json::from_str(&about).expect("JSON");
    assert_eq!((&about["total"], &about["covers"]), (&graph["total"], &graph["covers"]));
    assert_eq!(pprof::read(&get("pprof").await[..]).expect("pprof").total(), 100 * SECOND / 100);
    let svg = String::from_utf8(get("svg").await.to_vec()).expect("text");
    assert!(
        svg.contains("<svg") && svg.contains("On-CPU time") && svg.contains("100 samples at 100 Hz"),
        "{svg}"
    );
}

const BASE: &str = "/api/s7mpa/v1";

#[tokio::test(flavor = "multi_thread")]
async fn processes_hosts_and_kinds_are_chosen() {
    let (setup, from) = with_profiles().await;
    let document = document(&setup).await;
    let of = async |query: &str| {
        let path = format!("/flamegraph?{}&{query}", between(from));
        let (status, graph) = checked(&setup, &document, "/flamegraph", &path).await;
        assert_eq!(status, 200, "{query}: {graph}");
        own(&graph)
    };
    assert_eq!(of("host=other").await, weights(&[("mail;main", 3)]));
    assert_eq!(of("").await.len(), 5, "both hosts");
    assert_eq!(of("host=h&comm=db").await, weights(&[("db;main", 5)]));
    assert_eq!(
        of("host=h&pid=8&pid=9&by=process").await,
        weights(&[("db-9;main", 5), ("web-8;main;write", 15)])
    );
    assert_eq!(of("host=h&place=db.service&by=place").await, weights(&[("db.service;db;main", 5)]));
    assert_eq!(of("host=h&pid=8&start_ms=8").await, weights(&[("web;main;write", 15)]));
    assert_eq!(of("host=h&pid=8&start_ms=9").await, weights(&[]), "another that had its PID");
    let waits = [("db;main;[fsync]", 2_000_000), ("web;main;ask;[net_recv]", 3_000_000)];
    assert_eq!(of("host=h&kind=off-cpu").await, weights(&waits));
    let idle = of("host=h&kind=off-cpu&idle=true&comm=web").await;
    assert_eq!(idle.get("web;main;idle;[poll]"), Some(&90_000_000));
    let wakers = of("host=h&kind=wakers&comm=web").await;
    assert_eq!(wakers, weights(&[("web;main;ask;[net_recv];send;db", 3_000_000)]));
    let wall = of("host=h&kind=wall&comm=db").await;
    assert_eq!(wall, weights(&[("db;main;[fsync]", 2_000_000), ("db;main;[oncpu]", 5 * SECOND / 100)]));
    let evidence =
        checked(&setup, &document, "/flamegraph", &format!("/flamegraph?alert={ALERT}&comm=db")).await;
    assert_eq!(own(&evidence.1), weights(&[("db;main", 5)]));

    let refused = async |status: u16, query: &str, word: &str| {
        let (got, problem) = checked(&setup, &document, "/flamegraph", &format!("/flamegraph?{query}")).await;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(got == status && detail.contains(word), "{query}: {got} {problem}");
    };
    for (query, word) in [
        ("kind=fly", "on-cpu"),
        ("by=thread", "place"),
        ("format=png", "binary"),
        ("least_share=2", "between 0 and 1"),
        ("least_share=NaN", "between 0 and 1"),
        ("max_nodes=0", "between 1 and"),
        ("under=xyz", "16 hexadecimal"),
        ("pid=-1", "a process ID"),
        ("start_ms=5", "pid"),
        ("idle=perhaps", "true or false"),
        ("kind=wakers&parts=user", "cannot be divided"),
        ("duration=9d", "192 hours"),
        ("base_from=-1h&format=pprof", "difference"),
        ("from=10&to=5", "ends before"),
    ] {
        refused(400, query, word).await;
    }
    let many = "pid=1&".repeat(101);
    refused(400, &many, "more than 100").await;
    refused(404, "from=10&to=20", "there are some from").await;
    refused(404, "alert=none", "no evidence").await;
    refused(404, &format!("{}&under=0123456789abcdef", between(from)), "no such node").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_has_both_times_and_what_is_hidden_is_reached() {
    let (setup, from) = with_profiles().await;
    let document = document(&setup).await;
    let base = from / SECOND;
    let path = format!("/flamegraph?host=h&{}&base_from={base}", between(from + MINUTE));
    let (_, graph) = checked(&setup, &document, "/flamegraph", &path).await;
    assert_eq!((&graph["total"], &graph["base_total"]), (&json!(50), &json!(100)));
    let names: Vec<&str> =
        graph["frames"].as_array().expect("frames").iter().filter_map(|f| f["name"].as_str()).collect();
    assert!(names.contains(&"new") && names.contains(&"write"), "what is new, and what is gone: {names:?}");
    let folded = setup.get(&format!("{BASE}{path}&format=folded")).send().await.expect("an answer");
    let folded = folded.text().await.expect("text");
    let lines = ["db;main 5 0", "web;main;new 0 40", "web;main;parse 20 0", "web;main;parse;copy 60 10"];
    assert!(lines.iter().all(|line| folded.lines().any(|own| own == *line)), "{folded}");
    let svg = setup.get(&format!("{BASE}{path}&format=svg")).send().await.expect("an answer");
    assert!(svg.text().await.expect("text").contains("<svg"));

    let path = format!("/flamegraph?host=h&{}", between(from));
    let (_, cut) = checked(&setup, &document, "/flamegraph", &format!("{path}&least_share=0.5")).await;
    assert!(cut["hidden"].as_u64() >= Some(3) && !own(&cut).contains_key("web;main;write"), "{cut}");
    let named = |name: &str, kind| Frame::new(name, kind);
    let id = [named("web", Kind::Root), named("main", Kind::Native), named("write", Kind::Native)];
    let id = id.iter().fold(ROOT_ID, child_id);
    let zoomed = format!("{path}&least_share=0.5&under={id:016x}");
    let (_, zoomed) = checked(&setup, &document, "/flamegraph", &zoomed).await;
    assert_eq!((own(&zoomed), &zoomed["root"]), (weights(&[("web;main;write", 15)]), &json!(3)));
    let (_, few) = checked(&setup, &document, "/flamegraph", &format!("{path}&max_nodes=3")).await;
    assert!(few["frames"].as_array().is_some_and(|frames| frames.len() <= 4), "{few}");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_say_how_much_fell_into_each_part() {
    let (setup, from) = with_profiles().await;
    let document = document(&setup).await;
    let times = format!("from={}&to={}", from / SECOND, (from + 2 * MINUTE) / SECOND);
    let of = async |query: &str| {
        let path = format!("/flamegraph/columns?{times}&{query}");
        checked(&setup, &document, "/flamegraph/columns", &path).await
    };
    let (_, all) = of("host=h&step=10s").await;
    assert_eq!(all["samples"], json!([100, 0, 0, 0, 0, 0, 50, 0, 0, 0, 0, 0]));
    assert_eq!(all["waited_ns"][5], json!(5_000_000), "without waits for work");
    assert_eq!(all["kept_step_s"], json!(10.0));
    let (_, web) = of("host=h&step=1m&comm=web&idle=true").await;
    assert_eq!((&web["samples"], &web["waits"]), (&json!([95, 50]), &json!([2, 0])));
    assert_eq!(web["oncpu_ns"], json!([95 * SECOND / 100, 50 * SECOND / 100]));
    for wrong in ["step=1s", "step=x"] {
        assert_eq!(of(wrong).await.0, 400, "{wrong}");
    }
    let long = checked(&setup, &document, "/flamegraph/columns", "/flamegraph/columns?duration=9d").await;
    assert_eq!(long.0, 400, "eight days at most");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_whom_leads_to_who_waits_for_nobody() {
    let (setup, from) = with_profiles().await;
    let document = document(&setup).await;
    let of = async |query: &str| {
        let path = format!("/waits?host=h&{}&{query}", between(from));
        checked(&setup, &document, "/waits", &path).await.1
    };
    let waits = of("").await;
    assert_eq!(waits["total"], json!(2));
    let edge = &waits["edges"][0];
    assert_eq!(
        (&edge["comm"], &edge["reason"], &edge["waker"]),
        (&json!("web"), &json!("net_recv"), &json!("db"))
    );
    let chain = &waits["chains"][0];
    assert_eq!(
        (&chain["links"][0]["comm"], &chain["root"], &chain["root_reason"]),
        (&json!("web"), &json!("db"), &json!("fsync"))
    );
    assert_eq!(waits["looked_at"], json!({ "waits": 3, "waited_ns": 95_000_000 }));
    let by_process = of("by=process&idle=true").await;
    assert_eq!((&by_process["total"], &by_process["edges"][0]["pid"]), (&json!(3), &json!(7)));
    let other = checked(&setup, &document, "/waits", "/waits?from=10&to=20").await;
    assert_eq!(other.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_that_the_browser_has_is_not_sent_again_and_a_store_without_profiles_says_so() {
    let (setup, from) = with_profiles().await;
    let path = format!("{BASE}/flamegraph?host=h&format=binary&{}", between(from));
    let first = setup.get(&path).header("accept-encoding", "gzip").send().await.expect("an answer");
    assert_eq!(first.headers()["cache-control"], "private, no-cache");
    let tag = first.headers()["etag"].clone();
    let again = setup.get(&path).header("if-none-match", tag).send().await.expect("an answer");
    assert_eq!(again.status().as_u16(), 304);
    let plain = setup.get(&path).send().await.expect("an answer").bytes().await.expect("a body");
    assert!(plain.starts_with(b"S7FG"), "what a page looks for");
    let (dir, source) = empty();
    let without = Setup::over(dir, source).await;
    let document = document(&without).await;
    for (template, path) in
        [("/flamegraph", "/flamegraph"), ("/flamegraph/columns", "/flamegraph/columns"), ("/waits", "/waits")]
    {
        let (status, problem) = checked(&without, &document, template, path).await;
        assert!(
            status == 404 && problem["detail"].as_str().is_some_and(|text| text.contains("minute")),
            "{problem}"
        );
    }
}
