//! Opens and reads what other users control. No other module of the privileged process does.
//!
//! Two things can go wrong when root opens a file that another user may replace. This crate prevents both:
//!
//! - **The file is not what it seems.** A path may lead to a device, a FIFO, a socket, into `/proc` or out of a container.
//!   [`file`] opens with `O_PATH`, which runs no driver, checks the result, and opens that same inode for reading.
//! - **The file system never answers.** A FUSE server may be stopped, an NFS server gone; even `stat` and `close` then wait for
//!   ever, and so does reading a process' memory that such a file is mapped into. [`Workers`] run every such call on a
//!   thread that may be given up.
//!
//! ```
//! let workers = opener::Workers::new("example");
//! let owner = opener::Owner::of_process(std::process::id());
//! let file = opener::file::at("/etc/hostname".as_ref())?;
//! let size = workers.run(owner, move || file.reader().and_then(|file| file.metadata()))??.len();
//! # let _ = size;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocked;
pub mod file;
mod living;
pub mod process;
mod progress;
mod workers;

pub use blocked::{Blocked, Counts, Owner, Place, blocked, charge};
pub use file::{Held, Refused, Stamp};
pub use living::living;
pub use workers::{Patience, Workers};
