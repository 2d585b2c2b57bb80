//! Cases that came to mind only after the rules were settled: incidents as they happen.

use super::build::{check, exit, signal};
use crate::examine;
use crate::facts::{Facts, Place};

fn python(last: &str) -> Facts {
    exit(1).comm("python3").err(&format!(
        "Traceback (most recent call last):\n  File \"/app/x.py\", line 7, in run\n    go()\n{last}"
    ))
}

fn caddy() -> Facts {
    let said = "Error: adapting config using caddyfile: /etc/caddy/Caddyfile:4: unrecognized directive: revers_proxy";
    let mut facts = exit(1).comm("caddy").unit("caddy.service").err(said);
    for second in 1..5 {
        facts = facts.earlier(second * 2, 1);
    }
    facts.log(1, 4, "caddy.service: Start request repeated too quickly.")
}

fn broker_away() -> Facts {
    let mut facts = exit(1).comm("python3").call("connect", "ECONNREFUSED", "10.0.0.5:9092").times(6);
    for ago in [900, 600, 300, 100] {
        facts = facts.said(ago, "%3|17|FAIL|rdkafka#producer-1| [thrd:kafka:9092/bootstrap]: kafka:9092/bootstrap: Connect to ipv4#10.0.0.5:9092 failed: Connection refused (after 0ms in state CONNECT)");
    }
    facts.err("Traceback (most recent call last):\n  File \"/app/p.py\", line 9, in <module>\n    p.list_topics()\ncimpl.KafkaException: KafkaError{code=_TRANSPORT,val=-195,str=\"Failed to get metadata: Local: Broker transport failure\"}")
}

