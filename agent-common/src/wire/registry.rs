//! Every metric that s7mpa publishes: name, unit, meaning. The reference page `agent/METRICS.md` is made from it.

mod table;

use std::fmt::Write as _;

/// What a value is measured in. A field's suffix says it too: `_ns`, `_bytes`, `_pct`, nothing for counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Bytes.
    Bytes,
    /// Percent.
    Pct,
    /// A number of things.
    Count,
    /// A number without a unit.
    Ratio,
    /// true or false.
    Flag,
    /// One letter.
    Letter,
}

impl Unit {
    /// How the reference page names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ns => "ns",
            Self::Bytes => "bytes",
            Self::Pct => "%",
            Self::Count => "count",
            Self::Ratio => "1",
            Self::Flag => "bool",
            Self::Letter => "letter",
        }
    }
}

/// How values behave over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The amount of one window (a difference, never a running total): add it up over windows and rows, divide by
    /// the span for a rate.
    Counter,
    /// The level at the end of the window.
    Gauge,
}

impl Kind {
    /// How the reference page names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// Who makes the points of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The head of a metrics payload ([`super::head::WindowHead`]).
    Head,
    /// The collector, from a window.
    Window,
}

/// A tag: part of the identity of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// Its key.
    pub name: &'static str,
    /// What its value is.
    pub meaning: &'static str,
}

/// A field: one metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// What its value is measured in.
    pub unit: Unit,
    /// How its values behave over time.
    pub kind: Kind,
    /// What it means.
    pub meaning: &'static str,
}

/// A measurement: points with the same tags and fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measurement {
    /// Its name.
    pub name: &'static str,
    /// Who makes it.
    pub origin: Origin,
    /// What a point of it is about.
    pub meaning: &'static str,
    /// Its tags.
    pub tags: &'static [Tag],
    /// Its fields.
    pub fields: &'static [Field],
}

/// All measurements.
pub fn measurements() -> impl Iterator<Item = &'static Measurement> {
    table::GROUPS.into_iter().flatten()
}

/// One measurement.
#[must_use]
pub fn measurement(name: &str) -> Option<&'static Measurement> {
    measurements().find(|measurement| measurement.name == name)
}

/// One metric.
#[must_use]
pub fn field(measurement_name: &str, field: &str) -> Option<&'static Field> {
    measurement(measurement_name)?.fields.iter().find(|known| known.name == field)
}

/// The reference page.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Every metric that s7mpa publishes, once a window (a second). Made from `agent-common/src/wire/registry/` by\n\
         `S7MPA_UPDATE=1 cargo test -p agent-common registry`; a test fails when this page is stale.\n\n\
         A **counter** is the amount of one window: add it up over windows and rows, divide by `s7mpa_window`'s\n\
         `span_ns` for a rate. A **gauge** is the level at the end of the window. A field that is absent is not known.\n",
    );
    for measurement in measurements() {
        write_measurement(&mut page, measurement);
    }
    page
}

fn write_measurement(page: &mut String, measurement: &Measurement) {
    let tags: Vec<_> =
        measurement.tags.iter().map(|tag| format!("- `{}`: {}\n", tag.name, tag.meaning)).collect();
    let fields = measurement.fields.iter().map(|field| {
        format!("| `{}` | {} | {} | {} |\n", field.name, field.unit.name(), field.kind.name(), field.meaning)
    });
    // SANITY: writing to a String cannot fail.
    write!(
        page,
        "\n## `{}`\n\n{}\n\nTags:\n\n{}\n| field | unit | kind | meaning |\n|---|---|---|---|\n{}",
        measurement.name,
        measurement.meaning,
        tags.concat(),
        fields.collect::<String>()
    )
    .expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_say_their_unit() {
        let mut names = HashSet::new();
        for measurement in measurements() {
            assert!(names.insert(measurement.name.to_owned()), "{}", measurement.name);
            assert!(measurement.name.starts_with("s7mpa_"));
            assert_eq!(measurement.tags[0].name, "host");
            for field in measurement.fields {
                let name = format!("{}.{}", measurement.name, field.name);
                let suffix = |suffix: &str| field.name.ends_with(suffix);
                assert_eq!(suffix("_ns"), field.unit == Unit::Ns, "{name}");
                assert_eq!(suffix("_bytes"), field.unit == Unit::Bytes, "{name}");
                assert_eq!(suffix("_pct"), field.unit == Unit::Pct, "{name}");
                assert!(field.meaning.ends_with('.'), "{name}: a sentence");
                assert!(!field.meaning.contains('|'), "{name}: breaks the table");
                assert!(names.insert(name.clone()), "{name}");
            }
        }
    }

    #[test]
    fn every_thread_state_is_a_metric() {
        for name in ["s7mpa_thread_time", "s7mpa_host_time"] {
            for state in crate::abi::sched::State::ALL {
                assert!(field(name, &format!("{}_ns", state.name())).is_some(), "{name} {state:?}");
            }
        }
    }

    #[test]
    fn a_metric_is_found_by_name() {
        assert_eq!(field("s7mpa_process", "runq_ns").map(|field| field.kind), Some(Kind::Counter));
        assert_eq!(field("s7mpa_process", "nonsense"), None);
        assert_eq!(field("nonsense", "runq_ns"), None);
    }

    #[test]
    fn the_head_is_registered_as_it_is_sent() {
        let head = super::super::head::WindowHead {
            host: "h".into(),
            stream: "0123456789abcdef".into(),
            seq: 1,
            points: 1,
            span_ns: 1,
            end: crate::units::UnixNs(1),
        };
        let point = head.to_point();
        let known = measurement(&point.measurement).unwrap();
        assert_eq!(known.origin, Origin::Head);
        assert!(point.tags.iter().map(|(key, _)| &**key).eq(known.tags.iter().map(|tag| tag.name)));
        assert!(point.fields.iter().map(|(key, _)| &**key).eq(known.fields.iter().map(|field| field.name)));
    }

    #[test]
    fn the_committed_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../agent/METRICS.md");
        if std::env::var_os("S7MPA_UPDATE").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == markdown(), "stale: run S7MPA_UPDATE=1 cargo test -p agent-common registry");
    }
}
