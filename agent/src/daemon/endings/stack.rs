//! The stack of an end, by name.

use std::sync::Arc;

use flamegraphs::Symbolizer;
use postmortem::facts::Frame;
use profile::{FrameName, Names, Sample, lookup_addr};

/// Levels of a stack that are kept.
const MAX_FRAMES: usize = 64;

/// Its frames by name, leaf first, inlined functions as levels of their own.
pub(super) fn frames(sample: &Sample, symbolizer: &Symbolizer) -> Vec<Frame> {
    let (samples, names) = match symbolizer.names(vec![sample.clone()]) {
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
