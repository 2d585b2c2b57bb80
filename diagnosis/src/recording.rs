//! Recordings: windows in bytes, to be diagnosed later and elsewhere, without root and without BPF.
//!
//! # Format, version 1
//! `s7rec\r\n\x1a`, the version (`u32`, little endian), then frames: kind (1 byte), length and CRC-32 of what follows
//! (`u32` each, little endian), a zstd frame of `MessagePack`. Kinds, in this order:
//!
//! | kind | content |
//! |---|---|
//! | `H` | [`Head`], once |
//! | `N` | [`NameRow`]s: names of addresses that the next window is the first to hold |
//! | `W` | a [`Window`], compressed with the text of the window before as dictionary |
//! | `E` | the number of windows; a recording without it was cut off |
//!
//! Structures are maps with field names: a new field has its default in an older recording, and a removed field is skipped. Most
//! of a window repeats the window before (idle processes, names, cgroups); the dictionary removes that. Stacks are addresses, which
//! mean nothing on another day: the recording has their names.

mod read;
mod share;

use std::sync::Arc;

use agent_common::units::{MonoNs, UnixNs};
use profile::{FrameName, Names};
use serde::{Deserialize, Serialize};

use crate::window::Window;

/// First bytes of every recording. Line ends and ^Z tell a file that was transferred as text.
pub const MAGIC: [u8; 8] = *b"s7rec\r\n\x1a";

/// The version written, and the newest that is read.
pub const VERSION: u32 = 1;

/// Bytes of a frame's head: kind, length, checksum.
pub const FRAME_HEAD: usize = 9;

/// Largest frame in the file. A window of a busy 64-CPU host with stacks unpacks to some 10 MiB.
pub const MAX_FRAME: usize = 64 << 20;
/// Largest frame unpacked.
const MAX_UNPACKED: usize = 256 << 20;

/// Kind of the frame with the [`Head`].
pub const KIND_HEAD: u8 = b'H';
/// Kind of a frame with [`NameRow`]s.
pub const KIND_NAMES: u8 = b'N';
/// Kind of a frame with a [`Window`].
pub const KIND_WINDOW: u8 = b'W';
/// Kind of the last frame.
pub const KIND_END: u8 = b'E';

/// Where and when a recording was made.
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
    /// Where and when it was made.
    pub head: Head,
    /// All whole windows, oldest first.
    pub windows: Vec<Arc<Window>>,
    /// Names of the addresses in them.
    pub names: Names,
    /// Why it ends here, if the file is cut off or damaged.
    pub damage: Option<Fault>,
}

/// Name of an address.
#[derive(Debug, Serialize, Deserialize)]
pub struct NameRow {
    /// Process; `None` for the kernel.
    pub tgid: Option<u32>,
    /// The address.
    pub addr: u64,
    /// Since when; 0: in all windows.
    #[serde(rename = "from_ns", default, skip_serializing_if = "is_zero")]
    pub from: MonoNs,
    /// Its name.
    pub name: FrameName,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero(at: &MonoNs) -> bool {
    at.0 == 0
}

/// A fault in a recording, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Another kind of file.
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
    /// It has bytes that the recorder did not write.
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
    /// Reads a recording. Of a damaged one the whole windows are kept, and [`Self::damage`] has the fault. An error means that
    /// nothing can be read.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        read::parse(bytes, &|_| true)
    }

    /// The same, without the windows that are not wanted: those of minutes are larger than their file by far.
    pub fn parse_wanted(bytes: &[u8], wanted: impl Fn(&Window) -> bool) -> Result<Self, Fault> {
        read::parse(bytes, &wanted)
    }
}

/// CRC-32 of a frame's kind and content.
#[must_use]
pub fn checksum(kind: u8, packed: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[kind]);
    crc.update(packed);
    crc.finalize()
}
