//! A window as it came from the broker, checked.

use agent_common::wire::head::{HeadError, WindowHead};
use agent_common::wire::line::{self, LineError};

use super::{PUSHED, RECORDED};

/// A window: its head and its points as well-formed lines.
///
/// The points stay text, because a database that speaks line protocol takes them as they are, and the embedded store
/// reads them without copying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Who sent it, and its number.
    pub head: WindowHead,
    /// The lines below the head, each with its newline. [`Window::from_payload`] lets only well-formed ones in.
    pub lines: String,
    /// Count of these lines.
    pub points: u64,
    /// Lines that were malformed and are not in `lines`.
    pub malformed: u64,
    /// Where the first of them is wrong, and how.
    pub first_error: Option<LineError>,
}

/// Why a payload is no window. Nothing in it can be kept or acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Not text, or its first line is malformed.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The first line is no head.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Nothing in it.
    #[error("empty payload")]
    Empty,
    /// A point carries the name of another host than the head: a collector must not write in another's name.
    #[error("point {0} below the head is of another host")]
    Host(u64),
    /// A point has the measurement of what rules record or programs push.
    #[error("point {0} below the head is of {RECORDED} or {PUSHED}, which no collector measures")]
    Reserved(u64),
}

impl Window {
    /// Reads a metrics payload: the head, then its points. A malformed line below the head costs this line alone: the
    /// window's number must not stay open for ever because of it. A point of another host costs the window.
    pub fn from_payload(payload: &[u8]) -> Result<Self, WindowError> {
        let text = line::text(payload)?;
        let mut all = line::lines(text);
        let head = WindowHead::from_point(&all.next().ok_or(WindowError::Empty)??.to_point())?;
        let below = all.rest();
        let (mut points, mut malformed, mut first_error) = (0, 0, None);
        for line in all {
            match line {
                Ok(line) => {
                    points += 1;
                    if line.tags().any(|(name, value)| name == "host" && value != head.host) {
                        return Err(WindowError::Host(points + malformed));
                    }
                    if (line.key.starts_with(RECORDED) || line.key.starts_with(PUSHED))
                        && [RECORDED, PUSHED].contains(&&*line.measurement())
                    {
                        return Err(WindowError::Reserved(points + malformed));
                    }
                }
                Err(error) => {
                    malformed += 1;
                    first_error.get_or_insert(error);
                }
            }
        }
        let lines = if malformed == 0 {
            below.to_owned()
        } else {
            // Comments and empty lines go with the malformed ones; the writer makes none of them.
            let mut kept = String::with_capacity(below.len());
            for one in below.split('\n').filter(|one| matches!(line::lines(one).next(), Some(Ok(_)))) {
                kept.push_str(one);
                kept.push('\n');
            }
            kept
        };
        Ok(Self { head, lines, points, malformed, first_error })
    }

    /// Builds a window from points, as the collector does (tests, benchmarks).
    pub fn from_points(head: WindowHead, points: &[line::Point]) -> Self {
        let mut lines = String::new();
        let skipped = line::encode_into(&mut lines, points);
        Self { head, lines, points: points.len() as u64 - skipped.points, malformed: 0, first_error: None }
    }

    /// Points that the head promises and the payload does not hold.
    pub fn missing(&self) -> u64 {
        self.head.points.saturating_sub(self.points + self.malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "s7mpa_window,host=h,stream=0123456789abcdef seq=1i,points=3i,span_ns=1i 5\n";

    #[test]
    fn a_payload_is_a_head_and_its_lines() {
        let payload = format!("{HEAD}m a=1i 5\nm b=2i 5\n");
        let window = Window::from_payload(payload.as_bytes()).expect("a window");
        assert_eq!((window.points, window.malformed, window.missing()), (2, 0, 1));
        assert_eq!(window.lines, "m a=1i 5\nm b=2i 5\n");
    }

    #[test]
    fn a_malformed_line_costs_itself_alone() {
        let payload = format!("{HEAD}m a=1i 5\nbad\nm b=2i 5");
        let window = Window::from_payload(payload.as_bytes()).expect("a window");
        assert_eq!((window.points, window.malformed, window.missing()), (2, 1, 0));
        assert_eq!(window.first_error.map(|e| e.line), Some(3));
        assert_eq!(window.lines, "m a=1i 5\nm b=2i 5\n");
    }

    #[test]
    fn a_point_in_the_name_of_another_host_is_refused() {
        for line in [
            "m,host=i a=1i 5",
            "m,a=b,host=i a=1i 5",
            "m,host=h,host=i a=1i 5",
            "m,host=i,host=h a=1i 5",
            "m,host=h\\ x a=1i 5",
        ] {
            let payload = format!("{HEAD}m,host=h a=1i 5\nbad\n{line}\n");
            assert_eq!(Window::from_payload(payload.as_bytes()), Err(WindowError::Host(3)), "{line}");
        }
        // What VictoriaMetrics would read as a tag of its own is malformed.
        let payload = format!("{HEAD}m,host=h,a=b\\\\,host=i a=1i 5\n");
        let window = Window::from_payload(payload.as_bytes()).expect("a window");
        assert_eq!((window.points, window.malformed, &*window.lines), (0, 1, ""));
    }

    #[test]
    fn what_rules_record_and_programs_push_comes_from_no_collector() {
        for line in ["s7mpa_rule ALERTS=1 5", "s7mpa_rule,host=h ALERTS=1 5", "s7mpa_push up=1 5"] {
            let payload = format!("{HEAD}m a=1i 5\n{line}\n");
            assert_eq!(Window::from_payload(payload.as_bytes()), Err(WindowError::Reserved(2)), "{line}");
        }
        let payload = format!("{HEAD}s7mpa_rules a=1i 5\n");
        assert!(Window::from_payload(payload.as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_window_is_refused() {
        assert_eq!(Window::from_payload(b""), Err(WindowError::Empty));
        assert!(matches!(Window::from_payload(b"\xff\xfe"), Err(WindowError::Line(_))));
        assert!(matches!(Window::from_payload(b"{}"), Err(WindowError::Line(_))));
        assert!(matches!(Window::from_payload(b"m a=1i 5\n"), Err(WindowError::Head(_))));
        assert!(matches!(Window::from_payload(&vec![0; 1 << 20]), Err(WindowError::Line(_))));
    }
}
