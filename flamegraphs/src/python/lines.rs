//! Line tables of code objects, in the three forms that they have had.

/// Which form a table has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Table {
    /// `co_lnotab` (3.9): pairs of bytes and lines to go on.
    #[default]
    Lnotab,
    /// `co_linetable` of 3.10: pairs of bytes to go on and lines before that; −128: no line.
    Linetable,
    /// `co_linetable` since 3.11: entries of variable length, by instructions.
    Locations,
}

impl Table {
    /// The line of instruction `instr` (of two bytes) in a function that begins at line `first`; `None` where it has none.
    pub(super) fn line(self, table: &[u8], first: u32, instr: u32) -> Option<u32> {
        let line = match self {
            Self::Lnotab => lnotab(table, first, instr),
            Self::Linetable => linetable(table, first, instr)?,
            Self::Locations => locations(table, first, instr)?,
        };
        u32::try_from(line).ok().filter(|line| *line > 0)
    }
}

fn lnotab(table: &[u8], first: u32, instr: u32) -> i64 {
    let (mut line, mut at) = (i64::from(first), 0);
    for [bytes, lines] in table.as_chunks().0 {
        at += u32::from(*bytes);
        if at > instr.saturating_mul(2) {
            break;
        }
        line += i64::from(lines.cast_signed());
    }
    line
}

fn linetable(table: &[u8], first: u32, instr: u32) -> Option<i64> {
    let (mut line, mut end) = (i64::from(first), 0);
    for [bytes, lines] in table.as_chunks().0 {
        end += u32::from(*bytes);
        let lines = lines.cast_signed();
        if lines != i8::MIN {
            line += i64::from(lines);
        }
        if instr.saturating_mul(2) < end {
            return (lines != i8::MIN).then_some(line);
        }
    }
    None
}

fn locations(table: &[u8], first: u32, instr: u32) -> Option<i64> {
    let (mut line, mut end) = (i64::from(first), 0_u32);
    let mut rest = table;
    while let [head, tail @ ..] = rest {
        rest = tail;
        end += u32::from(head & 7) + 1;
        let kind = head >> 3 & 15;
        match kind {
            0..10 => rest = rest.get(1..)?,
            10..13 => {
                line = line.saturating_add(i64::from(kind - 10));
                rest = rest.get(2..)?;
            }
            13 => line = line.saturating_add(signed(&mut rest)?),
            14 => {
                line = line.saturating_add(signed(&mut rest)?);
                // End line, column, end column.
                for _ in 0..3 {
                    number(&mut rest)?;
                }
            }
            _ => {}
        }
        if instr < end {
            return (kind != 15).then_some(line);
        }
    }
    None
}

/// Six bits a byte, the lowest first; the seventh says that there are more.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 63).checked_shl(shift)?;
        shift += 6;
        if byte & 64 == 0 {
            return Some(value);
        }
    }
}

