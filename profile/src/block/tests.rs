use agent_common::units::{BootNs, DurNs, MonoNs, UnixNs};

use super::*;
use crate::coverage::Unnamed;
use crate::frame::{Frame, Kind};
use crate::testing::example;
use crate::timeline::{Point, Thread, Timeline};
use crate::{FoldOptions, Folded, Roots};

const MINUTE: u64 = 60_000_000_000;

fn group(thread: &Thread) -> Group {
    Group {
        tgid: thread.tgid,
        start: BootNs(u64::from(thread.tgid) * 1000),
        comm: thread.process_name().clone(),
        cgroup: "/system.slice/a.service".into(),
        container: "".into(),
    }
}

fn builder(max_nodes: usize) -> Builder {
    Builder::new(UnixNs(MINUTE), DurNs(MINUTE / 6), 6, 97, max_nodes)
}

/// Numbers that look random.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A timeline of many stacks, with waits' frames on top.
fn noisy(noise: &mut Noise, points: u64) -> Timeline {
    let mut timeline = Timeline::default();
    for n in 0..40_u64 {
        let kind = match n {
            0..30 => Kind::Native,
            30..34 => Kind::Kernel,
            34..36 => Kind::Reason,
            _ => Kind::Waker,
        };
        let module = (n % 3 == 0).then(|| format!("/lib/{}", n % 5).into());
        timeline.frames.push(Frame { module, ..Frame::new(format!("f{n}"), kind) });
    }
    for tgid in 1..=9 {
        let comm: Arc<str> = format!("p{}", tgid % 4).into();
        timeline.threads.push(Thread {
            tgid,
            tid: tgid,
            comm: Arc::clone(&comm),
            process: Some(comm),
            group: None,
        });
    }
    for _ in 0..points {
        let mut stack: Vec<u32> = (0..noise.below(12)).map(|_| noise.below(34) as u32).collect();
        stack.push(34 + noise.below(2) as u32);
        stack.extend((0..noise.below(3)).map(|_| 36 + noise.below(4) as u32));
        timeline.stacks.push(stack.into());
        timeline.points.push(Point {
            at: MonoNs(1),
            thread: noise.below(9) as u32,
            stack: timeline.stacks.len() as u32 - 1,
            weight: 1 + noise.below(1000),
        });
    }
    timeline.names.count(false, Some(Unnamed::Stripped));
    timeline.names.count(true, None);
    timeline
}

fn noisy_block(seed: u64) -> Block {
    let mut noise = Noise(seed);
    let mut builder = builder(usize::MAX);
    for column in 0..6 {
        builder.add(Looked::Cpu, column, &noisy(&mut noise, 100), group);
        builder.add(Looked::Wait, column, &noisy(&mut noise, 100), group);
    }
    builder.finish()
}

fn folded(block: &Block, shown: &Shown<'_>, roots: Roots) -> Vec<(String, u64)> {
    let options = FoldOptions { roots, ..FoldOptions::default() };
    Folded::new(&block.timeline(shown, |_| "place".into()), &options).stacks
}

const EVERYTHING: Shown<'static> = Shown {
    cpu: true,
    waits: true,
    wakers: true,
    running: Some("[oncpu]"),
    without: &[],
    parts: crate::Parts::Both,
};

#[test]
fn a_block_shows_what_its_timeline_showed() {
    let timeline = example();
    let mut builder = builder(usize::MAX);
    builder.add(Looked::Cpu, 2, &timeline, group);
    let block = Block::decode(&builder.finish().encode()).unwrap();
    let shown = Shown { cpu: true, ..Shown::default() };
    for roots in [Roots::Comm, Roots::Process, Roots::None] {
        let raw = Folded::new(&timeline, &FoldOptions { roots, ..FoldOptions::default() });
        assert_eq!(folded(&block, &shown, roots), raw.stacks);
    }
    let back = block.timeline(&shown, |_| "place".into());
    assert_eq!(back.names.unnamed, timeline.names.unnamed);
    assert_eq!((back.names.frames, back.names.named), (8, 7));
    assert!(back.is_sound());
    assert_eq!(back.points[0].at, MonoNs(1 + 2 * MINUTE / 6));
    // Functions are one frame whatever their line.
    assert!(block.trie.frames.iter().all(|frame| frame.source.is_none()));
    assert!(block.trie.frames.iter().any(|frame| frame.module.as_deref() == Some("/usr/bin/app")));
}

