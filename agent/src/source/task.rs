//! Processes from `/proc`.

/// What a process used in a window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskSample {}
