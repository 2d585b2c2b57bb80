//! Words on a terminal: colours, numbers, tables, progress.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum When {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Colours for one stream, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// For stdout.
    #[must_use]
    pub fn stdout(when: When) -> Self {
        Self::new(when, io::stdout().is_terminal())
    }

    /// For stderr.
    #[must_use]
    pub fn stderr(when: When) -> Self {
        Self::new(when, io::stderr().is_terminal())
    }

    /// No colours.
    #[must_use]
    pub const fn plain() -> Self {
        Self { on: false }
    }

    /// Colours, come what may.
    #[cfg(test)]
    pub(super) const fn always() -> Self {
        Self { on: true }
    }

    /// On a background of about this colour: the 256 that all terminals have.
    pub fn on_colour(self, text: impl Display, rgb: [u8; 3]) -> String {
        // Dark letters on light cells and the other way round, by perceived brightness.
        let light = u32::from(rgb[0]) * 3 + u32::from(rgb[1]) * 6 + u32::from(rgb[2]) > 1300;
        self.wrap(&format!("48;5;{};{}", indexed(rgb), if light { "38;5;16" } else { "97" }), text)
    }

    fn new(when: When, terminal: bool) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { on: when == When::Always || when == When::Auto && terminal && !set("NO_COLOR") && !dumb }
    }

    fn wrap(self, code: &str, text: impl Display) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// Something is wrong.
    pub fn red(self, text: impl Display) -> String {
        self.wrap("1;31", text)
    }

    /// Something is right.
    pub fn green(self, text: impl Display) -> String {
        self.wrap("32", text)
    }

    /// Something may be wrong.
    pub fn yellow(self, text: impl Display) -> String {
        self.wrap("33", text)
    }

    /// A heading.
    pub fn bold(self, text: impl Display) -> String {
        self.wrap("1", text)
    }

    /// What can be skipped.
    pub fn dim(self, text: impl Display) -> String {
        self.wrap("2", text)
    }
}

/// The nearest of the 216 colours that all terminals of 256 colours have.
#[must_use]
pub fn indexed(rgb: [u8; 3]) -> u8 {
    let [r, g, b] = rgb.map(|part| ((u16::from(part) * 5 + 127) / 255) as u8);
    16 + 36 * r + 6 * g + b
}

/// Writes a line to stderr. That stderr is gone is nothing anyone could be told.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes to stdout and flushes.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes pretty JSON to stdout.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(print(&text)?)
}

/// The reader of our output went away, which is success: `agent report | head`.
#[must_use]
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// An error with its causes on one line.
#[must_use]
pub fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Some libraries repeat the cause in their own text.
        if text.ends_with(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

/// `1.2 MiB`: three digits and a unit.
#[must_use]
pub fn bytes(n: u64) -> String {
    scaled(n as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"], " ")
}

/// `1.23 M`: three digits and a power of 1000.
#[must_use]
pub fn count(n: u64) -> String {
    if n < 10_000 { n.to_string() } else { scaled(n as f64, 1000.0, &["", "k", "M", "G", "T"], "") }
}

/// `12.3ms`: three digits and a unit.
#[must_use]
pub fn nanos(n: u64) -> String {
    match n {
        0..60_000_000_000 => scaled(n as f64, 1000.0, &["ns", "µs", "ms", "s"], ""),
        60_000_000_000..3_600_000_000_000 => format!("{:.1}min", n as f64 / 6e10),
        3_600_000_000_000..172_800_000_000_000 => format!("{:.1}h", n as f64 / 3.6e12),
        _ => format!("{:.1}d", n as f64 / 8.64e13),
    }
}

fn scaled(mut value: f64, step: f64, units: &[&str], gap: &str) -> String {
    let mut at = 0;
    // 999.5 would print as 1000.
    while value >= step - 0.5 && at + 1 < units.len() {
        value /= step;
        at += 1;
    }
    let unit = units[at];
    match value {
        _ if at == 0 => format!("{value:.0}{gap}{unit}"),
        ..9.995 => format!("{value:.2}{gap}{unit}"),
        ..99.95 => format!("{value:.1}{gap}{unit}"),
        _ => format!("{value:.0}{gap}{unit}"),
    }
}

/// Control characters of foreign names (a comm may hold any byte) must not reach the terminal.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Side of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Blanks between two columns.
const GAP: usize = 2;

/// Columns of the terminal that stdout is; `None` where it is none: then nothing is left out.
#[must_use]
pub fn room() -> Option<usize> {
    let size = io::stdout().is_terminal().then(ratatui::crossterm::terminal::size)?.ok()?;
    Some(usize::from(size.0)).filter(|columns| *columns > 0)
}

/// A table with aligned columns.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(&'static str, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these headings.
    #[must_use]
    pub fn new(columns: &[(&'static str, Side)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; one cell a column.
    pub fn row(&mut self, cells: &[String]) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells.iter().map(|cell| clean(cell)).collect());
    }

    /// Leaves out the columns of these headings, the first first, until a line is no longer than `room`.
    pub fn narrow(&mut self, room: Option<usize>, headings: &[&str]) {
        let Some(room) = room else { return };
        for heading in headings {
            if self.widths().iter().map(|width| width + GAP).sum::<usize>() <= room + GAP {
                return;
            }
            if let Some(at) = self.columns.iter().position(|(name, _)| name == heading) {
                self.columns.remove(at);
                for row in &mut self.rows {
                    row.remove(at);
                }
            }
        }
    }

    fn widths(&self) -> Vec<usize> {
        let width = |at: usize| {
            let cells = self.rows.iter().map(|row| row[at].chars().count());
            cells.chain([self.columns[at].0.chars().count()]).max().unwrap_or(0)
        };
        (0..self.columns.len()).map(width).collect()
    }

    /// The text, headings in bold.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        let widths = self.widths();
        let line = |cells: &[String]| {
            let mut text = String::new();
            for (at, cell) in cells.iter().enumerate() {
                let fill = " ".repeat(widths[at].saturating_sub(cell.chars().count()));
                match self.columns[at].1 {
                    Side::Left => text.extend([cell.as_str(), &fill]),
                    Side::Right => text.extend([&fill, cell.as_str()]),
                }
                text.push_str(&" ".repeat(GAP));
            }
            text.truncate(text.trim_end().len());
            text
        };
        let head: Vec<String> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut text = paint.bold(line(&head));
        text.push('\n');
        for row in &self.rows {
            text.push_str(&line(row));
            text.push('\n');
        }
        text
    }
}

/// A line on stderr that rewrites itself; silent where stderr is not a terminal.
#[derive(Debug)]
pub struct Progress {
    on: bool,
}

impl Progress {
    /// For this stderr.
    #[must_use]
    pub fn new() -> Self {
        Self { on: io::stderr().is_terminal() }
    }

    /// Shows a text in place of the last.
    pub fn show(&self, text: &str) {
        if self.on {
            let mut err = io::stderr().lock();
            let _ = write!(err, "\r\x1b[K{text}");
            let _ = err.flush();
        }
    }

    /// Shows how far a span is.
    pub fn tick(&self, what: &str, done: Duration, whole: Option<Duration>) {
        let whole = whole.map(|whole| format!("/{}", span(whole))).unwrap_or_default();
        self.show(&format!(
            "{what}: {}{whole}, Ctrl-C ends early",
            span(Duration::from_secs(done.as_secs()))
        ));
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.show("");
    }
}

/// `10s`, `2.5s`, `3m20s`.
#[must_use]
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        let text = format!("{seconds:.1}");
        return format!("{}s", text.strip_suffix(".0").unwrap_or(&text));
    }
    let whole = time.as_secs();
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, _) => format!("{hours}h{minutes}m"),
    }
}

