//! Profiles from files: folded text or pprof. The first bytes show which.

use std::io::Read;

use agent_common::text::cleaned;
use profile::{FoldOptions, Folded};

use crate::pprof::{self, ReadError};

/// Folded text may have this many bytes.
const MAX_TEXT: u64 = 1 << 30;

/// Reads a profile as folded stacks: pprof (gzipped or not) or folded text. `options` say how pprof's threads become
/// roots and its kinds suffixes; text has both in it already.
///
/// ```
/// use flamegraphs::read;
/// use profile::FoldOptions;
///
/// let folded = read::folded(&b"app;main 3\napp;main;work 4\n"[..], &FoldOptions::default())?;
/// assert_eq!(folded.total(), 7);
/// # Ok::<(), flamegraphs::pprof::ReadError>(())
/// ```
pub fn folded(mut input: impl Read, options: &FoldOptions) -> Result<Folded, ReadError> {
    let mut bytes = Vec::new();
    input.by_ref().take(MAX_TEXT).read_to_end(&mut bytes)?;
    let text = std::str::from_utf8(&bytes).ok().filter(|text| !text.contains('\0'));
    match text.map(lines) {
        Some(Ok(stacks)) => Ok(Folded { stacks, ..Folded::default() }),
        Some(Err(fault)) => pprof::read(&bytes[..])
            .map(|timeline| Folded::new(&timeline, options))
            .map_err(|_| ReadError::Malformed(fault)),
        None => Ok(Folded::new(&pprof::read(&bytes[..])?, options)),
    }
}

/// The stacks of folded text: frame-wise sorted, each once.
fn lines(text: &str) -> Result<Vec<(String, u64)>, &'static str> {
    let mut stacks: Vec<(String, u64)> = Vec::new();
    for line in text
        .lines()
        .map(|line| cleaned(line.trim()))
        .filter(|line| !line.is_empty() && !line.starts_with("# "))
    {
        let (stack, weight) = line.rsplit_once(' ').ok_or("a line of folded stacks has no count")?;
        let weight = weight.parse().map_err(|_| "a line of folded stacks has no count at its end")?;
        if weight > 0 {
            stacks.push((stack.trim_end().to_owned(), weight));
        }
    }
    stacks.sort_by(|(a, _), (b, _)| a.split(';').cmp(b.split(';')));
    stacks.dedup_by(|again, first| {
        let same = again.0 == first.0;
        if same {
            first.1 = first.1.saturating_add(again.1);
        }
        same
    });
    Ok(stacks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::About;
    use profile::testing::example;

    fn read(bytes: &[u8]) -> Result<Folded, ReadError> {
        folded(bytes, &FoldOptions::default())
    }

    #[test]
    fn folded_text_and_pprof_give_the_same() {
        let timeline = example();
        let folded = Folded::new(&timeline, &FoldOptions::default());
        let (mut text, mut bytes) = (Vec::new(), Vec::new());
        crate::text::write(&folded, &mut text).unwrap();
        pprof::write(&timeline, &About::default(), &mut bytes).unwrap();
        assert_eq!(read(&text).unwrap().stacks, folded.stacks);
        assert_eq!(read(&bytes).unwrap().stacks, folded.stacks);
    }

    #[test]
    fn lines_are_sorted_by_frame_and_merged() {
        let folded = read(b"a;foo.part.0 1\n# note\n\na;foo;bar 2\na;foo 3\na;foo;bar 4\nzero 0\n").unwrap();
        let stacks: Vec<_> = folded.stacks.iter().map(|(stack, weight)| (stack.as_str(), *weight)).collect();
        assert_eq!(stacks, [("a;foo", 3), ("a;foo;bar", 6), ("a;foo.part.0", 1)]);
        assert!(read(b"").unwrap().is_empty());
    }

    #[test]
    fn what_is_neither_says_what_is_wrong() {
        assert!(read(b"{\"json\": true}").unwrap_err().to_string().contains("no count"));
        assert!(matches!(read(b"\x89PNG\0\0"), Err(ReadError::Malformed(_))));
    }
}
