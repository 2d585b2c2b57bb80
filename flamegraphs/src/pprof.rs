//! pprof: Google's gzipped protobuf, which `go tool pprof`, Pyroscope, Polar Signals and many others read.
//!
//! Written by hand: the schema (`profile.proto` of google/pprof) has seven messages, and has not changed in years.
//!
//! ```
//! use agent_common::units::MonoNs;
//! use flamegraphs::{About, pprof};
//! use profile::{FoldOptions, Names, Sample, Timeline};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sample = Sample {
//!     at: MonoNs(1), tgid: 7, tid: 7, comm: "app".into(), kernel: [].into(), user: [0x1000].into(), weight: 1,
//! };
//! let timeline = Timeline::new(&[sample.into()], &Names::default(), &FoldOptions::default());
//! let mut bytes = Vec::new();
//! pprof::write(&timeline, &About::default(), &mut bytes)?;
//! assert_eq!(pprof::read(&bytes[..])?.total(), 1);
//! # Ok(())
//! # }
//! ```

mod read;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use profile::{Frame, FrameId, Kind, Timeline};

pub use read::{ReadError, read};

use crate::format::{About, Unit};
use wire::Message;

/// Names of mappings that are not files.
const KERNEL: &str = "[kernel.kallsyms]";
const JIT: &str = "[jit]";
const INTERPRETED: &str = "[interpreted]";
const REASON: &str = "[reason]";
const WAKER: &str = "[waker]";

/// Label keys. `go tool pprof -tagroot=thread` makes one of them a root frame.
const LABEL_PID: &str = "pid";
const LABEL_TID: &str = "tid";
const LABEL_THREAD: &str = "thread";
const LABEL_PROCESS: &str = "process";
const LABEL_GROUP: &str = "container";

/// Writes `timeline`. Samples of one thread and stack are one with their weights added; threads are labels, as are
/// containers; inlined functions are further lines of the location they are inlined into, as pprof means it.
pub fn write(timeline: &Timeline, about: &About, out: impl Write) -> io::Result<()> {
    let mut out = GzEncoder::new(out, Compression::default());
    out.write_all(&encode(timeline, about))?;
    out.finish()?.flush()
}

fn encode(timeline: &Timeline, about: &About) -> Vec<u8> {
    let mut tables = Tables::default();
    tables.string("");
    let mut profile = Message::default();
    let types: &[(&str, &str)] = match about.unit {
        Unit::Samples if about.period_ns > 0 => &[("samples", "count"), ("cpu", "nanoseconds")],
        Unit::Samples => &[("samples", "count")],
        Unit::Nanoseconds => &[("time", "nanoseconds")],
    };
    for (kind, unit) in types {
        profile.message(1, &tables.value_type(kind, unit));
    }
    let mut weights: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    for point in &timeline.points {
        let weight = weights.entry((point.thread, point.stack)).or_default();
        *weight = weight.saturating_add(point.weight);
    }
    for ((thread, stack), weight) in weights {
        let mut sample = Message::default();
        let ids = tables.stack(&timeline.stacks[stack as usize], &timeline.frames);
        sample.packed(1, &ids);
        let weight = weight.min(i64::MAX as u64);
        let values = [weight, weight.saturating_mul(about.period_ns).min(i64::MAX as u64)];
        sample.packed(2, &values[..types.len()]);
        let thread = &timeline.threads[thread as usize];
        let label = |tables: &mut Tables, key: &str, field: u32, value: u64| {
            let mut label = Message::default();
            label.number(1, tables.string(key));
            label.number(field, value);
            label
        };
        sample.message(3, &label(&mut tables, LABEL_PID, 3, thread.tgid.into()));
        sample.message(3, &label(&mut tables, LABEL_TID, 3, thread.tid.into()));
        let comm = tables.string(&thread.comm);
        sample.message(3, &label(&mut tables, LABEL_THREAD, 2, comm));
        if let Some(process) = &thread.process {
            let process = tables.string(process);
            sample.message(3, &label(&mut tables, LABEL_PROCESS, 2, process));
        }
        if let Some(group) = &thread.group {
            let group = tables.string(group);
            sample.message(3, &label(&mut tables, LABEL_GROUP, 2, group));
        }
        profile.message(2, &sample);
    }
    tables.write(&mut profile, about, types[types.len() - 1]);
    profile.into_bytes()
}

/// What samples refer to by number.
#[derive(Default)]
struct Tables {
    strings: HashMap<String, u64>,
    ordered: Vec<String>,
    mappings: Vec<(u64, Seen)>,
    /// By function name and file.
    functions: HashMap<(u64, u64), u64>,
    locations: HashMap<Vec<FrameId>, u64>,
    location_messages: Vec<Message>,
}

