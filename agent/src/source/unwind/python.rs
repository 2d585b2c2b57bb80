//! Which processes run CPython, and where the kernel side finds its frames.

use std::collections::HashMap;
use std::path::Path;

use flamegraphs::maps::{Backing, Mapping};
use flamegraphs::python::Interpreter;
use flamegraphs::unwind;
use opener::Workers;

use super::files::{FileKey, Of};
use crate::bpf::UnwindMaps;

/// Most files in memory before all are forgotten: only those named Python.
const MAX_FILES: usize = 1024;

/// Files that may have an interpreter, by device, inode and path.
#[derive(Debug, Default)]
pub(super) struct Pythons(HashMap<FileKey, Option<Interpreter>>);

impl Pythons {
    /// The interpreter that a process has mapped there: where its list of interpreters begins, and the number of its layout.
    pub(super) fn find(
        &mut self,
        maps: &mut UnwindMaps,
        workers: &Workers,
        of: Of,
        mapping: &Mapping,
    ) -> Option<(u64, u32)> {
        let Backing::File { dev, ino, path, .. } = &mapping.backing else { return None };
        let file = Path::new(path);
        if !Interpreter::may_be_in(file) {
            return None;
        }
        if self.0.len() >= MAX_FILES {
            self.0.clear();
        }
        let known = self.0.entry((*dev, *ino, path.clone(), of.space));
        let read = || {
            let (mapped, file) = (unwind::mapped(of.tgid.0, mapping)?, file.to_owned());
            let read = move || Interpreter::read(&mapped.open().ok()?.reader().ok()?, &file);
            workers.run(of.owner.on(*dev), read).ok()?
        };
        let interpreter = known.or_insert_with(read).as_ref()?;
        Some((interpreter.list_in(mapping)?, maps.layout(&interpreter.layout)?))
    }
}
