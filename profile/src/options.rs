//! How stacks are grouped and folded.

use serde::{Deserialize, Serialize};

/// What a stack's first frame is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Roots {
    /// `process`: processes of one name together.
    #[default]
    Comm,
    /// `process-tgid`: one tower a process.
    Process,
    /// `comm-tgid/tid`: one tower a thread, under its latest name.
    Thread,
    /// `group;process`: one tower a container or service ([`Stacked::group`]), `[host]` for what is in none.
    Group,
    /// No root frame of our own: all stacks together.
    None,
}

/// Which part of each stack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parts {
    /// All of it.
    #[default]
    Both,
    /// The kernel's frames.
    Kernel,
    /// The frames of user space.
    User,
}

/// How to fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldOptions {
    /// What a stack's first frame is.
    pub roots: Roots,
    /// Mark frames by kind ([`crate::Kind::suffix`]), as flame-graph palettes expect.
    pub annotate: bool,
    /// Which part of each stack.
    #[serde(default)]
    pub parts: Parts,
}

impl Default for FoldOptions {
    fn default() -> Self {
        Self { roots: Roots::Comm, annotate: true, parts: Parts::Both }
    }
}
