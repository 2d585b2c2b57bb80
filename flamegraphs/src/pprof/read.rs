//! pprof → timeline.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use agent_common::units::MonoNs;
use flate2::read::MultiGzDecoder;
use profile::{Frame, FrameId, Kind, Point, Source, Thread, Timeline, intern};

use super::wire::{Value, field};
use super::{
    INTERPRETED, JIT, KERNEL, LABEL_GROUP, LABEL_PID, LABEL_PROCESS, LABEL_THREAD, LABEL_TID, REASON, WAKER,
};

/// Unpacked, a profile may have this many bytes: a day of a busy fleet's has a tenth.
const MAX_BYTES: u64 = 1 << 30;

/// Why a profile cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The source failed, or its gzip stream is broken.
    #[error("cannot read the profile")]
    Io(#[from] std::io::Error),
    /// Not a pprof profile.
    #[error("not a pprof profile: {0}")]
    Malformed(&'static str),
}

/// Reads a profile, gzipped or not. Points have no time; the weight is the default sample type's, else the last
/// type's. Threads, containers and kinds of frames are read from labels and mappings as [`super::write`] sets them;
/// without such, all is one thread without a name.
pub fn read(mut input: impl Read) -> Result<Timeline, ReadError> {
    let mut bytes = Vec::new();
    input.by_ref().take(MAX_BYTES).read_to_end(&mut bytes)?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        MultiGzDecoder::new(&bytes[..]).take(MAX_BYTES).read_to_end(&mut plain)?;
        bytes = plain;
    }
    Ok(Raw::parse(&bytes)?.timeline()?.cleaned())
}

#[derive(Default)]
struct Raw<'a> {
    types: Vec<u64>,
    samples: Vec<RawSample>,
    mappings: HashMap<u64, u64>,
    locations: HashMap<u64, Location>,
    functions: HashMap<u64, (u64, u64)>,
    strings: Vec<&'a [u8]>,
    default_type: u64,
}

#[derive(Default)]
struct RawSample {
    locations: Vec<u64>,
    values: Vec<u64>,
    /// Key, text, number.
    labels: Vec<(u64, u64, u64)>,
}

#[derive(Default)]
struct Location {
    mapping: u64,
    address: u64,
    /// Function and line, the innermost first.
    lines: Vec<(u64, u64)>,
}

/// Calls `each` with every field of `message`.
fn fields<'a>(
    mut message: &'a [u8],
    mut each: impl FnMut(u64, Value<'a>) -> Option<()>,
) -> Result<(), ReadError> {
    while !message.is_empty() {
        let (number, value) = field(&mut message).ok_or(ReadError::Malformed("a field is cut off"))?;
        each(number, value).ok_or(ReadError::Malformed("a list of numbers is cut off"))?;
    }
    Ok(())
}

/// The first `N` fields of a message of numbers.
fn numbers<const N: usize>(message: &[u8]) -> Result<[u64; N], ReadError> {
    let mut found = [0; N];
    fields(message, |number, value| {
        if let Some(slot) = number.checked_sub(1).and_then(|at| found.get_mut(at as usize)) {
            *slot = value.number();
        }
        Some(())
    })?;
    Ok(found)
}