/// `2026-11-22T21:22:43Z` of nanoseconds since the epoch.
#[must_use]
pub fn utc(unix_ns: u64) -> String {
    let seconds = unix_ns / 1_000_000_000;
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a day since the epoch: the civil calendar, counted from March in eras of 400 years.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (year + era * 400 + u64::from(month <= 2), month, of_year - (153 * march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1000), "1000 B");
        assert_eq!(bytes(64 << 20), "64.0 MiB");
        assert_eq!(count(9_999), "9999");
        assert_eq!(count(1_234_567), "1.23M");
        assert_eq!(nanos(999), "999ns");
        assert_eq!(nanos(12_345_678), "12.3ms");
        assert_eq!(nanos(90_000_000_000), "1.5min");
        assert_eq!(nanos(u64::MAX), "213504.0d");
    }

    #[test]
    fn times_are_those_of_date() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(1_709_164_800_000_000_000), "2024-02-29T00:00:00Z");
        assert_eq!(utc(1_735_689_599_999_999_999), "2024-12-31T23:59:59Z");
    }

    #[test]
    fn spans_read_as_they_are_written() {
        for text in ["10s", "2.5s", "5m", "1m30s"] {
            assert_eq!(span(crate::config::parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn tables_align_and_swallow_control_characters() {
        let mut table = Table::new(&[("NAME", Side::Left), ("N", Side::Right)]);
        table.row(&["a\x1b[2J".to_owned(), "1000".to_owned()]);
        table.row(&["bé".to_owned(), "7".to_owned()]);
        assert_eq!(table.render(Paint::plain()), "NAME      N\na\u{fffd}[2J  1000\nbé        7\n");
    }

    #[test]
    fn a_narrow_table_leaves_out_what_it_is_told_to_and_no_more() {
        let mut table = Table::new(&[("PID", Side::Right), ("RSS", Side::Right), ("COMM", Side::Left)]);
        table.row(&["1".to_owned(), "2".to_owned(), "make".to_owned()]);
        table.narrow(Some(14), &["RSS", "COMM"]);
        table.narrow(None, &["RSS"]);
        assert_eq!(table.render(Paint::plain()), "PID  RSS  COMM\n  1    2  make\n");
        table.narrow(Some(13), &["RSS", "COMM"]);
        assert_eq!(table.render(Paint::plain()), "PID  COMM\n  1  make\n");
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::anyhow!("inner").context("outer: inner").context("top");
        assert_eq!(chain(&error), "top: outer: inner");
    }
}
