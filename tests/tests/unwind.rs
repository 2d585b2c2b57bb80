//! User stacks of programs without frame pointers: from the leaf to `_start`, shared out as the time was.

use tests::agent;
use tests::compile::{BARE, build};
use tests::stacks::{PRELUDE, compile, names, reaches, share, stacks_of};

/// Runs `body` and asserts that its samples reach `_start` through `through`.
fn reaches_start(name: &str, body: &str, through: &[&str]) {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile(dir.path(), name, &format!("{PRELUDE}{body}"));
    reaches(&program, "_start", through);
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

/// Its table is made after those of all other processes.
#[test]
fn a_program_of_many_mebibytes_is_followed() {
    let body = r"
static const char big[48 << 20] = { 1 };
static void work(volatile const char *from) { spin_hot(3000 + *from); }
int main(int count, char **words) { (void)words; while (busy()) work(&big[count]); return 0; }
";
    reaches_start("large", body, &["work", "main"]);
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
unsafe extern "C" { fn clock() -> i64; }
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
    let numbers: Vec<u64> = (0..30).collect();
    // CPU time, us.
    while unsafe { clock() } < 2_000_000 { black_box(measure(&numbers)); }
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

/// Its C library describes nothing of itself, the code that a signal handler returns to included.
#[test]
fn a_signal_handler_of_musl_stands_on_what_it_interrupted() {
    if !tests::can_observe() {
        return;
    }
    let body = r"
#include <sys/time.h>
static volatile unsigned long cold;
static const struct itimerval soon = { { 0, 0 }, { 0, 1000 } };
static void handle(int s) { spin_hot(8000000 + s); setitimer(ITIMER_PROF, &soon, 0); }
static void interrupted(void) { for (int i = 0; i < 20000000; i++) cold += i; }
int main(void) {
    signal(SIGPROF, handle);
    setitimer(ITIMER_PROF, &soon, 0);
    while (busy()) interrupted();
    return 0;
}
";
    let dir = tempfile::tempdir().expect("a directory");
    for (name, link) in [("shared", "-rdynamic"), ("whole", "-static")] {
        let source = format!("{PRELUDE}{body}");
        let compiler = [&["musl-gcc", link, "-fasynchronous-unwind-tables"], &BARE[..]].concat();
        let program = build(dir.path(), name, "c", &source, &compiler);
        reaches(&program, "main", &["handle", "interrupted"]);
    }
}

/// A handler that interrupts the C library itself: there is no way on, and the stack does not count as whole.
#[test]
fn a_stack_that_ends_in_code_without_a_description_is_cut() {
    if !tests::can_observe() {
        return;
    }
    let body = r"
#include <signal.h>
#include <time.h>
static volatile unsigned long sink;
__attribute__((noinline)) void spin_hot(void) { for (int i = 0; i < 3000000; i++) sink += i; }
static void handle(int s) { spin_hot(); sink += s; }
__attribute__((noinline)) void raises(void) { raise(SIGUSR1); sink++; }
int main(void) {
    struct sigaction action = { 0 };
    struct timespec t;
    action.sa_handler = handle;
    sigaction(SIGUSR1, &action, 0);
    do { raises(); clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); } while (t.tv_sec < 1);
    return 0;
}
";
    let dir = tempfile::tempdir().expect("a directory");
    let compiler = [&["musl-gcc", "-fasynchronous-unwind-tables"], &BARE[..]].concat();
    let program = build(dir.path(), "raises", "c", body, &compiler);
    let path = program.to_string_lossy().into_owned();
    let (folded, said) = agent::folded_of_command(&["--rate", "997"], &[&path]);
    let mut stacks = tests::folded(&folded);
    stacks.retain(|(frames, _)| frames.iter().any(|frame| names(frame, "spin_hot")));
    let (handled, all) = share(&stacks, |frames| frames.iter().any(|frame| names(frame, "handle")));
    assert!(all > 300 && handled * 100 >= all * 99, "{handled} of {all}: {said}");
    // Beside the handler the program does nothing.
    let complete = said.split("user stacks ").nth(1).and_then(|rest| rest.split('%').next());
    let complete: f64 = complete.and_then(|pct| pct.parse().ok()).unwrap_or_else(|| panic!("{said}"));
    assert!(complete < 20.0, "{said}\n{folded}");
}

#[test]
fn go_is_followed_to_where_a_goroutine_begins() {
    if !tests::can_observe() {
        return;
    }
    let source = r#"
package main

import ("bufio"; "fmt"; "os"; "syscall")

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
		var used syscall.Rusage
		for used.Utime.Sec < 2 { measure(spin_hot); syscall.Getrusage(syscall.RUSAGE_SELF, &used) }
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

/// 300 processes, each of which computes for some ms: they end before `/proc` could be read for their mappings and names.
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
