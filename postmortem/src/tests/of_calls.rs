//! Failed calls, with and without words for them.

use agent_common::wire::postmortem::CauseClass;

use super::build::{check, exit};
use crate::examine;
use crate::facts::Limit;

#[test]
fn calls_of_which_the_words_speak() {
    check(vec![
        ("named file, no reason", exit(1).call("openat", "EACCES", "/etc/app/key.pem").err("cannot load key.pem"), "permission", "/etc/app/key.pem"),
        ("named port, no reason", exit(1).call("connect", "ECONNREFUSED", "127.0.0.1:9092").err("no broker on port 9092, exiting"), "connection-refused", "127.0.0.1:9092"),
        ("low port", exit(1).call("bind", "EACCES", "0.0.0.0:80").err("bind: permission denied"), "permission", "0.0.0.0:80"),
        ("foreign address", exit(1).call("bind", "EADDRNOTAVAIL", "192.0.2.9:80").err("bind: Cannot assign requested address"), "config-error", "192.0.2.9:80"),
        ("descriptors", exit(1).call("openat", "EMFILE", "/data/7").err("accept: Too many open files").limit("nofile", 1024.0, 1024.0), "fd-limit", "nofile"),
        ("watches", exit(1).call("inotify_add_watch", "ENOSPC", "/src").err("watch failed: No space left on device"), "fd-limit", "inotify"),
        ("tasks", exit(1).call("clone", "EAGAIN", "").err("fork: Resource temporarily unavailable").limit("pids.max", 64.0, 64.0), "fd-limit", "pids.max"),
        ("read-only", exit(1).call("openat", "EROFS", "/var/lib/app/lock").err("cannot create lock: Read-only file system"), "permission", "/var/lib/app/lock"),
        ("quota", exit(1).call("write", "EDQUOT", "/home/a/x").err("write: Disk quota exceeded"), "disk-full", "/home/a/x"),
        ("I/O error", exit(1).call("read", "EIO", "/data/blk").err("read failed: Input/output error"), "hardware-error", "/data/blk"),
        ("no route", exit(1).call("connect", "EHOSTUNREACH", "10.1.1.1:22").err("connect: No route to host"), "timeout", "10.1.1.1:22"),
        ("reset", exit(1).call("recvfrom", "ECONNRESET", "10.1.1.1:22").err("read: Connection reset by peer"), "broken-pipe", "10.1.1.1:22"),
        ("ENOMEM within a limit", exit(1).call("mmap", "ENOMEM", "").err("malloc: Cannot allocate memory").limit("as", 9e8, 1e9), "heap-limit", "as"),
        ("socket of a daemon", exit(1).call("connect", "ENOENT", "unix:/var/run/docker.sock").err("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"), "connection-refused", "/var/run/docker.sock"),
        ("name server away", exit(6).call("recvfrom", "ECONNREFUSED", "127.0.0.53:53").err("curl: (6) Could not resolve host: db.example"), "name-resolution", "db.example"),
        ("the first error counts", exit(1).call("write", "ENOSPC", "/var/spool/q").said(9, "error: write /var/spool/q: No space left on device").said(8, "error: queue is inconsistent").said(7, "error: shutdown incomplete"), "disk-full", "/var/spool/q"),
        ("a warning before is not the reason", exit(1).call_at(20, "connect", "ECONNREFUSED", "127.0.0.1:11211").call("openat", "ENOENT", "/etc/app/key.pem").said(20, "WARN cache 127.0.0.1:11211: connection refused, continuing without").err("ERROR open /etc/app/key.pem: no such file or directory"), "not-found", "/etc/app/key.pem"),
        ("file too large", exit(1).call("write", "EFBIG", "/tmp/big").err("write: File too large"), "file-size-limit", "/tmp/big"),
    ]);
}

#[test]
fn calls_alone() {
    check(vec![
        (
            "silent refusal",
            exit(1).call("connect", "ECONNREFUSED", "127.0.0.1:5432"),
            "connection-refused",
            "127.0.0.1:5432",
        ),
        ("silent full disk", exit(3).call("write", "ENOSPC", "/data/x"), "disk-full", "/data/x"),
        (
            "a search path before it",
            exit(1)
                .call("openat", "ENOENT", "/etc/ld.so.preload")
                .call("bind", "EADDRINUSE", "0.0.0.0:80")
                .holder(9, "apache2")
                .err("could not start"),
            "address-in-use",
            "9 apache2",
        ),
        (
            "tried ::1, then died of a full disk",
            exit(1)
                .call_at(900, "connect", "ECONNREFUSED", "::1:80")
                .call("write", "ENOSPC", "/data/x")
                .err("cannot save: no space left on device"),
            "disk-full",
            "/data/x",
        ),
        (
            "refused for hours, dies of a key",
            exit(1).call_at(30, "connect", "ECONNREFUSED", "127.0.0.1:4317").times(20_000).err(
                "Traceback (most recent call last):\n  File \"/a.py\", line 1, in f\n    x\nKeyError: 'a'",
            ),
            "uncaught-exception",
            "KeyError",
        ),
        (
            "new pattern",
            exit(1).unit("a.service").log(300, 3, "invoice engine is confused").new_pattern(),
            "unknown",
            "a.service",
        ),
        ("a container without a word", exit(7).container("api"), "unknown", ""),
    ]);
}

#[test]
fn a_limit_on_tasks_is_named_only_if_it_is_known_to_be_reached() {
    let refused = || exit(1).call("clone", "EAGAIN", "").err("fork: Resource temporarily unavailable");
    let limit_of = |facts| examine(&facts).expect("a bad end").cause;
    let finite = |name: &str| Limit { name: name.into(), limit: Some(127_834.0), ..Limit::default() };
    let mut unknown = refused().limit("pids.max", 10.0, 1000.0);
    unknown.limits.push(finite("nproc"));
    for facts in [unknown, refused()] {
        let cause = limit_of(facts);
        assert_eq!((cause.class, cause.subject.limit), (CauseClass::FdLimit, None));
        assert!(!cause.text.contains("nproc") && !cause.text.contains("pids.max"), "{}", cause.text);
    }
    let full = limit_of(refused().limit("nproc", 64.0, 64.0));
    assert_eq!(full.subject.limit.as_deref(), Some("nproc"));
    let mut group = refused().limit("pids.max", 64.0, 64.0);
    group.limits.push(finite("nproc"));
    assert_eq!(limit_of(group).subject.limit.as_deref(), Some("pids.max"));
}
