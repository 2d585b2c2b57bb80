//! What profiles are made of: samples and names → timelines → folded stacks. Pure: no I/O, no clock.
//!
//! ```
//! use agent_common::units::MonoNs;
//! use profile::{FoldOptions, FrameName, Names, Sample};
//!
//! let mut names = Names::default(); // from a symbolizer, or from a recording
//! names.set_user(7, 0x10, FrameName::named("leaf".into()));
//! names.set_user(7, 0x20, FrameName::named("main".into()));
//! let sample = Sample {
//!     at: MonoNs(0),
//!     tgid: 7,
//!     tid: 7,
//!     comm: "app".into(),
//!     kernel: [].into(),
//!     user: [0x10, 0x21].into(),
//!     weight: 1,
//! };
//! let folded = profile::fold(&[sample], &names, &FoldOptions::default());
//! assert_eq!(folded.stacks, [("app;main;leaf".to_owned(), 1)]);
//! ```
//!
//! Stacks are leaf first in memory ([`Sample`]) and root first in text ([`Folded`]); [`Timeline::new`] is the one place that
//! reverses them. The crate `flamegraphs` finds the names, and writes pictures and files.

pub mod block;
mod brief;
mod coverage;
mod fold;
mod frame;
pub mod graph;
mod interpreted;
mod mode;
mod names;
mod options;
mod sample;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod timeline;

pub use brief::{brief, collapse};
pub use coverage::{NameCoverage, NotRead, Unnamed};
pub use fold::{Folded, fold, fold_stacked};
pub use frame::{Frame, Kind, Source};
pub use mode::{Mode, reason, state_of};
pub use names::{Code, FrameName, Inlined, Names, Role};
pub use options::{FoldOptions, Parts, Roots};
pub use sample::{Sample, Stacked, lookup_addr};
pub use timeline::{FrameId, Point, Thread, Timeline, intern};
