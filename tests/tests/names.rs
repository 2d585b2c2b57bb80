//! Names of what was mapped when it was sampled, and of processes whose threads are called otherwise each time.

use std::path::Path;

use tests::agent;
use tests::compile::build;

const LIBRARY: &str = r"
#include <time.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
__attribute__((noinline)) void leaf_NAME(void) { for (volatile int i = 0; i < 20000; i++); }
void only_in_NAME(double seconds) {
    double begin = now();
    do { leaf_NAME(); __asm__ volatile(''); } while (now() - begin < seconds);
}
";

/// Loads two libraries in turn, unloads each after its part of the time, and calls each from a function of its own. Says how
/// often one was where the other had been.
const HOST: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
typedef void (*function)(double);
__attribute__((noinline)) void calls_alpha(function f, double part) { f(part); __asm__ volatile(""); }
__attribute__((noinline)) void calls_beta(function f, double part) { f(part); __asm__ volatile(""); }
int main(int count, char **words) {
    double seconds = atof(words[2]), part = atof(words[3]);
    void *last = 0;
    int same = 0, turns = seconds / part;
    for (int i = 0; i < turns; i++) {
        char path[300];
        snprintf(path, sizeof path, "%s/%s.so", words[1], i & 1 ? "beta" : "alpha");
        void *library = dlopen(path, RTLD_NOW);
        if (!library) return puts(dlerror());
        function f = (function)dlsym(library, i & 1 ? "only_in_beta" : "only_in_alpha");
        same += (void *)f == last;
        last = (void *)f;
        (i & 1 ? calls_beta : calls_alpha)(f, part);
        dlclose(library);
    }
    return same + 1 < turns ? 3 : 0;
}
"#;

#[test]
fn two_libraries_in_turn_at_one_address_have_each_its_own_names() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["alpha", "beta"] {
        let source = LIBRARY.replace("NAME", name).replace("''", "\"\"");
        let _ = build(dir.path(), &format!("{name}.so"), "c", &source, &["cc", "-O1", "-shared", "-fPIC"]);
    }
    let host = build(dir.path(), "host", "c", HOST, &["cc", "-O1"]);
    let (host, plugins) = (host.to_string_lossy(), dir.path().to_string_lossy());
    for part in ["0.3", "0.02"] {
        let (folded, said) = agent::folded_of_command(&["--rate", "499"], &[&host, &plugins, "6", part]);
        let (mut all, mut right, mut either) = (0, [0, 0], 0);
        for (frames, count) in tests::folded(&folded) {
            let has = |name: &str| frames.iter().any(|frame| frame == name);
            for (nth, (own, other)) in [("alpha", "beta"), ("beta", "alpha")].into_iter().enumerate() {
                if !has(&format!("calls_{own}")) || !frames.iter().any(|frame| frame.contains("only_in_")) {
                    continue;
                }
                all += count;
                // Never the wrong name, and never one where two are possible.
                let wrong = |frame: &String| {
                    *frame == format!("only_in_{other}") || *frame == format!("leaf_{other}")
                };
                assert!(!frames.iter().any(wrong), "{part} s: {frames:?}: {said}");
                right[nth] += u64::from(has(&format!("only_in_{own}"))) * count;
                either += u64::from(frames.iter().any(|frame| frame.contains(" or "))) * count;
            }
        }
        assert!(all > 500, "{part} s: {all} samples: {said}\n{folded}");
        let [alpha, beta] = right;
        assert!(
            (alpha + beta) * 10 >= all * 9,
            "{part} s: {right:?}, {either} either, of {all}: {said}\n{folded}"
        );
        assert!(alpha * 3 > all && beta * 3 > all, "{part} s: {right:?} of {all}: {said}");
    }
}

const RENAMES: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
static void *serve(void *none) {
    struct timespec t;
    char name[16];
    for (long request = 0;; request++) {
        snprintf(name, sizeof name, "req;%ld", request % 500);
        prctl(PR_SET_NAME, name);
        for (volatile int i = 0; i < 1000000; i++);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        if (t.tv_sec >= 2) return none;
    }
}
int main(void) {
    pthread_t thread;
    return pthread_create(&thread, 0, serve, 0) || pthread_join(thread, 0);
}
"#;

/// First frames of all stacks.
fn roots(args: &[&str], program: &Path) -> Vec<String> {
    let (folded, said) = agent::folded_of_command(args, &[&program.to_string_lossy()]);
    let stacks = tests::folded(&folded);
    let serving = stacks.iter().filter(|(frames, _)| frames.iter().any(|frame| frame == "serve"));
    assert!(serving.map(|(_, count)| count).sum::<u64>() > 100, "{said}\n{folded}");
    let mut roots: Vec<String> =
        stacks.into_iter().filter_map(|(frames, _)| frames.into_iter().next()).collect();
    roots.sort_unstable();
    roots.dedup();
    // Before its exec it is the agent's own child.
    roots.retain(|root| !root.starts_with("agent"));
    roots
}

#[test]
fn a_process_whose_thread_renames_itself_has_one_root() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let program = build(dir.path(), "renames", "c", RENAMES, &["cc", "-O1", "-pthread"]);
    assert_eq!(roots(&[], &program), ["renames"]);
    let [one] = &roots(&["--by", "process"], &program)[..] else { panic!("one root") };
    assert!(one.strip_prefix("renames-").is_some_and(|pid| pid.parse::<u32>().is_ok()), "{one}");
    let threads = roots(&["--by", "thread"], &program);
    assert!(threads.len() <= 2, "the main thread and one more: {threads:?}");
}
