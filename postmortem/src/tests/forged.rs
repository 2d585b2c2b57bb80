//! Words that lie, and text that does harm.

use agent_common::text::is_hostile;

use super::build::{check, exit, signal, silent};
use crate::examine;
use crate::facts::Place;
use crate::words::Reading;

#[test]
fn words_do_not_outdo_the_kernel() {
    let forged = "[12345.6] Out of memory: Killed process 4711 (worker) total-vm:1kB";
    check(vec![
        (
            "says out of memory, dies of null",
            signal(11, 1).fault(0, true, Place::Nothing).err("Out of memory"),
            "null-pointer",
            "",
        ),
        (
            "forged kernel line, killed by a script",
            signal(9, 0).by(777, "bash").log(10, 2, forged),
            "killed-by-process",
            "777",
        ),
        ("forged kernel line, kernel's SIGKILL", signal(9, 128).err(forged), "unknown", ""),
        (
            "says seccomp, exits",
            exit(1).err("error: seccomp killed me: audit: type=1326 sig=31 syscall=101"),
            "unknown",
            "",
        ),
        ("says SIGSEGV, exits", exit(1).err("error: everything failed"), "unknown", ""),
        (
            "says killed by root, ends by assert",
            signal(6, -6).abort_text("w: a.c:1: f: Assertion `x' failed.").err("error: killed by root (1)"),
            "assertion",
            "a.c:1",
        ),
        (
            "says refused, but the disk was full",
            exit(1)
                .call("write", "ENOSPC", "/data/x")
                .err("error: write to /data/x failed, connection is fine"),
            "disk-full",
            "/data/x",
        ),
        (
            "oom while it says panic",
            signal(9, 128).oom(Some("/g"), 1, None).err("panic: oh no\n\ngoroutine 1 [running]:"),
            "oom-cgroup",
            "/g",
        ),
    ]);
    silent(vec![
        ("forged oom and code 0", exit(0).err(forged)),
        ("forged oom, stopped", signal(15, 0).by(4000, "runner").err(forged)),
    ]);
}

#[test]
fn unsupported_words_are_less_certain() {
    let alone = examine(&exit(1).err("fatal: connection refused")).expect("a cause");
    let against = exit(1).call("openat", "ENOENT", "/proc/x").err("fatal: connection refused");
    let against = examine(&against).expect("a cause");
    let with =
        examine(&exit(1).call("connect", "ECONNREFUSED", "1.2.3.4:5").err("fatal: connection refused"));
    let with = with.expect("a cause");
    assert!(against.cause.confidence < alone.cause.confidence);
    assert!(alone.cause.confidence < with.cause.confidence);
    assert!(against.cause.confidence < 0.6, "{}", against.cause.text);
}

#[test]
fn hostile_text_is_bounded_and_clean() {
    let bad = "error: \u{1b}[2J\u{202e}<script>\u{0}open /x\u{7f}: permission denied ".repeat(20_000);
    let mut facts =
        exit(1).comm("a\u{1b}]0;x\u{7}").err(&bad).log(3, 3, &bad).call("openat", "EACCES", "/x\u{1b}[2J");
    facts.abort_text = bad.clone();
    facts.process.cmdline = bad.clone();
    facts.unseen = vec![bad.clone(); 100];
    facts.process.unit = Some(bad);
    let mut result = examine(&facts).expect("a cause");
    let mut longest = 0;
    result.each_text(|text| {
        assert!(!text.chars().any(is_hostile), "{text:?}");
        longest = longest.max(text.len());
    });
    // Cleaning writes one hostile character as up to ten.
    assert!(longest <= 10 * 1_024, "{longest}");
    assert!(result.evidence.len() <= 12);
}

#[test]
fn of_all_lines_of_logs_the_newest_are_read_up_to_a_bound() {
    let long = "error ".repeat(2_000);
    let mut facts = exit(1);
    for nth in 0..500 {
        facts = facts.log(3, 3, &format!("{nth} {long}"));
    }
    let reading = Reading::of(&facts);
    assert_eq!(reading.all.len(), (64 << 10) / long.len());
    assert!(reading.all.last().is_some_and(|last| last.text.starts_with("499 ")));
    let one = Reading::of(&exit(1).log(3, 3, &long.repeat(10)));
    assert_eq!(one.all.len(), 1, "a line that alone is too long is cut");
}

#[test]
fn many_threads_that_wait_in_a_row_take_linear_time() {
    let mut facts = signal(9, 0).by(777, "bash").wait(3, 2, 5).wait(2, 3, 5);
    for tid in 4..60_000 {
        facts = facts.wait(tid, tid - 1, 5);
    }
    // A row that ends without a circle, too.
    for tid in 100_001..160_000 {
        facts = facts.wait(tid, tid + 1, 5);
    }
    let start = std::time::Instant::now();
    let result = examine(&facts).expect("a cause");
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    assert!(result.cause.text.contains("threads 2, 3 waited for each other"), "{}", result.cause.text);
}

#[test]
fn odd_text_never_panics() {
    let pieces = [
        "Traceback (most recent call last):",
        "  File \"",
        "KeyError",
        ": ",
        "During handling of the above exception",
        "Caused by:",
        "\n",
        "\n\n",
        " panicked at ",
        "' panicked at '",
        "panic: ",
        "goroutine 1 [",
        "\tat ",
        "    at f (",
        "Exception in thread \"",
        "\"",
        "Error: ",
        "Unhandled exception. ",
        " ---> ",
        "(",
        ")",
        ":in `",
        "': ",
        "é",
        "\u{2028}",
        "/",
        "//",
        "port ",
        "line ",
        "version `",
        "at ",
        "errno: -",
        "[Errno ",
        "(111",
        "'",
        "`",
        "::",
        "] ",
        "| ",
        "+ Exception Group Traceback (most recent call last):",
        "terminate called after throwing an instance of ",
        "level=",
        "E1130 ",
        "lookup ",
        ": bad interpreter",
        ": not found",
        "x",
        "\r",
        "connect ",
    ];
    // A linear congruence, so that every run is the same.
    let mut state: u64 = 12_345;
    for round in 0..4_000_u64 {
        let mut text = String::new();
        for _ in 0..round % 24 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
        }
        let mut facts =
            exit(1).unit("a.service").err(&text).log(1, (round % 9) as u8, &text).abort_text(&text);
        if round % 2 == 0 {
            facts.ended.code = None;
            facts.ended.signal = Some(6);
        }
        facts = facts.call("openat", "ENOENT", &text).call("connect", "ECONNREFUSED", &text);
        let result = examine(&facts).expect("a unit's end has a post-mortem");
        assert!((0.0..=1.0).contains(&result.cause.confidence));
    }
}
