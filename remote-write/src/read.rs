//! A request read where it lies. A message of some megabytes can have millions of series of two bytes each, which as
//! [`WriteRequest`](crate::WriteRequest) would take twenty times its size: here nothing is allocated.

use crate::{DecodeError, Sample};

/// Bytes of a field.
const LENGTH: u64 = 2;
/// What begins a group, which nobody writes since 2008 and every reader passes over, and what ends it.
const GROUP: u64 = 3;
const GROUP_END: u64 = 4;
/// Groups within groups at most: as many as [`WriteRequest`](crate::WriteRequest) takes. 8 bytes of the stack each.
const MAX_GROUPS: usize = 100;

/// A series of a request.
#[derive(Debug, Clone, Copy)]
pub struct SeriesRef<'a>(&'a [u8]);

/// What a series has beside samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Others {
    /// Exemplars.
    pub exemplars: u64,
    /// Native histograms.
    pub histograms: u64,
}

/// Uncompresses a body that has no more than `most` bytes then. Nothing is allocated before that is known.
pub fn unpack(body: &[u8], most: usize) -> Result<Vec<u8>, DecodeError> {
    let bytes = snap::raw::decompress_len(body)?;
    if bytes > most {
        return Err(DecodeError::TooLarge { bytes, most });
    }
    Ok(snap::raw::Decoder::new().decompress_vec(body)?)
}

/// The series of an uncompressed body, in order; after an error there are no more.
pub fn series(message: &[u8]) -> impl Iterator<Item = Result<SeriesRef<'_>, DecodeError>> {
    embedded(message, 1).map(|found| found.map(SeriesRef))
}

impl<'a> SeriesRef<'a> {
    /// Names and values of its labels, in the order of the message.
    pub fn labels(self) -> impl Iterator<Item = Result<(&'a str, &'a str), DecodeError>> {
        embedded(self.0, 1).map(|label| {
            let (mut name, mut value) = ("", "");
            for field in Fields(label?) {
                match field? {
                    (1, Value::Bytes(bytes)) => name = text(bytes)?,
                    (2, Value::Bytes(bytes)) => value = text(bytes)?,
                    _ => {}
                }
            }
            Ok((name, value))
        })
    }

    /// Its samples, in the order of the message.
    pub fn samples(self) -> impl Iterator<Item = Result<Sample, DecodeError>> + 'a {
        embedded(self.0, 2).map(|sample| {
            let mut made = Sample { value: 0.0, timestamp: 0 };
            for field in Fields(sample?) {
                match field? {
                    (1, Value::Eight(bits)) => made.value = f64::from_bits(bits),
                    (2, Value::Number(number)) => made.timestamp = number.cast_signed(),
                    _ => {}
                }
            }
            Ok(made)
        })
    }

    /// Counts what nobody here stores.
    pub fn others(self) -> Others {
        let mut others = Others::default();
        for (tag, _) in Fields(self.0).flatten() {
            others.exemplars += u64::from(tag == 3);
            others.histograms += u64::from(tag == 4);
        }
        others
    }
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::Malformed("a label that is not UTF-8"))
}