#[test]
fn incidents() {
    let es = "ERROR: [1] bootstrap checks failed. You must address the points described in the following [1] lines\nbootstrap check failure [1] of [1]: max virtual memory areas vm.max_map_count [65530] is too low, increase to at least [262144]";
    check(vec![
        ("search domain", exit(1).err("2026/11/30 10:00:00 dial tcp: lookup db.prod.svc.corp on 10.96.0.10:53: no such host"), "name-resolution", "db.prod.svc.corp"),
        ("expired certificate", python("ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1129)"), "config-error", ""),
        ("other CPU after a migration", signal(4, 2).frames(&[("dgemm_kernel_SKYLAKEX", "libopenblas.so.0", ""), ("fit", "worker", "f.c:3")]), "illegal-instruction", "dgemm"),
        ("read-only remount", signal(6, -6).comm("postgres").call("pwrite64", "EROFS", "/var/lib/postgresql/15/main/pg_wal/xlogtemp.12").err("2026-11-30 10:00:00 UTC [12] PANIC:  could not write to file \"pg_wal/xlogtemp.12\": Read-only file system"), "permission", "xlogtemp.12"),
        ("inotify instances", exit(1).comm("node").call("inotify_init1", "EMFILE", "").err("Error: EMFILE: too many open files, watch '/app'\n    at FSWatcher.start (node:internal/fs/watchers:247:19)"), "fd-limit", "inotify"),
        ("locale", python("locale.Error: unsupported locale setting"), "config-error", ""),
        ("JVM native memory", exit(1).comm("java").call("mmap", "ENOMEM", "").out("#\n# There is insufficient memory for the Java Runtime Environment to continue.\n# Native memory allocation (mmap) failed to map 65536 bytes for committing reserved memory."), "heap-limit", "java"),
        ("port 80", exit(1).comm("node").call("bind", "EACCES", "0.0.0.0:80").err("node:events:1\n      throw er;\n      ^\n\nError: listen EACCES: permission denied 0.0.0.0:80\n    at Server.setupListenHandle [as _listen2] (node:net:1800:21) {\n  code: 'EACCES',\n  address: '0.0.0.0',\n  port: 80\n}"), "permission", "0.0.0.0:80"),
        ("AppArmor", exit(1).comm("mysqld").unit("mysql.service").call("openat", "EACCES", "/data/mysql/slow.log").err("2026-11-30T10:00:00Z 0 [ERROR] Could not open file '/data/mysql/slow.log' for error logging: Permission denied").log(6, 5, "audit: type=1400 apparmor=\"DENIED\" operation=\"open\" profile=\"/usr/sbin/mysqld\" name=\"/data/mysql/slow.log\""), "permission", "/data/mysql/slow.log"),
        ("kernel module", exit(1).comm("modprobe").err("modprobe: FATAL: Module wireguard not found in directory /lib/modules/6.1.0-18-amd64"), "missing-library", "wireguard"),
        ("quota", exit(1).comm("cp").err("cp: error writing '/home/u/x': Disk quota exceeded"), "disk-full", "/home/u/x"),
        ("lease lost", exit(1).comm("controller").container("ctl").said(40, "E1130 10:00:00.000000       1 leaderelection.go:330] error retrieving resource lock kube-system/ctl: context deadline exceeded").err("F1130 10:00:00.100000       1 main.go:88] leaderelection lost"), "timeout", ""),
        ("MISCONF", python("redis.exceptions.ResponseError: MISCONF Redis is configured to save RDB snapshots, but it is currently not able to persist on disk."), "uncaught-exception", "redis.exceptions.ResponseError"),
        ("data directory", exit(2).comm("postgres").call("newfstatat", "EACCES", "/var/lib/postgresql/15/main").err("postgres: could not access directory \"/var/lib/postgresql/15/main\": Permission denied\nRun initdb or pg_basebackup to initialize a PostgreSQL data directory."), "permission", "/var/lib/postgresql/15/main"),
        ("broker away", broker_away(), "connection-refused", "10.0.0.5:9092"),
        ("module after an upgrade", python("ModuleNotFoundError: No module named 'yaml'").change(100, "package", "python3-yaml 5.3.1-5 → 6.0-3"), "bad-upgrade", "python3-yaml"),
        ("child aborted", exit(134).comm("sh").container("web").err("Aborted (core dumped)"), "abort", "sh"),
        ("concurrent map writes", exit(2).err("fatal error: concurrent map writes\n\ngoroutine 18 [running]:\nmain.worker(0x1)\n\t/src/w.go:31 +0x65\ncreated by main.main\n\t/src/m.go:5 +0x1"), "panic", "w.go:31"),
        ("start limit", caddy(), "config-error", "/etc/caddy/Caddyfile"),
        ("pids.max", exit(1).comm("java").call("clone3", "EAGAIN", "").limit("pids.max", 512.0, 512.0).err("Exception in thread \"main\" java.lang.OutOfMemoryError: unable to create native thread: possibly out of memory or process/resource limits reached\n\tat java.base/java.lang.Thread.start0(Native Method)\n\tat com.x.Pool.grow(Pool.java:9)"), "fd-limit", "pids.max"),
        ("bootstrap check", exit(78).comm("java").unit("elasticsearch.service").err(es), "config-error", ""),
        ("damaged database", python("sqlite3.DatabaseError: database disk image is malformed"), "uncaught-exception", "sqlite3.DatabaseError"),
        ("ssh", exit(255).comm("ssh").call("connect", "ETIMEDOUT", "10.0.0.9:22").err("ssh: connect to host 10.0.0.9 port 22: Connection timed out"), "timeout", "10.0.0.9:22"),
        ("rsync", exit(10).comm("rsync").call("write", "EPIPE", "10.0.0.9:873").err("rsync: [sender] write error: Broken pipe (32)\nrsync error: error in socket IO (code 10) at io.c(848) [sender=3.2.7]"), "broken-pipe", "10.0.0.9:873"),
        ("image of another architecture", exit(255).comm("entrypoint.sh").container("app").err("exec /entrypoint.sh: exec format error"), "exec-format", "/entrypoint.sh"),
        ("gunicorn's port", exit(1).comm("gunicorn").call("bind", "EADDRINUSE", "0.0.0.0:8000").times(5).holder(321, "gunicorn").said(4000, "[2026-11-30 10:00:00 +0000] [7] [ERROR] Connection in use: ('0.0.0.0', 8000)").said(3000, "[2026-11-30 10:00:01 +0000] [7] [ERROR] Retrying in 1 second.").err("[2026-11-30 10:00:05 +0000] [7] [ERROR] Can't connect to ('0.0.0.0', 8000)"), "address-in-use", "321"),
        ("plugin built against another version", signal(11, 1).fault(0x5581_0000_1234, false, Place::Nothing).frames(&[("on_event", "plugin.so", ""), ("dispatch", "host", "")]).change(60, "build", "/opt/app/plugin.so"), "bad-pointer", "on_event"),
        ("message queue full of a daemon", exit(1).unit("rabbit.service").err("[error] mnesia could not start: {timeout_waiting_for_tables,[a,b]}"), "timeout", ""),
        ("vault sealed", exit(1).container("api").err("level=fatal msg=\"cannot read secret\" error=\"Error making API request. Code: 503. Errors: * Vault is sealed\""), "unknown", "4711"),
        ("git over ssh", exit(128).comm("git").err("git@github.com: Permission denied (publickey).\nfatal: Could not read from remote repository."), "permission", ""),
    ]);
    assert_eq!(examine(&caddy()).expect("a cause").repeats.expect("a loop").count, 5);
}
