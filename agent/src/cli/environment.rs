//! The program's own variables, taken out of its environment before anything is started.
//!
//! `S7MPA_…` variables may hold passwords and tokens. Every child inherits the environment: the server part, a
//! command under `flamegraph --`, a program for alerts, a debuginfod client. So the variables are read once, kept
//! here, and no child has them, whoever starts it.

use std::sync::OnceLock;

/// What the names of our variables begin with.
const PREFIX: &str = "S7MPA_";

static TAKEN: OnceLock<Vec<(String, String)>> = OnceLock::new();

/// Moves our variables out of the environment. Must be called while there is one thread.
pub(super) fn take() {
    let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(PREFIX));
    let ours: Vec<_> = ours.collect();
    for (name, _) in &ours {
        // SAFETY: no other thread reads or writes the environment: this is the only one.
        unsafe { std::env::remove_var(name) };
    }
    // Text only, as every setting is.
    let texts = ours
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let _ = TAKEN.set(texts.collect());
}

/// Names and values that were taken.
pub(super) fn taken() -> impl Iterator<Item = (String, String)> {
    TAKEN.get().into_iter().flatten().cloned()
}
