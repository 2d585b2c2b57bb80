use std::sync::Arc;

use agent_common::units::{BootNs, DurNs, MonoNs, UnixNs};

use super::*;
use crate::block::{self, Block, Group, Looked, Shown};
use crate::{FoldOptions, Folded, Mode, Parts, Point, Roots, Thread, Timeline};

/// Stacks as text; `[x]` is a reason, `x*` a waker's frame.
fn timeline(stacks: &[(&str, &str, u64)]) -> Timeline {
    let mut all = Timeline::default();
    for (comm, stack, weight) in stacks {
        let ids = stack.split(';').filter(|text| !text.is_empty()).map(|text| {
            let kind = match text.as_bytes() {
                [b'[', ..] => Kind::Reason,
                [.., b'*'] => Kind::Waker,
                _ => Kind::Native,
            };
            all.frames.push(Frame::new(text, kind));
            all.frames.len() as u32 - 1
        });
        let stack = ids.collect();
        all.stacks.push(stack);
        let comm: Arc<str> = (*comm).into();
        let thread = Thread { tgid: 7, tid: 7, comm: Arc::clone(&comm), process: Some(comm), group: None };
        all.threads.push(thread);
        let at = all.stacks.len() as u32 - 1;
        all.points.push(Point { at: MonoNs(1), thread: at, stack: at, weight: *weight });
    }
    all
}

fn block(cpu: &[(&str, &str, u64)], waits: &[(&str, &str, u64)]) -> Block {
    let mut builder = block::Builder::new(UnixNs(0), DurNs(1), 1, 100, usize::MAX);
    let group = |thread: &Thread| Group {
        tgid: thread.tgid,
        start: BootNs(1),
        comm: Arc::clone(thread.process_name()),
        cgroup: "/system.slice/web.service".into(),
        container: "".into(),
    };
    builder.add(Looked::Cpu, 0, &timeline(cpu), group);
    builder.add(Looked::Wait, 0, &timeline(waits), group);
    builder.finish()
}

fn example() -> Block {
    let cpu = [("web", "main;parse", 60), ("web", "main;parse;copy", 20), ("web", "main;write", 15)];
    let waits = [
        ("web", "main;read;[disk_read];irq*;[interrupt]*", 5_000),
        ("web", "main;idle;[poll];send*;db*", 9_000),
        ("db", "main;[futex_lock];unlock*;web*", 700),
    ];
    block(&[&cpu[..], &[("db", "main", 5)]].concat(), &waits)
}

fn graph(block: &Block, mode: Mode, no_idle: bool, roots: Roots) -> Graph {
    let mut builder = Builder::new(1 << 20);
    Shown::of(mode, no_idle, Parts::Both, |shown| builder.add(Side::Shown, block, shown, roots));
    builder.finish()
}

/// `path value/own`, one a node.
fn lines(graph: &Graph) -> Vec<String> {
    let mut path: Vec<&str> = Vec::new();
    let line = |node: &Node| {
        path.truncate(node.depth as usize);
        path.push(&graph.frame(node).name);
        format!("{} {}/{}", path.join(";"), node.value, node.own)
    };
    graph.nodes.iter().map(line).collect()
}

#[test]
fn nodes_are_in_preorder_by_name_with_their_sums() {
    let graph = graph(&example(), Mode::OnCpu, true, Roots::Comm);
    let expected = [
        "all 100/0",
        "all;db 5/0",
        "all;db;main 5/5",
        "all;web 95/0",
        "all;web;main 95/0",
        "all;web;main;parse 80/60",
        "all;web;main;parse;copy 20/20",
        "all;web;main;write 15/15",
    ];
    assert_eq!(lines(&graph), expected);
}

#[test]
fn it_is_the_graph_that_is_folded_in_every_mode() {
    let block = example();
    for mode in Mode::ALL {
        for (no_idle, roots) in [(false, Roots::Comm), (true, Roots::Process), (true, Roots::None)] {
            let options = FoldOptions { roots, annotate: false, parts: Parts::Both };
            let timeline = Shown::of(mode, no_idle, Parts::Both, |shown| block.timeline(shown, Group::place));
            let folded = Folded::new(&timeline, &options);
            let graph = graph(&block, mode, no_idle, roots);
            let own = graph.nodes.iter().zip(lines(&graph)).filter(|(node, _)| node.own > 0);
            let own: Vec<(String, u64)> = own
                .map(|(node, line)| {
                    let path = line.rsplit_once(' ').unwrap().0.strip_prefix("all;").unwrap().to_owned();
                    (path, node.own)
                })
                .collect();
            assert_eq!(own, folded.stacks, "{mode:?}");
            assert_eq!(graph.nodes[0].value, folded.total());
        }
    }
    let places = graph(&block, Mode::OnCpu, true, Roots::Group);
    assert!(lines(&places).contains(&"all;web.service;web;main 95/0".to_owned()));
}

