//! User stacks of programs without frame pointers: from the leaf to `_start`, shared out as the time was.

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::agent::Observing;
use tests::workload::Workload;

/// Builds a C program without frame pointers.
fn compile(dir: &Path, name: &str, source: &str, more: &[&str]) -> PathBuf {
    let (code, program) = (dir.join(format!("{name}.c")), dir.join(name));
    std::fs::write(&code, source).expect("the directory is ours");
    let output = Command::new("cc")
        .args(["-O2", "-fomit-frame-pointer", "-fno-inline", "-fno-optimize-sibling-calls", "-o"])
        .arg(&program)
        .arg(&code)
        .args(more)
        .output()
        .unwrap_or_else(|e| panic!("these tests need cc: {e}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// Folded stacks of a program's two seconds of work.
fn stacks_of(dir: &Path, program: &Path) -> Vec<(Vec<String>, u64)> {
    let out = dir.join("out.folded");
    let mut workload = Workload::spawn(&mut Command::new(program));
    let observing = Observing::start(&[
        "flamegraph",
        "--pid",
        &workload.pid().to_string(),
        "--duration",
        "10m",
        "--format",
        "folded",
        "--rate",
        "997",
        "-o",
        &out.to_string_lossy(),
    ]);
    workload.work();
    let _ = observing.stop();
    workload.finish();
    let folded = std::fs::read_to_string(&out).expect("the folded stacks");
    let stacks = folded.lines().map(|line| {
        let (stack, count) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no count in {line:?}"));
        let frames = stack.split(';').map(str::to_owned).collect();
        (frames, count.parse().unwrap_or_else(|_| panic!("no count in {line:?}")))
    });
    stacks.collect()
}

/// Counts of the stacks that pass, and of all.
fn share(stacks: &[(Vec<String>, u64)], passes: impl Fn(&[String]) -> bool) -> (u64, u64) {
    let all = stacks.iter().map(|(_, count)| count).sum();
    (stacks.iter().filter(|(frames, _)| passes(frames)).map(|(_, count)| count).sum(), all)
}

/// What every program begins with: a hot function, two seconds of CPU time for it, and the words of a workload.
const PRELUDE: &str = r#"
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <ucontext.h>
static void wait_for_word(const char *word) {
    char line[16];
    puts(word);
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) exit(0);
}
static int busy(void) {
    static int ready;
    struct timespec t;
    if (!ready) { ready = 1; wait_for_word("ready"); }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    if (t.tv_sec < 2) return 1;
    wait_for_word("done");
    return 0;
}
static volatile unsigned long sink;
static void spin_hot(int n) { for (int i = 0; i < n; i++) sink += sink * 3 + i; }
"#;

/// Runs `body` and asserts that at least 99.5 % of its samples reach `_start`, and 90 % pass through `through`.
fn reaches_start(name: &str, body: &str, through: &[&str]) {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile(dir.path(), name, &format!("{PRELUDE}{body}"), &[]);
    let stacks = stacks_of(dir.path(), &program);
    let main: Vec<_> =
        stacks.into_iter().filter(|(frames, _)| frames.iter().any(|f| f.starts_with("spin_hot"))).collect();
    let (whole, all) = share(&main, |frames| frames.iter().any(|frame| frame == "_start"));
    assert!(all > 800, "{all} samples of 2 s at 997 Hz");
    assert!(whole * 1000 >= all * 995, "{whole} of {all} reach _start: {main:#?}");
    let mut last = 0;
    for function in through {
        let (inside, _) = share(&main, |frames| frames.iter().any(|frame| frame.starts_with(function)));
        assert!(inside * 10 >= all * 9, "{inside} of {all} pass through {function}");
        last = last.max(inside);
    }
    assert!(last > 0);
}

#[test]
fn a_hundred_frames_of_recursion_reach_the_start() {
    let body = r"
static int descend(int depth) {
    volatile char pad[40];
    pad[0] = depth;
    if (depth == 0) { spin_hot(5000); return pad[0]; }
    return descend(depth - 1) + pad[0];
}
int main(void) { while (busy()) descend(100); return 0; }
";
    reaches_start("deep", body, &["descend", "main"]);
}

#[test]
fn a_callback_is_followed_through_libc() {
    let body = r"
static int compare(const void *a, const void *b) { spin_hot(200); return *(const int *)a - *(const int *)b; }
static void sort(void) {
    int v[300];
    for (int i = 0; i < 300; i++) v[i] = i * 7919 % 300;
    qsort(v, 300, sizeof *v, compare);
}
int main(void) { while (busy()) sort(); return 0; }
";
    reaches_start("sorting", body, &["compare", "sort", "main"]);
}

#[test]
fn a_signal_handler_stands_on_what_it_interrupted() {
    let body = r"
static void handle(int s) { spin_hot(100000 + s); }
static void interrupted(void) { raise(SIGUSR1); }
int main(void) {
    signal(SIGUSR1, handle);
    while (busy()) interrupted();
    return 0;
}
";
    reaches_start("signals", body, &["handle", "interrupted", "main"]);
}

#[test]
fn a_coroutine_is_followed_to_its_start() {
    if !tests::can_observe() {
        return;
    }
    let body = r"
static ucontext_t outer, inner;
static void routine(void) { for (;;) { spin_hot(100000); swapcontext(&inner, &outer); } }
int main(void) {
    getcontext(&inner);
    inner.uc_stack.ss_sp = malloc(65536);
    inner.uc_stack.ss_size = 65536;
    inner.uc_link = &outer;
    makecontext(&inner, routine, 0);
    while (busy()) swapcontext(&outer, &inner);
    return 0;
}
";
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile(dir.path(), "coroutine", &format!("{PRELUDE}{body}"), &[]);
    let stacks = stacks_of(dir.path(), &program);
    let inside: Vec<_> =
        stacks.into_iter().filter(|(frames, _)| frames.iter().any(|f| f.starts_with("spin_hot"))).collect();
    // glibc describes where a coroutine begins as a function like any other (and has no symbol for it): what it would
    // return to is data, and the walk is marked as cut there.
    let (whole, all) = share(&inside, |frames| {
        frames.iter().position(|f| f.starts_with("routine")).is_some_and(|at| {
            let start = &frames[at - 1];
            start.contains("libc") || start.contains("start_context")
        })
    });
    assert!(all > 800, "{all} samples of 2 s at 997 Hz");
    assert!(whole * 1000 >= all * 995, "{whole} of {all} reach the coroutine's start: {inside:#?}");
}
