//! Metrics as text: Prometheus's format 0.0.4, or OpenMetrics 1.0, which differ in how counters are named and in the end.

use std::fmt::Write as _;

use promql::plain;

/// The text as it grows.
pub(super) struct Page {
    text: String,
    open_metrics: bool,
}

/// A metric of it.
pub(super) struct Family<'a> {
    page: &'a mut Page,
    name: String,
}

impl Page {
    pub(super) const fn new(open_metrics: bool) -> Self {
        Self { text: String::new(), open_metrics }
    }

    /// A metric that only rises; its name ends with `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str) -> Family<'_> {
        // OpenMetrics calls the family without what its samples end with.
        let family = name.strip_suffix("_total").filter(|_| self.open_metrics).unwrap_or(name).to_owned();
        self.family(&family, name, "counter", help)
    }

    /// A metric that rises and falls.
    pub(super) fn gauge(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, name, "gauge", help)
    }

    fn family(&mut self, family: &str, name: &str, kind: &str, help: &str) -> Family<'_> {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let help = if self.open_metrics { help.replace('"', "\\\"") } else { help };
        let _ = writeln!(self.text, "# HELP {family} {help}\n# TYPE {family} {kind}");
        Family { page: self, name: name.to_owned() }
    }

    pub(super) fn end(mut self) -> String {
        if self.open_metrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Family<'_> {
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        let text = &mut self.page.text;
        text.push_str(&self.name);
        for (nth, (name, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(text, "{}{name}=\"{value}\"", if nth == 0 { '{' } else { ',' });
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(text, "{end} {}", plain(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(open_metrics: bool) -> String {
        let mut page = Page::new(open_metrics);
        page.counter("a_total", "Of \"a\".").sample(&[("b", "c\"\\\nd"), ("e", "")], 2.5);
        page.gauge("f", "F.").sample(&[], f64::NAN);
        page.end()
    }

    #[test]
    fn both_formats_are_as_their_readers_want_them() {
        let sample = "a_total{b=\"c\\\"\\\\\\nd\",e=\"\"} 2.5\n";
        let gauge = "# HELP f F.\n# TYPE f gauge\nf NaN\n";
        assert_eq!(page(false), format!("# HELP a_total Of \"a\".\n# TYPE a_total counter\n{sample}{gauge}"));
        let help = "# HELP a Of \\\"a\\\".\n# TYPE a counter\n";
        assert_eq!(page(true), format!("{help}{sample}{gauge}# EOF\n"));
    }
}
