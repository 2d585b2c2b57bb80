//! Entries for fuzzing, one an input format: what programs that we look at can put in front of us. Each must return,
//! whatever the bytes. The targets are in `fuzz/`, inputs worth keeping in `tests/corpus/`; a test replays those.

use std::fs::File;
use std::io::Write;

use profile::FoldOptions;

use crate::symbolize::entries;

/// An entry, and the name of its target.
pub type Entry = (&'static str, fn(&[u8]));

/// All of them.
pub const ENTRIES: [Entry; 9] = [
    ("perf_map", entries::perf_map),
    ("jitdump", |bytes| entries::jitdump(&file(bytes))),
    ("maps", entries::maps),
    ("elf", |bytes| entries::elf(&file(bytes))),
    ("go_table", entries::go_table),
    ("name", entries::name),
    ("profile", profile),
    ("python", crate::python::fuzz),
    ("block", block),
];

/// Runs the entry `name`.
///
/// # Panics
/// If there is none of that name, or the entry has found a fault.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, entry) = ENTRIES.iter().find(|(known, _)| *known == name).expect("a target of this name");
    entry(bytes);
}

fn block(bytes: &[u8]) {
    if let Ok(block) = profile::block::Block::decode(bytes) {
        let shown = profile::block::Shown { cpu: true, waits: true, wakers: true, ..Default::default() };
        assert!(block.timeline(&shown, |_| "".into()).is_sound());
        assert!(profile::block::Block::decode(&block.encode()).is_ok());
    }
}

fn profile(bytes: &[u8]) {
    if let Ok(folded) = crate::read::folded(bytes, &FoldOptions::default()) {
        assert!(folded.stacks.iter().all(|(_, weight)| *weight > 0));
    }
}

/// A file of `bytes`.
fn file(bytes: &[u8]) -> File {
    let mut file = tempfile_of_memory();
    // SANITY: memory takes what it is given.
    file.write_all(bytes).expect("write to memory");
    file
}

fn tempfile_of_memory() -> File {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    // SANITY: as long as there are descriptors.
    memfd_create(c"fuzz", MFdFlags::MFD_CLOEXEC).expect("memory").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn every_corpus_is_replayed() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
        for (name, entry) in ENTRIES {
            let inputs: Vec<_> = fs::read_dir(corpus.join(name)).expect(name).flatten().collect();
            assert!(inputs.len() >= 3, "{name}: {} inputs", inputs.len());
            for input in inputs {
                entry(&fs::read(input.path()).unwrap());
            }
        }
    }
}
