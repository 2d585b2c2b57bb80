//! The ten cases that every reader expects, with their sentences.

use super::build::{END_NS, PID, check, exit, process, signal};
use crate::examine;
use crate::facts::{Facts, Place};

pub(super) fn null_write() -> Facts {
    signal(11, 1)
        .fault(0x10, true, Place::Nothing)
        .frames(&[("set_name", "worker", "names.c:12"), ("main", "worker", "main.c:40")])
}

pub(super) fn refused() -> Facts {
    exit(1).call("connect", "ECONNREFUSED", "127.0.0.1:5432").err("startup failed")
}

const CHAINED: &str = "Traceback (most recent call last):\n  File \"/opt/app/app.py\", line 9, in load\n    return settings[\"region\"]\n           ~~~~~~~~^^^^^^^^^^\nKeyError: 'region'\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"/opt/app/app.py\", line 20, in <module>\n    main()\n  File \"/opt/app/app.py\", line 15, in main\n    raise RuntimeError(\"cannot start\") from error\nRuntimeError: cannot start";

#[test]
fn the_ten_cases_have_class_and_culprit() {
    let missing = "./worker: error while loading shared libraries: libfoo.so.3: cannot open shared object file: No such file or directory";
    check(vec![
        ("null write", null_write(), "null-pointer", "set_name"),
        (
            "assert",
            signal(6, -6).abort_text("worker: queue.c:9: pop: Assertion `n > 0' failed.\n"),
            "assertion",
            "queue.c:9",
        ),
        ("memcg", signal(9, 128).oom(Some("/app.slice"), 60 << 20, None), "oom-cgroup", "/app.slice"),
        ("refused", refused(), "connection-refused", "127.0.0.1:5432"),
        ("kill -9 by a script", signal(9, 0).by(777, "cleanup.sh"), "killed-by-process", "777"),
        (
            "disk full",
            exit(1)
                .call("write", "ENOSPC", "/data/out.db")
                .err("worker: write failed: No space left on device"),
            "disk-full",
            "/data/out.db",
        ),
        (
            "address in use",
            exit(1)
                .call("bind", "EADDRINUSE", "0.0.0.0:8080")
                .holder(99, "nginx")
                .err("bind: Address already in use"),
            "address-in-use",
            "99 nginx",
        ),
        ("chained traceback", exit(1).err(CHAINED), "uncaught-exception", "KeyError"),
        ("missing library", exit(127).err(missing), "missing-library", "libfoo.so.3"),
        ("seccomp", signal(31, 1).seccomp("ptrace"), "seccomp", "ptrace"),
    ]);
}

#[test]
fn sentences_are_concrete() {
    let text = |facts: &Facts| examine(facts).expect("a cause").cause.text;
    assert_eq!(
        text(&refused()),
        "worker (4711) could not connect to 127.0.0.1:5432 (connection refused: nothing listens there) and ended with code 1."
    );
    assert_eq!(
        text(&null_write()),
        "worker (4711) wrote to address 0x10, a null pointer with offset 0x10 in set_name (names.c:12) and was ended by SIGSEGV."
    );
    assert_eq!(
        text(&signal(9, 128).oom(Some("/app.slice"), 60 << 20, None)),
        "The control group /app.slice reached its memory limit of 64.0 MiB, and the kernel killed worker (4711) with 60.0 MiB of its own."
    );
    assert_eq!(
        text(&signal(9, 0).by(777, "cleanup.sh")),
        "worker (4711) was killed by cleanup.sh (777), user 0, with SIGKILL."
    );
    let held = exit(1).call("bind", "EADDRINUSE", "0.0.0.0:8080").holder(99, "nginx").err("bind failed");
    assert_eq!(
        text(&held),
        "worker (4711) could not listen on 0.0.0.0:8080 (address in use: nginx (99) has it) and ended with code 1."
    );
    assert!(
        text(&exit(1).err(CHAINED)).contains("did not catch KeyError: 'region' in load (/opt/app/app.py:9)")
    );
}

#[test]
fn a_post_mortem_has_all_that_is_known() {
    let facts = refused().earlier(20, 1).earlier(40, 1).earlier(700, 1);
    let result = examine(&facts).expect("a cause");
    assert_eq!((result.process.pid, result.ended.code, result.ended.at_ns), (PID, Some(1), END_NS));
    let again = result.repeats.expect("a loop");
    assert_eq!((again.count, again.span_s), (3, 40));
    assert!(result.evidence.iter().any(|proof| proof.text == "connect 127.0.0.1:5432: ECONNREFUSED"));
    assert!(result.evidence.iter().any(|proof| proof.text == "startup failed"));
    assert!(examine(&refused().earlier(20, 1)).expect("a cause").repeats.is_none(), "two are no loop");
    assert!(examine(&refused().earlier(20, 0).earlier(30, 0)).expect("a cause").repeats.is_none());
    let killed = examine(&signal(9, 0).by(777, "x")).expect("a cause");
    assert_eq!(killed.ended.by.map(|by| by.pid), Some(process(777, "x").pid));
}