impl<'a> Raw<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let mut raw = Self::default();
        let mut failed = Ok(());
        fields(bytes, |number, value| {
            if failed.is_ok() {
                failed = raw.field(number, value);
            }
            Some(())
        })?;
        failed?;
        if raw.strings.is_empty() {
            return Err(ReadError::Malformed("it has no strings"));
        }
        Ok(raw)
    }

    fn field(&mut self, number: u64, value: Value<'a>) -> Result<(), ReadError> {
        match number {
            1 => self.types.push(numbers::<2>(value.bytes())?[0]),
            2 => self.samples.push(RawSample::parse(value.bytes())?),
            3 => {
                let [id, .., name] = numbers::<5>(value.bytes())?;
                self.mappings.insert(id, name);
            }
            4 => {
                let (id, location) = Location::parse(value.bytes())?;
                self.locations.insert(id, location);
            }
            5 => {
                let [id, name, _, file] = numbers::<4>(value.bytes())?;
                self.functions.insert(id, (name, file));
            }
            6 => self.strings.push(value.bytes()),
            14 => self.default_type = value.number(),
            _ => {}
        }
        Ok(())
    }

    fn string(&self, id: u64) -> Arc<str> {
        let bytes = self.strings.get(id as usize).copied().unwrap_or_default();
        String::from_utf8_lossy(bytes).into()
    }

    fn timeline(&self) -> Result<Timeline, ReadError> {
        let default = self.types.iter().position(|kind| self.default_type != 0 && *kind == self.default_type);
        let at = default.unwrap_or(self.types.len().saturating_sub(1));
        let mut timeline = Timeline::default();
        let (mut frames, mut stacks, mut threads) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut known: HashMap<u64, Vec<FrameId>> = HashMap::new();
        for sample in &self.samples {
            let weight = *sample.values.get(at).ok_or(ReadError::Malformed("a sample has too few values"))?;
            // A difference of two profiles has negative ones, which a flame graph cannot show.
            let weight = u64::try_from(weight as i64).unwrap_or(0);
            if weight == 0 {
                continue;
            }
            let mut stack: Vec<FrameId> = Vec::new();
            for &id in sample.locations.iter().rev() {
                let ids = known.entry(id).or_insert_with(|| {
                    let chain = self.chain(id).into_iter();
                    chain.map(|frame| intern(&mut frames, &mut timeline.frames, frame)).collect()
                });
                stack.extend_from_slice(ids);
            }
            let stack = intern(&mut stacks, &mut timeline.stacks, stack.into_boxed_slice());
            let thread = intern(&mut threads, &mut timeline.threads, self.thread(sample));
            timeline.points.push(Point { at: MonoNs(0), thread, stack, weight });
        }
        Ok(timeline)
    }

    /// The frames of a location, the outermost first.
    fn chain(&self, id: u64) -> Vec<Frame> {
        let Some(location) = self.locations.get(&id) else {
            return vec![Frame::new("[unknown]", Kind::Unnamed)];
        };
        let module = self.mappings.get(&location.mapping).map(|name| self.string(*name));
        let module = module.filter(|module| !module.is_empty());
        let (kind, module) = match module.as_deref() {
            Some(KERNEL) => (Kind::Kernel, None),
            Some(JIT) => (Kind::Jit, None),
            Some(INTERPRETED) => (Kind::Interpreted, None),
            Some(REASON) => (Kind::Reason, None),
            Some(WAKER) => (Kind::Waker, None),
            _ => (Kind::Native, module),
        };
        if location.lines.is_empty() {
            let file = module.as_deref().and_then(|path| path.rsplit('/').next()).unwrap_or("unknown");
            let name = format!("[{file}+{:#x}]", location.address);
            return vec![Frame { module, ..Frame::new(name, Kind::Unnamed) }];
        }
        let mut kind = kind;
        location
            .lines
            .iter()
            .rev()
            .map(|&(function, line)| {
                let (name, file) = self.functions.get(&function).copied().unwrap_or_default();
                let (name, file) = (self.string(name), self.string(file));
                let unnamed = kind == Kind::Native && name.starts_with('[');
                let source =
                    Some(Source { file, line: line as u32 }).filter(|source| !source.file.is_empty());
                let of = if unnamed { Kind::Unnamed } else { kind };
                if kind == Kind::Native {
                    kind = Kind::Inlined;
                }
                Frame { name, kind: of, module: module.clone(), source }
            })
            .collect()
    }

    fn thread(&self, sample: &RawSample) -> Thread {
        let mut thread = Thread { tgid: 0, tid: 0, comm: "".into(), process: None, group: None };
        for &(key, text, number) in &sample.labels {
            match &*self.string(key) {
                LABEL_PID => thread.tgid = number as u32,
                LABEL_TID => thread.tid = number as u32,
                LABEL_THREAD => thread.comm = self.string(text),
                LABEL_PROCESS => thread.process = Some(self.string(text)),
                LABEL_GROUP => thread.group = Some(self.string(text)),
                _ => {}
            }
        }
        thread
    }
}

impl RawSample {
    fn parse(message: &[u8]) -> Result<Self, ReadError> {
        let mut sample = Self::default();
        let mut labels = Vec::new();
        fields(message, |number, value| match number {
            1 => value.numbers(&mut sample.locations),
            2 => value.numbers(&mut sample.values),
            3 => {
                labels.push(value.bytes());
                Some(())
            }
            _ => Some(()),
        })?;
        for label in labels {
            let [key, text, number] = numbers::<3>(label)?;
            sample.labels.push((key, text, number));
        }
        Ok(sample)
    }
}

impl Location {
    fn parse(message: &[u8]) -> Result<(u64, Self), ReadError> {
        let (mut id, mut location, mut lines) = (0, Self::default(), Vec::new());
        fields(message, |number, value| {
            match number {
                1 => id = value.number(),
                2 => location.mapping = value.number(),
                3 => location.address = value.number(),
                4 => lines.push(value.bytes()),
                _ => {}
            }
            Some(())
        })?;
        for line in lines {
            let [function, number] = numbers::<2>(line)?;
            location.lines.push((function, number));
        }
        Ok((id, location))
    }
}
