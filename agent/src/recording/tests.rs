use std::io::Write as _;

use agent_common::units::{MonoNs, Tgid};
use diagnosis::recording::{Fault, Head, KIND_WINDOW, Recording, checksum};
use diagnosis::testing::full;
use diagnosis::window::Window;
use profile::{FrameName, Mode, Names, Unnamed};

use super::*;
use crate::aggregate::{self, ReportOptions};
use crate::control::protocol::Target;
use crate::control::{Answers, Namer};

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
    let mut recording = Recording::parse(bytes)?;
    let damage = recording.damage.take();
    Ok((recording, damage))
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
    let back = open(file.path()).unwrap();
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
        let fold = profile::FoldOptions::default();
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
fn only_new_addresses_are_symbolized() {
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
        bytes.extend(checksum(kind, &packed).to_le_bytes());
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
fn other_files_and_versions_are_distinguished() {
    assert!(matches!(parse(b"#!/bin/sh\n"), Err(Fault::NotARecording)));
    assert!(matches!(parse(b"s7rec\n"), Err(Fault::NotARecording)), "transferred as text");
    let (mut bytes, _) = record(&windows(1), true);
    bytes[8] = 9;
    let fault = parse(&bytes).unwrap_err();
    assert!(fault.to_string().contains("version 9"), "{fault}");
    let path = Path::new("/nonexistent/x.s7rec");
    let error = open(path).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/x.s7rec"));
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all(&bytes[..4]).unwrap();
    let text = agent_common::text::chain(&read(file.path()).unwrap_err());
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
