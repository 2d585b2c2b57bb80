//! Ends by a signal.
#![expect(clippy::too_many_lines, reason = "tables of cases")]

use super::build::{check, exit, signal};
use crate::facts::{Facts, Place};

const SP: u64 = 0x7ffd_1000_0000;

fn mapping(permissions: &str, name: &str) -> Place {
    Place::Mapping { permissions: permissions.into(), name: name.into() }
}

fn recursive(facts: Facts) -> Facts {
    facts.frames(&[("walk", "worker", "tree.c:7"); 40])
}

#[test]
fn memory_accesses() {
    check(vec![
        ("null read", signal(11, 1).fault(0, false, Place::Nothing), "null-pointer", "4711"),
        ("large offset from null", signal(11, 1).fault(0x2340, false, Place::Nothing), "null-pointer", ""),
        ("container of null", signal(11, 1).fault(u64::MAX - 7, false, Place::Nothing), "null-pointer", ""),
        (
            "null through memcpy is the caller's",
            signal(11, 1)
                .fault(8, true, Place::Nothing)
                .frames(&[("__memcpy_avx", "libc.so.6", ""), ("copy_row", "worker", "row.c:3")]),
            "null-pointer",
            "copy_row",
        ),
        ("wild", signal(11, 1).fault(0x5555_dead_0000, true, Place::Nothing), "bad-pointer", ""),
        ("not canonical: address 0 is none", signal(11, 128).fault(0, false, Place::Unknown), "bad-pointer", ""),
        ("write to read-only data", signal(11, 2).fault(0x40_2000, true, mapping("r--", "/opt/app/worker")), "bad-pointer", ""),
        ("stack guard", signal(11, 2).fault(SP - 8, true, Place::StackGuard), "stack-overflow", ""),
        ("next to sp", recursive(signal(11, 1).fault(SP - 40, true, Place::Nothing)), "stack-overflow", "walk"),
        ("near sp, but mapped", signal(11, 2).fault(SP - 40, true, mapping("r--", "")), "bad-pointer", ""),
        ("file was cut", signal(7, 2).fault(0x7f00_0000_1000, false, Place::PastEnd { file: "/data/index".into() }), "bad-pointer", "/data/index"),
        ("unaligned", signal(7, 1).fault(0x7f00_0000_1001, false, mapping("rw-", "")), "bad-pointer", ""),
        ("machine check", signal(7, 4).fault(0x7f00_0000_1000, false, mapping("rw-", "")), "hardware-error", "memory"),
        ("mapped file on a full disk", signal(7, 2).fault(0x7f00_0000_1000, true, mapping("rw-", "/dev/shm/ring")), "disk-full", "/dev/shm/ring"),
        ("mapped file on a bad disk", signal(7, 2).fault(0x7f00_0000_1000, false, mapping("r--", "/data/index")), "hardware-error", "/data/index"),
        ("mapped file, and it is not known whether it was cut", signal(7, 2).fault(0x7f00_0000_1000, true, Place::Unknown), "bad-pointer", "4711"),
        ("segv without an address", signal(11, 1), "bad-pointer", ""),
        ("shell tells of its child", exit(139).comm("bash").err("line 3: 5000 Segmentation fault ./tool"), "bad-pointer", "bash"),
        (
            "Rust's message",
            signal(6, -6).err("\nthread 'main' has overflowed its stack\nfatal runtime error: stack overflow"),
            "stack-overflow",
            "",
        ),
        (
            "address sanitizer, null",
            exit(1).err("==12==ERROR: AddressSanitizer: SEGV on unknown address 0x000000000008 (pc 0x1 bp 0x2)"),
            "null-pointer",
            "",
        ),
        (
            "JVM's crash report",
            signal(6, -6).err("#\n# A fatal error has been detected by the Java Runtime Environment:\n#\n#  SIGSEGV (0xb) at pc=0x1"),
            "bad-pointer",
            "",
        ),
    ]);
}

#[test]
fn traps_and_aborts() {
    check(vec![
        ("ud2", signal(4, 2).frames(&[("check", "worker", "c.c:1")]), "illegal-instruction", "check"),
        ("int3", signal(5, 128), "illegal-instruction", ""),
        ("division", signal(8, 1).frames(&[("mean", "worker", "m.c:4")]), "illegal-instruction", "mean"),
        ("musl's assert", signal(6, -6).err("Assertion failed: n > 0 (queue.c: pop: 9)"), "assertion", ""),
        (
            "assert by its stack",
            signal(6, -6).frames(&[
                ("raise", "libc.so.6", ""),
                ("abort", "libc.so.6", ""),
                ("__assert_fail", "libc.so.6", ""),
                ("pop", "worker", "queue.c:9"),
            ]),
            "assertion",
            "pop",
        ),
        (
            "double free",
            signal(6, -6).abort_text("free(): double free detected in tcache 2\n"),
            "heap-corruption",
            "",
        ),
        (
            "double free on stderr",
            signal(6, -6).err("double free or corruption (fasttop)"),
            "heap-corruption",
            "",
        ),
        (
            "sanitizer",
            exit(1).err("==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x6"),
            "heap-corruption",
            "",
        ),
        (
            "stack smashing",
            signal(6, -6).abort_text("*** stack smashing detected ***: terminated\n"),
            "abort",
            "",
        ),
        ("fortify", signal(6, -6).abort_text("*** buffer overflow detected ***: terminated\n"), "abort", ""),
        (
            "plain abort",
            signal(6, -6).frames(&[("abort", "libc.so.6", ""), ("give_up", "worker", "w.c:2")]),
            "abort",
            "give_up",
        ),
        (
            "C++ exception",
            signal(6, -6).err(
                "terminate called after throwing an instance of 'std::out_of_range'\n  what():  map::at",
            ),
            "uncaught-exception",
            "std::out_of_range",
        ),
        (
            "libc++ exception",
            signal(6, -6)
                .err("libc++abi: terminating due to uncaught exception of type std::logic_error: no rows"),
            "uncaught-exception",
            "std::logic_error",
        ),
        (
            "C++ exception in abort text",
            signal(6, -6).abort_text("terminate called after throwing an instance of 'Oops'\n"),
            "uncaught-exception",
            "Oops",
        ),
        (
            "bad_alloc",
            signal(6, -6).err(
                "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc",
            ),
            "heap-limit",
            "4711",
        ),
        (
            "Rust panic=abort",
            signal(6, -6).err("thread 'main' panicked at src/main.rs:4:5:\nindex out of bounds"),
            "panic",
            "src/main.rs",
        ),
        (
            "Rust allocation",
            signal(6, -6).err("memory allocation of 17179869184 bytes failed"),
            "heap-limit",
            "",
        ),
        (
            "V8",
            signal(6, -6)
                .comm("node")
                .err("FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory"),
            "heap-limit",
            "node",
        ),
        (
            "Swift",
            signal(4, 2).err("Fatal error: Index out of range: file Swift/x.swift, line 3"),
            "illegal-instruction",
            "",
        ),
    ]);
}

