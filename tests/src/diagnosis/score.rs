//! What all outcomes come to.

use std::collections::BTreeMap;

use super::run::Outcome;

/// Outcomes of one kind: bare, or beside a load.
#[derive(Debug, Default)]
pub struct Score {
    /// Cases whose fault did harm.
    pub cases: usize,
    /// Void ones, by name: their fault did no harm in either try.
    pub void: Vec<&'static str>,
    /// Cases that were run twice.
    pub retried: usize,
    /// The report's first finding, about any process, has the expected class.
    pub first_of_all: usize,
    /// And the right culprit.
    pub first_culprit: usize,
    /// Alerts about any process in seconds in which nothing was wrong.
    pub all_calm_alerts: usize,
    /// The expected class came first.
    pub top1: usize,
    /// It was among the first three.
    pub top3: usize,
    /// With the right culprit.
    pub culprit: usize,
    /// It opened an alert.
    pub detected: usize,
    /// The report named a class that the case forbids.
    pub astray: usize,
    /// Seconds to the alert, each case's.
    pub seconds: Vec<usize>,
    /// Seconds in which nothing was wrong, and alerts in them.
    pub calm: (usize, usize),
    /// Expected class: said class: times.
    pub matrix: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Score {
    /// Of these outcomes.
    pub fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Self {
        let mut score = Self::default();
        for outcome in outcomes {
            score.calm.0 += outcome.calm;
            score.calm.1 += outcome.false_alerts.len();
            score.all_calm_alerts += outcome.false_alerts.len() + outcome.calm_others.len();
            score.retried += usize::from(outcome.tries > 1);
            if outcome.case.is_decoy() {
                score.calm.0 += super::run::FAULTY;
                score.calm.1 += outcome.more.len();
                score.all_calm_alerts += outcome.more.len() + outcome.others.len();
                score.say("healthy", if outcome.is_right() { "nothing" } else { outcome.said() });
                continue;
            }
            if outcome.is_void() {
                score.void.push(outcome.case.name);
                continue;
            }
            score.cases += 1;
            score.top1 += usize::from(outcome.class_in(1));
            score.top3 += usize::from(outcome.class_in(3));
            score.culprit += usize::from(outcome.culprit());
            let (class, culprit) = outcome.first_of_all();
            score.first_of_all += usize::from(class);
            score.first_culprit += usize::from(culprit);
            score.detected += usize::from(outcome.detected.is_some());
            score.astray += usize::from(outcome.forbidden().next().is_some());
            score.seconds.extend(outcome.detected);
            let said = if outcome.class_in(1) { outcome.case.class[0] } else { outcome.said() };
            score.say(outcome.case.class[0], said);
        }
        score.seconds.sort_unstable();
        score
    }

    fn say(&mut self, expected: &str, said: &str) {
        *self.matrix.entry(expected.to_owned()).or_default().entry(said.to_owned()).or_default() += 1;
    }

    /// As text.
    #[must_use]
    pub fn text(&self, title: &str) -> String {
        let share = |count: usize| {
            format!("{count}/{} = {:.0} %", self.cases, 100.0 * count as f64 / self.cases.max(1) as f64)
        };
        let at = |share: f64| {
            self.seconds
                .get(((self.seconds.len() as f64 * share) as usize).min(self.seconds.len().saturating_sub(1)))
        };
        let mut lines = vec![format!(
            "== {title}: {} cases, {} void in both tries ({}), {} run twice",
            self.cases,
            self.void.len(),
            self.void.join(" "),
            self.retried
        )];
        lines.push("-- the whole report, as a user reads it".to_owned());
        lines.push(format!("class first           {}", share(self.first_of_all)));
        lines.push(format!("and its culprit       {}", share(self.first_culprit)));
        lines.push(format!(
            "false alerts          {} in {} s that were well",
            self.all_calm_alerts, self.calm.0
        ));
        lines.push("-- findings about the case's processes alone".to_owned());
        lines.push(format!("class first           {}", share(self.top1)));
        lines.push(format!("class in first three  {}", share(self.top3)));
        lines.push(format!("culprit               {}", share(self.culprit)));
        lines.push(format!("alert opened          {}", share(self.detected)));
        lines.push(format!("led astray            {}", share(self.astray)));
        lines.push(format!(
            "seconds to the alert  median {}, longest {}",
            at(0.5).map_or("-".to_owned(), ToString::to_string),
            self.seconds.last().map_or("-".to_owned(), ToString::to_string)
        ));
        let hours = self.calm.0 as f64 / 3600.0;
        lines.push(format!(
            "false alerts          {} in {} s that were well: {:.1} an hour",
            self.calm.1,
            self.calm.0,
            self.calm.1 as f64 / hours.max(f64::MIN_POSITIVE)
        ));
        lines.push("expected → said".to_owned());
        for (expected, said) in &self.matrix {
            let said: Vec<_> = said.iter().map(|(class, count)| format!("{class} {count}")).collect();
            lines.push(format!("  {expected:<20}→ {}", said.join(", ")));
        }
        lines.join("\n")
    }
}
