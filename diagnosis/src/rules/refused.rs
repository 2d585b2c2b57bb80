//! # `refused`: the kernel refuses a resource, again and again
//!
//! **Class** `refused`; subject and culprit are the process.
//!
//! **What.** One call of processes of one name and parent fails with one errno twice a second (to stay, and in four of
//! five windows: once), in at least this share of the calls:
//!
//! | errno | calls | share |
//! |---|---|---|
//! | `ENOSPC`, `EDQUOT` | that store data or names in a file system | 5 % |
//! | `EROFS`, `EIO` | writes and syncs | 5 % |
//! | `EMFILE`, `ENFILE` | that open a descriptor | 5 % |
//! | `EAGAIN`, `ENOMEM` | `clone`, `fork` | 5 % |
//! | `EADDRNOTAVAIL`, 100 a second | `connect` | 5 % |
//! | `ENOMEM` | `mmap`, `mprotect` | 50 % |
//! | `ENOSPC`, `EMFILE` | `inotify_add_watch`, `inotify_init` | 50 % |
//!
//! Elsewhere these errnos are normal answers.
//!
//! **Why.** A full disk, a limit that is reached: no work is done, and to every counter of work the process looks idle. The sleep
//! between two tries is lost time.
//!
//! **Cure.** Provide the resource, or raise the limit: the finding names it. The caller: `agent flamegraph --pid …`.

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
            finding.advice = format!("{} fails and tries again: {why}", unit.comm);
        }
        suspicion
    });
    verdict(suspicions.collect())
}
