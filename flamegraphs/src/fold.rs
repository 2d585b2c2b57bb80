//! Samples and names → folded stacks. Pure: no I/O, no clock.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;

use serde::{Deserialize, Serialize};

use crate::coverage::{NameCoverage, Unnamed};
use crate::names::{FrameName, Names};
use crate::sample::{Sample, lookup_addr};

/// What a stack's first frame is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Roots {
    /// `comm`: threads and processes of one name together.
    #[default]
    Comm,
    /// `comm-tgid`: one tower a process (and thread name).
    Process,
    /// `comm-tgid/tid`: one tower a thread.
    Thread,
    /// No root frame of our own: all stacks together.
    None,
}

/// How to fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldOptions {
    /// What a stack's first frame is.
    pub roots: Roots,
    /// Mark kernel frames with `_[k]` and run-time compiled ones with `_[j]`, as flame-graph palettes expect.
    pub annotate: bool,
}

impl Default for FoldOptions {
    fn default() -> Self {
        Self { roots: Roots::Comm, annotate: true }
    }
}

/// Folded stacks: each `comm;root;…;leaf` once, with its total weight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folded {
    /// Stacks, root first, in frame-wise order; no weight is zero.
    pub stacks: Vec<(String, u64)>,
    /// How many frames have a name.
    pub names: NameCoverage,
}

impl Folded {
    /// Sum of the weights.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.stacks.iter().fold(0, |sum, (_, weight)| sum.saturating_add(*weight))
    }

    /// Nothing was sampled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stacks.is_empty()
    }

    /// Writes one `comm;root;…;leaf count` a line: what flamegraph.pl, inferno and speedscope read.
    pub fn write_text(&self, mut out: impl io::Write) -> io::Result<()> {
        for (stack, weight) in &self.stacks {
            writeln!(out, "{stack} {weight}")?;
        }
        out.flush()
    }
}

/// Folds `samples` with `names`.
///
/// A name missing from `names` counts as [`Unnamed::Failed`] and shows as `[unknown]`.
#[must_use]
pub fn fold(samples: &[Sample], names: &Names, options: &FoldOptions) -> Folded {
    let mut coverage = NameCoverage::default();
    let mut merged: HashMap<String, u64> = HashMap::new();
    let mut stack = String::new();
    for sample in samples {
        stack.clear();
        push_root(&mut stack, sample, options.roots);
        push_frames(&mut stack, sample, names, options, &mut coverage);
        if stack.is_empty() {
            push_frame(&mut stack, "[no stack]", "");
        }
        if sample.weight == 0 {
            continue;
        }
        if let Some(weight) = merged.get_mut(&stack) {
            *weight = weight.saturating_add(sample.weight);
        } else {
            merged.insert(stack.clone(), sample.weight);
        }
    }
    let mut stacks: Vec<_> = merged.into_iter().collect();
    // Frame by frame, not byte by byte: `;` sorts behind `.`, so plain text order would put
    // `foo.part.0` between `foo` and `foo;bar` and draw `foo` twice.
    stacks.sort_by(|(a, _), (b, _)| a.split(';').cmp(b.split(';')));
    Folded { stacks, names: coverage }
}

fn push_root(stack: &mut String, sample: &Sample, roots: Roots) {
    let (tgid, tid) = (sample.tgid, sample.tid);
    match roots {
        Roots::Comm => push_frame(stack, &sample.comm, ""),
        Roots::Process => push_frame(stack, &sample.comm, &format!("-{tgid}")),
        Roots::Thread => push_frame(stack, &sample.comm, &format!("-{tgid}/{tid}")),
        Roots::None => {}
    }
}

/// The one place where stacks turn from leaf first to root first: user frames, then the kernel's on top.
fn push_frames(
    stack: &mut String,
    sample: &Sample,
    names: &Names,
    options: &FoldOptions,
    coverage: &mut NameCoverage,
) {
    for (index, &addr) in sample.user.iter().enumerate().rev() {
        let name = names.user(sample.tgid, lookup_addr(index, addr));
        coverage.count(false, reason(name));
        let suffix = if options.annotate && name.is_some_and(|name| name.jit) { "_[j]" } else { "" };
        push_frame(stack, text(name), suffix);
    }
    for (index, &addr) in sample.kernel.iter().enumerate().rev() {
        let name = names.kernel(lookup_addr(index, addr));
        coverage.count(true, reason(name));
        push_frame(stack, text(name), if options.annotate { "_[k]" } else { "" });
    }
}

fn reason(name: Option<&FrameName>) -> Option<Unnamed> {
    name.map_or(Some(Unnamed::Failed), |name| name.unnamed)
}

fn text(name: Option<&FrameName>) -> &str {
    name.map_or("[unknown]", |name| &name.text)
}

/// Appends one frame such that the line stays one line of the folded format and legal XML text:
/// no `;`, no control characters, no blank ends, and no last word that reads as a count
/// (`worker 5` alone on a line would be taken for stack `worker` with a differential).
fn push_frame(stack: &mut String, name: &str, suffix: &str) {
    if !stack.is_empty() {
        stack.push(';');
    }
    let start = stack.len();
    for char in name.trim().chars() {
        stack.push(clean(char));
    }
    if stack.len() == start {
        stack.push('?');
    }
    let _ = write!(stack, "{suffix}");
    let frame = &stack[start..];
    if frame.starts_with("# ") {
        stack.replace_range(start + 1..start + 2, "_");
    }
    let frame = &stack[start..];
    if let Some(space) = frame.rfind(' ')
        && frame[space + 1..].bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        stack.replace_range(start + space..=start + space, "_");
    }
}

/// A character as it may stand in a folded stack and in XML 1.0.
fn clean(char: char) -> char {
    match char {
        ';' => ':',
        char if char.is_whitespace() => ' ',
        char if char.is_control() => '?',
        '\u{fffe}' | '\u{ffff}' => '?',
        char => char,
    }
}
