use std::io::Write as _;

use agent_common::abi::sched::State;
use agent_common::units::{DurNs, MonoNs, Tgid, Tid};
use flamegraphs::{Sample, Unnamed};

use super::*;
use crate::aggregate::testing::{MS, SECOND, calls, exit, task, window};
use crate::aggregate::{self, Mode, ReportOptions};
use crate::control::protocol::Target;
use crate::control::{Answers, Namer};
use crate::source::host::{CpuId, CpuTimes, Disk, Pressure};
use crate::window::{
    BlockIoRow, BlockOp, InFlight, IrqRow, LockRow, MemoryRow, NetRow, OomKill, OpenWait, ProcessTimes,
    RunqBlame, SignalRow, SyscallAbi, ThreadTimes, Wait, WaitTarget, Waker,
};

/// A window in which every field holds something.
pub(crate) fn full(n: u64) -> Window {
    let mut window = window(n);
    window.host.cpus = vec![(CpuId(3), CpuTimes { user: DurNs(5), ..CpuTimes::default() })];
    window.host.disks = vec![Disk { name: "vda".into(), flushes: Some(1), ..Disk::default() }];
    window.host.pressure.io = Some(Pressure { some: DurNs(1), full: None });
    for tgid in 1..=20 {
        window.tasks.push(task(tgid, &format!("idle{tgid}"), 0, 0).into());
    }
    window.tasks.push(task(42, "work;er <b>", 900 + n, 20).into());
    window.exits = vec![exit(100 + n as u32, 42, "short", 5)];
    window.syscalls = vec![calls(42, "work;er <b>", 1, 100_000, 7, 900)];
    window.in_flight = vec![InFlight {
        tgid: Tgid(42),
        tid: Tid(43),
        comm: "work;er <b>".into(),
        abi: SyscallAbi::Compat,
        nr: 7,
        age: DurNs(9 * SECOND),
        at_least: true,
    }];
    window.samples = vec![Sample {
        at_ns: n * SECOND + 1,
        tgid: 42,
        tid: 42,
        comm: "work;er <b>".into(),
        kernel: vec![0xffff_ffff_8100_0010].into(),
        user: vec![0x1000, 0x2001].into(),
        weight: 3,
    }];
    window.coverage.lost = [("sample_ring_full".to_owned(), 3)].into();
    window.coverage.symbolized_pct = Some(99.5);
    waiting(&mut window, n);
    resources(&mut window);
    window
}

/// Thread states and waits.
fn waiting(window: &mut Window, n: u64) {
    let open = OpenWait {
        tid: Tid(43),
        state: State::Fsync,
        age: DurNs(7),
        syscall: Some((SyscallAbi::Native, 74)),
        arg: 3,
    };
    window.times = vec![ProcessTimes {
        tgid: Tgid(42),
        comm: "work;er <b>".into(),
        states: vec![
            (State::Oncpu, DurNs(920 * MS)),
            (State::Fsync, DurNs(SECOND)),
            (State::Poll, DurNs(80 * MS)),
        ],
        threads: vec![ThreadTimes {
            tid: Tid(43),
            comm: "io".into(),
            states: vec![(State::Fsync, DurNs(SECOND))],
            voluntary: 3,
            preempted: 1,
            now: Some(open),
        }],
        resting: vec![(State::Poll, 1)],
        oldest: Some(open),
    }];
    window.waits = [
        WaitTarget::None,
        WaitTarget::Futex { addr: 0xdead_beef, owner: Some(Tid(42)) },
        WaitTarget::File { dev: 0x80_0001, inode: 77 },
        WaitTarget::Socket { protocol: 6, local_port: 80, peer: Some(("::1".parse().unwrap(), 443)) },
    ]
    .into_iter()
    .map(|target| Wait {
        at: MonoNs(n * SECOND + 5),
        open: false,
        peer: None,
        tgid: Tgid(42),
        tid: Tid(43),
        comm: "io".into(),
        accounted: State::Uninterruptible,
        state: State::Fsync,
        syscall: Some((SyscallAbi::Native, 74)),
        waited: DurNs(3 * MS),
        weight: DurNs(250 * MS),
        target,
        waker: (target == WaitTarget::None).then(|| Waker {
            tgid: Tgid(7),
            tid: Tid(7),
            comm: "jbd2".into(),
            takes_turns: false,
            closes: false,
            kernel: vec![0xffff_ffff_8100_0020].into(),
            user: Box::default(),
        }),
        kernel: vec![0xffff_ffff_8100_0030].into(),
        user: vec![0x3000].into(),
    })
    .collect();
    window.blame = vec![RunqBlame { victim: Tgid(42), culprit: Tgid(7), waited: DurNs(9) }];
}

