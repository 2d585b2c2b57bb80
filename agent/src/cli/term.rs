//! Words on a terminal: colours, tables, progress.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

pub use crate::progress::Progress;
pub use agent_common::text::{bytes, chain, clean, count, nanos, span, utc};
use agent_common::text::{clean_json, clean_output, cleaned};

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

/// Writes one line to stderr, cleaned: a path in `text` may contain a colour or a line break. Ignores an error: without stderr
/// there is no place to report it.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{}", cleaned(text));
}

/// The same for an error that ends a command.
pub fn complain_of_error(paint: Paint, text: &str) {
    let _ = writeln!(io::stderr(), "{} {}", paint.red("error:"), cleaned(text));
}

/// Writes to stdout and flushes.
pub fn print(text: &str) -> io::Result<()> {
    write(&clean_output(text))
}

/// Writes pretty JSON to stdout.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(write(&format!("{}\n", clean_json(&serde_json::to_string_pretty(value)?)))?)
}

/// Writes JSON as one line to stdout.
pub fn print_json_line(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(write(&format!("{}\n", clean_json(&serde_json::to_string(value)?)))?)
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The reader of our output went away, which is success: `agent report | head`.
#[must_use]
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
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
const COLUMN_GAP: usize = 2;

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
            if self.widths().iter().map(|width| width + COLUMN_GAP).sum::<usize>() <= room + COLUMN_GAP {
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
                text.push_str(&" ".repeat(COLUMN_GAP));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_and_swallow_control_characters() {
        let mut table = Table::new(&[("NAME", Side::Left), ("N", Side::Right)]);
        table.row(&["a\x1b[2J".to_owned(), "1000".to_owned()]);
        table.row(&["bé".to_owned(), "7".to_owned()]);
        assert_eq!(table.render(Paint::plain()), "NAME           N\na\\u{1b}[2J  1000\nbé             7\n");
    }

    #[test]
    fn a_narrow_table_leaves_out_the_named_columns_and_no_others() {
        let mut table = Table::new(&[("PID", Side::Right), ("RSS", Side::Right), ("COMM", Side::Left)]);
        table.row(&["1".to_owned(), "2".to_owned(), "make".to_owned()]);
        table.narrow(Some(14), &["RSS", "COMM"]);
        table.narrow(None, &["RSS"]);
        assert_eq!(table.render(Paint::plain()), "PID  RSS  COMM\n  1    2  make\n");
        table.narrow(Some(13), &["RSS", "COMM"]);
        assert_eq!(table.render(Paint::plain()), "PID  COMM\n  1  make\n");
    }
}
