//! Limits that were reached.

use agent_common::wire::finding::Class as Finding;

use super::super::class::{Class, init, kernel, unit};
use crate::Severity;

pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "files-full",
        severity: Severity::Error,
        doc: "The host has as many open files as `fs.file-max` allows: open, accept and fork fail everywhere.",
        explains: &[Finding::TableFull, Finding::FdLeak, Finding::ErrorStorm],
        rules: &[kernel("file-max limit", r"^VFS: file-max limit [0-9]+ reached")],
        examples: &[
            ("VFS: file-max limit 9223 reached", "host"),
            ("VFS: file-max limit 1024 reached", "host"),
        ],
        near: &["VFS: Disk quotas dquot_6.6.0"],
    },
    Class {
        name: "pids-full",
        severity: Severity::Error,
        doc: "A cgroup has as many tasks as its `pids.max` allows (`TasksMax=` of a unit): fork and new threads fail in it.",
        explains: &[Finding::TableFull, Finding::ThreadLeak, Finding::ZombieLeak, Finding::ErrorStorm],
        rules: &[kernel(
            "fork rejected by pids",
            r"^cgroup: fork rejected by pids controller in (?P<cgroup>/.*)$",
        )],
        examples: &[
            (
                "cgroup: fork rejected by pids controller in /system.slice/web.service",
                "cgroup /system.slice/web.service",
            ),
            (
                "cgroup: fork rejected by pids controller in /user.slice/user-1000.slice",
                "cgroup /user.slice/user-1000.slice",
            ),
        ],
        near: &["cgroup: Disabling pids control group subsystem"],
    },
    Class {
        name: "audit-lost",
        severity: Severity::Warning,
        doc: "Audit records came faster than they were taken, and some were lost. Raise `-b` of auditctl, or audit less.",
        explains: &[],
        rules: &[
            kernel("backlog limit exceeded", r"^audit: backlog limit exceeded"),
            kernel("audit_lost=", r"^audit: audit_lost=[0-9]+ audit_rate_limit="),
        ],
        examples: &[
            ("audit: backlog limit exceeded", "host"),
            ("audit: audit_lost=12 audit_rate_limit=0 audit_backlog_limit=64", "host"),
        ],
        near: &["audit: initializing netlink subsys (disabled)"],
    },
    Class {
        name: "log-lines-lost",
        severity: Severity::Notice,
        doc: "Lines were left out, because one program or one place in the kernel wrote too many. What you look for may be among them.",
        explains: &[Finding::ErrorStorm],
        rules: &[
            kernel("callbacks suppressed", r"^(?P<function>[A-Za-z0-9_]+): [0-9]+ callbacks suppressed"),
            kernel("messages dropped", r"^(?:printk: )?(?:\*\* )?[0-9]+ (?:printk )?messages dropped"),
            unit(
                "systemd-journald.service",
                "Suppressed ",
                r"^Suppressed [0-9]+ messages from (?P<unit>[^ ]+)",
            ),
        ],
        examples: &[
            ("net_ratelimit: 12 callbacks suppressed", "function net_ratelimit"),
            ("** 218 printk messages dropped **", "host"),
            ("Suppressed 4211 messages from web.service", "unit web.service"),
        ],
        near: &["Suppressed output of the tool"],
    },
    Class {
        name: "perf-throttled",
        severity: Severity::Info,
        doc: "Sampling interrupts took too long, so the kernel lowered their highest frequency. Profiles have fewer samples from now on.",
        explains: &[],
        rules: &[kernel(
            "interrupt took too long",
            r"^perf: interrupt took too long \([0-9]+ > [0-9]+\), lowering",
        )],
        examples: &[
            (
                "perf: interrupt took too long (2507 > 2500), lowering kernel.perf_event_max_sample_rate to 79750",
                "host",
            ),
            (
                "perf: interrupt took too long (6012 > 5980), lowering kernel.perf_event_max_sample_rate to 33000",
                "host",
            ),
        ],
        near: &["perf: AMD IBS detected (0x000000ff)"],
    },
    Class {
        name: "unit-start-limit",
        severity: Severity::Error,
        doc: "A unit was started too often within a short time, and systemd gave up on it. `systemctl reset-failed UNIT` allows another \
              start; see why it ends.",
        explains: &[Finding::ProcessChurn, Finding::NetConnect],
        rules: &[init("d9b373ed55a64feb8242e02dbe79a49c", r"Failed with result 'start-limit-hit'")],
        examples: &[
            ("web.service: Failed with result 'start-limit-hit'.", "unit web.service"),
            ("db.socket: Failed with result 'start-limit-hit'.", "unit db.socket"),
        ],
        near: &["web.service: Start limit of 5 configured."],
    },
];
