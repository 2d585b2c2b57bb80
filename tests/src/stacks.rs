//! Programs that spend their time in one function, and the stacks in which it is found.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::agent;
use crate::compile::{BARE, build};
use crate::workload::Workload;

/// Builds a C program without frame pointers.
#[must_use]
pub fn compile(dir: &Path, name: &str, source: &str) -> PathBuf {
    build(dir, name, "c", source, &[&["cc"], &BARE[..]].concat())
}

/// Stacks in `spin_hot` of a program's two seconds of work.
///
/// # Panics
/// When there are fewer than two seconds have.
#[must_use]
pub fn stacks_of(program: &Path) -> Vec<(Vec<String>, u64)> {
    let (folded, _) = agent::folded_of(&["--rate", "997"], Workload::spawn(&mut Command::new(program)));
    let mut stacks = crate::folded(&folded);
    stacks.retain(|(frames, _)| frames.iter().any(|frame| names(frame, "spin_hot")));
    let all: u64 = stacks.iter().map(|(_, count)| count).sum();
    assert!(all > 800, "{all} samples of 2 s at 997 Hz");
    stacks
}

/// Whether a frame is of a function: `spin_hot.constprop.0`, `main.spin_hot`, `closures::spin_hot`.
#[must_use]
pub fn names(frame: &str, function: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    frame.match_indices(function).any(|(at, _)| !frame[..at].ends_with(inside))
}

/// Counts of the stacks that pass, and of all.
#[must_use]
pub fn share(stacks: &[(Vec<String>, u64)], passes: impl Fn(&[String]) -> bool) -> (u64, u64) {
    let all = stacks.iter().map(|(_, count)| count).sum();
    (stacks.iter().filter(|(frames, _)| passes(frames)).map(|(_, count)| count).sum(), all)
}

/// What every program begins with: a hot function, two seconds of CPU time for it, and the words of a workload.
pub const PRELUDE: &str = r#"
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

/// Runs `program` and asserts that at least 99.5 % of its samples in `spin_hot` reach `root`, and 90 % pass through each of
/// `through`.
///
/// # Panics
/// When it does not.
pub fn reaches(program: &Path, root: &str, through: &[&str]) {
    let hot = stacks_of(program);
    let (whole, all) = share(&hot, |frames| frames.iter().any(|frame| frame == root));
    assert!(whole * 1000 >= all * 995, "{whole} of {all} reach {root}: {hot:#?}");
    for function in through {
        let (inside, _) = share(&hot, |frames| frames.iter().any(|frame| names(frame, function)));
        assert!(inside * 10 >= all * 9, "{inside} of {all} pass through {function}: {hot:#?}");
    }
}
