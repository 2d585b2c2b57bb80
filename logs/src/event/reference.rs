//! The reference page of all classes, made of the tables.

use std::fmt::Write as _;

use super::class::{Class, Source};
use super::finder::all;

/// Markdown of all classes: what each means, which lines it is made of, what it may explain.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Events\n\nWhat the kernel and systemd say about a host, as events. Only the kernel's own lines count (facility 0), and of the \
         journal only entries of PID 1 and of systemd's own units: nobody else can make an event. The same class and subject within \
         60 s are one event with a count; all lines of one kernel trace are one event.\n\n\
         | class | severity | may explain |\n|---|---|---|\n",
    );
    for class in all() {
        let _ = writeln!(page, "| [`{0}`](#{0}) | {1} | {2} |", class.name, class.severity, explains(class));
    }
    for class in all() {
        let _ = write!(page, "\n## {}\n\n{}\n\nSeverity: {}.", class.name, class.doc, class.severity);
        if !class.explains.is_empty() {
            let _ = write!(page, " May explain: {}.", explains(class));
        }
        page.push_str("\n\n| who writes it | pattern |\n|---|---|\n");
        for rule in class.rules {
            let who = match rule.source {
                Source::Kernel => "kernel".to_owned(),
                Source::Trace(_) | Source::Alone => "kernel, a trace".to_owned(),
                Source::Unit(unit) => format!("unit `{unit}…`"),
                Source::Init(id) => format!("PID 1, message id `{id}`"),
            };
            let _ = writeln!(page, "| {who} | `{}` |", rule.pattern.replace('|', "\\|"));
        }
        if let Some((line, subject)) = class.examples.first() {
            let _ = write!(page, "\n```text\n{line}\n```\n\nSubject: {subject}.\n");
        }
    }
    page
}

fn explains(class: &Class) -> String {
    class.explains.iter().map(|finding| format!("`{finding}`")).collect::<Vec<_>>().join(", ")
}
