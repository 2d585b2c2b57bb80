//! Lines as container runtimes keep them: pieces of what a container wrote, each with its time and its stream.

use std::borrow::Cow;

use agent_common::units::UnixNs;

use super::time::{Clock, iso};

/// What the pieces of one line may be together. Runtimes cut lines at 16 KiB; what is longer than this goes out in parts.
pub const MAX_JOINED_BYTES: usize = 1 << 20;

/// Where a container wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pipe {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Pipe {
    /// As the label `stream` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One line of a container's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<'a> {
    /// When the runtime read it.
    pub at: UnixNs,
    /// Where it was written to.
    pub pipe: Pipe,
    /// The line goes on in the next piece of this pipe.
    pub is_partial: bool,
    /// The text, without the end of the line.
    pub text: Cow<'a, str>,
}

/// A line of Kubernetes' container runtime interface: `2026-11-30T12:00:00.123456789Z stdout F text`.
#[must_use]
pub fn cri<'a>(line: &'a str, clock: &Clock) -> Option<Piece<'a>> {
    let (at, end) = iso(line.as_bytes(), clock)?;
    let rest = line[end..].strip_prefix(' ')?;
    let (pipe, rest) = rest.split_once(' ')?;
    // Tags are separated by colons; the first says whether the line is whole. An empty text may come without its space.
    let (tags, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_partial = match tags.split(':').next() {
        Some("P") => true,
        Some("F") => false,
        _ => return None,
    };
    Some(Piece { at, pipe: pipe_of(pipe)?, is_partial, text: text.into() })
}

#[derive(serde::Deserialize)]
struct DockerLine<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// A line of Docker's json-file: `{"log":"text\n","stream":"stdout","time":"2026-11-30T12:00:00.123456789Z"}`. One without `\n`
/// at its end is partial.
#[must_use]
pub fn docker<'a>(line: &'a str, clock: &Clock) -> Option<Piece<'a>> {
    let DockerLine { log, stream, time } = serde_json::from_str(line).ok()?;
    let (at, _) = iso(time.as_bytes(), clock)?;
    let is_partial = !log.ends_with('\n');
    let text = match log {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_suffix('\n').unwrap_or(text)),
        Cow::Owned(mut text) => {
            text.truncate(text.len() - usize::from(!is_partial));
            Cow::Owned(text)
        }
    };
    Some(Piece { at, pipe: pipe_of(&stream)?, is_partial, text })
}

fn pipe_of(name: &str) -> Option<Pipe> {
    match name {
        "stdout" => Some(Pipe::Stdout),
        "stderr" => Some(Pipe::Stderr),
        _ => None,
    }
}

/// A line made of its pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined<'a> {
    /// When its first piece was read by the runtime.
    pub at: UnixNs,
    /// Where it was written to.
    pub pipe: Pipe,
    /// The position of its first piece.
    pub position: u64,
    /// The text.
    pub text: Cow<'a, str>,
    /// The line did not end here: it is too long, or its end did not come in time.
    pub is_partial: bool,
}

#[derive(Debug)]
struct Begun {
    at: UnixNs,
    position: u64,
    text: String,
    since_ns: u64,
}

/// Joins the pieces of the lines of one container. Times are of any clock that does not go back, in ns.
#[derive(Debug, Default)]
pub struct Partials {
    begun: [Option<Begun>; 2],
}

impl Partials {
    /// Takes a piece that begins at `position` of the log; the line, if it is whole or too long.
    pub fn feed<'a>(&mut self, piece: Piece<'a>, position: u64, now_ns: u64) -> Option<Joined<'a>> {
        let slot = &mut self.begun[piece.pipe as usize];
        match slot.take() {
            None if !piece.is_partial => {
                let Piece { at, pipe, text, .. } = piece;
                Some(Joined { at, pipe, position, text, is_partial: false })
            }
            None => {
                *slot =
                    Some(Begun { at: piece.at, position, text: piece.text.into_owned(), since_ns: now_ns });
                None
            }
            Some(mut begun) => {
                begun.text.push_str(&piece.text);
                if piece.is_partial && begun.text.len() < MAX_JOINED_BYTES {
                    begun.since_ns = now_ns;
                    *slot = Some(begun);
                    return None;
                }
                Some(begun.out(piece.pipe, piece.is_partial))
            }
        }
    }

    /// The least position of a line that is not whole yet.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.begun.iter().flatten().map(|begun| begun.position).min()
    }

    /// Lines whose next piece has not come for [`super::UNENDED_HOLD_NS`].
    pub fn expire(&mut self, now_ns: u64) -> impl Iterator<Item = Joined<'static>> {
        let expired = |begun: &mut Begun| now_ns.saturating_sub(begun.since_ns) >= super::UNENDED_HOLD_NS;
        let [stdout, stderr] = &mut self.begun;
        let stdout = stdout.take_if(expired).map(|begun| begun.out(Pipe::Stdout, true));
        let stderr = stderr.take_if(expired).map(|begun| begun.out(Pipe::Stderr, true));
        stdout.into_iter().chain(stderr)
    }
}

