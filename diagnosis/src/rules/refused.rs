//! # `refused`: a resource that is not to be had, again and again
//!
//! **Class** `refused`; subject and culprit are the process.
//!
//! **What.** Processes of one name and parent are refused by one call with one errno twice a second (to stay, and in four of
//! five windows: once), in at least so much of these calls:
//!
//! | errno | calls | share |
//! |---|---|---|
//! | `ENOSPC`, `EDQUOT` | that put something into a file system | 5 % |
//! | `EROFS`, `EIO` | writing and making durable | 5 % |
//! | `EMFILE`, `ENFILE` | that make a descriptor | 5 % |
//! | `EAGAIN`, `ENOMEM` | `clone`, `fork` | 5 % |
//! | `EADDRNOTAVAIL`, 100 a second | `connect` | 5 % |
//! | `ENOMEM` | `mmap`, `mprotect` | 50 % |
//! | `ENOSPC`, `EMFILE` | `inotify_add_watch`, `inotify_init` | 50 % |
//!
//! Elsewhere these are answers like any other.
//!
//! **Why.** A full disk, a limit that is reached: nothing gets on, and to all that counts work the process looks idle. What it
//! sleeps before it tries again is lost.
//!
//! **Cure.** Give it what it wants, or raise the limit: the finding says which. Who calls: `agent flamegraph --pid …`.

use super::lost::process_culprit;
use super::refusals;
use super::{Class, Need, Rule, Suspicion, Trend, Verdict, verdict};
use crate::facts::{Facts, Want};

pub(super) const RULE: Rule =
    Rule { name: "refused", classes: &[Class::Refused], needs: Need::Syscalls, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let wanted = refusals::lasting(facts, |want| matches!(want, Want::Resource(_)));
    let suspicions = wanted.map(|(refused, unit, level)| {
        let mut suspicion: Suspicion = refused.suspect(facts, RULE.name, Class::Refused, level);
        suspicion.culprit_unit = Some(unit.at);
        let finding = &mut suspicion.finding;
        finding.culprit = Some(process_culprit(unit));
        if let Want::Resource(why) = refused.want {
            finding.advice = format!("{} is refused, and tries again: {why}", unit.comm);
        }
        suspicion
    });
    verdict(suspicions.collect())
}
