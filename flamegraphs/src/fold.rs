//! Samples and names → folded stacks. Pure: no I/O, no clock.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::coverage::{NameCoverage, Unnamed};
use crate::names::{NameId, Names};
use crate::sample::{Sample, Stacked, lookup_addr};

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
    fold_parts(samples.iter().map(|sample| (sample, None, None)), names, *options)
}

/// Folds stacks with what stands on top of them: the reason, and the waker's stack upside down (its leaf, where it
/// made the wake-up, touches the reason; its name is at the very top), marked with `_[w]`.
#[must_use]
pub fn fold_stacked(stacks: &[Stacked], names: &Names, options: &FoldOptions) -> Folded {
    let parts = stacks.iter().map(|one| (&one.sample, one.reason.as_deref(), one.waker.as_ref()));
    fold_parts(parts, names, *options)
}

/// A stack, the frame on top of it, and the stack on top of that.
type Parts<'s> = (&'s Sample, Option<&'s str>, Option<&'s Sample>);

fn fold_parts<'s>(parts: impl Iterator<Item = Parts<'s>>, names: &Names, options: FoldOptions) -> Folded {
    let mut coverage = NameCoverage::default();
    let mut frames = Frames::new(names, &options);
    let mut merged: HashMap<Vec<FrameId>, u64> = HashMap::new();
    let mut stack = Vec::new();
    for (sample, reason, waker) in parts {
        stack.clear();
        frames.push_root(&mut stack, sample);
        frames.push_stack(&mut stack, sample, &mut coverage);
        if let Some(reason) = reason {
            stack.push(frames.intern(reason, ""));
        }
        if let Some(waker) = waker {
            frames.push_waker(&mut stack, waker, &mut coverage);
        }
        if stack.is_empty() {
            stack.push(frames.intern("[no stack]", ""));
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
    stacks.sort_by(|(a, _), (b, _)| frames.texts(a).cmp(frames.texts(b)));
    let stacks = stacks
        .into_iter()
        .map(|(stack, weight)| (frames.texts(&stack).collect::<Vec<_>>().join(";"), weight))
        .collect();
    Folded { stacks, names: coverage }
}

/// Index in [`Frames::texts`].
type FrameId = u32;

/// Frames as they are written, each once.
struct Frames<'a> {
    names: &'a Names,
    options: &'a FoldOptions,
    texts: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, FrameId>,
    /// What has been found for names as user and as kernel frames; `NONE` before.
    user: Vec<FrameId>,
    kernel: Vec<FrameId>,
}

const NONE: FrameId = FrameId::MAX;

impl<'a> Frames<'a> {
    fn new(names: &'a Names, options: &'a FoldOptions) -> Self {
        let unset = vec![NONE; names.len()];
        Self { names, options, texts: Vec::new(), ids: HashMap::new(), user: unset.clone(), kernel: unset }
    }

    fn push_root(&mut self, stack: &mut Vec<FrameId>, sample: &Sample) {
        stack.push(match self.options.roots {
            Roots::Comm => self.intern(&sample.comm, ""),
            // Nobody, or the idle task.
            Roots::Process | Roots::Thread if sample.tgid == 0 => self.intern(&sample.comm, ""),
            Roots::Process => self.intern(&sample.comm, &format!("-{}", sample.tgid)),
            Roots::Thread => self.intern(&sample.comm, &format!("-{}/{}", sample.tgid, sample.tid)),
            Roots::None => return,
        });
    }

    /// The one place where stacks turn from leaf first to root first: user frames, then the kernel's on top.
    fn push_stack(&mut self, stack: &mut Vec<FrameId>, sample: &Sample, coverage: &mut NameCoverage) {
        let mut lost = false;
        for (index, &addr) in sample.user.iter().enumerate().rev() {
            let name = self.names.user_id(sample.tgid, lookup_addr(index, addr));
            // Code without frame pointers uses that register for something else, and the walk then strays
            // through up to 126 addresses of nothing: that is one hole in the stack, not so many frames.
            let reason = name.and_then(|id| self.names.get(id).unnamed);
            let known = !matches!(reason, Some(Unnamed::Unmapped | Unnamed::ProcessGone));
            if known || !lost {
                stack.push(self.frame(name, false, coverage));
            }
            lost = !known;
        }
        for (index, &addr) in sample.kernel.iter().enumerate().rev() {
            let name = self.names.kernel_id(lookup_addr(index, addr));
            stack.push(self.frame(name, true, coverage));
        }
    }

    /// The waker upside down.
    fn push_waker(&mut self, stack: &mut Vec<FrameId>, waker: &Sample, coverage: &mut NameCoverage) {
        let from = stack.len();
        self.push_root(stack, waker);
        self.push_stack(stack, waker, coverage);
        stack[from..].reverse();
        if self.options.annotate {
            for frame in &mut stack[from..] {
                let text = Arc::clone(&self.texts[*frame as usize]);
                let plain = text.strip_suffix("_[k]").or_else(|| text.strip_suffix("_[j]")).unwrap_or(&text);
                *frame = self.intern(plain, "_[w]");
            }
        }
    }

    fn frame(&mut self, name: Option<NameId>, kernel: bool, coverage: &mut NameCoverage) -> FrameId {
        let annotated = self.options.annotate;
        let Some(id) = name else {
            coverage.count(kernel, Some(Unnamed::Failed));
            return self.intern("[unknown]", if kernel && annotated { "_[k]" } else { "" });
        };
        let name = self.names.get(id);
        coverage.count(kernel, name.unnamed);
        let known = if kernel { &self.kernel } else { &self.user }[id as usize];
        if known != NONE {
            return known;
        }
        let suffix = match (annotated, kernel, name.jit) {
            (true, true, _) => "_[k]",
            (true, false, true) => "_[j]",
            _ => "",
        };
        let frame = self.intern(&name.text, suffix);
        let slot = if kernel { &mut self.kernel } else { &mut self.user };
        slot[id as usize] = frame;
        frame
    }

    fn intern(&mut self, name: &str, suffix: &str) -> FrameId {
        let text = frame_text(name, suffix);
        if let Some(&id) = self.ids.get(text.as_str()) {
            return id;
        }
        let (text, id) = (Arc::<str>::from(text), self.texts.len() as FrameId);
        self.texts.push(Arc::clone(&text));
        self.ids.insert(text, id);
        id
    }

    fn texts<'s>(&'s self, stack: &'s [FrameId]) -> impl Iterator<Item = &'s str> {
        stack.iter().map(|&id| &*self.texts[id as usize])
    }
}

/// One frame such that its line stays one line of the folded format and legal XML text: no `;`, no
/// control characters, no blank ends, and no last word that reads as a count (`worker 5` alone on a line
/// would be taken for stack `worker` with a differential).
fn frame_text(name: &str, suffix: &str) -> String {
    let mut frame: String = name.trim().chars().map(clean).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::FrameName;

    fn sample(comm: &str, user: &[u64], kernel: &[u64], weight: u64) -> Sample {
        Sample {
            at_ns: 0,
            tgid: 7,
            tid: 8,
            comm: comm.into(),
            kernel: kernel.into(),
            user: user.into(),
            weight,
        }
    }

    /// Leaf at 10, its callers' call sites at 20 and 30 (return addresses 21 and 31); kernel the same from 100.
    fn names() -> Names {
        let mut names = Names::default();
        for (addr, name) in [(10, "leaf"), (20, "mid"), (30, "main")] {
            names.set_user(7, addr, FrameName::named(name.into()));
        }
        for (addr, name) in [(100, "k_leaf"), (110, "k_entry")] {
            names.set_kernel(addr, FrameName::named(name.into()));
        }
        names
    }

    fn text(folded: &Folded) -> String {
        let mut out = Vec::new();
        folded.write_text(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn stacks_are_reversed_once_with_the_kernel_on_top() {
        let samples = [sample("app", &[10, 21, 31], &[100, 111], 3)];
        let folded = fold(&samples, &names(), &FoldOptions::default());
        assert_eq!(text(&folded), "app;main;mid;leaf;k_entry_[k];k_leaf_[k] 3\n");
        let plain = FoldOptions { annotate: false, ..FoldOptions::default() };
        assert_eq!(text(&fold(&samples, &names(), &plain)), "app;main;mid;leaf;k_entry;k_leaf 3\n");
    }

    #[test]
    fn a_reason_and_the_waker_upside_down_stand_on_the_leaf() {
        let mut names = names();
        names.set_user(9, 50, FrameName::named("w_leaf".into()));
        names.set_user(9, 60, FrameName::named("w_main".into()));
        let waker = Sample { tgid: 9, ..sample("poker", &[50, 61], &[100], 0) };
        let one = Stacked {
            sample: sample("app", &[10, 31], &[100], 5),
            reason: Some("[futex_lock]".into()),
            waker: Some(waker),
        };
        let folded = fold_stacked(&[one], &names, &FoldOptions::default());
        let expected = "app;main;leaf;k_leaf_[k];[futex_lock];k_leaf_[w];w_leaf_[w];w_main_[w];poker_[w]";
        assert_eq!(folded.stacks, [(expected.to_owned(), 5)]);
        assert_eq!((folded.names.frames, folded.names.named), (6, 6));
    }

    #[test]
    fn equal_stacks_merge_and_weights_add_up() {
        let samples = [
            sample("app", &[10, 31], &[], 1),
            sample("app", &[10, 31], &[], 4),
            sample("app", &[31], &[], 2),
            sample("b", &[10, 31], &[], 8),
            sample("zero", &[10], &[], 0),
        ];
        let mut names = names();
        names.set_user(7, 31, FrameName::named("main".into()));
        let folded = fold(&samples, &names, &FoldOptions::default());
        assert_eq!(text(&folded), "app;main 2\napp;main;leaf 5\nb;main;leaf 8\n");
        assert_eq!(folded.total(), 15);
    }

    #[test]
    fn weights_saturate() {
        let samples = [sample("a", &[10], &[], u64::MAX), sample("a", &[10], &[], u64::MAX)];
        let folded = fold(&samples, &names(), &FoldOptions::default());
        assert_eq!(folded.stacks, [("a;leaf".to_owned(), u64::MAX)]);
    }

    #[test]
    fn roots_separate_processes_and_threads() {
        let one = sample("a b", &[10], &[], 1);
        let two = Sample { tid: 9, ..one.clone() };
        let folded = |roots| {
            let options = FoldOptions { roots, ..FoldOptions::default() };
            text(&fold(&[one.clone(), two.clone()], &names(), &options))
        };
        assert_eq!(folded(Roots::Comm), "a b;leaf 2\n");
        assert_eq!(folded(Roots::Process), "a b-7;leaf 2\n");
        assert_eq!(folded(Roots::Thread), "a b-7/8;leaf 1\na b-7/9;leaf 1\n");
        assert_eq!(folded(Roots::None), "leaf 2\n");
    }

    #[test]
    fn a_sample_without_frames_is_not_lost() {
        let samples = [sample("app", &[], &[], 1), sample("", &[], &[], 2)];
        assert_eq!(text(&fold(&samples, &names(), &FoldOptions::default())), "? 2\napp 1\n");
        let bare = FoldOptions { roots: Roots::None, ..FoldOptions::default() };
        assert_eq!(text(&fold(&samples, &names(), &bare)), "[no stack] 3\n");
    }

    #[test]
    fn coverage_counts_each_frame_by_reason() {
        let mut names = names();
        names.set_user(7, 40, FrameName::unnamed("[libfoo.so+0x28]", Unnamed::Stripped));
        names.set_user(7, 50, FrameName { text: "Lapp;run".into(), unnamed: None, jit: true });
        let samples = [sample("app", &[10, 41, 51, 99], &[100], 1000)];
        let folded = fold(&samples, &names, &FoldOptions::default());
        assert_eq!(text(&folded), "app;[unknown];Lapp:run_[j];[libfoo.so+0x28];leaf;k_leaf_[k] 1000\n");
        let coverage = &folded.names;
        assert_eq!((coverage.frames, coverage.named), (5, 3));
        assert_eq!((coverage.kernel_frames, coverage.kernel_named), (1, 1));
        assert_eq!(coverage.unnamed[&Unnamed::Stripped], 1);
        assert_eq!(coverage.unnamed[&Unnamed::Failed], 1);
    }

    #[test]
    fn a_run_of_addresses_that_are_nowhere_is_one_hole() {
        let mut names = names();
        for addr in [1000, 1001, 1002, 1003] {
            names.set_user(7, addr, FrameName::unnamed("[unknown]", Unnamed::Unmapped));
        }
        let samples = [sample("app", &[10, 1001, 1002, 1003, 21, 1004], &[], 1)];
        let folded = fold(&samples, &names, &FoldOptions::default());
        assert_eq!(text(&folded), "app;[unknown];mid;[unknown];leaf 1\n");
        assert_eq!((folded.names.frames, folded.names.unnamed[&Unnamed::Unmapped]), (4, 2));
    }

    #[test]
    fn a_frame_and_its_namesake_with_a_suffix_stay_apart_in_order() {
        let mut names = Names::default();
        for (addr, name) in [(1, "foo"), (2, "foo.part.0"), (3, "bar")] {
            names.set_user(7, addr, FrameName::named(name.into()));
        }
        let samples = [sample("a", &[3, 2], &[], 1), sample("a", &[2], &[], 1), sample("a", &[1], &[], 1)];
        let mut deep = samples[0].clone();
        names.set_user(7, 4, FrameName::named("foo".into()));
        deep.user = [3, 5].into();
        let folded = fold(&[samples.as_slice(), &[deep]].concat(), &names, &FoldOptions::default());
        let stacks: Vec<_> = folded.stacks.iter().map(|(stack, _)| stack.as_str()).collect();
        assert_eq!(stacks, ["a;foo", "a;foo;bar", "a;foo.part.0"]);
    }

    #[test]
    fn names_that_look_like_counts_or_comments_do_not_break_the_line() {
        for (name, want) in [
            ("worker 5", "worker_5"),
            ("kworker/0:1", "kworker/0:1"),
            ("a 1 2", "a 1_2"),
            ("v 1.5", "v_1.5"),
            ("# note", "#_note"),
            ("  padded  ", "padded"),
            ("x;y\nz\tw\r", "x:y z w"),
            ("bell\u{7}\u{fffe}", "bell??"),
            ("", "?"),
            (" \n", "?"),
            ("operator new(unsigned long)", "operator new(unsigned long)"),
        ] {
            assert_eq!(frame_text(name, ""), want, "{name:?}");
        }
    }

    /// Whatever the names, the text reads back as the same stacks and weights.
    #[test]
    fn any_names_give_lines_that_read_back() {
        let alphabet: Vec<char> =
            " ;\n\r\t#0123456789.-_[]k()<>&'\"aé\u{0}\u{7f}\u{85}\u{2028}\u{fffe}日".chars().collect();
        let mut seed = 42_u64;
        let mut next = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        for _ in 0..3_000 {
            let mut word =
                |max: usize| -> String { (0..next(max)).map(|_| alphabet[next(alphabet.len())]).collect() };
            let (comm, names_of) = (word(16), [word(12), word(12), word(12)]);
            let mut names = Names::default();
            for (addr, name) in (1..).zip(&names_of) {
                names.set_user(7, addr, FrameName::named(Arc::from(name.as_str())));
            }
            let folded = fold(&[sample(&comm, &[1, 3, 4], &[], 5)], &names, &FoldOptions::default());
            let text = text(&folded);
            assert_eq!(text.lines().count(), 1, "{text:?}");
            assert_eq!(text.matches('\n').count(), 1);
            let line = text.strip_suffix('\n').unwrap();
            assert_eq!(line, line.trim(), "{text:?}");
            assert!(!line.starts_with("# "), "{text:?}");
            let (stack, weight) = line.rsplit_once(' ').unwrap();
            assert_eq!(weight, "5");
            assert_eq!(stack.split(';').count(), 4, "{text:?}");
            assert!(stack.split(';').all(|frame| !frame.is_empty()), "{text:?}");
            let last = stack.rsplit(' ').next().unwrap();
            let number = last.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            assert!(!stack.contains(' ') || !number, "{text:?}");
            assert!(line.chars().all(|char| !char.is_control() && char != '\u{fffe}'), "{text:?}");
        }
    }
}