/// What the frames of a mapping had.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    files: bool,
    lines: bool,
    inlined: bool,
}

impl Tables {
    fn string(&mut self, text: &str) -> u64 {
        if let Some(&id) = self.strings.get(text) {
            return id;
        }
        let id = self.ordered.len() as u64;
        self.ordered.push(text.to_owned());
        self.strings.insert(text.to_owned(), id);
        id
    }

    fn value_type(&mut self, kind: &str, unit: &str) -> Message {
        let mut message = Message::default();
        message.number(1, self.string(kind));
        message.number(2, self.string(unit));
        message
    }

    /// Location ids of a stack, leaf first.
    fn stack(&mut self, stack: &[FrameId], frames: &[Frame]) -> Vec<u64> {
        let mut ids = Vec::with_capacity(stack.len());
        let mut end = stack.len();
        while end > 0 {
            // An inlined function belongs to the location of the function below it.
            let mut start = end - 1;
            while start > 0 && frames[stack[start] as usize].kind == Kind::Inlined {
                start -= 1;
            }
            ids.push(self.location(&stack[start..end], frames));
            end = start;
        }
        ids
    }

    fn location(&mut self, chain: &[FrameId], frames: &[Frame]) -> u64 {
        if let Some(&id) = self.locations.get(chain) {
            return id;
        }
        let id = self.locations.len() as u64 + 1;
        self.locations.insert(chain.to_vec(), id);
        let outer = &frames[chain[0] as usize];
        let mut seen = Seen { inlined: chain.len() > 1, ..Seen::default() };
        let mut lines = Vec::with_capacity(chain.len());
        // The innermost first.
        for frame in chain.iter().rev().map(|&id| &frames[id as usize]) {
            let (file, number) =
                frame.source.as_ref().map_or(("", 0), |source| (&*source.file, u64::from(source.line)));
            seen.files |= !file.is_empty();
            seen.lines |= number > 0;
            let key = (self.string(&frame.name), self.string(file));
            let next = self.functions.len() as u64 + 1;
            let mut line = Message::default();
            line.number(1, *self.functions.entry(key).or_insert(next));
            line.number(2, number);
            lines.push(line);
        }
        let mut message = Message::default();
        message.number(1, id);
        message.number(2, self.mapping(module(outer), seen));
        for line in &lines {
            message.message(4, line);
        }
        self.location_messages.push(message);
        id
    }

    fn mapping(&mut self, name: &str, seen: Seen) -> u64 {
        let name = self.string(name);
        let at = self.mappings.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            self.mappings.push((name, Seen::default()));
            self.mappings.len() - 1
        });
        let known = &mut self.mappings[at].1;
        known.files |= seen.files;
        known.lines |= seen.lines;
        known.inlined |= seen.inlined;
        at as u64 + 1
    }

    fn write(mut self, profile: &mut Message, about: &About, period: (&str, &str)) {
        for (id, (name, seen)) in (1..).zip(&self.mappings) {
            let mut message = Message::default();
            message.number(1, id);
            message.number(5, *name);
            // has_functions: the frames have names, so a viewer needs no look-up in the file.
            message.number(7, 1);
            message.number(8, seen.files.into());
            message.number(9, seen.lines.into());
            message.number(10, seen.inlined.into());
            profile.message(3, &message);
        }
        for message in &self.location_messages {
            profile.message(4, message);
        }
        let mut functions: Vec<_> = self.functions.iter().map(|(key, id)| (*id, *key)).collect();
        functions.sort_unstable();
        for (id, (name, file)) in functions {
            let mut message = Message::default();
            message.number(1, id);
            message.number(2, name);
            message.number(3, name);
            message.number(4, file);
            profile.message(5, &message);
        }
        let comments = [Some(about.title.as_str()), about.coverage.as_deref(), Some(&about.producer)];
        let comments: Vec<u64> = comments.into_iter().flatten().map(|text| self.string(text)).collect();
        let period_type = self.value_type(period.0, period.1);
        for text in &self.ordered {
            profile.text(6, text);
        }
        profile.number(9, about.start_unix_ns);
        profile.number(10, about.duration_ns);
        if about.period_ns > 0 {
            profile.message(11, &period_type);
            profile.number(12, about.period_ns);
        }
        profile.packed(13, &comments);
    }
}

/// The name of the mapping that a frame belongs to. A frame without a file gets a name for its kind.
fn module(frame: &Frame) -> &str {
    match (frame.kind, &frame.module) {
        (Kind::Kernel, _) => KERNEL,
        (Kind::Jit, _) => JIT,
        (Kind::Interpreted, _) => INTERPRETED,
        (Kind::Reason, _) => REASON,
        (Kind::Waker, _) => WAKER,
        (_, Some(module)) => module,
        _ => "",
    }
}

#[cfg(test)]
mod tests;
