//! Facts that could not be had: the cause is less certain, never wrong and certain.

use super::build::{exit, signal};
use super::named::{null_write, refused};
use crate::examine;
use crate::facts::{Facts, Place};

/// A cause of another class with this confidence is wrong and certain.
const CERTAIN: f64 = 0.75;

const KINDS: &[fn(&mut Facts)] = &[
    |facts| facts.fault = None,
    |facts| facts.abort_text.clear(),
    |facts| facts.stack.clear(),
    |facts| facts.seccomp_call = None,
    |facts| facts.failed_calls.clear(),
    |facts| facts.last_words.clear(),
    |facts| facts.lines.clear(),
    |facts| facts.limits.clear(),
    |facts| facts.oom = None,
    |facts| facts.changes.clear(),
    |facts| facts.earlier.clear(),
    |facts| facts.waits.clear(),
    |facts| facts.ended.by = None,
    |facts| facts.process.parent = crate::facts::Other::default(),
    |facts| facts.process.parent_end = None,
    |facts| facts.ended.si_code = 0,
];

fn scenes() -> Vec<Facts> {
    let full = |facts: Facts| {
        facts
            .limit("nofile", 10.0, 1024.0)
            .change(400, "package", "tzdata 1 → 2")
            .earlier(30, 1)
            .log(200, 6, "ready")
    };
    let traced = "Traceback (most recent call last):\n  File \"/a.py\", line 1, in f\n    x\nKeyError: 'a'";
    let all = vec![
        null_write().err("error: cannot happen"),
        signal(11, 1)
            .fault(0x7ffd_0fff_fff8, true, Place::StackGuard)
            .frames(&[("walk", "worker", "tree.c:7"); 40]),
        signal(6, -6)
            .abort_text("free(): invalid pointer\n")
            .err("free(): invalid pointer")
            .frames(&[("f", "worker", "")]),
        signal(6, -6)
            .abort_text("w: q.c:9: pop: Assertion `n' failed.")
            .err("w: q.c:9: pop: Assertion `n' failed."),
        refused(),
        refused().err("connect to 127.0.0.1:5432: connection refused"),
        exit(1).call_at(100, "connect", "ECONNREFUSED", "::1:80").err(traced),
        exit(1).call("write", "ENOSPC", "/data/x").err("write /data/x: no space left on device"),
        exit(1)
            .call("bind", "EADDRINUSE", "0.0.0.0:80")
            .holder(9, "nginx")
            .err("bind: address already in use"),
        signal(9, 128).oom(Some("/app.slice"), 60 << 20, None).limit("memory.max", 67e6, 67.1e6),
        signal(9, 0).by(777, "bash").limit("memory.max", 1e6, 67e6),
        signal(9, 0).by(777, "bash").wait(1, 2, 30).wait(2, 1, 30),
        signal(31, 1).seccomp("ptrace"),
        signal(24, 128).limit("cpu", 2.0, 2.0),
        exit(127)
            .err("w: error while loading shared libraries: libx.so.1: cannot open shared object file")
            .change(9, "package", "libx 1 → 2"),
        exit(1)
            .call("openat", "EMFILE", "/x")
            .err("open: too many open files")
            .limit("nofile", 1024.0, 1024.0),
        signal(15, 0).by(4000, "runner").parent_end(None, Some(9)),
        exit(1).unit("a.service").err("invalid option in /etc/worker.conf:3").change(
            20,
            "file",
            "/etc/worker.conf",
        ),
    ];
    all.into_iter().map(full).collect()
}

#[test]
fn without_one_or_two_kinds_of_facts_no_cause_is_wrong_and_certain() {
    let mut looked = 0;
    for (at, whole) in scenes().iter().enumerate() {
        let truth = examine(whole).unwrap_or_else(|| panic!("scene {at} has a cause")).cause;
        for one in KINDS {
            for two in KINDS {
                let mut facts = whole.clone();
                one(&mut facts);
                two(&mut facts);
                looked += 1;
                let Some(result) = examine(&facts) else { continue };
                let found = result.cause;
                assert!(
                    found.class == truth.class
                        || found.confidence < CERTAIN
                        || is_near(truth.class.name(), found.class.name()),
                    "scene {at}: {} became {} ({}): {}",
                    truth.class,
                    found.class,
                    found.confidence,
                    found.text
                );
                assert!(
                    found.class != truth.class || found.confidence <= truth.confidence,
                    "scene {at}: more certain without facts: {} > {}: {}",
                    found.confidence,
                    truth.confidence,
                    found.text
                );
            }
        }
    }
    assert!(looked > 4_000);
}

/// What is true as well when the rest is not known.
fn is_near(truth: &str, found: &str) -> bool {
    matches!(
        (truth, found),
        // A script killed it, which is so; that its threads hung was not seen. The library is missing; that it was there before was not seen.
        ("deadlock", "killed-by-process") | ("bad-upgrade", "missing-library")
    )
}

#[test]
fn every_combination_of_kinds_can_be_missing() {
    let scenes = scenes();
    for mask in 0_u32..1 << KINDS.len() {
        let mut facts = scenes[mask as usize % scenes.len()].clone();
        for (at, clear) in KINDS.iter().enumerate() {
            if mask & (1 << at) != 0 {
                clear(&mut facts);
            }
        }
        if let Some(result) = examine(&facts) {
            assert!((0.0..=1.0).contains(&result.cause.confidence));
            assert!(!result.evidence.is_empty());
        }
    }
    assert!(examine(&Facts::default()).is_none());
}
