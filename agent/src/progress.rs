//! How far it is, on the terminal that stderr is.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use agent_common::text::{clean_output, span};

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
            let _ = write!(err, "\r\x1b[K{}", clean_output(text));
            let _ = err.flush();
        }
    }

    /// Shows a line that stays, above the one that rewrites itself.
    pub fn say(&self, text: &str) {
        self.show(text);
        if self.on {
            let _ = writeln!(io::stderr().lock());
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
