//! Records of `/dev/kmsg`. Source: `Documentation/ABI/testing/dev-kmsg` of the kernel.

use std::borrow::Cow;

use crate::Severity;

/// Fields of a record; the kernel writes `SUBSYSTEM` and `DEVICE`.
pub const MAX_KMSG_FIELDS: usize = 16;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kmsg<'a> {
    /// How grave.
    pub severity: Severity,
    /// Syslog's facility. 0 is the kernel: what user space writes to the device has another.
    pub facility: u32,
    /// Its number since the boot; a gap is exactly what was lost.
    pub seq: u64,
    /// When, by the kernel's clock since the boot, in µs.
    pub usec: u64,
    /// It goes on in the record after it.
    pub is_fragment: bool,
    /// The text.
    pub text: Cow<'a, str>,
    /// What the kernel adds: `SUBSYSTEM=…`, `DEVICE=…`, and `caller=…` of some kernels.
    pub fields: Vec<(String, String)>,
}

impl Kmsg<'_> {
    /// Whether the kernel says so, and not a process that wrote to the device.
    #[must_use]
    pub fn is_of_the_kernel(&self) -> bool {
        self.facility == 0
    }
}

/// What one read of the device gave: `prio,seq,usec,flags[,…];text`, then lines ` KEY=value`.
#[must_use]
pub fn kmsg(record: &[u8]) -> Option<Kmsg<'_>> {
    let semicolon = memchr::memchr(b';', record)?;
    let head = std::str::from_utf8(&record[..semicolon]).ok()?;
    let mut parts = head.split(',');
    let prio: u32 = parts.next()?.parse().ok()?;
    let seq = parts.next()?.parse().ok()?;
    let usec = parts.next()?.parse().ok()?;
    let is_fragment = parts.next()? == "c";
    let mut fields = Vec::new();
    let mut push = |part: &str| {
        if let Some((name, value)) = part.split_once('=')
            && fields.len() < MAX_KMSG_FIELDS
        {
            fields.push((name.to_owned(), value.to_owned()));
        }
    };
    parts.for_each(&mut push);
    let mut lines = record[semicolon + 1..].split(|byte| *byte == b'\n');
    let text = unescaped(lines.next()?);
    for line in lines {
        if let [b' ', pair @ ..] = line {
            push(&unescaped(pair));
        }
    }
    let severity = Severity::of_number(u64::from(prio & 7));
    Some(Kmsg { severity, facility: prio >> 3, seq, usec, is_fragment, text, fields })
}

/// The kernel writes what is not printable ASCII, and `\`, as `\x5c`.
fn unescaped(text: &[u8]) -> Cow<'_, str> {
    let Some(mut next) = memchr::memchr(b'\\', text) else { return String::from_utf8_lossy(text) };
    let mut out = Vec::with_capacity(text.len());
    let mut done = 0;
    loop {
        out.extend_from_slice(&text[done..next]);
        let byte = match text.get(next + 1..next + 4) {
            Some([b'x', high, low]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        out.push(byte.unwrap_or(b'\\'));
        done = next + if byte.is_some() { 4 } else { 1 };
        match memchr::memchr(b'\\', &text[done..]) {
            Some(found) => next = done + found,
            None => break,
        }
    }
    out.extend_from_slice(&text[done..]);
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

/// Counts what the kernel dropped before it was read: the read fails with `EPIPE`, and the next record's number has a gap.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Gaps {
    next: Option<u64>,
    /// Records lost so far.
    pub lost: u64,
}

impl Gaps {
    /// After a record that was read before, by its number.
    #[must_use]
    pub fn after(seq: u64) -> Self {
        Self { next: seq.checked_add(1), lost: 0 }
    }

    /// Records missing before this one.
    pub fn note(&mut self, seq: u64) -> u64 {
        let missing = self.next.map_or(0, |next| seq.saturating_sub(next));
        self.next = seq.checked_add(1);
        self.lost = self.lost.saturating_add(missing);
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_the_kernel() {
        let record =
            b"4,1234,5678901,-;usb 1-1: name \\xc3\\xa9 a\\x5cb\\x0aline\n SUBSYSTEM=usb\n DEVICE=c189:1\n";
        let kmsg = kmsg(record).unwrap();
        assert_eq!(
            (kmsg.severity, kmsg.facility, kmsg.seq, kmsg.usec),
            (Severity::Warning, 0, 1234, 5_678_901)
        );
        assert_eq!(kmsg.text, "usb 1-1: name \u{e9} a\\b\nline");
        let expected = [("SUBSYSTEM", "usb"), ("DEVICE", "c189:1")];
        assert_eq!(kmsg.fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(kmsg.is_of_the_kernel() && !kmsg.is_fragment);
    }

    #[test]
    fn what_a_process_wrote_is_not_the_kernels_word() {
        let kmsg = kmsg(b"11,7,8,-,caller=T42;out of memory: Killed process 1").unwrap();
        assert_eq!((kmsg.severity, kmsg.facility), (Severity::Error, 1));
        assert!(!kmsg.is_of_the_kernel());
        assert_eq!(kmsg.fields, [("caller".to_owned(), "T42".to_owned())]);
    }

    #[test]
    fn odd_records_are_taken_or_refused_and_never_panic() {
        assert_eq!(kmsg(b"6,1,2,c;part").map(|kmsg| kmsg.is_fragment), Some(true));
        assert_eq!(kmsg(b"6,1,2,-;a;b\\").unwrap().text, "a;b\\");
        assert_eq!(kmsg(b"6,1,2,-;\\xzz \\x4").unwrap().text, "\\xzz \\x4");
        assert_eq!(kmsg(b"6,1,2,-;").unwrap().text, "");
        for record in [
            &b""[..],
            b"x",
            b"6,1;x",
            b"-1,1,2,-;x",
            b"6,1,99999999999999999999999,-;x",
            b"6,,2,-;x",
            b"\xff,1,2,-;x",
        ] {
            assert_eq!(kmsg(record), None, "{record:?}");
        }
        let many = [b"6,1,2,-;x\n".to_vec(), b" A=b\n".repeat(1000)].concat();
        assert_eq!(kmsg(&many).unwrap().fields.len(), MAX_KMSG_FIELDS);
    }

    #[test]
    fn a_gap_in_the_numbers_is_what_was_lost() {
        let mut gaps = Gaps::default();
        let missing: Vec<u64> =
            [10, 11, 15, 16, 3, 4, u64::MAX].into_iter().map(|seq| gaps.note(seq)).collect();
        assert_eq!(missing, [0, 0, 3, 0, 0, 0, u64::MAX - 5]);
        assert_eq!(Gaps::after(7).note(9), 1);
    }
}