/// The messages of this tag.
fn embedded(message: &[u8], tag: u64) -> impl Iterator<Item = Result<&[u8], DecodeError>> {
    Fields(message).filter_map(move |field| match field {
        Ok((own, Value::Bytes(bytes))) if own == tag => Some(Ok(bytes)),
        Ok((own, _)) if own == tag => Some(Err(DecodeError::Malformed("a message without a length"))),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

/// The value of a field.
enum Value<'a> {
    Number(u64),
    Eight(u64),
    Bytes(&'a [u8]),
    Four,
    Group,
}

/// Tags and values of a message, until its end or the first that is malformed.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u64, Value<'a>), DecodeError> {
        let key = self.key()?;
        let value = if key & 7 == GROUP { self.group(key >> 3)? } else { self.value(key)? };
        Ok((key >> 3, value))
    }

    fn key(&mut self) -> Result<u64, DecodeError> {
        let key = self.varint()?;
        if key >> 3 == 0 { Err(DecodeError::Malformed("a field of number 0")) } else { Ok(key) }
    }

    /// Passes over the group of this tag, whose beginning was read.
    fn group(&mut self, tag: u64) -> Result<Value<'a>, DecodeError> {
        let mut open = [0; MAX_GROUPS];
        open[0] = tag;
        let mut depth = 1;
        while depth > 0 {
            let key = self.key()?;
            match key & 7 {
                GROUP => {
                    let next =
                        open.get_mut(depth).ok_or(DecodeError::Malformed("too many groups in groups"))?;
                    *next = key >> 3;
                    depth += 1;
                }
                GROUP_END if open[depth - 1] == key >> 3 => depth -= 1,
                _ => {
                    self.value(key)?;
                }
            }
        }
        Ok(Value::Group)
    }

    /// The value of a field that is no group.
    fn value(&mut self, key: u64) -> Result<Value<'a>, DecodeError> {
        Ok(match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Eight(u64::from_le_bytes(self.array()?)),
            LENGTH => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => {
                self.array::<4>()?;
                Value::Four
            }
            _ => return Err(DecodeError::Malformed("a type of field that there is not")),
        })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(DecodeError::Malformed("it ends in the middle of a field"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            // Of the tenth byte one bit counts.
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::Malformed("a number of more than 64 bits"))
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::{Label, STALE, TimeSeries, WriteRequest};

    fn request() -> WriteRequest {
        let one = |name: &str, values: &[f64]| {
            let samples =
                values.iter().zip(-1..).map(|(value, at)| Sample { value: *value, timestamp: at * 1000 });
            TimeSeries::new(vec![Label::new("__name__", name), Label::new("ü", "a\0b")], samples.collect())
        };
        WriteRequest {
            timeseries: vec![one("a", &[1.5, STALE]), one("b", &[]), one("", &[0.0])],
            metadata: Vec::new(),
        }
    }

    /// As the other reader has it.
    fn read(message: &[u8]) -> Result<WriteRequest, DecodeError> {
        let mut timeseries = Vec::new();
        for one in series(message) {
            let one = one?;
            let labels = one.labels().map(|label| label.map(|(name, value)| Label::new(name, value)));
            let labels = labels.collect::<Result<_, _>>()?;
            timeseries.push(TimeSeries { labels, samples: one.samples().collect::<Result<_, _>>()? });
        }
        Ok(WriteRequest { timeseries, metadata: Vec::new() })
    }

    #[test]
    fn both_readers_find_the_same() {
        let body = request().encode_body();
        let message = unpack(&body, 1 << 20).unwrap();
        let found = read(&message).unwrap();
        assert_eq!(format!("{found:?}"), format!("{:?}", request()));
        assert_eq!(found.timeseries[0].samples[1].value.to_bits(), STALE.to_bits());
        // Whatever is cut off or changed: an error for both, or the same.
        for at in 0..message.len() {
            for changed in
                [message[..at].to_vec(), [&message[..at], &[message[at] ^ 0x41], &message[at + 1..]].concat()]
            {
                let (theirs, ours) = (WriteRequest::decode(changed.as_slice()), read(&changed));
                match (theirs, ours) {
                    (Ok(theirs), Ok(ours)) => {
                        assert_eq!(format!("{:?}", theirs.timeseries), format!("{:?}", ours.timeseries));
                    }
                    // What is of another type than it should be, this reader may pass over.
                    (theirs, ours) => assert!(theirs.is_err(), "{changed:?}: {ours:?}"),
                }
            }
        }
    }

    #[test]
    fn what_is_beside_samples_is_counted() {
        // Two exemplars, a histogram, a field of later versions.
        let series_bytes = [0x1a, 0, 0x1a, 0, 0x22, 0, 0x7d, 1, 2, 3, 4];
        let message = [&[0x0a, series_bytes.len() as u8][..], &series_bytes].concat();
        let one = series(&message).next().unwrap().unwrap();
        assert_eq!(one.others(), Others { exemplars: 2, histograms: 1 });
        assert_eq!((one.labels().count(), one.samples().count()), (0, 0));
    }

    #[test]
    fn groups_are_passed_over_as_by_the_other_reader() {
        // A group of tag 4; with a number and a group of tag 5 in it; the same in a series.
        let inner = [0x23, 0x08, 0x7f, 0x2b, 0x2c, 0x24];
        for message in [&[0x23, 0x24][..], &inner, &[&[0x0a, 6][..], &inner].concat()] {
            let theirs = WriteRequest::decode(message).unwrap();
            assert_eq!(format!("{:?}", read(message).unwrap()), format!("{theirs:?}"));
        }
        let deep = |groups: usize| [vec![0x23; groups], vec![0x24; groups]].concat();
        assert!(read(&deep(MAX_GROUPS)).is_ok() && WriteRequest::decode(&*deep(MAX_GROUPS)).is_ok());
        assert!(read(&deep(MAX_GROUPS + 1)).is_err());
        for bad in [&[0x23][..], &[0x24], &[0x23, 0x2c], &[0x23, 0x2b, 0x24, 0x2c], &[0x23, 0, 0, 0x24]] {
            assert!(read(bad).is_err() && WriteRequest::decode(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_no_message_is_an_error_and_the_last() {
        for bad in [&[0x0a, 5, 1][..], &[0x0b], &[0x02, 0], &[0x08, 0x80], &[0xff; 11], &[0x08, 5], &[0x0a]] {
            let all: Vec<_> = series(bad).collect();
            assert!(all.len() == 1 && all[0].is_err(), "{bad:?}: {all:?}");
        }
        let zeroes = snap::raw::Encoder::new().compress_vec(&vec![0; 2 << 20]).unwrap();
        assert!(matches!(unpack(&zeroes, 1 << 20), Err(DecodeError::TooLarge { .. })));
    }
}
