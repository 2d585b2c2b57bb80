//! Rules: windows → findings.

use std::sync::Arc;

use agent_common::wire::finding::Finding;

use crate::window::Window;

/// What the rules find in these windows, most lost time first.
#[must_use]
pub fn findings(_windows: &[Arc<Window>]) -> Vec<Finding> {
    Vec::new()
}
