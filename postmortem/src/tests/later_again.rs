//! A second set of cases that were written after the rules had been mended for the first one.

use super::build::{check, exit, signal, silent};

#[test]
fn further_incidents() {
    let django = "Traceback (most recent call last):\n  File \"/app/db.py\", line 3, in connect\n    conn = _connect(dsn)\npsycopg2.OperationalError: connection to server at \"db\" (10.0.0.4), port 5432 failed: FATAL:  password authentication failed for user \"app\"\n\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"/app/manage.py\", line 9, in <module>\n    main()\ndjango.db.utils.OperationalError: connection to server at \"db\" (10.0.0.4), port 5432 failed: FATAL:  password authentication failed for user \"app\"";
    check(vec![
        ("wrong password", exit(1).comm("python3").err(django), "permission", "5432"),
        ("startup failed as an exception", exit(1).comm("python3").call("connect", "ECONNREFUSED", "127.0.0.1:6379").err("Traceback (most recent call last):\n  File \"/a.py\", line 3, in <module>\n    main()\nRuntimeError: startup failed"), "connection-refused", "127.0.0.1:6379"),
        ("mount is missing", exit(32).comm("mount").call("mount", "ENOENT", "/mnt/data").err("mount: /mnt/data: special device /dev/sdx1 does not exist."), "not-found", "/mnt/data"),
        ("cannot create a pid file", exit(1).unit("x.service").call("openat", "ENOENT", "/run/x/x.pid").err("x: failed to create pidfile: No such file or directory"), "not-found", "/run/x/x.pid"),
        ("haproxy", exit(1).unit("haproxy.service").err("[ALERT]    (12) : config : parsing [/etc/haproxy/haproxy.cfg:32] : unknown keyword 'srver' in 'backend' section"), "config-error", "haproxy.cfg"),
        ("sshd", exit(255).unit("ssh.service").err("/etc/ssh/sshd_config: line 12: Bad configuration option: PermitRot\n/etc/ssh/sshd_config: terminating, 1 bad configuration options"), "config-error", "/etc/ssh/sshd_config"),
        ("docker-entrypoint", exit(127).comm("sh").container("web").err("/docker-entrypoint.sh: line 12: exec: gunicorn: not found"), "not-found", "gunicorn"),
        ("Java bind", exit(1).comm("java").call("bind", "EADDRINUSE", "[::]:8080").holder(12, "java").out("2026-11-30 10:00:00.000 ERROR 1 --- [main] o.s.b.Application : Web server failed to start. Port 8080 was already in use."), "address-in-use", "12 java"),
        ("Rust io error from main", exit(1).err("Error: Os { code: 13, kind: PermissionDenied, message: \"Permission denied\" }").call("openat", "EACCES", "/srv/private/data"), "permission", "/srv/private/data"),
        ("Rust bind panic", exit(101).err("thread 'main' panicked at src/main.rs:7:10:\nfailed to bind: Os { code: 98, kind: AddrInUse, message: \"Address already in use\" }").call("bind", "EADDRINUSE", "127.0.0.1:3000").holder(44, "old"), "address-in-use", "44 old"),
        ("node module", exit(1).comm("node").err("node:internal/modules/cjs/loader:1080\n  throw err;\n  ^\n\nError: Cannot find module 'express'\nRequire stack:\n- /app/index.js\n    at Module._resolveFilename (node:internal/modules/cjs/loader:1077:15) {\n  code: 'MODULE_NOT_FOUND',\n  requireStack: [ '/app/index.js' ]\n}"), "missing-library", "express"),
        ("Perl", exit(2).comm("perl").err("Can't locate JSON/XS.pm in @INC (you may need to install the JSON::XS module) (@INC contains: /etc/perl) at x.pl line 3."), "missing-library", "JSON/XS.pm"),
        ("Perl die", exit(2).comm("perl").call("openat", "ENOENT", "/etc/app/list").err("Can't open /etc/app/list: No such file or directory at x.pl line 9."), "not-found", "/etc/app/list"),
        ("use after free, fill pattern", signal(11, 128).fault(0, false, super::build::unknown_place()).frames(&[("list_next", "worker", "l.c:3")]), "bad-pointer", "list_next"),
        ("jump to null", { let mut facts = signal(11, 1).fault(0, false, super::build::unknown_place()).frames(&[("[unknown]", "", ""), ("call_hook", "worker", "h.c:8")]); if let Some(fault) = &mut facts.fault { fault.ip = 0; fault.fetch = Some(true); } facts }, "null-pointer", "call_hook"),
        ("Go stack", exit(2).err("runtime: goroutine stack exceeds 1000000000-byte limit\nfatal error: stack overflow\n\ngoroutine 1 [running]:\nmain.f(0x1)\n\t/src/f.go:9 +0x1"), "stack-overflow", ""),
        ("Go, address in use", exit(1).err("2026/11/30 10:00:00 listen tcp :8080: bind: address already in use").call("bind", "EADDRINUSE", "[::]:8080").holder(31, "caddy"), "address-in-use", "31 caddy"),
        ("GLib", signal(5, 128).err("(app:4711): GLib-GIO-ERROR **: 10:00:00.000: Settings schema 'org.x' is not installed"), "illegal-instruction", ""),
        ("tar on a full disk", exit(2).comm("tar").call("write", "ENOSPC", "/backup/a.tar").err("tar: /backup/a.tar: Wrote only 4096 of 10240 bytes\ntar: Error is not recoverable: exiting now"), "disk-full", "/backup/a.tar"),
        ("disk fails", exit(1).comm("dd").call("read", "EIO", "/dev/sdb").err("dd: error reading '/dev/sdb': Input/output error"), "hardware-error", "/dev/sdb"),
        ("upstream is slow", exit(1).comm("node").err("Error: timeout of 5000ms exceeded\n    at createError (/app/node_modules/axios/lib/core/createError.js:16:15)\n    at f (/app/x.js:3:1)"), "timeout", ""),
        ("kubectl", exit(1).comm("kubectl").call("connect", "ECONNREFUSED", "127.0.0.1:8080").err("The connection to the server localhost:8080 was refused - did you specify the right host or port?"), "connection-refused", "127.0.0.1:8080"),
        ("group of a reaper", signal(9, 0).by_cmdline(600, "python3", "python3 /usr/local/bin/reap_idle.py"), "killed-by-process", "600"),
        ("glibc heap, Python extension", signal(6, -6).comm("python3").abort_text("malloc(): unsorted double linked list corrupted\n").err("Fatal Python error: Aborted\n\nCurrent thread 0x1 (most recent call first):\n  File \"x.py\", line 3 in f"), "heap-corruption", ""),
        ("ulimit -v", exit(1).comm("perl").call("brk", "ENOMEM", "").err("Out of memory!").limit("as", 99e6, 100e6), "heap-limit", "as"),
    ]);
    silent(vec![
        (
            "pytest found failures",
            exit(1).comm("pytest").out("E   AssertionError: assert 1 == 2\n1 failed, 3 passed"),
        ),
        ("curl -f in a probe of its supervisor is no decoy, ssh of a remote false is", exit(1).comm("false")),
        (
            "gunicorn worker recycled",
            signal(15, 0)
                .parent(321, "gunicorn")
                .by(321, "gunicorn")
                .err("[INFO] Worker exiting (pid: 4711)"),
        ),
        ("nginx worker on reload", signal(3, 0).parent(320, "nginx").by(320, "nginx")),
        (
            "postgres backend told to stop",
            signal(15, 0)
                .parent(50, "postgres")
                .by(50, "postgres")
                .err("FATAL:  terminating connection due to administrator command"),
        ),
        ("rsync of a log that grew", exit(0).err("rsync warning: some files vanished")),
    ]);
}
