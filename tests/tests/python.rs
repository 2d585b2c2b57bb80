//! Stacks of CPython: its functions from `<module>` to the leaf, in each version that is here, Debian's at least.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::agent;
use tests::compile::{BARE, build};
use tests::workload::Workload;

/// Seven, two and one tenths of the time: a method, a callback through C, a generator below 20 calls of itself. Says what
/// each really took.
const PROGRAM: &str = "\
import sys, threading, time

spent = {}

def spin(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        for i in range(300):
            i * i
    return seconds

class Worker:
    def seventy(self):
        spin(0.07)

    @staticmethod
    def twenty():
        sorted([0.01, 0.01], key=lambda part: spin(part))

def pieces():
    for _ in range(2):
        yield spin(0.005)

def ten(depth):
    if depth:
        ten(depth - 1)
    else:
        list(pieces())

def run(rounds):
    for _ in range(rounds):
        for name, work in (('seventy', Worker().seventy), ('twenty', Worker.twenty), ('ten', lambda: ten(20))):
            start = time.thread_time()
            work()
            spent[name] = spent.get(name, 0) + time.thread_time() - start

def main(rounds, threads):
    print('ready', flush=True)
    sys.stdin.readline()
    if threads:
        all = [threading.Thread(target=run, args=(rounds,)) for _ in range(threads)]
        for one in all:
            one.start()
        for one in all:
            one.join()
    else:
        run(rounds)
    print('done', *(100 * spent[name] / sum(spent.values()) for name in ('seventy', 'twenty', 'ten')), flush=True)
    sys.stdin.readline()

main(int(sys.argv[1]), int(sys.argv[2]))
";

/// The interpreters that are here, each version once; Debian's is required.
fn interpreters() -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let names = (9..=13).map(|minor| format!("python3.{minor}"));
    for name in ["/usr/bin/python3".to_owned()].into_iter().chain(names) {
        let version = Command::new(&name).arg("-V").output();
        // One that is only a wrapper for versions to come says nothing.
        let Some(version) = version.ok().filter(|output| output.status.success()) else { continue };
        let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        found.entry(version).or_insert_with(|| PathBuf::from(name));
    }
    assert!(found.values().any(|path| path == Path::new("/usr/bin/python3")), "these tests need python3");
    println!("tested: {}", found.keys().cloned().collect::<Vec<_>>().join(", "));
    found
}

/// Folded stacks of a run, and what the program said of itself.
fn run(interpreter: &Path, rounds: u32, threads: u32) -> (Vec<(Vec<String>, u64)>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let script = dir.path().join("shares.py");
    std::fs::write(&script, PROGRAM).expect("the directory is ours");
    let workload = Workload::spawn(
        Command::new(interpreter).arg(&script).arg(rounds.to_string()).arg(threads.to_string()),
    );
    let (folded, truth) = agent::folded_of(&["--rate", "997"], workload);
    (tests::folded(&folded), truth)
}

/// Stacks of Debian's interpreter running a script of this name and text, sampled with these further arguments.
fn of_script(args: &[&str], name: &str, text: &str) -> Vec<(Vec<String>, u64)> {
    let dir = tempfile::tempdir().expect("a directory");
    let script = dir.path().join(name);
    std::fs::write(&script, text).expect("the directory is ours");
    let (folded, _) = agent::folded_of_command(args, &["/usr/bin/python3", &script.to_string_lossy()]);
    tests::folded(&folded)
}

/// The functions of a stack in Python, root first, without file and line.
fn functions(stack: &[String]) -> Vec<&str> {
    stack
        .iter()
        .filter_map(|frame| frame.split_once(" (").filter(|(_, file)| file.contains(".py:")))
        .map(|(name, _)| name)
        .collect()
}

/// Whether there are native frames between the method and the callback.
fn through_c(stack: &[String]) -> bool {
    let place = |part: &str| stack.iter().position(|frame| frame.contains(part));
    let (method, callback) = (place("twenty ("), place("<lambda> ("));
    method.zip(callback).is_some_and(|(method, callback)| callback > method + 1)
}

/// Two threads, each of which has an interpreter of its own run a function for a second.
const NESTED: &str = "\
import sys, threading
try:
    import _xxsubinterpreters as interpreters