#[test]
fn bytes_come_back_and_the_parts_of_a_block_add_up_to_it() {
    let block = noisy_block(1);
    assert_eq!(Block::decode(&block.encode()).unwrap(), block);
    let whole = pack(&block, MAX_MESSAGE);
    assert_eq!(whole.len(), 1);
    assert_eq!(unpack(&whole[0]).unwrap(), block);
    let most = whole[0].len() / 5;
    let parts = pack(&block, most);
    assert!(parts.len() > 5 && parts.iter().all(|part| part.len() <= most));
    let mut sum = builder(usize::MAX);
    for part in &parts {
        let part = unpack(part).unwrap();
        sum.add_block(&part, |_, entry| Some(entry.column));
        sum.add_counters(&part.counters);
    }
    let sum = sum.finish();
    assert_eq!(sum.counters, block.counters);
    for looked in Looked::ALL {
        assert_eq!(sum.total(looked), block.total(looked));
    }
    assert_eq!(folded(&sum, &EVERYTHING, Roots::Process), folded(&block, &EVERYTHING, Roots::Process));
}

#[test]
fn columns_can_be_put_together_without_a_change_of_the_sum() {
    let (one, two) = (noisy_block(2), noisy_block(3));
    let mut sum = Builder::new(UnixNs(MINUTE), DurNs(MINUTE), 1, 97, usize::MAX);
    for block in [&one, &two] {
        sum.add_block(block, |_, _| Some(0));
    }
    let sum = sum.finish();
    assert_eq!((sum.columns, sum.to()), (1, UnixNs(2 * MINUTE)));
    let mut both: BTreeMap<String, u64> = BTreeMap::new();
    for block in [&one, &two] {
        for (stack, weight) in folded(block, &EVERYTHING, Roots::Comm) {
            *both.entry(stack).or_default() += weight;
        }
    }
    let sum: BTreeMap<String, u64> = folded(&sum, &EVERYTHING, Roots::Comm).into_iter().collect();
    assert_eq!(sum, both);
}

#[test]
fn where_there_are_too_many_stacks_new_ones_are_cut_and_counted() {
    let timeline = noisy(&mut Noise(4), 1000);
    let mut small = builder(200);
    small.add(Looked::Cpu, 0, &timeline, group);
    small.add(Looked::Wait, 0, &timeline, group);
    assert_eq!(small.nodes(), 200);
    let small = small.finish();
    assert!(small.trie.frames.len() <= 200, "{} names, of stacks that are cut too", small.trie.frames.len());
    let weight: u64 = timeline.points.iter().map(|point| point.weight).sum();
    assert_eq!(small.total(Looked::Cpu).0, weight, "nothing of the weight is lost");
    assert_eq!(small.total(Looked::Wait), (1000, weight));
    let cut = small.counters[CUT_SAMPLES];
    assert!(cut > weight / 2 && cut < weight, "{cut} of {weight}");
    assert!(small.counters[CUT_WAITS] > 500);
}

