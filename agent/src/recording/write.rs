//! Windows → a file.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_common::units::{MonoNs, Tgid};
use diagnosis::recording::{
    FRAME_HEAD, Head, KIND_END, KIND_HEAD, KIND_NAMES, KIND_WINDOW, MAGIC, MAX_FRAME, NameRow, VERSION,
    checksum,
};
use diagnosis::window::Window;
use profile::{Names, Sample, lookup_addr};
use serde::Serialize;

use super::{Error, failed};
use crate::output::{Output, OutputMode};

/// zstd's own default; with the dictionary, level 9 saves 6 % more and takes four times as long.
const LEVEL: i32 = 3;

/// What of a window is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// On-CPU samples: most of the bytes on a busy host, and what an on-CPU flame graph is made of.
    pub samples: bool,
}

/// One compressor for all frames: its tables are made once.
struct Zstd(zstd::bulk::Compressor<'static>);

impl std::fmt::Debug for Zstd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Zstd")
    }
}

/// A recording being written. What is written is on its way to the file after each window.
#[derive(Debug)]
pub struct Writer<W: Write = BufWriter<File>> {
    out: W,
    path: PathBuf,
    keep: Keep,
    /// Text of the last window.
    dictionary: Vec<u8>,
    /// Memory for the text of the next.
    spare: Vec<u8>,
    zstd: Zstd,
    level: i32,
    /// Addresses whose names are in the file; the kernel is `None`.
    named: HashMap<Option<u32>, HashSet<u64>>,
    /// Processes in which an address may have had several names.
    remapped: HashSet<u32>,
    windows: u64,
    bytes: u64,
}

impl Writer {
    /// Makes the file. It names all processes: [`OutputMode::PRIVATE`] unless its user wants it otherwise.
    pub fn create(path: &Path, mode: OutputMode, head: &Head) -> Result<Self, Error> {
        // In its place at once: a recording that is cut off keeps its whole windows.
        let file = Output::create(path, mode).and_then(Output::finish);
        let file = file.map_err(|source| failed(path, "make the file", source))?;
        Self::new(BufWriter::new(file), path, head)
    }
}

impl<W: Write> Writer<W> {
    /// Begins a recording; `path` is for messages.
    pub fn new(out: W, path: &Path, head: &Head) -> Result<Self, Error> {
        let mut writer = Self {
            out,
            path: path.to_owned(),
            keep: Keep { samples: head.samples },
            dictionary: Vec::new(),
            spare: Vec::new(),
            zstd: Zstd(
                zstd::bulk::Compressor::new(LEVEL).map_err(|source| failed(path, "start zstd", source))?,
            ),
            level: LEVEL,
            named: HashMap::new(),
            remapped: HashSet::new(),
            windows: 0,
            bytes: 0,
        };
        let begin = |writer: &mut Self| {
            let mut first = MAGIC.to_vec();
            first.extend(VERSION.to_le_bytes());
            writer.put(&first)?;
            writer.frame(KIND_HEAD, &pack(head)?, false)?;
            writer.out.flush()
        };
        begin(&mut writer).map_err(|source| writer.failed(source))?;
        Ok(writer)
    }

    /// Compresses with another level of zstd from now on.
    pub(super) const fn set_level(&mut self, level: i32) {
        self.level = level;
    }

    /// Stacks of `window` with addresses that this recording has no names for yet, to be named while the processes
    /// live. Give them to [`flamegraphs::Symbolizer::names`], and the answer to [`Self::window`].
    #[must_use]
    pub fn unnamed(&self, window: &Window) -> Vec<Sample> {
        self.unnamed_of(window, |_| true)
    }

