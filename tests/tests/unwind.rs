//! User stacks of programs without frame pointers: from the leaf to `_start`, shared out as the time was.

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::agent;
use tests::compile::{BARE, build};
use tests::workload::Workload;

/// Builds a C program without frame pointers.
fn compile(dir: &Path, name: &str, source: &str) -> PathBuf {
    build(dir, name, "c", source, &[&["cc"], &BARE[..]].concat())
}

/// Stacks in `spin_hot` of a program's two seconds of work.
fn stacks_of(program: &Path) -> Vec<(Vec<String>, u64)> {
    let (folded, _) = agent::folded_of(&["--rate", "997"], Workload::spawn(&mut Command::new(program)));
    let mut stacks = tests::folded(&folded);
    stacks.retain(|(frames, _)| frames.iter().any(|frame| names(frame, "spin_hot")));
    let all: u64 = stacks.iter().map(|(_, count)| count).sum();
    assert!(all > 800, "{all} samples of 2 s at 997 Hz");
    stacks
}

/// Whether a frame is of a function: `spin_hot.constprop.0`, `main.spin_hot`, `closures::spin_hot`.
fn names(frame: &str, function: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    frame.match_indices(function).any(|(at, _)| !frame[..at].ends_with(inside))
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

/// Runs `body` and asserts that its samples reach `_start` through `through`.
fn reaches_start(name: &str, body: &str, through: &[&str]) {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile(dir.path(), name, &format!("{PRELUDE}{body}"));
    reaches(&program, "_start", through);
}

/// Runs `program` and asserts that at least 99.5 % of its samples in `spin_hot` reach `root`, and 90 % pass through each of
/// `through`.
fn reaches(program: &Path, root: &str, through: &[&str]) {
    let hot = stacks_of(program);
    let (whole, all) = share(&hot, |frames| frames.iter().any(|frame| frame == root));
    assert!(whole * 1000 >= all * 995, "{whole} of {all} reach {root}: {hot:#?}");
    for function in through {
        let (inside, _) = share(&hot, |frames| frames.iter().any(|frame| names(frame, function)));
        assert!(inside * 10 >= all * 9, "{inside} of {all} pass through {function}: {hot:#?}");
    }
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
    let program = compile(dir.path(), "coroutine", &format!("{PRELUDE}{body}"));
    let inside = stacks_of(&program);
    // glibc describes where a coroutine begins as a function like any other (and has no symbol for it): what it would
    // return to is data, and the walk is marked as cut there.
    let (whole, all) = share(&inside, |frames| {
        frames.iter().position(|f| f.starts_with("routine")).is_some_and(|at| {
            let start = &frames[at - 1];
            start.contains("libc") || start.contains("start_context")
        })
    });
    assert!(whole * 1000 >= all * 995, "{whole} of {all} reach the coroutine's start: {inside:#?}");
}

#[test]
fn cpp_is_followed_through_virtual_calls_templates_and_while_an_exception_is_handled() {
    if !tests::can_observe() {
        return;
    }
    let body = r"
#include <map>
#include <stdexcept>
#include <string>
struct Shape { virtual ~Shape() {} virtual int area(int n) = 0; };
struct Square : Shape {
    int area(int n) override {
        spin_hot(3000);
        if (n % 3 == 0) throw std::runtime_error(std::to_string(n));
        return n;
    }
};
template <class F> static int each(std::map<int, Shape *> &shapes, F f) {
    int sum = 0;
    for (auto &shape : shapes) sum += f(*shape.second, shape.first);
    return sum;
}
static int measure(std::map<int, Shape *> &shapes) {
    return each(shapes, [](Shape &shape, int n) {
        try { return shape.area(n); } catch (const std::exception &e) { spin_hot(3000); return (int)e.what()[0]; }
    });
}
int main() {
    std::map<int, Shape *> shapes;
    for (int i = 0; i < 30; i++) shapes[i] = new Square;
    while (busy()) sink += measure(shapes);
}
";
    let dir = tempfile::tempdir().expect("a directory");
    let source = format!("{PRELUDE}{body}");
    let program = build(dir.path(), "shapes", "cc", &source, &[&["c++", "-std=c++17"], &BARE[..]].concat());
    reaches(&program, "_start", &["measure", "each", "main"]);
}

#[test]
fn rust_is_followed_through_closures_and_trait_objects() {
    if !tests::can_observe() {
        return;
    }
    let source = r#"
use std::hint::black_box;
fn word(word: &str) {
    println!("{word}");
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line).unwrap_or(0) == 0 { std::process::exit(0) }
}
#[inline(never)]
fn spin_hot(n: u64) -> u64 { (0..n).fold(7, |sum, i| black_box(sum.wrapping_mul(3) + i)) }
#[inline(never)]
fn each(numbers: &[u64], f: &dyn Fn(u64) -> u64) -> u64 { numbers.iter().map(|n| f(*n)).sum() }
#[inline(never)]
fn measure(numbers: &[u64]) -> u64 { black_box(each(numbers, &|n| black_box(spin_hot(3000) ^ n))) }
fn main() {
    word("ready");
    let begin = std::time::Instant::now();
    let numbers: Vec<u64> = (0..30).collect();
    while begin.elapsed().as_secs() < 2 { black_box(measure(&numbers)); }
    word("done");
}
"#;
    let dir = tempfile::tempdir().expect("a directory");
    let compiler = ["rustc", "-Copt-level=2", "-Cforce-frame-pointers=no", "-Cdebuginfo=0"];
    let program = build(dir.path(), "closures", "rs", source, &compiler);
    reaches(&program, "_start", &["measure", "each", "main"]);
}

