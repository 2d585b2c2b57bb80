//! What is known of each rule: for the API, and for whoever wonders why a rule does nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use promql::{Alert, Group, Macros, Rule};

use super::Loaded;

/// A group and its last evaluation.
#[derive(Debug, Clone)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// From one evaluation to the next, ms.
    pub interval_ms: i64,
    /// Most series of a rule; 0: no limit of its own.
    pub limit: usize,
    /// When it was evaluated last, Unix ms.
    pub evaluated_ms: Option<i64>,
    /// How long that took.
    pub took: Duration,
    /// Evaluations that were left out since they came too late.
    pub missed: u64,
    /// Its rules, in the order of the file.
    pub rules: Vec<RuleStatus>,
}

/// A rule and its last evaluation.
#[derive(Debug, Clone)]
pub struct RuleStatus {
    /// What it records, or its alert's name.
    pub name: String,
    /// Its query as the file has it.
    pub query: String,
    /// Labels that it adds, as the file has them.
    pub labels: Vec<(String, String)>,
    /// Of an alert.
    pub alerting: Option<AlertingStatus>,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// When it was evaluated last, Unix ms.
    pub evaluated_ms: Option<i64>,
    /// How long that took.
    pub took: Duration,
}

/// What only alerts have.
#[derive(Debug, Clone, Default)]
pub struct AlertingStatus {
    /// How long a series must be there, ms.
    pub for_ms: i64,
    /// How long the alert goes on without its series, ms.
    pub keep_firing_for_ms: i64,
    /// Texts, as the file has them.
    pub annotations: Vec<(String, String)>,
    /// The alerts; resolved ones for a quarter of an hour.
    pub alerts: Vec<Alert>,
}

/// All groups. Written by the thread of the rules, read by the API.
#[derive(Debug, Default)]
pub struct Board {
    groups: Mutex<Vec<GroupStatus>>,
    macros: Macros,
    faults: Vec<String>,
}

impl Board {
    pub(super) fn new(loaded: &Loaded) -> Self {
        let groups = loaded.groups.iter().map(|(file, group)| of_group(file, group, loaded.interval_ms));
        Self {
            groups: Mutex::new(groups.collect()),
            macros: loaded.macros.clone(),
            faults: loaded.faults.clone(),
        }
    }

    /// All groups as they are now.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupStatus> {
        self.lock().clone()
    }

    /// The functions that queries may call.
    #[must_use]
    pub const fn macros(&self) -> &Macros {
        &self.macros
    }

    /// What is wrong with the rule files.
    #[must_use]
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    pub(super) fn update(&self, place: usize, with: impl FnOnce(&mut GroupStatus)) {
        if let Some(group) = self.lock().get_mut(place) {
            with(group);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<GroupStatus>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_group(file: &str, group: &Group, interval_ms: i64) -> GroupStatus {
    GroupStatus {
        name: group.name.clone(),
        file: file.to_owned(),
        interval_ms: super::interval_ms(group, interval_ms),
        limit: group.limit,
        evaluated_ms: None,
        took: Duration::ZERO,
        missed: 0,
        rules: group.rules.iter().map(of_rule).collect(),
    }
}

fn of_rule(rule: &Rule) -> RuleStatus {
    let texts = |all: &[(String, promql::Template, String)]| {
        all.iter().map(|(name, _, text)| (name.clone(), text.clone())).collect::<Vec<_>>()
    };
    let (labels, alerting) = match rule {
        Rule::Record(rule) => (rule.labels.clone(), None),
        Rule::Alert(rule) => {
            let alerting = AlertingStatus {
                for_ms: rule.for_ms,
                keep_firing_for_ms: rule.keep_firing_for_ms,
                annotations: texts(&rule.annotations),
                alerts: Vec::new(),
            };
            (texts(&rule.labels), Some(alerting))
        }
    };
    RuleStatus {
        name: rule.name().to_owned(),
        query: rule.text().to_owned(),
        labels,
        alerting,
        error: None,
        evaluated_ms: None,
        took: Duration::ZERO,
    }
}
