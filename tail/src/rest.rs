//! The rest of a file that is not where it was: renamed, copied, or compressed before it was read to its end.

use std::sync::Arc;

use opener::Workers;

use crate::discover;
use crate::file::{Body, Followed, Saved};
use crate::packing::Packing;

/// What became of a file while nobody looked.
pub(crate) enum Found {
    /// It is there, perhaps under another name, with what was read of it.
    Whole(Followed),
    /// It is there, and was cut: from its start on.
    Cut(Followed),
    /// It is gone.
    Gone,
}

/// Looks for a file by its identity, under its name and those that rotation gives.
pub(crate) fn find(workers: &Workers, saved: &Saved) -> Found {
    let siblings = discover::siblings(workers, &saved.path);
    for path in std::iter::once(saved.path.clone()).chain(siblings) {
        let Some((held, file)) = discover::open(workers, &path).filter(|(_, file)| *file == saved.file)
        else {
            continue;
        };
        let body = Body::Plain(Arc::new(held));
        if let Some(whole) = Followed::resumed(saved, body.clone(), workers) {
            return Found::Whole(whole);
        }
        return Found::Cut(Followed::new(saved.path.clone(), file, body, 0));
    }
    Found::Gone
}

/// A copy that has what is not safe, by the bytes before that or those that were read at first. Where nothing was read there are none to
/// know it by.
pub(crate) fn copied(workers: &Workers, saved: &Saved) -> Option<Followed> {
    saved.known_by()?;
    discover::siblings(workers, &saved.path).into_iter().find_map(|path| {
        let (held, file) = discover::open(workers, &path)?;
        if file == saved.file {
            return None;
        }
        let held = Arc::new(held);
        let body = match Packing::of(&path) {
            Some(packing) => Body::Packed(held, packing),
            None => Body::Plain(held),
        };
        let copy = Followed::resumed(saved, body, workers)?;
        Some(Followed { is_original: false, ..copy })
    })
}