except ImportError:
    import _interpreters as interpreters
code = '''
import time
def in_subinterpreter(until):
    while time.thread_time() < until:
        for i in range(300):
            i * i
in_subinterpreter(1)
'''

def outside():
    own = interpreters.create()
    run = interpreters.run_string if hasattr(interpreters, 'run_string') else interpreters.exec
    run(own, code)

threads = [threading.Thread(target=outside) for _ in range(2)]
for one in threads:
    one.start()
for one in threads:
    one.join()
";

#[test]
fn frames_of_an_interpreter_within_another_stand_on_its_call() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let script = dir.path().join("nested.py");
    std::fs::write(&script, NESTED).expect("the directory is ours");
    for (version, interpreter) in interpreters() {
        // Before 3.11 no data show which of them called which.
        if version.starts_with("Python 3.9.") || version.starts_with("Python 3.10.") {
            continue;
        }
        let command = [&*interpreter.to_string_lossy(), &*script.to_string_lossy()];
        let (folded, said) = agent::folded_of_command(&["--rate", "997"], &command);
        let (mut all, mut right) = (0, 0);
        for (stack, count) in tests::folded(&folded) {
            let place = |function: &str| stack.iter().position(|frame| frame.starts_with(function));
            let Some(inner) = place("in_subinterpreter (") else { continue };
            all += count;
            // Its thread's own function, something in C, and its code.
            right += u64::from(place("outside (").is_some_and(|outer| outer + 1 < inner)) * count;
        }
        // Two threads share one lock in 3.11.
        assert!(all > 300, "{version}: {all} samples: {said}\n{folded}");
        assert!(right * 100 >= all * 95, "{version}: {right} of {all}: {said}\n{folded}");
    }
}

#[test]
fn shares_and_stacks_of_every_version_are_right() {
    if !tests::can_observe() {
        return;
    }
    for (version, interpreter) in interpreters() {
        let (stacks, truth) = run(&interpreter, 30, 0);
        let all: u64 = stacks.iter().map(|(_, count)| count).sum();
        assert!(all > 1500, "{version}: {all} samples of 3 s at 997 Hz");
        let (mut right, mut shares) = (0, BTreeMap::<&str, u64>::new());
        for (stack, count) in &stacks {
            let names = functions(stack);
            let has =
                |name: &str| names.iter().filter(|known| known.rsplit('.').next() == Some(name)).count();
            let part = ["seventy", "twenty", "ten"].into_iter().find(|name| has(name) > 0);
            let whole = match part {
                // The callback stands on the C function that calls it.
                Some("twenty") => !names.contains(&"spin") || through_c(stack),
                Some("ten") => has("pieces") == 0 || has("ten") == 21,
                _ => true,
            };
            *shares.entry(part.unwrap_or_default()).or_default() += count;
            if names.starts_with(&["<module>", "main", "run"]) && whole {
                right += count;
            }
        }
        assert!(right * 100 >= all * 99, "{version}: {right} of {all} are whole: {stacks:#?}");
        for (name, truth) in ["seventy", "twenty", "ten"].into_iter().zip(truth.split(' ')) {
            let truth: f64 = truth.parse().expect("a share");
            let share = 100.0 * *shares.get(name).unwrap_or(&0) as f64 / all as f64;
            assert!(
                (share - truth).abs() <= 3.0,
                "{version}: {name}: {share:.2} % sampled, {truth:.2} % true"
            );
        }
        let loops =
            stacks.iter().filter(|(stack, _)| stack.iter().any(|frame| frame == "_PyEval_EvalFrameDefault"));
        let loops: u64 = loops.map(|(_, count)| count).sum();
        assert!(loops * 100 <= all, "{version}: {loops} of {all} show the interpreter's loop: {stacks:#?}");
    }
}

