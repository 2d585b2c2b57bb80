//! Bytes → windows. Pure; whatever the bytes are, the answer is a value.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::le::u32_at;
use profile::{FrameName, Names};
use serde::de::DeserializeOwned;

use super::share::Sharer;
use super::{
    FRAME_HEAD, Fault, Head, KIND_END, KIND_HEAD, KIND_NAMES, KIND_WINDOW, MAGIC, MAX_FRAME, MAX_UNPACKED,
    NameRow, Recording, VERSION,
};
use crate::window::Window;

/// The windows that are wanted of a recording, up to the first fault. An error means that the bytes are no recording.
pub(super) fn parse(bytes: &[u8], wanted: &dyn Fn(&Window) -> bool) -> Result<Recording, Fault> {
    let Some(rest) = bytes.strip_prefix(&MAGIC) else {
        return Err(if MAGIC.starts_with(bytes) && !bytes.is_empty() {
            Fault::Truncated { offset: bytes.len() as u64, windows: 0 }
        } else {
            Fault::NotARecording
        });
    };
    let Some(found) = u32_at(rest, 0) else {
        return Err(Fault::Truncated { offset: bytes.len() as u64, windows: 0 });
    };
    if found == 0 || found > VERSION {
        return Err(Fault::Version { found });
    }
    let mut reader =
        Reader { bytes, at: MAGIC.len() + 4, dictionary: Vec::new(), read: 0, wanted, windows: Vec::new() };
    let first = reader.frame()?;
    let head: Head = match first.kind {
        KIND_HEAD => reader.value(&first, &[])?.0,
        kind => return Err(reader.damaged(first.offset, format!("kind {kind:#04x} where the head belongs"))),
    };
    let mut names = Names::default();
    let mut texts: HashMap<Arc<str>, FrameName> = HashMap::new();
    let damage = reader.body(&mut |row: NameRow| {
        // A name is in many rows and many processes: one copy of each.
        let known = texts.get(&row.name.text).filter(|known| **known == row.name).cloned();
        let name = known.unwrap_or_else(|| {
            texts.insert(Arc::clone(&row.name.text), row.name.clone());
            row.name
        });
        match row.tgid {
            Some(tgid) => names.set_user_from(tgid, row.addr, row.from, name),
            None => names.set_kernel(row.addr, name),
        }
    });
    Ok(Recording { head, windows: reader.windows, names, damage: damage.err() })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Text of the last window.
    dictionary: Vec<u8>,
    /// Windows read, wanted or not.
    read: usize,
    wanted: &'a dyn Fn(&Window) -> bool,
    windows: Vec<Arc<Window>>,
}

struct Frame<'a> {
    kind: u8,
    offset: usize,
    packed: &'a [u8],
}

impl<'a> Reader<'a> {
    fn body(&mut self, name: &mut dyn FnMut(NameRow)) -> Result<(), Fault> {
        let mut sharer = Sharer::default();
        loop {
            let frame = self.frame()?;
            match frame.kind {
                KIND_NAMES => self.value::<Vec<NameRow>>(&frame, &[])?.0.into_iter().for_each(&mut *name),
                KIND_WINDOW => {
                    let (mut window, text) = self.value::<Window>(&frame, &self.dictionary)?;
                    if window.end <= window.start {
                        return Err(self.damaged(frame.offset, "a window without any time".to_owned()));
                    }
                    self.read += 1;
                    self.dictionary = text;
                    if (self.wanted)(&window) {
                        sharer.share(&mut window);
                        self.windows.push(Arc::new(window));
                    }
                }
                KIND_END => {
                    let (count, _): (u64, _) = self.value(&frame, &[])?;
                    if count != self.read as u64 {
                        return Err(self.damaged(frame.offset, format!("{count} windows were written")));
                    }
                    if self.at < self.bytes.len() {
                        return Err(self.damaged(self.at, "more bytes after the end".to_owned()));
                    }
                    return Ok(());
                }
                kind => return Err(self.damaged(frame.offset, format!("unknown kind {kind:#04x}"))),
            }
        }
    }

    /// The next frame, its checksum verified.
    fn frame(&mut self) -> Result<Frame<'a>, Fault> {
        let offset = self.at;
        let truncated = Fault::Truncated { offset: offset as u64, windows: self.read };
        let rest = &self.bytes[offset..];
        let Some((head, rest)) = rest.split_first_chunk::<FRAME_HEAD>() else { return Err(truncated) };
        let (kind, Some(length), Some(crc)) = (head[0], u32_at(head, 1), u32_at(head, 5)) else {
            return Err(truncated);
        };
        let length = length as usize;
        if length > MAX_FRAME {
            return Err(self.damaged(offset, format!("a frame of {length} bytes")));
        }
        let Some(packed) = rest.get(..length) else { return Err(truncated) };
        if super::checksum(kind, packed) != crc {
            return Err(self.damaged(offset, "the checksum does not match".to_owned()));
        }
        self.at = offset + FRAME_HEAD + length;
        Ok(Frame { kind, offset, packed })
    }

    /// The value in a frame, and its unpacked bytes.
    fn value<T: DeserializeOwned>(
        &self,
        frame: &Frame<'_>,
        dictionary: &[u8],
    ) -> Result<(T, Vec<u8>), Fault> {
        let bad = |why: String| self.damaged(frame.offset, why);
        let size = zstd::zstd_safe::get_frame_content_size(frame.packed).ok().flatten();
        let size = size.ok_or_else(|| bad("not a zstd frame with a size".to_owned()))?;
        if size > MAX_UNPACKED as u64 {
            return Err(bad(format!("{size} bytes unpacked")));
        }
        let text = zstd::bulk::Decompressor::with_dictionary(dictionary)
            .and_then(|mut unpack| unpack.decompress(frame.packed, size as usize))
            .map_err(|error| bad(format!("cannot be unpacked: {error}")))?;
        let mut rest = &text[..];
        let value = T::deserialize(&mut rmp_serde::Deserializer::new(&mut rest));
        let value = value.map_err(|error| bad(error.to_string()))?;
        if !rest.is_empty() {
            return Err(bad(format!("{} bytes too many", rest.len())));
        }
        Ok((value, text))
    }

    fn damaged(&self, offset: usize, why: String) -> Fault {
        Fault::Damaged { offset: offset as u64, windows: self.read, why }
    }
}
