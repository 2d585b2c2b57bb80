//! Copies of messages in which every foreign word is safe to show: for texts, screens and pages made of them.

use super::finding::{Alert, Class, Finding};
use super::report::{Coverage, ProcessDetail, Report, SyscallsReport};
use crate::text::{clean, make_clean};

impl Alert {
    /// With every text cleaned.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        make_clean(&mut self.id);
        make_clean(&mut self.host);
        clean_finding(&mut self.finding);
        if let Some(of_rule) = &mut self.of_rule {
            // A description may have several lines.
            let lines = |text: &str| text.split('\n').map(clean).collect::<Vec<_>>().join("\n");
            for texts in [&mut of_rule.labels, &mut of_rule.annotations] {
                *texts = std::mem::take(texts)
                    .into_iter()
                    .map(|(name, text)| (clean(&name), lines(&text)))
                    .collect();
            }
        }
        self
    }
}

impl Report {
    /// With every text cleaned.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        make_clean(&mut self.verdict);
        make_clean(&mut self.host);
        clean_coverage(&mut self.coverage);
        for process in &mut self.processes {
            make_clean(&mut process.comm);
            make_clean(&mut process.cgroup);
            process.place.make_clean();
        }
        self.findings.iter_mut().for_each(clean_finding);
        self.process.iter_mut().for_each(clean_detail);
        self.unknown.iter_mut().for_each(make_clean);
        if let Some(past) = &mut self.past {
            past.alerts = std::mem::take(&mut past.alerts).into_iter().map(Alert::cleaned).collect();
        }
        self
    }
}

impl SyscallsReport {
    /// With every text cleaned.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        clean_coverage(&mut self.coverage);
        for row in &mut self.rows {
            make_clean(&mut row.comm);
            make_clean(&mut row.syscall);
            row.errnos.iter_mut().for_each(|errno| make_clean(&mut errno.errno));
        }
        self
    }
}

fn clean_finding(finding: &mut Finding) {
    let Finding {
        rule,
        class,
        subject,
        culprit,
        evidence,
        stacks,
        alternatives,
        caused,
        advice,
        headline,
        places,
        ..
    } = finding;
    for found in places {
        found.place.make_clean();
    }
    let whom = culprit.iter_mut().flat_map(|culprit| [Some(&mut culprit.kind), culprit.comm.as_mut()]);
    let whom = whom.chain([Some(&mut subject.kind), subject.comm.as_mut()]).flatten();
    whom.chain([rule, advice]).chain(stacks).chain(headline).for_each(make_clean);
    // Only names that this program does not know are foreign text.
    for class in std::iter::once(class).chain(caused) {
        if let Class::External(name) = class {
            let mut text = name.to_string();
            make_clean(&mut text);
            *name = text.into();
        }
    }
    for one in evidence {
        make_clean(&mut one.what);
        make_clean(&mut one.unit);
    }
    for other in alternatives {
        make_clean(&mut other.class);
        make_clean(&mut other.why_not);
    }
}

fn clean_coverage(coverage: &mut Coverage) {
    make_clean(&mut coverage.syscall_tier);
    coverage.missing.iter_mut().for_each(make_clean);
}

fn clean_detail(detail: &mut ProcessDetail) {
    detail.threads.iter_mut().for_each(|thread| make_clean(&mut thread.comm));
    detail.ran_meanwhile.iter_mut().for_each(|ran| make_clean(&mut ran.comm));
    for wait in &mut detail.waits {
        make_clean(&mut wait.state);
        [&mut wait.syscall, &mut wait.target, &mut wait.waker].into_iter().flatten().for_each(make_clean);
    }
}