#[test]
fn what_is_narrow_is_hidden_and_reached_by_its_id() {
    let graph = graph(&example(), Mode::OnCpu, true, Roots::Comm);
    let view = graph.view(&Part { least_share: 0.16, ..Part::default() }).unwrap();
    let kept = [
        "all 100/0",
        "all;web 95/0",
        "all;web;main 95/0",
        "all;web;main;parse 80/60",
        "all;web;main;parse;copy 20/20",
    ];
    assert_eq!((lines(&view.graph), view.hidden, view.root), (kept.map(str::to_owned).to_vec(), 3, 0));
    let named = |name: &str| Frame::new(name, Kind::Native);
    let web = child_id(ROOT_ID, &Frame::new("web", Kind::Root));
    let under = child_id(child_id(web, &named("main")), &named("write"));
    let view = graph.view(&Part { under, least_share: 0.5, ..Part::default() }).unwrap();
    let path = ["all 100/0", "all;web 95/0", "all;web;main 95/0", "all;web;main;write 15/15"];
    assert_eq!((lines(&view.graph), view.hidden, view.root), (path.map(str::to_owned).to_vec(), 0, 3));
    assert_eq!(graph.view(&Part { under: 7, ..Part::default() }), None);
    // The widest stay, and equals go together.
    for most in 0..8 {
        let view = graph.view(&Part { max_nodes: most, ..Part::default() }).unwrap();
        assert!(view.graph.nodes.len() <= most + 1, "{most}");
        assert_eq!(view.graph.nodes.len() as u64 + view.hidden, 8);
    }
}

#[test]
fn an_id_is_what_a_browser_computes() {
    // `Math.imul` over the bytes, by hand.
    let hash = |begin: u32, factor: u32, bytes: &[u8]| {
        bytes.iter().fold(begin, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(factor))
    };
    let bytes = [b"main".as_slice(), &[0], b"/bin/web", &[255]].concat();
    let frame = Frame { module: Some("/bin/web".into()), ..Frame::new("main", Kind::Native) };
    let (high, low) = (hash(0x811c_9dc5, 0x0100_0193, &bytes), hash(0x9e37_79b9, 0x85eb_ca6b, &bytes));
    assert_eq!(child_id(ROOT_ID, &frame), u64::from(high) << 32 | u64::from(low));
}

#[test]
fn a_difference_has_what_is_gone_and_what_is_new() {
    let before = block(&[("web", "main;old", 10), ("web", "main;both", 10)], &[]);
    let after = block(&[("web", "main;both", 30), ("web", "main;new", 10)], &[]);
    let mut builder = Builder::new(1 << 20);
    Shown::of(Mode::OnCpu, true, Parts::Both, |shown| {
        builder.add(Side::Shown, &after, shown, Roots::Comm);
        builder.add(Side::Base, &before, shown, Roots::Comm);
    });
    let graph = builder.finish();
    let own: Vec<(&str, u64, u64)> = graph
        .nodes
        .iter()
        .filter(|node| node.own + node.base_own > 0)
        .map(|node| (&*graph.frame(node).name, node.own, node.base_own))
        .collect();
    assert_eq!(own, [("both", 30, 10), ("new", 10, 0), ("old", 0, 10)]);
    // Half of what was before stays visible, though nothing of it is left.
    let view = graph.view(&Part { least_share: 0.4, ..Part::default() }).unwrap();
    assert!(view.graph.nodes.iter().any(|node| &*view.graph.frame(node).name == "old"));
    assert!(!view.graph.nodes.iter().any(|node| &*view.graph.frame(node).name == "new"));
}

#[test]
fn bytes_are_read_back_and_damaged_ones_refused() {
    let graph = graph(&example(), Mode::Wakers, false, Roots::Process);
    let view = graph.view(&Part::default()).unwrap();
    let bytes = view.encode("{\"of\":\"tests\"}");
    let (back, about) = Graph::decode(&bytes).unwrap();
    assert_eq!(
        (back.frames, back.nodes, about.as_str()),
        (view.graph.frames, view.graph.nodes, "{\"of\":\"tests\"}")
    );
    for at in 0..bytes.len() {
        assert!(Graph::decode(&bytes[..at]).is_err(), "cut at {at}");
        let mut wrong = bytes.clone();
        wrong[at] ^= 0x80;
        // Whatever it is read as, it holds together.
        if let Ok((graph, _)) = Graph::decode(&wrong) {
            assert!(graph.nodes.iter().all(|node| (node.frame as usize) < graph.frames.len()));
        }
    }
}

#[test]
fn a_graph_has_its_bound_and_loses_no_weight() {
    let block = example();
    let mut builder = Builder::new(4);
    Shown::of(Mode::OnCpu, true, Parts::Both, |shown| builder.add(Side::Shown, &block, shown, Roots::Comm));
    let graph = builder.finish();
    assert!(graph.nodes.len() <= 4 && graph.cut > 0);
    assert_eq!(graph.nodes[0].value, 100);
}
