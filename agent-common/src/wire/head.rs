//! Head of a metrics window: who sent it, in which stream, with which number.

use serde::{Deserialize, Serialize};

use super::line::{FieldValue, Point};
use crate::units::UnixNs;

/// Identity of a window. It travels as the first line of the metrics payload, measurement `s7mpa_window`
/// (tags `host`, `stream`; fields `seq`, `points`, `span_ns`; time = end of the window).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowHead {
    /// Host name, as in the topic.
    pub host: String,
    /// The collector's spool, 16 hexadecimal digits made when the spool directory is made: numbers count per stream.
    pub stream: String,
    /// 1, 2, 3 … without a gap within a stream.
    pub seq: u64,
    /// Points (lines) that follow this one.
    pub points: u64,
    /// Length of the window, ns.
    pub span_ns: u64,
    /// End of the window.
    pub end: UnixNs,
}

/// Measurement of the head line.
pub const MEASUREMENT: &str = "s7mpa_window";

/// Why a point is no head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Another measurement.
    #[error("first line is `{0}`, not `{MEASUREMENT}`")]
    Measurement(String),
    /// A tag is missing.
    #[error("window head without tag `{0}`")]
    Tag(&'static str),
    /// A field is missing, not an integer, or negative.
    #[error("window head without the count `{0}`")]
    Field(&'static str),
    /// The stream is not 16 hexadecimal digits.
    #[error("stream `{0}` is not 16 hexadecimal digits")]
    Stream(String),
    /// Numbers begin with 1.
    #[error("window number 0")]
    Seq,
}

impl WindowHead {
    /// The first line of a metrics payload.
    pub fn to_point(&self) -> Point {
        Point::new(MEASUREMENT, self.end)
            .tag("host", self.host.as_str())
            .tag("stream", self.stream.as_str())
            .field("seq", self.seq)
            .field("points", self.points)
            .field("span_ns", self.span_ns)
    }

    /// Reads the first line of a metrics payload.
    pub fn from_point(point: &Point) -> Result<Self, HeadError> {
        if point.measurement != MEASUREMENT {
            return Err(HeadError::Measurement(point.measurement.chars().take(64).collect()));
        }
        let tag = |key| point.tag_value(key).map(str::to_owned).ok_or(HeadError::Tag(key));
        let count = |key| match point.field_value(key) {
            Some(FieldValue::Int(v)) => u64::try_from(*v).map_err(|_| HeadError::Field(key)),
            _ => Err(HeadError::Field(key)),
        };
        let head = Self {
            host: tag("host")?,
            stream: tag("stream")?,
            seq: count("seq")?,
            points: count("points")?,
            span_ns: count("span_ns")?,
            end: point.time,
        };
        if head.stream.len() != 16 || !head.stream.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(HeadError::Stream(head.stream.chars().take(64).collect()));
        }
        if head.seq == 0 {
            return Err(HeadError::Seq);
        }
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::line;

    fn head() -> WindowHead {
        WindowHead {
            host: "web 1".into(),
            stream: "0123456789abcdef".into(),
            seq: 7,
            points: 3,
            span_ns: 1_000_000_000,
            end: UnixNs(1_700_000_000_000_000_000),
        }
    }

    #[test]
    fn a_head_travels_as_a_line() {
        let text = line::encode(&[head().to_point()]);
        assert_eq!(
            text,
            "s7mpa_window,host=web\\ 1,stream=0123456789abcdef seq=7i,points=3i,span_ns=1000000000i 1700000000000000000\n"
        );
        let point = line::parse(&text).next().expect("a line").expect("well-formed");
        assert_eq!(WindowHead::from_point(&point), Ok(head()));
    }

    #[test]
    fn what_is_no_head_is_refused_by_name() {
        let refused = |change: &dyn Fn(&mut Point)| {
            let mut point = head().to_point();
            change(&mut point);
            WindowHead::from_point(&point).expect_err("refused")
        };
        assert_eq!(refused(&|p| p.measurement = "cpu".into()), HeadError::Measurement("cpu".into()));
        assert_eq!(refused(&|p| p.tags.retain(|(k, _)| k != "host")), HeadError::Tag("host"));
        assert_eq!(refused(&|p| p.fields[0].1 = FieldValue::Int(-1)), HeadError::Field("seq"));
        assert_eq!(refused(&|p| p.fields[0].1 = FieldValue::Int(0)), HeadError::Seq);
        assert_eq!(refused(&|p| p.fields[1].1 = FieldValue::Float(3.0)), HeadError::Field("points"));
        assert_eq!(refused(&|p| p.tags[1].1 = "xyz".into()), HeadError::Stream("xyz".into()));
    }
}
