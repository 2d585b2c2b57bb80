//! systemd's units.

use agent_common::wire::finding::Class as Finding;

use super::super::class::{Class, init};
use crate::Severity;

pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "unit-restart-loop",
        severity: Severity::Error,
        doc: "A unit ended and was started again three times within ten minutes. Whoever uses it sees refused connections in between. \
              The post-mortem says why it ends.",
        explains: &[Finding::ProcessChurn, Finding::NetConnect, Finding::Dns],
        rules: &[init(RESTART_SCHEDULED, r"Scheduled restart job, restart counter is at [0-9]+")],
        examples: &[
            ("web.service: Scheduled restart job, restart counter is at 3.", "unit web.service"),
            ("db@1.service: Scheduled restart job, restart counter is at 12.", "unit db@1.service"),
        ],
        near: &["web.service: Service RestartSec=100ms expired."],
    },
    Class {
        name: "unit-failed",
        severity: Severity::Error,
        doc: "A unit ended badly or did not start. The result is `exit-code`, `signal`, `core-dump`, `timeout`, `watchdog`, `oom-kill`, \
              `protocol` or `resources`. `systemctl status UNIT` and the post-mortem say more.",
        explains: &[Finding::ProcessChurn, Finding::NetConnect, Finding::Dns],
        rules: &[
            init("d9b373ed55a64feb8242e02dbe79a49c", r"Failed with result '[a-z-]+'"),
            init("be02cf6855d2428ba40df7e9d022f03d", r"^Failed to (?:start|mount|listen|activate)"),
        ],
        examples: &[
            ("web.service: Failed with result 'exit-code'.", "unit web.service"),
            ("db.service: Failed with result 'oom-kill'.", "unit db.service"),
            ("Failed to start web.service - A web server.", "unit web.service"),
        ],
        near: &["web.service: Deactivated successfully."],
    },
];

/// Message id of a restart that was scheduled.
pub(in crate::event) const RESTART_SCHEDULED: &str = "5eb03494b6584870a536b337290809b3";
