//! Rule files: from YAML to rules, each fault with its place and what cures it.

use std::collections::HashSet;
use std::fmt;

use super::{
    Alerting, DEPENDS_ON, Group, RECOVERY, Recording, Rule, Subject, Template, is_label, is_label_character,
    yaml,
};
use crate::labels::{Labels, NAME};
use crate::macros::Macros;
use crate::query::Query;

/// Longest rule file, bytes.
pub(super) const MAX_FILE_BYTES: usize = 1 << 20;
/// Most faults of a file that are told.
const MAX_FAULTS: usize = 100;
/// Longest time that a file can say, ms: a thousand years. A hundred thousand evaluations apart by it still have a time.
const MAX_MS: i64 = 1_000 * 31_536_000_000;

/// Where in a file, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Character of the line.
    pub column: usize,
}

/// A rule file is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
    /// What to do about it; empty: the message says all.
    pub cure: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place: Place { line, column }, message, cure } = self;
        write!(f, "{line}:{column}: {message}")?;
        if cure.is_empty() { Ok(()) } else { write!(f, "; {cure}") }
    }
}

impl std::error::Error for RuleError {}

impl RuleError {
    /// The same with what cures it.
    pub(super) fn cure(self, cure: impl Into<String>) -> Self {
        Self { cure: cure.into(), ..self }
    }
}

pub(super) fn fault(place: Place, message: impl Into<String>) -> RuleError {
    RuleError { place, message: message.into(), cure: String::new() }
}

/// What a file has: the rules that are right, and what is wrong with the others.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Groups; without the rules that are wrong.
    pub groups: Vec<Group>,
    /// In the order of the file.
    pub faults: Vec<RuleError>,
}

type Result<T> = std::result::Result<T, RuleError>;

impl Group {
    /// The groups of a file; the queries may call these functions. Fails at its first fault.
    pub fn parse(text: &str, macros: &Macros) -> Result<Vec<Self>> {
        let Parsed { groups, mut faults } = Self::parse_all(text, macros);
        if faults.is_empty() { Ok(groups) } else { Err(faults.swap_remove(0)) }
    }

    /// All that is right in a file, and all that is wrong.
    pub fn parse_all(text: &str, macros: &Macros) -> Parsed {
        let mut reading = Reading { macros, parsed: Parsed::default() };
        if let Err(fault) = reading.file(text) {
            reading.parsed.faults.push(fault);
        }
        let mut parsed = reading.parsed;
        parsed.faults.truncate(MAX_FAULTS);
        parsed
    }
}

struct Reading<'m> {
    macros: &'m Macros,
    parsed: Parsed,
}

impl Reading<'_> {
    fn file(&mut self, text: &str) -> Result<()> {
        if text.len() > MAX_FILE_BYTES {
            let message = format!("a rule file has at most {MAX_FILE_BYTES} bytes");
            return Err(fault(Place { line: 1, column: 1 }, message).cure("split it"));
        }
        let Some(file) = yaml::parse(text)? else { return Ok(()) };
        let mut file = file.map("a rule file", &["groups"])?;
        let Some(groups) = file.take("groups") else { return Ok(()) };
        let mut names = HashSet::new();
        for item in groups.list("groups")? {
            let place = item.place;
            match self.group(item) {
                Ok(group) if names.insert(group.name.clone()) => self.parsed.groups.push(group),
                Ok(group) => {
                    let message = format!("there is a group {} before this one", group.name);
                    self.parsed.faults.push(fault(place, message).cure("give one of them another name"));
                }
                Err(fault) => self.parsed.faults.push(fault),
            }
        }
        Ok(())
    }

    fn group(&mut self, item: yaml::Item) -> Result<Group> {
        const KEYS: [&str; 6] = ["name", "interval", "query_offset", "limit", "labels", "rules"];
        let mut fields = item.map("a group", &KEYS)?;
        let name = fields.take_text("name")?.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| fault(fields.place, "a group has a name").cure("add `name: …`"))?;
        let interval_ms = duration(&mut fields, "interval")?.filter(|ms| *ms > 0);
        let query_offset_ms = duration(&mut fields, "query_offset")?.unwrap_or(0);
        let limit = match fields.take("limit") {
            None => 0,
            Some(item) => {
                let place = item.place;
                let text = item.text("limit")?;
                text.parse().map_err(|_| fault(place, format!("limit: {text:?} is no whole number")))?
            }
        };
        let labels = labels_of(&mut fields)?;
        let items = fields.take("rules").map(|rules| rules.list("rules")).transpose()?.unwrap_or_default();
        let mut rules = Vec::new();
        for item in items {
            match rule(item, &labels, self.macros) {
                Ok(rule) => rules.push(rule),
                Err(fault) => self.parsed.faults.push(fault),
            }
        }
        Ok(Group { name, interval_ms, query_offset_ms, limit, rules })
    }
}

