//! One level of a stack as it is shown: a name, what kind of code it is, and where that code is written.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What kind of code a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Compiled ahead of time.
    Native,
    /// Inlined into the frame before it; only debug info knows.
    Inlined,
    /// Compiled at run time.
    Jit,
    /// A function of an interpreted language.
    Interpreted,
    /// The kernel, its modules and BPF programs.
    Kernel,
    /// No name is known: `[libfoo.so+0x1a2b]`.
    Unnamed,
    /// No code: what a thread waits for.
    Reason,
    /// A frame of who ended a wait, whatever its kind.
    Waker,
    /// No code: a thread, process or container.
    Root,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Native,
        Self::Inlined,
        Self::Jit,
        Self::Interpreted,
        Self::Kernel,
        Self::Unnamed,
        Self::Reason,
        Self::Waker,
        Self::Root,
    ];

    /// What flame graph tools append to a frame to colour it: `_[k]` kernel, `_[j]` compiled at run time (and
    /// interpreted), `_[i]` inlined, `_[w]` waker.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Kernel => "_[k]",
            Self::Jit | Self::Interpreted => "_[j]",
            Self::Inlined => "_[i]",
            Self::Waker => "_[w]",
            Self::Native | Self::Unnamed | Self::Reason | Self::Root => "",
        }
    }

    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Inlined => "inlined",
            Self::Jit => "jit",
            Self::Interpreted => "interpreted",
            Self::Kernel => "kernel",
            Self::Unnamed => "unnamed",
            Self::Reason => "reason",
            Self::Waker => "waker",
            Self::Root => "root",
        }
    }

    /// The kind and the bare name of a frame in folded text. Without a suffix it is native code, or without a name
    /// if it begins with `[`.
    #[must_use]
    pub fn of_text(frame: &str) -> (Self, &str) {
        let suffixed = frame.len().checked_sub(4).and_then(|at| frame.split_at_checked(at));
        match suffixed {
            Some((name, "_[k]")) => (Self::Kernel, name),
            Some((name, "_[j]")) => (Self::of_jit(name), name),
            Some((name, "_[i]")) => (Self::Inlined, name),
            Some((name, "_[w]")) => (Self::Waker, name),
            _ if frame.starts_with('[') => (Self::Unnamed, frame),
            _ => (Self::Native, frame),
        }
    }

    /// What the name of code that is compiled at run time or interpreted says: `CPython`'s trampolines (`python -X perf`)
    /// begin with `py::`, V8 marks what its interpreter runs with `~`, and what we read of `CPython` itself ends in the
    /// line of a file.
    #[must_use]
    pub fn of_jit(name: &str) -> Self {
        let interpreted = name.starts_with("py::")
            || ends_in_line(name)
            || ["JS:~", "LazyCompile:~", "Function:~", "Script:~", "Eval:~"]
                .iter()
                .any(|mark| name.starts_with(mark));
        if interpreted { Self::Interpreted } else { Self::Jit }
    }
}

/// `Worker.run (worker.py:12)`
fn ends_in_line(name: &str) -> bool {
    let line = name.strip_suffix(')').and_then(|rest| rest.rsplit_once(':'));
    line.is_some_and(|(rest, line)| rest.contains(" (") && line.bytes().all(|byte| byte.is_ascii_digit()))
}

/// One level of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// Name without annotation: `main`, `core::fmt::write`, `[libfoo.so+0x1a2b]`.
    pub name: Arc<str>,
    /// What it is.
    pub kind: Kind,
    /// File that the code was mapped from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<Arc<str>>,
    /// Where it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// A line of source code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source {
    /// Path as the compiler knew it.
    pub file: Arc<str>,
    /// Line, from 1; 0 if it is not known.
    pub line: u32,
}

impl Frame {
    /// A frame that is a name alone.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, kind: Kind) -> Self {
        Self { name: name.into(), kind, module: None, source: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_tells_the_kind_and_is_not_part_of_the_name() {
        for kind in Kind::ALL {
            let text = format!("name{}", kind.suffix());
            let (found, name) = Kind::of_text(&text);
            assert_eq!(name, "name");
            assert!(found == kind || kind.suffix().is_empty() || kind == Kind::Interpreted, "{kind:?}");
        }
        assert_eq!(Kind::of_text("py::f:/x.py_[j]"), (Kind::Interpreted, "py::f:/x.py"));
        assert_eq!(Kind::of_text("f (x.py:3)_[j]"), (Kind::Interpreted, "f (x.py:3)"));
        assert_eq!(Kind::of_text("void [x] A::f(int)_[j]"), (Kind::Jit, "void [x] A::f(int)"));
        assert_eq!(Kind::of_text("JS:*hot_[j]"), (Kind::Jit, "JS:*hot"));
        assert_eq!(Kind::of_text("[libc.so.6+0x1]"), (Kind::Unnamed, "[libc.so.6+0x1]"));
        for odd in ["", "é", "aé", "_[k", "日本"] {
            assert_eq!(Kind::of_text(odd), (Kind::Native, odd));
        }
    }
}