/// What the kernel's subsystems did.
fn resources(window: &mut Window) {
    window.blockio = vec![BlockIoRow {
        tgid: Tgid(42),
        comm: "work;er <b>".into(),
        device: "vda".into(),
        op: BlockOp::Flush,
        count: 1,
        sequential: 0,
        bytes: 0,
        queued: DurNs(1),
        served: DurNs(2),
        max: DurNs(3),
        errors: 0,
    }];
    window.memory = vec![MemoryRow { tgid: Tgid(42), reclaims: 2, ..MemoryRow::default() }];
    window.oom_kills =
        vec![OomKill { tgid: Tgid(9), comm: "fat".into(), cgroup: "/x".into(), rss_bytes: 1 << 30 }];
    window.net = vec![NetRow {
        tgid: Tgid(0),
        comm: "".into(),
        local_port: 22,
        peer: Some(("10.0.0.1".parse().unwrap(), 9)),
        retransmits: 3,
        resets: 0,
        accept_overflows: 0,
        accept_queue: Some((1, 128)),
        receive_drops: 0,
    }];
    window.irqs = vec![IrqRow { cpu: 1, softirq: vec![("net_rx", 3, DurNs(4))], hardirq: DurNs(5) }];
    window.signals =
        vec![SignalRow { tgid: Tgid(9), comm: "fat".into(), signal: 9, sender: Tgid(0), count: 1 }];
    window.locks = vec![LockRow {
        tgid: Tgid(42),
        comm: "work;er <b>".into(),
        lock: 0xffff_8880_0000_0000,
        kind: "mutex",
        count: 5,
        waited: DurNs(6),
        holder: Some(Tid(7)),
    }];
}

fn names() -> Names {
    let mut names = Names::default();
    for (addr, name) in [(0x10, "sync"), (0x20, "commit"), (0x30, "wait")] {
        names.set_kernel(0xffff_ffff_8100_0000 + addr, FrameName::named(name.into()));
    }
    for (addr, name) in [(0x1000, "leaf"), (0x2000, "main"), (0x3000, "fsync")] {
        names.set_user(42, addr, FrameName::named(name.into()));
    }
    names.set_user(42, 0x9999, FrameName::unnamed("[x+0x1]", Unnamed::Stripped));
    names
}

fn head(samples: bool) -> Head {
    Head { host: "here".to_owned(), rate_hz: 97, samples, ..Head::default() }
}

/// The bytes of a recording, and where each of its windows is whole.
fn record(windows: &[Window], samples: bool) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Vec::new();
    let mut ends = Vec::new();
    let mut writer = Writer::new(&mut bytes, Path::new("x"), &head(samples)).unwrap();
    for window in windows {
        writer.window(window, &names()).unwrap();
        ends.push(writer.bytes() as usize);
    }
    writer.finish().unwrap();
    (bytes, ends)
}

fn parse(bytes: &[u8]) -> Result<(Recording, Option<Fault>), Fault> {
    read::parse(bytes)
}

fn windows(count: u64) -> Vec<Window> {
    (0..count).map(full).collect()
}

#[test]
fn a_recording_gives_the_same_windows_report_and_graphs() {
    let live = windows(6);
    let (bytes, _) = record(&live, true);
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all(&bytes).unwrap();
    let back = Recording::open(file.path()).unwrap();
    assert!(back.damage.is_none());
    assert_eq!(back.head, head(true));
    assert!(back.windows.iter().map(AsRef::as_ref).eq(&live));
    assert_eq!(read(file.path()).unwrap().len(), 6);

    let live: Vec<Arc<Window>> = live.into_iter().map(Arc::new).collect();
    let options = ReportOptions::default();
    assert_eq!(
        aggregate::report("here", &back.windows, &options),
        aggregate::report("here", &live, &options)
    );
    let answers =
        |names| Answers { names: Namer::Recorded(Arc::new(names)), host: "here".into(), rate_hz: 97 };
    let (ours, theirs) = (answers(names()), answers(back.names));
    for mode in [Mode::OnCpu, Mode::OffCpu, Mode::Wall, Mode::Wakers] {
        let fold = flamegraphs::FoldOptions::default();
        let graph = |answers: &Answers, windows| {
            answers.flamegraph(windows, Target::Pid(42), fold, mode, false, true).unwrap()
        };
        let graph_back = graph(&theirs, &back.windows);
        assert_eq!(graph_back, graph(&ours, &live));
        assert_eq!(graph_back.folded.names.named, graph_back.folded.names.frames, "{mode:?}: all have names");
    }
}

#[test]
fn what_windows_have_in_common_is_one_object_again() {
    let (bytes, _) = record(&windows(3), true);
    let (back, _) = parse(&bytes).unwrap();
    let (first, last) = (&back.windows[0], &back.windows[2]);
    assert!(Arc::ptr_eq(&first.tasks[0], &last.tasks[0]), "an idle process");
    assert!(Arc::ptr_eq(&first.syscalls[0].comm, &last.samples[0].comm), "a name");
    // What a window says anew is small: the window before is its dictionary.
    let (_, ends) = record(&windows(30), true);
    let (first, each) = (ends[0], (ends[29] - ends[9]) / 20);
    assert!(each * 4 < first, "{first} bytes for the first window, {each} for each that follows");
}