    /// The same; of processes that are not `wanted` the kernel's addresses alone.
    #[must_use]
    pub fn unnamed_of(&self, window: &Window, wanted: impl Fn(u32) -> bool) -> Vec<Sample> {
        let new = |tgid: Option<u32>, stack: &[u64]| {
            let named = self.named.get(&tgid);
            let known = |addr: u64| named.is_some_and(|named| named.contains(&addr));
            stack.iter().enumerate().any(|(index, addr)| !known(lookup_addr(index, *addr)))
        };
        let mut samples = Vec::new();
        let mut look = |tgid: u32, at: MonoNs, kernel: &[u64], user: &[u64]| {
            let user = if wanted(tgid) { user } else { &[] };
            // A library may be in the place of another.
            let remapped = !user.is_empty() && window.remapped.contains(&Tgid(tgid));
            if remapped || new(None, kernel) || new(Some(tgid), user) {
                let (kernel, user) = (kernel.into(), user.into());
                samples.push(Sample { at, tgid, tid: 0, comm: Arc::default(), kernel, user, weight: 0 });
            }
        };
        for wait in window.waits.iter().filter(|wait| !wait.open) {
            look(wait.tgid.0, wait.at, &wait.kernel, &wait.user);
            if let Some(waker) = &wait.waker {
                look(waker.tgid.0, wait.at, &waker.kernel, &waker.user);
            }
        }
        if self.keep.samples {
            for sample in &window.samples {
                look(sample.tgid, sample.at, &sample.kernel, &sample.user);
            }
        }
        samples
    }

    /// Adds a window, with the names of its addresses as far as they are new.
    pub fn window(&mut self, window: &Window, names: &Names) -> Result<(), Error> {
        self.add(window, names).map_err(|source| self.failed(source))
    }

    fn add(&mut self, window: &Window, names: &Names) -> io::Result<()> {
        // A number may be another process' tomorrow.
        for exit in &window.exits {
            self.named.remove(&Some(exit.tgid.0));
        }
        for tgid in &window.remapped {
            self.named.remove(&Some(tgid.0));
            self.remapped.insert(tgid.0);
        }
        let kernel = names.kernel_names().map(|(addr, name)| (None, addr, MonoNs(0), name));
        let user = names.user_names().map(|(tgid, addr, from, name)| (Some(tgid), addr, from, name));
        let mut rows: Vec<NameRow> = Vec::new();
        for (tgid, addr, from, name) in kernel.chain(user) {
            let fresh = self.named.entry(tgid).or_default().insert(addr);
            if fresh || from > MonoNs(0) {
                // Names in earlier windows stay what they were.
                let again = tgid.is_some_and(|tgid| self.remapped.contains(&tgid));
                let from = if from == MonoNs(0) && again { window.start } else { from };
                rows.push(NameRow { tgid, addr, from, name: name.clone() });
            }
        }
        if !rows.is_empty() {
            rows.sort_unstable_by_key(|row| (row.tgid, row.addr, row.from));
            self.frame(KIND_NAMES, &pack(&rows)?, false)?;
        }
        let mut text = std::mem::take(&mut self.spare);
        text.clear();
        if self.keep.samples || window.samples.is_empty() {
            pack_into(&mut text, window)?;
        } else {
            pack_into(&mut text, &Window { samples: Vec::new(), ..window.clone() })?;
        }
        self.frame(KIND_WINDOW, &text, true)?;
        self.spare = std::mem::replace(&mut self.dictionary, text);
        self.windows += 1;
        self.out.flush()
    }

    /// Bytes so far.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends the recording; says how many windows and bytes it has.
    pub fn finish(mut self) -> Result<(u64, u64), Error> {
        let end = |writer: &mut Self| {
            writer.frame(KIND_END, &pack(&writer.windows)?, false)?;
            writer.out.flush()
        };
        end(&mut self).map_err(|source| self.failed(source))?;
        Ok((self.windows, self.bytes))
    }

    fn frame(&mut self, kind: u8, text: &[u8], dictionary: bool) -> io::Result<()> {
        self.zstd.0.set_dictionary(self.level, if dictionary { &self.dictionary } else { &[] })?;
        let packed = self.zstd.0.compress(text)?;
        if packed.len() > MAX_FRAME {
            return Err(io::Error::other(format!("a window of {} bytes is too large", packed.len())));
        }
        let mut head = Vec::with_capacity(FRAME_HEAD);
        head.push(kind);
        head.extend((packed.len() as u32).to_le_bytes());
        head.extend(checksum(kind, &packed).to_le_bytes());
        self.put(&head)?;
        self.put(&packed)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn failed(&self, source: io::Error) -> Error {
        failed(&self.path, "write the recording", source)
    }
}

fn pack(value: &impl Serialize) -> io::Result<Vec<u8>> {
    rmp_serde::to_vec_named(value).map_err(io::Error::other)
}

fn pack_into(text: &mut Vec<u8>, window: &Window) -> io::Result<()> {
    rmp_serde::encode::write_named(text, window).map_err(io::Error::other)
}
