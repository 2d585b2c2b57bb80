//! Samples and names → folded stacks. Pure: no I/O, no clock.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::text::cleaned;
use serde::{Deserialize, Serialize};

use crate::coverage::NameCoverage;
use crate::names::Names;
use crate::options::{FoldOptions, Roots};
use crate::sample::{Sample, Stacked};
use crate::timeline::{Thread, Timeline};

/// Folded stacks: each `comm;root;…;leaf` once, with its total weight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folded {
    /// Stacks, root first, in frame-wise order; no weight is zero.
    pub stacks: Vec<(String, u64)>,
    /// How many frames have a name.
    pub names: NameCoverage,
}

impl Folded {
    /// Folds a timeline. Of `options` [`FoldOptions::parts`] does not matter any more.
    #[must_use]
    pub fn new(timeline: &Timeline, options: &FoldOptions) -> Self {
        let mut texts = Texts::default();
        let frames: Vec<TextId> = timeline
            .frames
            .iter()
            .map(|frame| {
                // The plain name of a waker's frame would be taken for one of the waiter's.
                let suffix = if options.annotate { frame.kind.suffix() } else { "" };
                texts.intern(&frame.name, suffix)
            })
            .collect();
        let mut weights: HashMap<(u32, u32), u64> = HashMap::new();
        for point in &timeline.points {
            let weight = weights.entry((point.thread, point.stack)).or_default();
            *weight = weight.saturating_add(point.weight);
        }
        let roots: Vec<Vec<TextId>> =
            timeline.threads.iter().map(|thread| texts.roots(thread, options.roots)).collect();
        let mut merged: HashMap<Vec<TextId>, u64> = HashMap::new();
        for ((thread, stack), more) in weights {
            let mut text = roots[thread as usize].clone();
            text.extend(timeline.stacks[stack as usize].iter().map(|&id| frames[id as usize]));
            if text.is_empty() {
                text.push(texts.intern("[no stack]", ""));
            }
            let weight = merged.entry(text).or_default();
            *weight = weight.saturating_add(more);
        }
        Self { stacks: texts.sorted(merged), names: timeline.names.clone() }
    }

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
}

/// Folds `samples` with `names`.
///
/// A name missing from `names` counts as [`crate::Unnamed::Failed`] and shows as `[unknown]`.
#[must_use]
pub fn fold(samples: &[Sample], names: &Names, options: &FoldOptions) -> Folded {
    Folded::new(&Timeline::of_samples(samples, names, *options), options)
}

/// Folds stacks with what stands on top of them: the reason, and the waker's stack upside down (its leaf, where it
/// made the wake-up, touches the reason; its name is at the very top), marked with `_[w]`.
#[must_use]
pub fn fold_stacked(stacks: &[Stacked], names: &Names, options: &FoldOptions) -> Folded {
    Folded::new(&Timeline::new(stacks, names, options), options)
}

/// Index in [`Texts::texts`].
type TextId = u32;

/// Frames as they are written, each once.
#[derive(Default)]
struct Texts {
    texts: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, TextId>,
}

impl Texts {
    fn roots(&mut self, thread: &Thread, roots: Roots) -> Vec<TextId> {
        let group = (roots == Roots::Group).then(|| thread.group.as_deref().unwrap_or("[host]"));
        let own = thread.root(roots);
        group.into_iter().chain(own.as_deref()).map(|text| self.intern(text, "")).collect()
    }

    fn intern(&mut self, name: &str, suffix: &str) -> TextId {
        let text = frame_text(name, suffix);
        if let Some(&id) = self.ids.get(text.as_str()) {
            return id;
        }
        let (text, id) = (Arc::<str>::from(text), self.texts.len() as TextId);
        self.texts.push(Arc::clone(&text));
        self.ids.insert(text, id);
        id
    }

    fn of<'s>(&'s self, stack: &'s [TextId]) -> impl Iterator<Item = &'s str> {
        stack.iter().map(|&id| &*self.texts[id as usize])
    }

    /// Frame by frame, not byte by byte: `;` sorts behind `.`, so plain text order would put `foo.part.0` between
    /// `foo` and `foo;bar` and draw `foo` twice.
    fn sorted(&self, merged: HashMap<Vec<TextId>, u64>) -> Vec<(String, u64)> {
        let mut stacks: Vec<_> = merged.into_iter().collect();
        stacks.sort_by(|(a, _), (b, _)| self.of(a).cmp(self.of(b)));
        stacks
            .into_iter()
            .map(|(stack, weight)| (self.of(&stack).collect::<Vec<_>>().join(";"), weight))
            .collect()
    }
}

/// One frame such that its line stays one line of the folded format and legal XML text: no `;`, no
/// control characters, no blank ends, and no last word that reads as a count (`worker 5` alone on a line
/// would be taken for stack `worker` with a differential).
fn frame_text(name: &str, suffix: &str) -> String {
    let mut frame: String = cleaned(name.trim()).chars().map(in_line).collect();
    if frame.is_empty() {
        frame.push('?');
    }
    frame.push_str(suffix);
    // A comment, to the tools that read it.
    if frame.starts_with("# ") {
        frame.replace_range(1..2, "_");
    }
    if let Some(space) = frame.rfind(' ')
        && frame[space + 1..].bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        frame.replace_range(space..=space, "_");
    }
    frame
}

/// A clean character as it may stand in a folded stack.
fn in_line(char: char) -> char {
    match char {
        ';' => ':',
        char if char.is_whitespace() => ' ',
        char => char,
    }
}

#[cfg(test)]
mod tests;
