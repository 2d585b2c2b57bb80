//! The stacks of those who end waits.

use std::process::Command;

use tests::agent;
use tests::stacks::{compile, names, share};
use tests::workload::Workload;

#[test]
fn the_wakers_stack_is_whole() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let workload = Workload::spawn(&mut Command::new(compile(dir.path(), "wakes", WAKES)));
    let (folded, _) = agent::folded_of(&["--mode", "wakers"], workload);
    let mut woken = tests::folded(&folded);
    let is_waker = |frame: &str, function: &str| frame.ends_with("_[w]") && names(frame, function);
    woken.retain(|(frames, _)| frames.iter().any(|frame| is_waker(frame, "anon_pipe_write")));
    let through = ["ring", "wake_others", "main"];
    let (whole, all) = share(&woken, |frames| {
        through.iter().all(|function| frames.iter().any(|frame| is_waker(frame, function)))
    });
    // 200 waits of 20 ms; the tables are there after the first few.
    assert!(all > 2_000_000_000 && whole * 10 >= all * 9, "{whole} of {all} ns: {folded}");
}

/// One thread waits for a pipe that another writes to, below ten frames, 50 times a second.
const WAKES: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
static int ends[2];
void ring(int depth) {
    if (depth) ring(depth - 1);
    else if (write(ends[1], "x", 1) != 1) _exit(1);
    __asm__ volatile("");
}
void wake_others(void) {
    struct timespec pause = { 0, 20000000 };
    for (int i = 0; i < 200; i++) { nanosleep(&pause, 0); ring(10); }
}
static void *waits(void *none) {
    char c;
    while (read(ends[0], &c, 1) == 1) {}
    return none;
}
int main(void) {
    pthread_t thread;
    char line[16];
    if (pipe(ends) || pthread_create(&thread, 0, waits, 0)) return 1;
    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 1;
    wake_others();
    puts("done");
    fflush(stdout);
    return !fgets(line, sizeof line, stdin);
}
"#;