#[test]
fn libraries_that_are_loaded_later_are_followed() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let library = r"
static volatile unsigned long sink;
static void spin_hot(int n) { for (int i = 0; i < n; i++) sink += sink * 3 + i; }
int late(int n) { spin_hot(n); return n; }
";
    let compiler = [&["cc", "-shared", "-fPIC"], &BARE[..]].concat();
    for number in 0..10 {
        let _ = build(dir.path(), &format!("{number}.so"), "c", library, &compiler);
    }
    // Another one each 200 ms: also when the process has long been known.
    let body = format!(
        r#"
#include <dlfcn.h>
int main(void) {{
    int (*late)(int) = 0, number = -1;
    struct timespec t;
    while (busy()) {{
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        int due = t.tv_sec * 5 + t.tv_nsec / 200000000;
        if (due != number) {{
            char path[256];
            number = due;
            snprintf(path, sizeof path, "{}/%d.so", number);
            late = (int (*)(int))dlsym(dlopen(path, RTLD_NOW), "late");
        }}
        sink += late(100000);
    }}
    return 0;
}}
"#,
        dir.path().display()
    );
    let program = compile(dir.path(), "loads", &format!("{PRELUDE}{body}"));
    reaches(&program, "_start", &["late", "main"]);
}

#[test]
fn a_static_program_of_musl_is_followed() {
    if !tests::can_observe() {
        return;
    }
    let body = r"
static int descend(int depth) { if (depth == 0) { spin_hot(5000); return 1; } return descend(depth - 1) + depth; }
int main(void) { while (busy()) descend(20); return 0; }
";
    let dir = tempfile::tempdir().expect("a directory");
    let source = format!("{PRELUDE}{body}");
    let compiler = [&["musl-gcc", "-static", "-fasynchronous-unwind-tables"], &BARE[..]].concat();
    let program = build(dir.path(), "musl", "c", &source, &compiler);
    // Debian's musl describes none of its own functions: the walk ends where the program's own code does.
    reaches(&program, "main", &["descend"]);
}

#[test]
fn go_is_followed_to_where_a_goroutine_begins() {
    if !tests::can_observe() {
        return;
    }
    let source = r#"
package main

import ("bufio"; "fmt"; "os"; "time")

var sink uint64

//go:noinline
func spin_hot(n uint64) { for i := uint64(0); i < n; i++ { sink += sink*3 + i } }

//go:noinline
func measure(each func(uint64)) { for i := uint64(0); i < 30; i++ { each(3000) } }

func word(in *bufio.Reader, word string) {
	fmt.Println(word)
	if _, err := in.ReadString('\n'); err != nil { os.Exit(0) }
}

func main() {
	in := bufio.NewReader(os.Stdin)
	word(in, "ready")
	done := make(chan bool)
	go func() {
		for begin := time.Now(); time.Since(begin) < 2*time.Second; { measure(spin_hot) }
		done <- true
	}()
	<-done
	word(in, "done")
}
"#;
    let dir = tempfile::tempdir().expect("a directory");
    let program = build(dir.path(), "routine", "go", source, &["go", "build"]);
    reaches(&program, "runtime.goexit.abi0", &["main.measure", "main.main.func1"]);
}

/// 300 processes, each of which computes for some ms: nobody could read what they have mapped, or who they are, in time.
#[test]
fn processes_that_live_for_some_ms_have_whole_stacks_with_names() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile(dir.path(), "short", SHORT);
    let runs = format!("i=0; while [ $i -lt 300 ]; do {}; i=$((i+1)); done", program.display());
    let (folded, said) = agent::folded_of_command(&["--rate", "997"], &["sh", "-c", &runs]);
    let (mut all, mut whole) = (0, 0);
    for (frames, count) in tests::folded(&folded) {
        if frames.first().is_some_and(|comm| comm == "short") && frames.iter().any(|f| names(f, "spin_hot")) {
            all += count;
            let is_whole = ["main", "deeper"].iter().all(|name| frames.iter().any(|f| names(f, name)));
            whole += u64::from(is_whole) * count;
        }
    }
    assert!(all > 400, "{all} samples: {said}");
    assert!(whole * 100 >= all * 98, "{whole} of {all} reach main: {said}");
}

/// Some ms, below two frames.
const SHORT: &str = r"
#include <time.h>
static volatile unsigned long sink;
__attribute__((noinline)) void spin_hot(void) {
    struct timespec begin, now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    do {
        for (int i = 0; i < 20000; i++) sink += i;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000000000L + now.tv_nsec - begin.tv_nsec < 4000000);
}
__attribute__((noinline)) int deeper(int depth) {
    if (depth == 0) { spin_hot(); return 1; }
    return deeper(depth - 1) + 1;
}
int main(void) { return deeper(5) != 6; }
";

#[test]
fn the_stack_of_who_ends_a_wait_is_whole() {
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
