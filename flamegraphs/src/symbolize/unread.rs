//! Why frames have no name when their file could not be read.

use opener::{Blocked, Refused};
use profile::Unnamed;

/// The file system does not answer, or the file's user has had the time that he may take.
pub(super) const fn blocked(blocked: Blocked) -> Unnamed {
    match blocked {
        Blocked::OverTime => Unnamed::OverBudget,
        _ => Unnamed::NoAnswer,
    }
}

/// What the path leads to is not opened.
pub(super) const fn refused(refused: &Refused) -> Unnamed {
    match refused {
        Refused::NotRegular(_) | Refused::OfKernel => Unnamed::NotAFile,
        _ => Unnamed::FileGone,
    }
}
