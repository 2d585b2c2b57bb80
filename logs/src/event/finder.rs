//! Which class a line is of. Almost all lines are of none, so a search for a few literals goes first.

use std::sync::LazyLock;

use regex::{Regex, RegexSet, RegexSetBuilder};

use super::class::{Class, Rule, Source};
use super::classes::TABLES;
use super::subject::Subject;
use crate::Record;

/// Begins a trace; its class comes with a later line.
pub(super) const CUT_HERE: &str = "[ cut here ]";
/// The kernel says which cgroup's limit was reached before it says whom it killed.
pub(super) const OOM_CONSTRAINT: &str = "oom-kill:constraint=CONSTRAINT_MEMCG";
/// Bytes of a line that are read. A record of the kernel has at most 1 KiB.
pub(super) const MAX_LINE_BYTES: usize = 4_096;
/// Room for the compiled patterns; they need about 4 MiB.
const MAX_REGEX_BYTES: usize = 64 << 20;

/// A line's class.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) class: &'static Class,
    pub(super) source: Source,
    pub(super) subject: Subject,
}

struct Kernel {
    needles: Regex,
    set: RegexSet,
    rules: Vec<(&'static Class, &'static Rule, Regex)>,
}

/// All classes, in the order in which they are tried.
pub(super) fn all() -> impl Iterator<Item = &'static Class> {
    TABLES.iter().flat_map(|table| table.iter())
}

fn rules() -> impl Iterator<Item = (&'static Class, &'static Rule)> {
    all().flat_map(|class| class.rules.iter().map(move |rule| (class, rule)))
}

fn compile(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a test compiles each pattern of the tables")
}

static KERNEL: LazyLock<Kernel> = LazyLock::new(|| {
    let rules: Vec<(&'static Class, &'static Rule, Regex)> = rules()
        .filter(|(_, rule)| matches!(rule.source, Source::Kernel | Source::Trace(_) | Source::Alone))
        .map(|(class, rule)| (class, rule, compile(rule.pattern)))
        .collect();
    let mut needles: Vec<String> =
        rules.iter().flat_map(|(_, rule, _)| rule.needle.split('|')).map(regex::escape).collect();
    needles.extend([regex::escape(CUT_HERE), regex::escape(OOM_CONSTRAINT)]);
    needles.sort_unstable();
    needles.dedup();
    let set = RegexSetBuilder::new(rules.iter().map(|(_, rule, _)| rule.pattern))
        .size_limit(MAX_REGEX_BYTES)
        .dfa_size_limit(MAX_REGEX_BYTES)
        .build()
        .expect("a test compiles the set of all patterns");
    Kernel { needles: compile(&needles.join("|")), set, rules }
});

static UNIT: LazyLock<Vec<(&'static Class, &'static Rule, Regex)>> = LazyLock::new(|| {
    rules()
        .filter(|(_, rule)| matches!(rule.source, Source::Unit(_) | Source::Init(_)))
        .map(|(class, rule)| (class, rule, compile(rule.pattern)))
        .collect()
});

/// Whether a line of the kernel may be of any class.
pub(super) fn may_be(text: &str) -> bool {
    KERNEL.needles.is_match(text)
}

/// The class of a line that the kernel wrote.
pub(super) fn of_kernel(text: &str) -> Option<Found> {
    let kernel = &*KERNEL;
    let (class, rule, regex) = &kernel.rules[kernel.set.matches(text).iter().next()?];
    let captures = regex.captures(text)?;
    Some(Found { class, source: rule.source, subject: Subject::of(&captures) })
}

/// A field of a journal entry.
pub(super) fn field<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    record.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// The class of an entry of the journal. Fields that begin with `_` are journald's own word; all others any process can set.
pub(super) fn of_journal(record: &Record, text: &str) -> Option<Found> {
    let unit = field(record, "_SYSTEMD_UNIT");
    let id = field(record, "MESSAGE_ID").filter(|_| field(record, "_PID") == Some("1"));
    // A user can name a unit of his own like one of the system.
    let unit = unit.filter(|_| field(record, "_SYSTEMD_USER_UNIT").is_none());
    if id.is_none() && unit.is_none() {
        return None;
    }
    UNIT.iter().find_map(|(class, rule, regex)| {
        let fits = match rule.source {
            Source::Init(of) => id == Some(of),
            Source::Unit(of) => unit.is_some_and(|unit| unit.starts_with(of)) && text.contains(rule.needle),
            _ => false,
        };
        let captures = if fits { regex.captures(text)? } else { return None };
        let mut subject = Subject::of(&captures);
        if subject == Subject::HOST
            && matches!(rule.source, Source::Init(_))
            && let Some(unit) = field(record, "UNIT").or_else(|| field(record, "USER_UNIT"))
        {
            subject = Subject::new(super::SubjectKind::Unit, unit, 0);
        }
        Some(Found { class, source: rule.source, subject })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_patterns_compile_and_name_known_groups() {
        let known: Vec<&str> =
            super::super::subject::GROUPS.iter().map(|(name, _)| *name).chain(["pid"]).collect();
        for (class, rule) in rules() {
            let regex = Regex::new(rule.pattern).unwrap();
            for name in regex.capture_names().flatten() {
                assert!(known.contains(&name), "{}: {name}", class.name);
            }
        }
        assert!(KERNEL.set.len() > 80);
        assert!(!UNIT.is_empty());
    }
}
