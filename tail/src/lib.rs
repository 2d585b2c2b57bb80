//! Follows log files: every byte once, through rotation by name, copying or compression, truncation, reused inodes and restarts.
//!
//! A file is known by its handle (inode and generation), a place in it by the offset and a hash of the bytes before it. So a file
//! that another one has taken the name, or the inode, of is still the old one; and one that was cut and written anew is a new one.
//!
//! ```text
//! patterns ─ discover ─▶ files ─ poll ─▶ chunks ─▶ whoever makes lines of them
//!                          ▲                              │
//!                          └────────── commit ◀───────────┘   all before this offset is safe
//! ```
//!
//! What is not committed is read again after a restart: who takes the chunks drops what he has by source and offset.
//! What a program writes between the copy and the cut of `copytruncate` is lost to all readers; nothing here can help that.

mod discover;
mod file;
mod files;
mod hash;
mod packing;
mod rest;
#[cfg(test)]
mod tests;

pub use discover::matches;
pub use file::{Chunk, Saved, SourceId};
pub use files::{Figures, Files, Options};
pub use hash::hash;