/// The sign is in the lowest bit.
fn signed(bytes: &mut &[u8]) -> Option<i64> {
    let value = number(bytes)?;
    let size = (value >> 1).cast_signed();
    Some(if value & 1 == 0 { size } else { -size })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of all instructions, as the interpreter of the version says them: line (0: none) and how many.
    fn check(kind: Table, table: &[u8], lines: &[(u32, u32)]) {
        let mut instr = 0;
        for (line, count) in lines {
            for _ in 0..*count {
                assert_eq!(kind.line(table, 2, instr).unwrap_or(0), *line, "instruction {instr}");
                instr += 1;
            }
        }
    }

    #[test]
    fn lines_of_3_9() {
        check(
            Table::Lnotab,
            &[
                0x00, 0x02, 0x06, 0x01, 0x02, 0xff, 0x06, 0x02, 0x02, 0x01, 0x02, 0x01, 0x06, 0x01, 0x02,
                0xfe, 0x08, 0x03, 0x0c, 0x01, 0x08, 0x01, 0x08, 0x01, 0x04, 0x01, 0x02, 0x01, 0x02, 0xff,
                0x06, 0x03, 0x06, 0x7f, 0x00, 0x25,
            ],
            &[
                (4, 3),
                (5, 1),
                (4, 3),
                (6, 1),
                (7, 1),
                (8, 3),
                (9, 1),
                (7, 4),
                (10, 6),
                (11, 4),
                (12, 4),
                (13, 2),
                (14, 1),
                (15, 1),
                (14, 3),
                (17, 3),
                (181, 2),
            ],
        );
    }

    #[test]
    fn lines_of_3_10() {
        check(
            Table::Linetable,
            &[
                0x06, 0x02, 0x02, 0x01, 0x06, 0xff, 0x02, 0x02, 0x02, 0x01, 0x06, 0x01, 0x02, 0x01, 0x08,
                0xfe, 0x0c, 0x03, 0x02, 0x01, 0x02, 0xff, 0x08, 0x02, 0x04, 0x01, 0x02, 0x01, 0x02, 0x01,
                0x06, 0xff, 0x06, 0x03, 0x00, 0x7f, 0x04, 0x25,
            ],
            &[
                (4, 3),
                (5, 1),
                (4, 3),
                (6, 1),
                (7, 1),
                (8, 3),
                (9, 1),
                (7, 4),
                (10, 6),
                (11, 1),
                (10, 1),
                (12, 4),
                (13, 2),
                (14, 1),
                (15, 1),
                (14, 3),
                (17, 3),
                (181, 2),
            ],
        );
    }

    #[test]
    fn lines_of_3_11() {
        check(
            Table::Locations,
            &[
                0x80, 0x00, 0xf0, 0x04, 0x01, 0x09, 0x15, 0xf0, 0x00, 0x01, 0x09, 0x15, 0xd8, 0x12, 0x13,
                0xf0, 0x03, 0x01, 0x09, 0x15, 0xf1, 0x00, 0x01, 0x09, 0x15, 0xf4, 0x00, 0x01, 0x09, 0x15,
                0x80, 0x41, 0xf0, 0x04, 0x05, 0x05, 0x0e, 0xd8, 0x0d, 0x0e, 0xd8, 0x0d, 0x0e, 0x88, 0x51,
                0x88, 0x71, 0x89, 0x54, 0x8c, 0x54, 0xd8, 0x0d, 0x0e, 0xf0, 0x05, 0x02, 0x0d, 0x10, 0x88,
                0x01, 0x88, 0x01, 0xf8, 0xf5, 0x06, 0x00, 0x0c, 0x16, 0xf0, 0x00, 0x01, 0x05, 0x0e, 0xf0,
                0x00, 0x01, 0x05, 0x0e, 0xf0, 0x00, 0x01, 0x05, 0x0e, 0xd8, 0x08, 0x0d, 0xf0, 0x03, 0x01,
                0x05, 0x0e, 0xf8, 0xf8, 0xf8, 0xe0, 0x0d, 0x0e, 0xf0, 0x00, 0x05, 0x05, 0x15, 0xf0, 0x00,
                0x05, 0x05, 0x15, 0x88, 0x01, 0xd8, 0x0b, 0x0c, 0xf0, 0x00, 0x04, 0x09, 0x15, 0xd8, 0x0c,
                0x0d, 0x88, 0x41, 0xd8, 0x0e, 0x0f, 0xf1, 0x03, 0x01, 0x0d, 0x11, 0xf4, 0x00, 0x01, 0x0d,
                0x11, 0xf0, 0x00, 0x01, 0x0d, 0x11, 0xf0, 0x00, 0x01, 0x0d, 0x11, 0xf0, 0x06, 0x00, 0x11,
                0x15, 0x88, 0x41, 0x88, 0x41, 0xf0, 0x48, 0x05, 0x00, 0x0c, 0x0d, 0x80, 0x48,
            ],
            &[
                (2, 1),
                (4, 2),
                (5, 1),
                (4, 9),
                (6, 1),
                (7, 1),
                (8, 10),
                (9, 1),
                (7, 3),
                (0, 1),
                (10, 9),
                (11, 1),
                (10, 1),
                (0, 3),
                (12, 4),
                (13, 2),
                (14, 2),
                (15, 1),
                (14, 9),
                (17, 3),
                (181, 2),
            ],
        );
    }

    #[test]
    fn lines_of_3_12() {
        check(
            Table::Locations,
            &[
                0x80, 0x00, 0xf0, 0x06, 0x00, 0x13, 0x14, 0xf6, 0x03, 0x01, 0x09, 0x15, 0xd8, 0x0d, 0x0e,
                0xf2, 0x03, 0x00, 0x0a, 0x0b, 0xf0, 0x00, 0x01, 0x09, 0x15, 0x80, 0x41, 0xf0, 0x00, 0x01,
                0x09, 0x15, 0xf0, 0x04, 0x05, 0x05, 0x0e, 0xd8, 0x0d, 0x0e, 0xd9, 0x0d, 0x0e, 0x88, 0x71,
                0x8b, 0x54, 0xd8, 0x0d, 0x0e, 0xf0, 0x05, 0x02, 0x0d, 0x10, 0x88, 0x01, 0xf0, 0x0a, 0x00,
                0x0e, 0x0f, 0xf2, 0x00, 0x05, 0x05, 0x15, 0x88, 0x01, 0xd9, 0x0b, 0x0c, 0xd9, 0x0c, 0x0d,
                0xd8, 0x0e, 0x0f, 0xf5, 0x03, 0x01, 0x0d, 0x11, 0xf0, 0x06, 0x00, 0x11, 0x15, 0x89, 0x41,
                0xf0, 0x0b, 0x05, 0x05, 0x15, 0xf0, 0x52, 0x05, 0x00, 0x0c, 0x0d, 0x80, 0x48, 0xf9, 0xf2,
                0x63, 0x05, 0x01, 0x09, 0x15, 0xf8, 0xf4, 0x0c, 0x00, 0x0c, 0x16, 0xf2, 0x00, 0x01, 0x05,
                0x0e, 0xd8, 0x08, 0x0d, 0xf0, 0x03, 0x01, 0x05, 0x0e, 0xfa,
            ],
            &[
                (2, 1),
                (5, 1),
                (4, 7),
                (5, 1),
                (4, 6),
                (6, 1),
                (7, 1),
                (8, 7),
                (9, 1),
                (7, 2),
                (12, 5),
                (13, 2),
                (14, 2),
                (15, 1),
                (14, 6),
                (17, 3),
                (12, 1),
                (181, 2),
                (0, 2),
                (4, 3),
                (0, 1),
                (10, 8),
                (11, 1),
                (10, 1),
                (0, 3),
            ],
        );
    }

    #[test]
    fn lines_of_3_13() {
        check(
            Table::Locations,
            &[
                0x80, 0x00, 0xf1, 0x06, 0x00, 0x13, 0x14, 0xf3, 0x03, 0x01, 0x09, 0x15, 0xd9, 0x12, 0x13,
                0x88, 0x51, 0xf3, 0x03, 0x00, 0x0a, 0x0b, 0xd9, 0x12, 0x13, 0xf0, 0x03, 0x00, 0x05, 0x06,
                0xf0, 0x00, 0x01, 0x09, 0x15, 0xf0, 0x04, 0x05, 0x05, 0x0e, 0xd8, 0x0d, 0x0e, 0xd9, 0x0d,
                0x0e, 0x88, 0x71, 0x8b, 0x54, 0xd8, 0x0d, 0x0e, 0xf0, 0x05, 0x02, 0x0d, 0x10, 0x88, 0x01,
                0xf3, 0x0a, 0x00, 0x0e, 0x0f, 0x88, 0x01, 0xde, 0x0b, 0x0c, 0xd9, 0x0c, 0x0d, 0xd8, 0x0e,
                0x0f, 0xf6, 0x03, 0x01, 0x0d, 0x11, 0xf0, 0x06, 0x00, 0x11, 0x15, 0x8a, 0x41, 0xf1, 0x0b,
                0x00, 0x0e, 0x0f, 0xf0, 0x52, 0x05, 0x00, 0x0c, 0x0d, 0x80, 0x48, 0xf9, 0xf2, 0x63, 0x05,
                0x01, 0x09, 0x15, 0xf8, 0xf4, 0x0c, 0x00, 0x0c, 0x16, 0xf3, 0x00, 0x01, 0x05, 0x0e, 0xd8,
                0x08, 0x0d, 0xf0, 0x03, 0x01, 0x05, 0x0e, 0xfa,
            ],
            &[
                (2, 1),
                (5, 2),
                (4, 4),
                (5, 3),
                (4, 4),
                (5, 2),
                (4, 2),
                (6, 1),
                (7, 1),
                (8, 7),
                (9, 1),
                (7, 2),
                (12, 5),
                (13, 7),
                (14, 2),
                (15, 1),
                (14, 7),
                (17, 4),
                (12, 2),
                (181, 2),
                (0, 2),
                (4, 3),
                (0, 1),
                (10, 9),
                (11, 1),
                (10, 1),
                (0, 3),
            ],
        );
    }

    #[test]
    fn no_table_makes_it_panic() {
        let mut seed = 1_u64;
        let mut table = Vec::new();
        for _ in 0..2000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            table.push((seed >> 56) as u8);
            if table.len() > 40 {
                table.clear();
            }
            for kind in [Table::Lnotab, Table::Linetable, Table::Locations] {
                for instr in [0, 1, 7, 1 << 17, u32::MAX] {
                    let _ = kind.line(&table, (seed >> 40) as u32, instr);
                }
            }
        }
        assert_eq!(Table::Locations.line(&[0xff; 4], 1, 0), None);
        assert_eq!(
            Table::Locations.line(
                &[0x80 | 13 << 3, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f],
                1,
                0
            ),
            None
        );
    }
}