impl Begun {
    fn out(self, pipe: Pipe, is_partial: bool) -> Joined<'static> {
        Joined { at: self.at, pipe, position: self.position, text: self.text.into(), is_partial }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Clock = Clock { now: UnixNs(1_796_040_000_000_000_000), utc_offset_s: 3600 };
    /// 2026-11-30T11:00:00Z.
    const ELEVEN: u64 = 1_796_036_400_000_000_000;

    #[test]
    fn a_line_of_cri() {
        let piece = cri("2026-11-30T11:00:00.000000007Z stderr F  two  words ", &CLOCK).unwrap();
        let text = " two  words ".into();
        assert_eq!(piece, Piece { at: UnixNs(ELEVEN + 7), pipe: Pipe::Stderr, is_partial: false, text });
        let piece = cri("2026-11-30T12:00:00+01:00 stdout P:x part", &CLOCK).unwrap();
        let text = "part".into();
        assert_eq!(piece, Piece { at: UnixNs(ELEVEN), pipe: Pipe::Stdout, is_partial: true, text });
        assert_eq!(cri("2026-11-30T12:00:00+01:00 stdout F", &CLOCK).unwrap().text, "");
        for line in [
            "",
            "x",
            "2026-11-30T12:00:00Z",
            "2026-11-30T12:00:00Z stdout",
            "2026-11-30T12:00:00Z stdin F x",
            "2026-11-30T12:00:00Z stdout X x",
        ] {
            assert_eq!(cri(line, &CLOCK), None, "{line}");
        }
    }

    #[test]
    fn a_line_of_docker() {
        let line =
            r#"{"log":"a \"b\"\n","stream":"stdout","attrs":{"x":"y"},"time":"2026-11-30T11:00:00.5Z"}"#;
        let piece = docker(line, &CLOCK).unwrap();
        let expected = Piece {
            at: UnixNs(ELEVEN + 500_000_000),
            pipe: Pipe::Stdout,
            is_partial: false,
            text: "a \"b\"".into(),
        };
        assert_eq!(piece, expected);
        let piece =
            docker(r#"{"log":"part","stream":"stderr","time":"2026-11-30T11:00:00Z"}"#, &CLOCK).unwrap();
        assert_eq!((piece.is_partial, &*piece.text), (true, "part"));
        for line in [
            "",
            "{}",
            "[]",
            r#"{"log":"x\n","stream":"stdout","time":"yesterday"}"#,
            r#"{"log":1,"stream":"stdout","time":""}"#,
        ] {
            assert_eq!(docker(line, &CLOCK), None, "{line}");
        }
    }

    fn piece(text: &str, pipe: Pipe, is_partial: bool, at: u64) -> Piece<'_> {
        Piece { at: UnixNs(at), pipe, is_partial, text: text.into() }
    }

    #[test]
    fn pieces_are_joined_by_pipe() {
        let mut partials = Partials::default();
        assert_eq!(partials.feed(piece("a", Pipe::Stdout, true, 1), 100, 0), None);
        assert_eq!(partials.feed(piece("x", Pipe::Stderr, true, 2), 200, 0), None);
        assert_eq!(partials.feed(piece("b", Pipe::Stdout, true, 3), 300, 0), None);
        let joined = partials.feed(piece("c", Pipe::Stdout, false, 4), 400, 0).unwrap();
        let expected = Joined {
            at: UnixNs(1),
            pipe: Pipe::Stdout,
            position: 100,
            text: "abc".into(),
            is_partial: false,
        };
        assert_eq!(joined, expected);
        let whole = partials.feed(piece("whole", Pipe::Stdout, false, 5), 500, 0).unwrap();
        assert_eq!((whole.position, &*whole.text), (500, "whole"));
        assert_eq!(partials.feed(piece("y", Pipe::Stderr, false, 6), 600, 0).unwrap().text, "xy");
    }

    #[test]
    fn a_line_that_does_not_end_goes_out_by_time_or_by_length() {
        let mut partials = Partials::default();
        partials.feed(piece("a", Pipe::Stderr, true, 1), 100, 0);
        assert_eq!(partials.expire(super::super::UNENDED_HOLD_NS - 1).count(), 0);
        let expired: Vec<_> = partials.expire(super::super::UNENDED_HOLD_NS).collect();
        assert_eq!((expired.len(), &*expired[0].text, expired[0].is_partial), (1, "a", true));
        let part = "x".repeat(16 << 10);
        let mut out = 0;
        for position in 0..1000 {
            if let Some(joined) = partials.feed(piece(&part, Pipe::Stdout, true, 1), position, 0) {
                assert!(joined.is_partial && joined.text.len() <= MAX_JOINED_BYTES + part.len());
                out += joined.text.len();
            }
        }
        out += partials.expire(u64::MAX).map(|joined| joined.text.len()).sum::<usize>();
        assert_eq!(out, 1000 * part.len());
    }
}
