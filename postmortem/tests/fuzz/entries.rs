//! The entry for fuzzing: facts of which a stranger wrote the texts. The target of `cargo fuzz` in `fuzz/` calls it; the test beside
//! replays texts that were changed at random.

use agent_common::text::is_hostile;
use postmortem::Facts;
use postmortem::facts::{
    Change, Earlier, FailedCall, Fault, Frame, Limit, Line, Oom, Other, ParentEnd, Place, Wait, Words,
};

const END_NS: u64 = 1_764_500_000_000_000_000;
/// Longest text: 1 KiB, of which cleaning writes one character as up to ten.
const MAX_TEXT_BYTES: usize = 10 << 10;
const MAX_PROOFS: usize = 12;

/// Facts as JSON, or a fact a line: see [`of_lines`]. A post-mortem is bounded and clean.
pub(crate) fn examine(text: &str) {
    let facts = if text.starts_with('{') {
        let Ok(facts) = serde_json::from_str(text) else { return };
        facts
    } else {
        of_lines(text)
    };
    let Some(mut result) = postmortem::examine(&facts) else { return };
    assert!((0.0..=1.0).contains(&result.cause.confidence), "{}", result.cause.confidence);
    assert!(result.evidence.len() <= MAX_PROOFS);
    result.each_text(|text| {
        assert!(!text.chars().any(is_hostile), "{text:?}");
        assert!(text.len() <= MAX_TEXT_BYTES, "{} bytes", text.len());
    });
}

/// A fact a line: its first letter says of which kind, the words behind it are its parts. A vertical tab is a line break in a text.
fn of_lines(text: &str) -> Facts {
    let mut facts = Facts::default();
    facts.ended.at_ns = END_NS;
    for (nth, line) in text.split('\n').enumerate() {
        let mut letters = line.chars();
        let letter = letters.next();
        let text = letters.as_str().replace('\u{b}', "\n");
        let mut words = text.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let number = text.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let at_ns = END_NS.wrapping_sub(number % (1 << 34));
        let other =
            || Other { pid: nth as u32, comm: text.clone(), cmdline: text.clone(), ..Other::default() };
        match letter {
            Some('c') => facts.ended.code = text.parse().ok(),
            Some('s') => facts.ended.signal = text.parse().ok(),
            Some('i') => facts.ended.si_code = text.parse().unwrap_or_default(),
            Some('b') => facts.ended.by = Some(other()),
            Some('x') => facts.ended.never_execed = true,
            Some('p') => {
                (facts.process.comm, facts.process.exe, facts.process.cmdline) = (word(), word(), text);
            }
            Some('u') => facts.process.unit = Some(text),
            Some('n') => facts.process.container = Some(text),
            Some('q') => {
                facts.process.parent = other();
                facts.process.parent_end =
                    Some(ParentEnd { at_ns, code: word().parse().ok(), signal: word().parse().ok() });
            }
            Some('a') => facts.abort_text = text,
            Some('f') => facts.stack.push(Frame { function: word(), module: word(), line: word() }),
            Some('S') => facts.seccomp_call = Some(text),
            Some('C' | 'P') => facts.failed_calls.push(FailedCall {
                at_ns,
                call: word(),
                errno: word(),
                path: if letter == Some('C') { word() } else { String::new() },
                peer: if letter == Some('P') { word() } else { String::new() },
                count: number % 9,
                holder: number.is_multiple_of(2).then(other),
                path_exists: number.is_multiple_of(3).then_some(number.is_multiple_of(2)),
            }),
            Some('e' | 'o') => {
                let fd = if letter == Some('e') { 2 } else { 1 };
                facts.last_words.push(Words { at_ns, fd, text, cut: number.is_multiple_of(5) });
            }
            Some(severity @ '0'..='9') => facts.lines.push(Line {
                at_ns,
                severity: severity as u8 - b'0',
                text,
                reference: format!("journal:{nth}"),
                new_pattern: number.is_multiple_of(2),
            }),
            Some('m') => facts.limits.push(Limit {
                name: word(),
                used: word().parse().ok(),
                limit: word().parse().ok(),
                group: text,
            }),
            Some('O') => {
                let (group, limit_bytes) =
                    (Some(word()).filter(|group| !group.is_empty()), word().parse().ok());
                let anon_bytes = word().parse().ok();
                facts.oom = Some(Oom { group, limit_bytes, anon_bytes, largest: Some((other(), number)) });
            }
            Some('k') => facts.changes.push(Change { at_ns, kind: word(), what: word(), by: Some(other()) }),
            Some('E') => facts.earlier.push(Earlier { at_ns, code: text.parse().ok(), signal: None }),
            Some('w') => facts.waits.push(Wait {
                tid: word().parse().unwrap_or_default(),
                kind: "futex".to_owned(),
                holder_tid: word().parse().unwrap_or_default(),
                object: word(),
                for_ns: number,
            }),
            Some('F') => {
                let addr = word().parse().unwrap_or_default();
                let place = match word().as_str() {
                    "nothing" => Place::Nothing,
                    "guard" => Place::StackGuard,
                    "end" => Place::PastEnd { file: word() },
                    permissions => Place::Mapping { permissions: permissions.to_owned(), name: word() },
                };
                let [ip, sp] = [number, addr];
                facts.fault = Some(Fault { addr, ip, sp, write: Some(nth % 2 == 0), fetch: None, place });
            }
            Some('U') => facts.unseen.push(text),
            _ => {}
        }
    }
    facts
}
