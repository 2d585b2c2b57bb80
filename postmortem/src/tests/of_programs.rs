//! What real programs do at their end, seen with strace: noise of libraries, connections that do not block, optional files.

use super::build::{check, exit, silent};
use crate::facts::Facts;

/// The C library looks for nscd before each name.
fn nscd(facts: Facts) -> Facts {
    facts.call_at(8, "connect", "ENOENT", "unix:/var/run/nscd/socket").times(2)
}

#[test]
fn noise_of_libraries_is_no_cause() {
    let psql = "psql: error: connection to server at \"127.0.0.1\", port 5995 failed: Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?";
    let panic = "\nthread 'main' (9) panicked at src/main.rs:1:41:\ncalled `Result::unwrap()` on an `Err` value: Os { code: 2, kind: NotFound, message: \"No such file or directory\" }\nstack backtrace:\n   0: __rustc::rust_begin_unwind\n             at /rustc/5/library/std/src/panicking.rs:689:5\n   1: app::load\n             at ./src/main.rs:1:41";
    check(vec![
        (
            "psql",
            nscd(exit(2)).comm("psql").call("connect", "EINPROGRESS", "127.0.0.1:5995").err(psql),
            "connection-refused",
            "127.0.0.1:5995",
        ),
        (
            "curl",
            nscd(exit(7)).comm("curl").call("connect", "EINPROGRESS", "127.0.0.1:80").err("curl: (7) Failed to connect to 127.0.0.1 port 80"),
            "connection-refused",
            "127.0.0.1:80",
        ),
        ("silent curl", nscd(exit(7)).comm("curl").call("connect", "EINPROGRESS", "127.0.0.1:80"), "connection-refused", "127.0.0.1:80"),
        ("Go, no reason", exit(1).call("connect", "EINPROGRESS", "127.0.0.1:81").err("2026/11/30 19:38:41 start failed"), "connection-refused", "127.0.0.1:81"),
        (
            "symbols that are looked for after a panic",
            exit(101).call_at(9, "openat", "ENOENT", "/srv/none/db").err(panic).call_at(1, "openat", "ENOENT", "/opt/app/worker.dwp"),
            "not-found",
            "/srv/none/db",
        ),
        ("access on the way to 126", exit(126).comm("bash").call("access", "EACCES", "/opt/tool").err("bash: line 1: /opt/tool: Permission denied"), "exec-permission", "/opt/tool"),
        ("its own name is no file", exit(127).comm("bash").call("newfstatat", "ENOENT", "/usr/local/bin/bash").err("bash: line 1: DATABASE_URL: must be set"), "config-error", ""),
        ("a long trace of which the head is lost", exit(1).comm("java").err(&"\tat L.f(L.java:1)\n".repeat(200)), "stack-overflow", ""),
        ("a trace of which the head is lost", exit(1).comm("java").err("\tat com.x.A.b(A.java:1)\n\tat com.x.A.c(A.java:2)\n\tat com.x.A.d(A.java:3)\nCaused by: java.net.ConnectException: Connection refused\n\tat com.x.N.o(N.java:9)"), "connection-refused", ""),
        ("a socket file that is not there", exit(1).call("connect", "ENOENT", "unix:/run/none.sock").err("Traceback (most recent call last):\n  File \"/a.py\", line 1, in <module>\nFileNotFoundError: [Errno 2] No such file or directory"), "connection-refused", "/run/none.sock"),
        ("a complaint by its shape", exit(1).comm("sed").err("sed: -e expression #1, char 3: unterminated `s' command"), "unknown", "sed"),
        ("unbound variable", exit(127).comm("bash").err("bash: line 1: NOPE: unbound variable"), "config-error", "bash"),
        ("name without a directory", exit(1).call("execve", "ENOENT", "/usr/bin/frobnicate").err("Traceback (most recent call last):\n  File \"/a.py\", line 1, in <module>\nFileNotFoundError: [Errno 2] No such file or directory: 'frobnicate'"), "not-found", "frobnicate"),
    ]);
    let at = |before_ms: u64, mut facts: Facts| {
        facts
            .last_words
            .iter_mut()
            .for_each(|words| words.at_ns = super::build::END_NS - before_ms * super::build::MS);
        facts
    };
    silent(vec![
        ("optional file", at(1, exit(3).call("openat", "ENOENT", "/srv/opt.conf").out("2 items outdated"))),
        (
            "the other address answered",
            at(1, exit(2).call("connect", "ECONNREFUSED", "::1:8080").out("done, 2 stale")),
        ),
    ]);
}
