//! What profiles can be written as, and what they say about themselves.

use std::path::Path;

/// How a profile is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// A picture ([`crate::svg`]).
    Svg,
    /// One stack a line ([`crate::text`]).
    Folded,
    /// Google's, gzipped ([`crate::pprof`]).
    Pprof,
    /// Firefox Profiler ([`crate::firefox`]).
    Firefox,
    /// speedscope ([`crate::speedscope`]).
    Speedscope,
    /// A page that needs nothing else ([`crate::html`]).
    Html,
}

impl Format {
    /// The format that a file of this name is expected to have: `.svg`, `.html`, `.folded` or `.txt`, `.pb.gz` or
    /// `.pprof`, `.speedscope.json`, and any other `.json` for Firefox.
    ///
    /// ```
    /// use std::path::Path;
    /// use flamegraphs::Format;
    ///
    /// assert_eq!(Format::of_path(Path::new("a.speedscope.json")), Some(Format::Speedscope));
    /// assert_eq!(Format::of_path(Path::new("a.dat")), None);
    /// ```
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        const ENDINGS: [(&str, Format); 12] = [
            (".svg", Format::Svg),
            (".html", Format::Html),
            (".htm", Format::Html),
            (".folded", Format::Folded),
            (".collapsed", Format::Folded),
            (".txt", Format::Folded),
            (".pb.gz", Format::Pprof),
            (".pb", Format::Pprof),
            (".pprof", Format::Pprof),
            (".speedscope.json", Format::Speedscope),
            (".speedscope", Format::Speedscope),
            (".json", Format::Firefox),
        ];
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        ENDINGS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| *format)
    }
}

/// What a weight is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unit {
    /// Samples taken at regular intervals.
    #[default]
    Samples,
    /// Nanoseconds.
    Nanoseconds,
}

/// What a profile says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Heading.
    pub title: String,
    /// What the profile covers (expected, captured, lost, symbolized), in a sentence.
    pub coverage: Option<String>,
    /// What a weight is.
    pub unit: Unit,
    /// Time between two samples of a CPU, ns; 0 where there is none.
    pub period_ns: u64,
    /// Wall clock of the first sample, ns since the epoch; 0 if not known.
    pub start_unix_ns: u64,
    /// Time observed, ns; 0 if not known.
    pub duration_ns: u64,
    /// The program that made it.
    pub producer: String,
}

impl Default for About {
    fn default() -> Self {
        Self {
            title: "Profile".to_owned(),
            coverage: None,
            unit: Unit::Samples,
            period_ns: 0,
            start_unix_ns: 0,
            duration_ns: 0,
            producer: concat!("flamegraphs ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}