#[test]
fn a_wait_that_is_cut_names_nobody_in_place_of_its_waker() {
    let mut timeline = noisy(&mut Noise(9), 0);
    // Its own function, what it waits for, the waker's functions upside down, and the waker's name.
    let (function, reason, wakers) = (0, 34, [36, 37, 38, 39]);
    timeline.stacks.push([function, reason].into_iter().chain(wakers).collect());
    timeline.points.push(Point { at: MonoNs(0), thread: 0, stack: 0, weight: 7 });
    let last = |block: &Block| {
        let entry = block.waits[0];
        assert_eq!(entry.ns, 7);
        block.trie.frames[block.trie.node(entry.node).unwrap().frame as usize].kind
    };
    for (most, kind) in [(6, Kind::Waker), (5, Kind::Reason), (3, Kind::Reason), (1, Kind::Native)] {
        let mut cut = builder(most);
        cut.add(Looked::Wait, 0, &timeline, group);
        let cut = cut.finish();
        assert_eq!(last(&cut), kind, "{most}");
        assert_eq!(cut.counters.contains_key(CUT_WAITS), most < 6);
        let mut whole = builder(6);
        whole.add(Looked::Wait, 0, &timeline, group);
        let mut again = builder(most);
        again.add_block(&whole.finish(), |_, _| Some(0));
        assert_eq!(last(&again.finish()), kind, "{most}, of a block");
    }
}

#[test]
fn the_heaviest_stacks_stay() {
    let block = noisy_block(5);
    let top = block.top(10);
    let stacks = |block: &Block| {
        let mut of: Vec<u64> =
            folded(block, &Shown { cpu: true, wakers: true, ..Shown::default() }, Roots::Process)
                .into_iter()
                .map(|(_, weight)| weight)
                .collect();
        of.sort_unstable_by_key(|weight| std::cmp::Reverse(*weight));
        of
    };
    assert_eq!(stacks(&top), stacks(&block)[..10]);
    assert!(top.trie.nodes.len() < block.trie.nodes.len() && top.groups.len() <= block.groups.len());
}

#[test]
fn reasons_can_be_left_out_and_wakers_cut_off() {
    let block = noisy_block(6);
    let shown = Shown { waits: true, ..Shown::default() };
    let all = folded(&block, &shown, Roots::Comm);
    assert!(all.iter().all(|(stack, _)| !stack.contains("_[w]")));
    let some = folded(&block, &Shown { without: &["f34".into()], ..shown }, Roots::Comm);
    assert!(some.iter().all(|(stack, _)| stack.ends_with("f35")) && !some.is_empty());
    assert!(some.len() < all.len());
    let kernel = folded(&block, &Shown { parts: crate::Parts::Kernel, ..shown }, Roots::None);
    assert!(
        kernel.iter().all(|(stack, _)| stack.split(';').rev().skip(1).all(|frame| frame.ends_with("_[k]")))
    );
}

#[test]
fn hostile_bytes_are_refused_or_sound() {
    let good = noisy_block(7).encode();
    assert!(Block::decode(&good).is_ok());
    for length in 0..good.len().min(3000) {
        assert!(Block::decode(&good[..length]).is_err(), "{length}");
    }
    let mut noise = Noise(8);
    let (mut sound, mut refused) = (0, 0);
    for _ in 0..4_000 {
        let mut bytes = good.clone();
        for _ in 0..=noise.below(3) {
            let at = noise.below(bytes.len() as u64) as usize;
            bytes[at] = noise.below(256) as u8;
        }
        match Block::decode(&bytes) {
            Err(_) => refused += 1,
            Ok(block) => {
                sound += 1;
                if sound % 50 == 0 {
                    assert!(block.timeline(&EVERYTHING, |_| "".into()).is_sound());
                }
            }
        }
    }
    assert!(sound > 20 && refused > 100, "{sound} sound, {refused} refused");
    // No room is reserved for what is only said to be there.
    let mut lie = good[..4].to_vec();
    for number in [1, 0, 1, 1, 97, 0, 0, u64::MAX] {
        agent_common::varint::put(&mut lie, number);
    }
    assert!(Block::decode(&lie).is_err());
    for frame in
        [&b""[..], b"\x28\xb5\x2f\xfd", &[0xff; 64], &zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap()]
    {
        assert!(unpack(frame).is_err());
    }
}
