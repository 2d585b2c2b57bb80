//! Recordings: windows in a file, to be diagnosed later and elsewhere, without root and without BPF.
//!
//! # Format, version 1
//! `s7rec\r\n\x1a`, the version (`u32`, little endian), then frames: kind (1 byte), length and CRC-32 of what follows
//! (`u32` each, little endian), a zstd frame of `MessagePack`. Kinds, in this order:
//!
//! | kind | content |
//! |---|---|
//! | `H` | [`Head`], once |
//! | `N` | names of addresses that the next window is the first to hold |
//! | `W` | a [`Window`], compressed with the text of the window before as dictionary |
//! | `E` | the number of windows; a recording without it was cut off |
//!
//! Structures are maps with field names: a field that is new is at its default in an older recording, and one that is
//! gone is skipped. Most of a window is what the window before said too (idle processes, names, cgroups), which the
//! dictionary takes away. Stacks are addresses, which mean nothing on another day: their names come along.

mod read;
mod share;
#[cfg(test)]
pub(crate) mod tests;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_common::units::UnixNs;
use flamegraphs::{FrameName, Names};
use serde::{Deserialize, Serialize};

pub use write::{Keep, Writer};

use crate::window::Window;

/// First bytes of every recording. Line ends and ^Z tell a file that was transferred as text.
const MAGIC: [u8; 8] = *b"s7rec\r\n\x1a";

/// The version written, and the newest that is read.
pub const VERSION: u32 = 1;

/// Kind, length, checksum.
const FRAME_HEAD: usize = 9;

/// Largest frame in the file and unpacked. A window of a busy 64-CPU host with stacks unpacks to some 10 MiB.
const MAX_FRAME: usize = 64 << 20;
const MAX_UNPACKED: usize = 256 << 20;

const KIND_HEAD: u8 = b'H';
const KIND_NAMES: u8 = b'N';
const KIND_WINDOW: u8 = b'W';
const KIND_END: u8 = b'E';

/// What a recording is of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Head {
    /// Host name.
    pub host: String,
    /// On-CPU samples a second and CPU.
    pub rate_hz: u32,
    /// Version of the program that wrote it.
    pub agent: String,
    /// Kernel release.
    pub kernel: String,
    /// When it began.
    pub began: UnixNs,
    /// On-CPU samples are in it.
    pub samples: bool,
}

/// A recording in memory.
#[derive(Debug, Clone)]
pub struct Recording {
    /// What it is of.
    pub head: Head,
    /// All whole windows, oldest first.
    pub windows: Vec<Arc<Window>>,
    /// Names of the addresses in them.
    pub names: Names,
    /// Why there are no more: the file is cut off or damaged from here on.
    pub damage: Option<Error>,
}

/// Name of an address.
#[derive(Debug, Serialize, Deserialize)]
struct NameRow {
    /// Process; `None` for the kernel.
    tgid: Option<u32>,
    addr: u64,
    name: FrameName,
}

/// What is wrong with a recording.
#[derive(Debug, Clone, thiserror::Error)]
#[error("recording {}", path.display())]
pub struct Error {
    /// The file.
    pub path: PathBuf,
    /// What.
    #[source]
    pub what: Fault,
}

/// What is wrong with a recording, and where.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// The system refused.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's word.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// Something else.
    #[error("not a recording of `agent record`: it does not begin with s7rec")]
    NotARecording,
    /// From a newer program.
    #[error("format version {found}; this agent ({}) reads up to {VERSION}", env!("CARGO_PKG_VERSION"))]
    Version {
        /// Version in the file.
        found: u32,
    },
    /// The end is missing: the recorder was killed, or the disk was full.
    #[error("cut off at byte {offset}, after {windows} whole windows")]
    Truncated {
        /// Where the last whole frame ends.
        offset: u64,
        /// Windows before it.
        windows: usize,
    },
    /// It holds something that was not written.
    #[error("damaged at byte {offset}, after {windows} whole windows: {why}")]
    Damaged {
        /// Where the frame begins.
        offset: u64,
        /// Windows before it.
        windows: usize,
        /// What is wrong.
        why: String,
    },
}

impl Recording {
    /// Reads a recording. What is whole of a damaged one is kept, and [`Self::damage`] says what is wrong; an error is
    /// a file of which nothing can be read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let wrong = |what| Error { path: path.to_owned(), what };
        let bytes = std::fs::read(path)
            .map_err(|source| wrong(Fault::Io { what: "read the file", source: Arc::new(source) }))?;
        let (recording, damage) = read::parse(&bytes).map_err(wrong)?;
        Ok(Self { damage: damage.map(wrong), ..recording })
    }
}

/// The windows of a recording, oldest first. A damaged one is an error: [`Recording::open`] reads what is whole of it.
pub fn read(path: &Path) -> Result<Vec<Arc<Window>>, Error> {
    let recording = Recording::open(path)?;
    recording.damage.map_or(Ok(recording.windows), Err)
}
