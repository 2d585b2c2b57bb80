//! Processes that end badly or are refused something.

use agent_common::wire::finding::Class as Finding;

use super::super::class::{Class, init, kernel, unit};
use crate::Severity;

pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "crash",
        severity: Severity::Error,
        doc: "A process was ended by a fault of its own: it read or wrote an address that is not mapped, or ran an instruction \
              that the CPU refuses. `in NAME[a,b+c]` names the file and the offset in it. The post-mortem has the stack.",
        explains: &[Finding::ProcessChurn, Finding::NetConnect],
        rules: &[
            kernel(
                "]: segfault at ",
                r"^(?P<comm>.{1,15})\[(?P<pid>[0-9]+)\]: segfault at [0-9a-f]+ ip [0-9a-f]+ sp [0-9a-f]+ error [0-9a-f]+",
            ),
            kernel(
                "traps: ",
                r"^traps: (?P<comm>.{1,15})\[(?P<pid>[0-9]+)\] (?:trap [a-z ]+|general protection(?: fault)?) ip:",
            ),
            kernel(
                "unhandled ",
                r"^(?P<comm>.{1,15})\[(?P<pid>[0-9]+)\]: unhandled (?:exception|level [0-3] .*fault|signal|page fault)",
            ),
        ],
        examples: &[
            (
                "app[5141]: segfault at 10 ip 000055d6a2c4121b sp 00007ffd2f3b8e40 error 6 in app[121b,55d6a2c41000+1000] likely on CPU 1 (core 1, socket 0)",
                "process app (5141)",
            ),
            (
                "nginx[77]: segfault at 0 ip 00007f1c2b3d sp 00007ffe error 4 in libc-2.31.so[7f1c2a000+14b000]",
                "process nginx (77)",
            ),
            (
                "traps: seg v2[812] trap invalid opcode ip:401136 sp:7ffc5d3f90e0 error:0 in a.out[401000+1000]",
                "process seg v2 (812)",
            ),
            (
                "traps: a.out[99] general protection fault ip:55b2 sp:7ffd error:0 in a.out[55b2+1000]",
                "process a.out (99)",
            ),
            (
                "traps: calc[7] trap divide error ip:401 sp:7ff error:0 in calc[401000+1000]",
                "process calc (7)",
            ),
            (
                "svc[31]: unhandled level 2 translation fault (11) at 0x00000000, esr 0x92000046",
                "process svc (31)",
            ),
        ],
        near: &[
            "segfault at 10 in the manual",
            "app: segfault at 10 ip 0",
            "traps: none",
            "app[1]: segfault atlas loaded",
        ],
    },
    Class {
        name: "core-dumped",
        severity: Severity::Error,
        doc: "systemd-coredump has kept a core of a process that ended by a signal. `coredumpctl info PID` shows its stack.",
        explains: &[Finding::ProcessChurn],
        rules: &[unit(
            "systemd-coredump@",
            " dumped core",
            r"^(?:\[.{1,3}\] )?Process (?P<pid>[0-9]+) \((?P<comm>.{1,15})\) of user [0-9]+ (?:dumped core|terminated abnormally)",
        )],
        examples: &[
            ("Process 4711 (app) of user 1000 dumped core.", "process app (4711)"),
            ("[🡕] Process 8 (my app) of user 0 dumped core.", "process my app (8)"),
        ],
        near: &["Process 4711 (app) of user 1000 has no core."],
    },
    Class {
        name: "seccomp-killed",
        severity: Severity::Error,
        doc: "A process made a system call that its seccomp filter forbids, and was killed (`sig=31`). The line has the number of \
              the call. Mostly a program is newer than its sandbox's list of calls.",
        explains: &[Finding::Refused, Finding::ProcessChurn],
        rules: &[kernel(
            "type=1326 ",
            r#"^audit: type=1326 audit\([0-9.:]+\): .*\bpid=(?P<pid>[0-9]+) (?:subj=[^ ]+ )?comm="?(?P<comm>[^" ]{1,32})"? .*\bsig=(?:31|9) "#,
        )],
        examples: &[
            (
                r#"audit: type=1326 audit(1764523.123:45): auid=1000 uid=1000 gid=1000 ses=2 pid=812 comm="sandbox" exe="/usr/bin/sandbox" sig=31 arch=c000003e syscall=110 compat=0 ip=0x7f2 code=0x80000000"#,
                "process sandbox (812)",
            ),
            (
                r#"audit: type=1326 audit(1.2:3): auid=4294967295 uid=33 gid=33 ses=4294967295 subj=unconfined pid=9 comm="php-fpm" exe="/usr/sbin/php-fpm" sig=9 arch=c00000b7 syscall=63 compat=0 ip=0x1 code=0x80000000"#,
                "process php-fpm (9)",
            ),
        ],
        near: &[
            r#"audit: type=1326 audit(1.2:3): auid=1 uid=1 gid=1 ses=1 pid=9 comm="logged" exe="/bin/x" sig=0 arch=c000003e syscall=1 compat=0 ip=0x1 code=0x7ffc0000"#,
        ],
    },
    Class {
        name: "access-denied",
        severity: Severity::Warning,
        doc: "AppArmor or SELinux denied a process something that file permissions allow. The line names the operation and the \
              object. The cure is the profile or policy, not the permissions.",
        explains: &[Finding::Refused, Finding::ErrorStorm],
        rules: &[
            kernel(
                "apparmor=\"DENIED\"",
                r#"^audit: type=1400 audit\([0-9.:]+\): apparmor="DENIED" .*\bpid=(?P<pid>[0-9]+) comm="?(?P<comm>[^"]{1,32}?)"?(?: |$)"#,
            ),
            kernel(
                "avc:  denied",
                r#"^audit: type=1400 audit\([0-9.:]+\): avc:  denied  \{ .*\bpid=(?P<pid>[0-9]+) comm="?(?P<comm>[^"]{1,32}?)"?(?: |$)"#,
            ),
        ],
        examples: &[
            (
                r#"audit: type=1400 audit(1.2:3): apparmor="DENIED" operation="open" class="file" profile="/usr/sbin/cupsd" name="/etc/x" pid=88 comm="cupsd" requested_mask="r" denied_mask="r" fsuid=0 ouid=0"#,
                "process cupsd (88)",
            ),
            (
                r#"audit: type=1400 audit(1.2:3): avc:  denied  { read } for  pid=5 comm="httpd" name="x" dev="sda1" ino=7 scontext=a tcontext=b tclass=file permissive=0"#,
                "process httpd (5)",
            ),
        ],
        near: &[
            r#"audit: type=1400 audit(1.2:3): apparmor="STATUS" operation="profile_load" name="x" pid=88 comm="apparmor_parser""#,
        ],
    },
    Class {
        name: "unit-killed-by-oomd",
        severity: Severity::Error,
        doc: "systemd-oomd killed the processes of a unit, because memory pressure or the use of swap passed its limit. Unlike \
              the kernel, it acts on the whole unit, long before memory is used up.",
        explains: &[Finding::Oom, Finding::Reclaim, Finding::Swap, Finding::HostMemory],
        rules: &[
            unit("systemd-oomd.service", "Killed /", r"^Killed (?P<cgroup>/[^ ]*) due to (?:memory|swap)"),
            init("d989611b15e44c9dbf31e3c81256e4ed", r"systemd-oomd killed "),
        ],
        examples: &[
            (
                "Killed /user.slice/user-1000.slice/app.scope due to memory pressure for /user.slice being 81.2% > 50.00% for > 20s with reclaim activity",
                "cgroup /user.slice/user-1000.slice/app.scope",
            ),
            (
                "Killed /system.slice/db.service due to swap used (92%) being more than 90%",
                "cgroup /system.slice/db.service",
            ),
            ("db.service: systemd-oomd killed 3 process(es) in this unit.", "unit db.service"),
        ],
        near: &["Considered /user.slice for killing, nothing to do"],
    },
];
