//! A build beside the cases: one compiler at a time, at work all the time.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::workload::Workload;

/// Runs until dropped.
#[derive(Debug)]
pub struct Load {
    _workload: Workload,
    _dir: TempDir,
}

impl Load {
    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let program = dir.path().join("make");
        std::os::unix::fs::symlink(crate::programs().join("actor"), &program).expect("a link");
        let mut workload =
            Workload::spawn(Command::new(program).arg("compile").arg(Path::new(dir.path())).arg("1"));
        workload.begin();
        Self { _workload: workload, _dir: dir }
    }
}
