//! The diagnosis: windows → facts → suspicions → findings and alerts. Pure: no I/O, no clock; time is an argument.
//!
//! A [`window::Window`] is what the collector observed in one closed span of time (a second). [`diagnose`] judges some windows once,
//! for a report. A daemon keeps a [`Trend`], takes the [`suspicions`] of the [`recent`] windows once a second, and passes them to
//! [`alert::Alerts`], which gives findings a lifetime.
//!
//! ```
//! use std::sync::Arc;
//! use diagnosis::window::Window;
//!
//! let windows: Vec<Arc<Window>> = Vec::new(); // from the collector, or from a recording
//! for finding in diagnosis::diagnose(&windows, None).findings {
//!     println!("{} {:?} {}", finding.class, finding.subject, finding.advice);
//! }
//! ```
//!
//! One rule a file, in `rules/`; its doc comment is its reference (what, why, thresholds with units, cure), and `RULES.md`
//! is made of them. A rule judges a whole span once, and returns [`Verdict::Ok`], [`Verdict::Suspect`] or
//! [`Verdict::NotEnoughData`]. Each threshold has two values: one to enter, a lower one to stay ([`Level`]), so that an
//! alert at the edge does not flap. A finding that another one explains is not shown beside it: its class is in the `caused` of that.

pub mod alert;
mod engine;
mod explain;
mod facts;
pub mod groups;
pub mod recording;
mod rules;
pub mod scaffolding;
pub mod stacks;
mod suspicion;
pub mod syscall_names;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod trend;
pub mod usage;
pub mod window;

#[cfg(test)]
mod tests;

pub use engine::{
    Diagnosis, MIN_SPAN, Refined, SPAN, Verdicts, diagnose, diagnose_after, recent, suspicions, too_short,
    verdicts,
};
pub use rules::{RULES, Rule};
pub use suspicion::{ALERT_CONFIDENCE, Level, Suspicion, Verdict};
pub use trend::Trend;

#[cfg(test)]
use engine::alarming;