fn labels_of(fields: &mut yaml::Fields) -> Result<Vec<(String, String)>> {
    let Some(item) = fields.take("labels") else { return Ok(Vec::new()) };
    let place = item.place;
    let labels = item.texts("labels")?;
    match labels.iter().find(|(name, _)| name == NAME || !is_label(name)) {
        None => Ok(labels),
        Some((name, _)) => Err(fault(place, format!("{name:?} is not the name of a label"))
            .cure("a name has letters, digits and _, and begins with no digit")),
    }
}

fn rule(item: yaml::Item, of_group: &[(String, String)], macros: &Macros) -> Result<Rule> {
    const KEYS: [&str; 7] = ["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"];
    let mut fields = item.map("a rule", &KEYS)?;
    let place = fields.place;
    let (record, alert) = (fields.take_text("record")?, fields.take_text("alert")?);
    let expr =
        fields.take("expr").ok_or_else(|| fault(place, "a rule has an expr").cure("add `expr: <query>`"))?;
    let expr_place = expr.place;
    let text = expr.text("expr")?;
    let query =
        Query::parse_with(&text, macros).map_err(|error| fault(expr_place, format!("expr: {error}")))?;
    if !query.is_vector_or_scalar() {
        return Err(fault(expr_place, "expr: a rule needs an instant vector or a scalar")
            .cure("a range such as x[5m] goes into a function"));
    }
    let for_ms = duration(&mut fields, "for")?;
    let keep_firing_for_ms = duration(&mut fields, "keep_firing_for")?;
    let own = labels_of(&mut fields)?;
    let of_group = of_group.iter().filter(|(name, _)| own.iter().all(|(own, _)| own != name)).cloned();
    let labels: Vec<(String, String)> = of_group.chain(own.iter().cloned()).collect();
    let annotations = fields.take("annotations").map(|texts| texts.texts("annotations")).transpose()?;
    let is_named = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
    match (is_named(&record), is_named(&alert)) {
        (true, false) => {
            if for_ms.is_some() || keep_firing_for_ms.is_some() || annotations.is_some() {
                return Err(
                    fault(place, "for, keep_firing_for and annotations are of alerts").cure("take them away")
                );
            }
            let name = record.unwrap_or_default();
            if !is_metric(&name) {
                return Err(fault(place, format!("{name:?} is not the name of a metric"))
                    .cure("a name has letters, digits, _ and :, and begins with no digit"));
            }
            Ok(Rule::Record(Recording { name, text, query, labels }))
        }
        (false, true) => alerting(
            place,
            Alerting {
                name: alert.unwrap_or_default(),
                text,
                query,
                for_ms: for_ms.unwrap_or(0),
                keep_firing_for_ms: keep_firing_for_ms.unwrap_or(0),
                labels: templates(labels, place)?,
                annotations: templates(annotations.unwrap_or_default(), place)?,
                recovery: None,
                depends_on: Vec::new(),
            },
            macros,
        )
        .map(Rule::Alert),
        _ => Err(fault(place, "a rule has either a record or an alert").cure("name one of them")),
    }
}

/// The rule with what two of its annotations say.
fn alerting(place: Place, mut rule: Alerting, macros: &Macros) -> Result<Alerting> {
    let annotation = |name: &str| rule.annotations.iter().find(|(own, ..)| own == name);
    if let Some((_, template, _)) = annotation(RECOVERY) {
        let nothing = Labels::default();
        let wrong = |error: String| fault(place, format!("{RECOVERY}: {error}"));
        let text = template.try_fill(&Subject::new(0.0, &nothing, &nothing)).map_err(wrong)?;
        Query::parse_with(&text, macros).map_err(|error| wrong(error.to_string()))?;
        rule.recovery = Some(template.clone());
    }
    if let Some((.., text)) = annotation(DEPENDS_ON) {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
        rule.depends_on = names.collect();
        if rule.depends_on.contains(&rule.name) {
            return Err(fault(place, format!("{DEPENDS_ON}: {} depends on itself", rule.name)));
        }
    }
    Ok(rule)
}

fn templates(texts: Vec<(String, String)>, place: Place) -> Result<Vec<(String, Template, String)>> {
    let template = |(name, text): (String, String)| match Template::parse(&text) {
        Ok(template) => Ok((name, template, text)),
        Err(error) => Err(fault(place, format!("{name}: {error}"))),
    };
    texts.into_iter().map(template).collect()
}

fn is_metric(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| is_label_character(c) || c == ':')
}

pub(super) fn duration(fields: &mut yaml::Fields, key: &str) -> Result<Option<i64>> {
    let Some(item) = fields.take(key) else { return Ok(None) };
    let place = item.place;
    let text = item.text(key)?;
    crate::duration::milliseconds(&text).filter(|ms| *ms <= MAX_MS).map(Some).ok_or_else(|| {
        fault(place, format!("{key}: {text:?} is no duration")).cure("write it as 30s, 5m or 1h30m")
    })
}
