//! Ends that are as they are meant to be.

use super::build::{exit, process, signal, silent};
use crate::facts::Other;

#[test]
fn ends_that_are_meant_are_silent() {
    let pkill = {
        let mut facts = signal(15, 0).parent(300, "bash");
        facts.ended.by = Some(Other { parent_pid: 300, ..process(301, "pkill") });
        facts
    };
    silent(vec![
        ("code 0", exit(0)),
        ("code 0 with errors", exit(0).err("ERROR out of memory\npanic: no").call("connect", "ECONNREFUSED", "1.2.3.4:5")),
        ("code 0 of a unit", exit(0).unit("a.service").err("error: failed")),
        ("SIGTERM by systemd", signal(15, 0).unit("a.service").by(1, "systemd").err("ERROR shutting down: connection reset")),
        ("SIGKILL by the container's run time", signal(9, 0).container("c").by(900, "containerd-shim")),
        ("SIGKILL by its parent", signal(9, 0).by(4000, "runner")),
        ("SIGTERM by its parent", signal(15, 0).by(4000, "runner")),
        ("timeout's child", signal(15, 0).parent(77, "timeout").by(77, "timeout")),
        ("timeout itself", exit(124).comm("timeout")),
        ("Ctrl-C", signal(2, 128)),
        ("terminal closed", signal(1, 128)),
        ("ssh session ended", signal(1, 0).by(60, "sshd")),
        ("SIGTERM raised again after cleaning up", signal(15, -6)),
        ("pkill in its own shell", pkill),
        ("code 143", exit(143).comm("java").unit("j.service")),
        ("code 130", exit(130).err("Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nKeyboardInterrupt")),
        ("KeyboardInterrupt", exit(1).err("Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    x()\nKeyboardInterrupt")),
        ("grep found nothing", exit(1).comm("grep")),
        ("diff", exit(1).comm("diff").out("< a\n> b")),
        ("test", exit(1).comm("test").call("newfstatat", "ENOENT", "/tmp/x")),
        ("systemctl is-active", exit(3).comm("systemctl").cmdline("systemctl is-active nginx").out("inactive")),
        ("plugin", exit(2).comm("check_disk").out("DISK CRITICAL - free space: / 1%")),
        ("plugin of Python", exit(2).comm("python3").cmdline("python3 /usr/lib/nagios/plugins/check_http -H x").out("HTTP CRITICAL: connection refused")),
        ("pgrep", exit(1).comm("pgrep")),
        ("false", exit(1).comm("false")),
        ("pg_isready", exit(2).comm("pg_isready").out("/tmp:5432 - no response").call("connect", "ENOENT", "unix:/tmp/.s.PGSQL.5432")),
        ("own code with a report", exit(3).out("3 items differ, 0 errors")),
        ("silent code", exit(1).call("openat", "ENOENT", "/etc/ld.so.preload")),
        ("Python's search for files", exit(3).comm("python3").call("newfstatat", "ENOENT", "/usr/bin/pyvenv.cfg").call("openat", "ENOENT", "/root/.local/lib/python3.11/site-packages").call("ioctl", "ENOTTY", "")),
        ("sh asks for a file", exit(1).comm("sh").call("newfstatat", "ENOENT", "/tmp/flag")),
        ("yes | head", signal(13, 0).comm("yes").call("write", "EPIPE", "")),
        ("code 141 of a shell", exit(141).comm("bash")),
        ("parent ended well, its child with it", signal(15, 0).by(4000, "runner").parent_end(Some(0), None)),
        ("host shuts down", signal(15, 0).by(5, "systemd-shutdow")),
        ("stopped while threads wait", signal(15, 0).unit("a.service").by(1, "systemd").wait(1, 2, 50).wait(2, 1, 50)),
        ("how it ended was not seen", { let mut facts = exit(0); facts.ended.code = None; facts }),
        ("sibling's trouble in its log", signal(15, 0).unit("a.service").by(1, "systemd").log(500, 3, "backend 10.0.0.7 not responding")),
        ("a plain tool asks for rights it can do without", exit(5).call("openat", "EACCES", "/proc/1/environ")),
        ("retries that the program goes on after", exit(4).out("done, 4 skipped").call_at(60_000, "connect", "ETIMEDOUT", "10.0.0.1:80")),
    ]);
}