#[test]
fn samples_can_be_left_out() {
    let (bytes, _) = record(&windows(2), false);
    let (back, fault) = parse(&bytes).unwrap();
    assert!(fault.is_none() && !back.head.samples);
    assert!(back.windows.iter().all(|window| window.samples.is_empty() && window.waits.len() == 4));
}

#[test]
fn only_new_addresses_are_asked_for() {
    let mut writer = Writer::new(Vec::new(), Path::new("x"), &head(true)).unwrap();
    let mut window = full(0);
    assert_eq!(writer.unnamed(&window).len(), 6, "a sample, four waits, one who ended one");
    writer.window(&window, &names()).unwrap();
    assert!(writer.unnamed(&window).is_empty());
    window.samples[0].user = vec![0x1000, 0x5001].into();
    assert_eq!(writer.unnamed(&window).len(), 1);
    window.exits[0].tgid = Tgid(42);
    writer.window(&window, &Names::default()).unwrap();
    assert!(writer.unnamed(&window).len() > 1, "the number may be another process' by now");
}

#[test]
fn a_cut_keeps_all_whole_windows_and_says_where() {
    let live = windows(4);
    let (bytes, ends) = record(&live, true);
    for length in 0..bytes.len() {
        let whole = ends.iter().filter(|end| **end <= length).count();
        match parse(&bytes[..length]) {
            Ok((back, fault)) => {
                assert_eq!(back.windows.len(), whole, "cut at {length}");
                let Some(Fault::Truncated { offset, windows }) = fault else { panic!("{length}: {fault:?}") };
                assert!(offset <= length as u64 && windows == whole);
            }
            Err(Fault::Truncated { .. }) => assert_eq!(whole, 0),
            Err(Fault::NotARecording) => assert_eq!(length, 0),
            Err(other) => panic!("cut at {length}: {other}"),
        }
    }
}

#[test]
fn a_flipped_byte_is_found_and_nothing_panics() {
    let live = windows(3);
    let (bytes, _) = record(&live, true);
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        match parse(&bytes) {
            Ok((back, fault)) => {
                assert!(fault.is_some(), "byte {at} is not noticed");
                assert!(back.windows.iter().map(AsRef::as_ref).zip(&live).all(|(back, live)| back == live));
            }
            Err(fault) => assert!(!fault.to_string().is_empty()),
        }
    }
}

#[test]
fn garbage_with_right_checksums_is_refused() {
    // xorshift: any bytes will do, the same in each run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (whole, ends) = record(&windows(1), true);
    for round in 0..2_000 {
        let text: Vec<u8> = (0..next() % 200).map(|_| next() as u8).collect();
        let packed = if round % 2 == 0 { zstd::bulk::compress(&text, 1).unwrap() } else { text };
        let kind = *b"HNWEX".get(round % 5).unwrap();
        let mut bytes = whole[..ends[0]].to_vec();
        bytes.push(kind);
        bytes.extend((packed.len() as u32).to_le_bytes());
        bytes.extend(write::checksum(kind, &packed).to_le_bytes());
        bytes.extend(packed);
        let (back, fault) = parse(&bytes).unwrap();
        assert!(back.windows.len() == 1 && fault.is_some());
    }
    // A frame that promises more than memory holds.
    let mut bytes = whole[..ends[0]].to_vec();
    bytes.push(KIND_WINDOW);
    bytes.extend(u32::MAX.to_le_bytes());
    bytes.extend([0; 64]);
    let (_, fault) = parse(&bytes).unwrap();
    assert!(matches!(fault, Some(Fault::Damaged { .. })), "{fault:?}");
}

#[test]
fn other_files_and_versions_are_told_apart() {
    assert!(matches!(parse(b"#!/bin/sh\n"), Err(Fault::NotARecording)));
    assert!(matches!(parse(b"s7rec\n"), Err(Fault::NotARecording)), "transferred as text");
    let (mut bytes, _) = record(&windows(1), true);
    bytes[8] = 9;
    let fault = parse(&bytes).unwrap_err();
    assert!(fault.to_string().contains("version 9"), "{fault}");
    let path = Path::new("/nonexistent/x.s7rec");
    let error = Recording::open(path).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/x.s7rec"));
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all(&bytes[..4]).unwrap();
    let text = crate::cli::term::chain(&anyhow::Error::new(read(file.path()).unwrap_err()));
    assert!(text.contains("cut off at byte 4") && text.contains("recording /"), "{text}");
}

#[test]
fn a_recording_of_a_newer_program_with_more_fields_is_read() {
    #[derive(serde::Serialize)]
    struct Later {
        end: MonoNs,
        invented: u64,
    }
    let text = rmp_serde::to_vec_named(&Later { end: MonoNs(7), invented: 1 }).unwrap();
    let window: Window = rmp_serde::from_slice(&text).unwrap();
    assert_eq!(window, Window { end: MonoNs(7), ..Window::default() });
}
