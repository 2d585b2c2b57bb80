//! The stack of an end, by name.
//!
//! On symbolizers of their own: the daemon's may be busy for a minute with the stacks of a compiler, and an end is to be explained
//! within seconds. What takes longer has its files alone.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use flamegraphs::maps::Backing;
use flamegraphs::{Mapped, Symbolizer, SymbolizerOptions};
use postmortem::facts::Frame;
use profile::{FrameName, Names, Sample, lookup_addr};

/// Levels of a stack that are kept.
const MAX_FRAMES: usize = 64;
/// Longest wait for names.
const NAMES_TIMEOUT: Duration = Duration::from_secs(2);
/// Memory of the symbolizer for ends: what a few programs that crash in a row need.
const OPTIONS: SymbolizerOptions =
    SymbolizerOptions { name_bytes: 1 << 20, table_bytes: 8 << 20, debug_bytes: 48 << 20, debuginfod: false };

/// Names stacks within [`NAMES_TIMEOUT`].
#[derive(Debug)]
pub(super) struct Namer {
    /// For processes whose mappings are known.
    own: Asked,
    /// For those that began before us: the daemon's symbolizer may have read them.
    shared: Asked,
}

/// A symbolizer with a thread that waits for it.
#[derive(Debug)]
struct Asked {
    questions: SyncSender<(Sample, Vec<Mapped>)>,
    answers: Receiver<Vec<Frame>>,
    /// The answer to the last question is still to come.
    busy: bool,
}

impl Namer {
    /// Starts the threads, which end with it.
    pub(super) fn start(shared: Symbolizer) -> io::Result<Self> {
        let own = Symbolizer::spawn(OPTIONS).map_err(io::Error::other)?;
        Ok(Self { own: Asked::start(own)?, shared: Asked::start(shared)? })
    }

    /// The frames, leaf first, inlined functions as levels of their own.
    pub(super) fn frames(&mut self, sample: &Sample, mapped: &[Mapped]) -> Vec<Frame> {
        let asked = if mapped.is_empty() { &mut self.shared } else { &mut self.own };
        asked.ask(sample, mapped).unwrap_or_else(|| files(sample, mapped))
    }
}

impl Asked {
    fn start(symbolizer: Symbolizer) -> io::Result<Self> {
        let (questions, asked) = mpsc::sync_channel::<(Sample, Vec<Mapped>)>(1);
        let (told, answers) = mpsc::channel();
        std::thread::Builder::new().name("ending-names".to_owned()).spawn(move || {
            for (sample, mapped) in asked {
                for what in mapped {
                    symbolizer.mapped(sample.tgid, what);
                }
                if told.send(frames(sample, &symbolizer)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { questions, answers, busy: false })
    }

    /// `None`: not in time, or still at an earlier one.
    fn ask(&mut self, sample: &Sample, mapped: &[Mapped]) -> Option<Vec<Frame>> {
        // What comes too late is of an earlier end.
        self.busy &= self.answers.try_recv().is_err();
        if self.busy {
            return None;
        }
        self.questions.try_send((sample.clone(), mapped.to_vec())).ok()?;
        let answer = self.answers.recv_timeout(NAMES_TIMEOUT).ok();
        self.busy = answer.is_none();
        answer
    }
}

/// The frames by the files that they are in.
fn files(sample: &Sample, mapped: &[Mapped]) -> Vec<Frame> {
    let last = mapped.iter().rev().find_map(|one| match one {
        Mapped::Program { mappings, .. } => Some(mappings),
        Mapped::Later(_) => None,
    });
    let module = |addr: u64| {
        let mapping = last?.iter().find(|mapping| (mapping.start..mapping.end).contains(&addr))?;
        match &mapping.backing {
            Backing::File { path, .. } => Some(path.rsplit('/').next().unwrap_or_default().to_owned()),
            _ => None,
        }
    };
    let unnamed = |addr: &u64| Frame {
        function: "[unknown]".to_owned(),
        module: module(*addr).unwrap_or_default(),
        ..Frame::default()
    };
    sample.user.iter().take(MAX_FRAMES).map(unnamed).collect()
}

fn frames(sample: Sample, symbolizer: &Symbolizer) -> Vec<Frame> {
    let (samples, names) = match symbolizer.names(vec![sample]) {
        Ok(named) => named,
        Err(error) => {
            tracing::debug!(%error, "the stack of an end has no names");
            return Vec::new();
        }
    };
    let Some(sample) = samples.first() else { return Vec::new() };
    let levels = sample.user.iter().enumerate().flat_map(|(index, addr)| level(&names, sample, index, *addr));
    levels.take(MAX_FRAMES).collect()
}

fn level(names: &Names, sample: &Sample, index: usize, addr: u64) -> Vec<Frame> {
    let Some(name) = names.user(sample.tgid, lookup_addr(index, addr), sample.at) else {
        return vec![Frame { function: "[unknown]".to_owned(), ..Frame::default() }];
    };
    let module = module(name);
    let line = |source: Option<&profile::Source>| source.map(source_line).unwrap_or_default();
    let own = name.code.as_ref().and_then(|code| code.source.as_ref());
    let outer = Frame { function: name.text.to_string(), module: module.clone(), line: line(own) };
    let inner = name.inlined().iter().rev().map(|inlined| Frame {
        function: inlined.text.to_string(),
        module: module.clone(),
        line: line(inlined.source.as_ref()),
    });
    inner.chain([outer]).collect()
}

fn module(name: &FrameName) -> String {
    let path = name.code.as_ref().and_then(|code| code.module.clone()).unwrap_or_else(|| Arc::from(""));
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

fn source_line(source: &profile::Source) -> String {
    let file = source.file.rsplit('/').next().unwrap_or_default();
    format!("{file}:{}", source.line)
}
