//! Blocks made by hand.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agent_common::units::{BootNs, DurNs, MonoNs, UnixNs};
use agent_common::wire::head::WindowHead;
use profile::block::{Block, Builder, Group, Looked, Shown};
use profile::{FoldOptions, Folded, Frame, Kind, Point, Roots, Thread, Timeline};
use server::store::profiles::{Message, Reader, Selection};

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const STREAM: &str = "0123456789abcdef";

/// The start of an epoch, so long ago.
pub(crate) fn epoch_before(ago: Duration) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    now.saturating_sub(ago).as_nanos() as u64 / (6 * HOUR) * (6 * HOUR)
}

/// Numbers that look random.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Stacks of a column; weights are samples, or ns of waits.
pub(crate) fn timeline(noise: &mut Noise, looked: Looked) -> Timeline {
    let mut timeline = Timeline::default();
    for n in 0..60_u64 {
        let kind = match n {
            0..50 => Kind::Native,
            50..56 => Kind::Kernel,
            56..58 => Kind::Reason,
            _ => Kind::Waker,
        };
        timeline.frames.push(Frame::new(format!("function_{n}"), kind));
    }
    for tgid in 100..112 {
        let comm: Arc<str> = format!("server-{}", tgid % 5).into();
        timeline.threads.push(Thread {
            tgid,
            tid: tgid,
            comm: Arc::clone(&comm),
            process: Some(comm),
            group: None,
        });
    }
    for _ in 0..30 {
        let mut stack: Vec<u32> = (0..3).map(|depth| (depth * 10 + noise.below(4)) as u32).collect();
        if looked == Looked::Wait {
            stack.extend([56 + noise.below(2) as u32, 58 + noise.below(2) as u32]);
        }
        timeline.stacks.push(stack.into());
        let stack = timeline.stacks.len() as u32 - 1;
        let weight = 1 + noise.below(100);
        timeline.points.push(Point { at: MonoNs(1), thread: noise.below(12) as u32, stack, weight });
    }
    timeline
}

pub(crate) fn group(thread: &Thread) -> Group {
    let unit = if thread.tgid.is_multiple_of(2) {
        "/system.slice/even.service"
    } else {
        "/system.slice/odd.service"
    };
    let container = if thread.tgid == 105 { "c0ffee0123456789" } else { "" };
    Group {
        tgid: thread.tgid,
        start: BootNs(u64::from(thread.tgid)),
        comm: Arc::clone(thread.process_name()),
        cgroup: unit.into(),
        container: container.into(),
    }
}

/// A minute of a host.
pub(crate) fn minute(from: u64, seed: u64) -> Block {
    let mut noise = Noise(seed);
    let mut builder = Builder::new(UnixNs(from), DurNs(10 * SECOND), 6, 97, usize::MAX);
    for column in 0..6 {
        for looked in Looked::ALL {
            builder.add(looked, column, &timeline(&mut noise, looked), group);
        }
    }
    builder.count("expected", 1164);
    builder.finish()
}

pub(crate) fn message(host: &str, seq: u64, block: Block) -> Message {
    let head = WindowHead {
        host: host.to_owned(),
        stream: STREAM.to_owned(),
        seq,
        points: 0,
        span_ns: block.to().0 - block.from.0,
        end: block.to(),
    };
    Message { head, block }
}

/// Everything that is shown of a block, with its waits' time.
pub(crate) const EVERYTHING: Shown<'static> = Shown {
    cpu: true,
    waits: true,
    wakers: true,
    running: Some("[oncpu]"),
    without: &[],
    parts: profile::Parts::Both,
};

/// Its graph, process by process.
pub(crate) fn folded(block: &Block) -> Vec<(String, u64)> {
    let options = FoldOptions { roots: Roots::Process, ..FoldOptions::default() };
    Folded::new(&block.timeline(&EVERYTHING, |_| "".into()), &options).stacks
}

/// The graph of blocks that were never in a store, of the columns that `keep` takes by their start.
pub(crate) fn expected(blocks: &[Block], keep: impl Fn(u64, &Group) -> bool) -> Vec<(String, u64)> {
    let mut sum = Builder::new(UnixNs(0), DurNs(u64::MAX / 4), 1, 97, usize::MAX);
    for block in blocks {
        sum.add_block(block, |_, entry| {
            let start = block.from.0 + u64::from(entry.column) * block.column.0;
            keep(start, &block.groups[entry.group as usize]).then_some(0)
        });
    }
    folded(&sum.finish())
}

pub(crate) fn merged(reader: &Reader, selection: &Selection) -> Vec<(String, u64)> {
    folded(&reader.merged(selection).expect("merged").block)
}

pub(crate) fn between(from: u64, to: u64) -> Selection {
    Selection::new(UnixNs(from), UnixNs(to))
}
