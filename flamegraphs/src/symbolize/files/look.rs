//! What is read of a file at first, on a thread that may be given up.

use std::path::Path;
use std::sync::Arc;

use opener::file::Mapped;
use opener::{Held, Refused, Stamp};

use crate::python::Interpreter;
use crate::symbolize::elf::Image;

/// A file, open.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) held: Arc<Held>,
    pub(super) stamp: Option<Stamp>,
    /// What is in it, if that is not known yet.
    pub(super) contents: Option<Contents>,
}

/// What is in it.
#[derive(Debug)]
pub(super) struct Contents {
    /// `None`: no ELF file.
    pub(super) image: Option<Image>,
    pub(super) python: Option<Interpreter>,
}

/// Opens what is mapped, and reads its headers unless it is what had the stamp `known`.
pub(super) fn open(mapped: &Mapped, known: Option<Stamp>) -> Result<Looked, Refused> {
    let held = mapped.open()?;
    if known.is_some() && held.stamp() == known {
        return Ok(Looked { held: Arc::new(held), stamp: known, contents: None });
    }
    read(Arc::new(held), &mapped.path)
}

/// Reads the headers of an open file called `path`.
pub(super) fn read(held: Arc<Held>, path: &Path) -> Result<Looked, Refused> {
    let stamp = held.stamp();
    let file = held.reader()?;
    let image = Image::read(&file);
    let may_be = Interpreter::may_be_in(path);
    let python = may_be.then(|| Interpreter::read(&file, path)).flatten();
    drop(file);
    Ok(Looked { held, stamp, contents: Some(Contents { image, python }) })
}