#[test]
fn every_thread_has_its_own_python_stack() {
    if !tests::can_observe() {
        return;
    }
    for (version, interpreter) in interpreters() {
        let (stacks, _) = run(&interpreter, 8, 3);
        let all: u64 = stacks.iter().map(|(_, count)| count).sum();
        let right = stacks.iter().filter(|(stack, _)| {
            let names = functions(stack);
            names.first().is_some_and(|name| name.ends_with("_bootstrap")) && names.contains(&"run")
        });
        let right: u64 = right.map(|(_, count)| count).sum();
        assert!(right * 100 >= all * 98, "{version}: {right} of {all} are whole: {stacks:#?}");
    }
}

#[test]
fn a_wait_stands_on_the_python_function_that_waits() {
    if !tests::can_observe() {
        return;
    }
    let text = "import time\ndef idle():\n    for _ in range(30):\n        time.sleep(0.1)\nidle()\n";
    let stacks = of_script(&["--mode", "off-cpu"], "wait.py", text);
    let slept =
        stacks.iter().filter(|(stack, _)| stack.last().is_some_and(|frame| frame.starts_with("[sleep]")));
    let (mut all, mut right) = (0, 0);
    for (stack, ns) in slept {
        all += ns;
        right += if functions(stack) == ["<module>", "idle"] { *ns } else { 0 };
    }
    // The last wait may not have ended: an open wait is reported without its stack.
    assert!(all > 2_000_000_000 && right * 100 >= all * 90, "{right} of {all} ns: {stacks:#?}");
}

#[test]
fn a_script_that_ends_at_once_keeps_its_names() {
    if !tests::can_observe() {
        return;
    }
    let text = "import time\ndef short():\n    end = time.thread_time() + 0.5\n    while time.thread_time() < end:\n        sum(range(100))\nshort()\n";
    let stacks = of_script(&["--rate", "997"], "short.py", text);
    let count = |text: &str| -> u64 {
        let with = stacks.iter().filter(|(stack, _)| stack.iter().any(|frame| frame.starts_with(text)));
        with.map(|(_, count)| count).sum()
    };
    // A code object that could not be read. The interpreter's own frames (`[python3.11+0x…]`) are unnamed wherever its
    // debug symbols are not installed: that is no loss.
    let (named, lost) = (count("short (short.py:2)"), count("[python 0x"));
    assert!(named > 200 && lost * 10 <= named, "{named} named, {lost} not: {stacks:#?}");
}

/// Loads a library every 100 ms: each is sampled before the collector can have read where it is mapped. By then the process is
/// known to run Python.
const LOADS: &str = "\
import ctypes, sys, time

def call(path):
    ctypes.CDLL(path).spin_hot(100)

def main(libraries):
    while time.thread_time() < 0.5:
        pass
    for path in libraries:
        call(path)

main(sys.argv[1:])
";

const LIBRARY: &str = r"
#include <time.h>
static volatile unsigned long sink;
void spin_hot(int ms) {
    struct timespec begin, now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    do {
        for (int i = 0; i < 20000; i++) sink += i;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < ms);
}
";

#[test]
fn python_stands_below_a_library_that_has_just_been_loaded() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let script = dir.path().join("loads.py");
    std::fs::write(&script, LOADS).expect("the directory is ours");
    let compiler = [&["cc", "-shared", "-fPIC"], &BARE[..]].concat();
    let libraries = (0..10).map(|number| build(dir.path(), &format!("{number}.so"), "c", LIBRARY, &compiler));
    let paths: Vec<String> =
        std::iter::once(script).chain(libraries).map(|path| path.to_string_lossy().into_owned()).collect();
    let command: Vec<&str> =
        std::iter::once("/usr/bin/python3").chain(paths.iter().map(String::as_str)).collect();
    let (folded, _) = agent::folded_of_command(&["--rate", "997"], &command);
    let (mut all, mut whole, mut wrong) = (0, 0, Vec::new());
    for (stack, count) in tests::folded(&folded) {
        if !stack.iter().any(|frame| frame.starts_with("spin_hot")) {
            continue;
        }
        all += count;
        if functions(&stack) == ["<module>", "main", "call"] && stack.iter().any(|frame| frame == "_start") {
            whole += count;
        } else {
            wrong.push((count, stack));
        }
    }
    assert!(all > 800, "{all} samples of 1 s at 997 Hz");
    assert!(whole * 100 >= all * 98, "{whole} of {all}: {wrong:#?}");
}