#[test]
fn kills() {
    let unit = |facts: Facts| facts.unit("app.service");
    check(vec![
        (
            "script",
            signal(9, 0).by_cmdline(777, "bash", "bash /root/reap.sh"),
            "killed-by-process",
            "777 bash",
        ),
        ("SIGTERM of a stranger", signal(15, 0).by(888, "python3"), "killed-by-process", "888"),
        ("SEGV that was sent", signal(11, 0).by(888, "bash"), "killed-by-process", "888"),
        (
            "hung, and a script killed it",
            signal(9, 0).by(778, "reaper").wait(1, 0, 50),
            "killed-by-process",
            "778",
        ),
        ("SIGUSR1 of its parent", signal(10, 0).by(4000, "runner"), "killed-by-process", "4000"),
        ("WatchdogSec", unit(signal(6, 0)).by(1, "systemd"), "killed-by-watchdog", "app.service"),
        (
            "liveness probe",
            signal(9, 0).container("api").by(900, "containerd-shim").log(
                3000,
                4,
                "Container api failed liveness probe, will be restarted",
            ),
            "killed-by-watchdog",
            "900",
        ),
        (
            "worker timeout",
            signal(9, 0).by(4000, "runner").log(100, 2, "[CRITICAL] WORKER TIMEOUT (pid:4711)"),
            "killed-by-watchdog",
            "4000",
        ),
        (
            "watchdog script",
            signal(9, 0).by_cmdline(50, "python3", "python3 /opt/watchdog.py 4711"),
            "killed-by-watchdog",
            "50",
        ),
        (
            "start timed out",
            unit(signal(15, 0)).by(1, "systemd").log(
                50,
                4,
                "app.service: start operation timed out. Terminating.",
            ),
            "killed-by-watchdog",
            "app.service",
        ),
        ("deadlock", signal(9, 0).by(779, "bash").wait(1, 2, 40).wait(2, 1, 41), "deadlock", "4711"),
        (
            "deadlock of three",
            signal(6, 0).by(1, "systemd").unit("a.service").wait(1, 2, 40).wait(2, 3, 41).wait(3, 1, 9),
            "deadlock",
            "4711",
        ),
        ("own lock", signal(9, 0).by(779, "bash").wait(5, 5, 40), "deadlock", ""),
        (
            "with its parent",
            signal(15, 0).by(4000, "runner").parent_end(None, Some(11)),
            "parent-died",
            "4000",
        ),
        (
            "with its container's first process",
            signal(9, 128).parent_end(Some(1), None),
            "parent-died",
            "4000",
        ),
        ("oom host", signal(9, 128).oom(None, 3 << 30, None), "oom-host", "4711"),
        (
            "oom host, another is larger",
            signal(9, 128).oom(None, 1 << 20, Some((55, "java", 9 << 30))),
            "oom-host",
            "55 java",
        ),
        (
            "oom group, another is larger",
            signal(9, 128).oom(Some("/a"), 1 << 20, Some((56, "hog", 9 << 20))),
            "oom-cgroup",
            "56 hog",
        ),
        (
            "oom, record not seen",
            signal(9, 128).limit("memory.max", 67e6, 67.1e6),
            "oom-cgroup",
            "/app.slice",
        ),
        ("cpu, soft", signal(24, 128).limit("cpu", 2.0, 2.0), "cpu-limit", "cpu"),
        ("cpu, hard", signal(9, 128).limit("cpu", 3.0, 3.0), "cpu-limit", "cpu"),
        ("file size", signal(25, 0).call("write", "EFBIG", "/tmp/big"), "file-size-limit", "/tmp/big"),
        (
            "pipe of a connection",
            signal(13, 0).call("write", "EPIPE", "10.0.0.9:443"),
            "broken-pipe",
            "10.0.0.9:443",
        ),
        ("pipe of a unit", unit(signal(13, 0)).call("write", "EPIPE", ""), "broken-pipe", ""),
        ("alarm", signal(14, 128), "timeout", "4711"),
        ("seccomp without a name", signal(31, 1), "seccomp", ""),
        ("SIGSYS that it raised itself", signal(31, -6), "unknown", ""),
        ("seccomp of a shell's child", exit(159).comm("sh").err("Bad system call"), "seccomp", ""),
        ("kernel's SIGKILL, nothing else", signal(9, 128), "unknown", ""),
    ]);
}
