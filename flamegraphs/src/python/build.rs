//! What a build of CPython looks like inside: from its dynamic symbols, which stripped ones have as well.

use std::ops::Range;
use std::path::Path;

use agent_common::abi::python::{ENTRY_ALWAYS, ENTRY_BELOW, ENTRY_FLAG, PythonLayout};

use super::code::{self, Table};
use super::{Interpreter, LOOP};
use crate::elf::{Bytes, SHT_DYNSYM, Section, Segment, i32_at, u32_at, u64_at};
use crate::unwind;

/// Dynamic symbols and their names, read at most: CPython has 3,000.
const MAX_TABLE: u64 = 4 << 20;
/// Code of the loop at most: it has 35 to 60 KiB.
const MAX_LOOP: u64 = 1 << 20;

/// `_Py_DebugOffsets` begins so (3.13).
const COOKIE: &[u8] = b"xdebugpy";
/// Bytes of it that are read, and what an offset in it may be at most.
const DEBUG_OFFSETS: u64 = 584;
const MAX_OFFSET: u64 = 1 << 20;

pub(super) fn read(file: &(impl Bytes + ?Sized), path: &Path) -> Option<Interpreter> {
    let segments = unwind::segments(file)?;
    let [runtime, version, loop_] = symbols(file, ["_PyRuntime", "Py_Version", LOOP])?;
    let (runtime, _) = runtime?;
    let minor = match version {
        Some((addr, _)) => version_of(at(file, &segments, addr, 8)?.as_slice())?,
        None => minor_of(path)?,
    };
    let (mut layout, mut code, mut head) = known(minor)?;
    if minor == 13
        && let Some(offsets) = at(file, &segments, runtime, DEBUG_OFFSETS)
        && offsets.starts_with(COOKIE)
    {
        (layout, code, head) = described(&offsets)?;
    }
    let loops = loop_.map_or_else(Vec::new, |(addr, size)| loops(file, &segments, addr, size));
    Some(Interpreter { minor, layout, interpreters: runtime.wrapping_add(head), code, loops, segments })
}

/// `PY_VERSION_HEX`
fn version_of(bytes: &[u8]) -> Option<u8> {
    let hex = u64_at(bytes, 0)?;
    (hex >> 24 == 3).then_some((hex >> 16) as u8)
}

/// `python3.9`, `libpython3.10.so.1.0`; a debug build's (`python3.9d`) structures are others.
fn minor_of(path: &Path) -> Option<u8> {
    let (_, rest) = path.file_name()?.to_str()?.split_once("python3.")?;
    let digits = rest.len() - rest.trim_start_matches(|char: char| char.is_ascii_digit()).len();
    (!rest[digits..].starts_with('d')).then(|| rest[..digits].parse().ok())?
}

/// Structures of a minor version, and where in `_PyRuntime` the list of interpreters begins. They stay the same from a
/// version's release on, and were taken from the headers of each.
fn known(minor: u8) -> Option<(PythonLayout, code::Layout, u64)> {
    // 3.9
    let old = PythonLayout {
        interp_next: 0,
        interp_threads: 8,
        thread_next: 8,
        thread_id: 176,
        thread_frame: 24,
        cframe: 0,
        frame_words: 14,
        frame_code: 32,
        frame_previous: 24,
        frame_instr: 104,
        entry_byte: 0,
        entry: ENTRY_ALWAYS,
        code_start: 0,
        lasti_bytes: 1,
    };
    let code = code::Layout {
        name: 112,
        file: 104,
        line: 40,
        table: 120,
        kind: Table::Lnotab,
        ascii: 48,
        wide: 72,
        bytes: 32,
    };
    // 3.11
    let new = PythonLayout {
        interp_threads: 16,
        thread_id: 152,
        thread_frame: 56,
        cframe: 8 + 1,
        frame_words: 9,
        frame_code: 32,
        frame_previous: 48,
        frame_instr: 56,
        entry_byte: 68,
        entry: ENTRY_FLAG,
        code_start: 184,
        lasti_bytes: 0,
        ..old
    };
    let new_code =
        code::Layout { name: 128, file: 112, line: 72, table: 136, kind: Table::Locations, ..code };
    // 3.12
    let newer = PythonLayout {
        interp_threads: 72,
        thread_id: 136,
        cframe: 1,
        frame_code: 0,
        frame_previous: 8,
        entry_byte: 70,
        entry: ENTRY_BELOW,
        code_start: 192,
        ..new
    };
    let newer_code = code::Layout { line: 68, ascii: 40, wide: 56, ..new_code };
    Some(match minor {
        9 => (old, code, 32),
        10 => {
            let layout = PythonLayout { frame_instr: 96, lasti_bytes: 0, ..old };
            (layout, code::Layout { kind: Table::Linetable, ..code }, 32)
        }
        11 => (new, new_code, 40),
        12 => (newer, newer_code, 40),
        13 => {
            let layout = PythonLayout {
                interp_next: 7264,
                interp_threads: 7344,
                thread_id: 152,
                thread_frame: 72,
                cframe: 0,
                code_start: 200,
                ..newer
            };
            (layout, newer_code, 632)
        }
        _ => return None,
    })
}

/// The same values, from the description that the interpreter has of itself since 3.13 (`_Py_DebugOffsets`).
fn described(offsets: &[u8]) -> Option<(PythonLayout, code::Layout, u64)> {
    let (known, code, _) = known(13)?;
    let at = |place| u64_at(offsets, place).filter(|offset| *offset < MAX_OFFSET).map(|offset| offset as u32);
    let last = |places: [u32; 4]| places.into_iter().max().unwrap_or(0) / 8 + 1;
    let frame = [at(232)?, at(240)?, at(248)?, at(264)?];
    let [frame_previous, frame_code, frame_instr, entry_byte] = frame;
    let frame_words = last(frame);
    let layout = PythonLayout {
        interp_next: at(64)?,
        interp_threads: at(72)?,
        thread_next: at(168)?,
        thread_frame: at(184)?,
        thread_id: at(192)?,
        frame_words,
        frame_previous,
        frame_code,
        frame_instr,
        entry_byte,
        code_start: at(344)?,
        ..known
    };
    let code = code::Layout {
        file: at(280)?,
        name: at(296)?,
        table: at(304)?,
        line: at(312)?,
        bytes: at(528)?,
        ascii: at(560)?,
        wide: at(560)? + 16,
        ..code
    };
    (frame_words < 15).then_some((layout, code, u64::from(at(40)?)))
}

/// The structures of one of the versions by the first byte, of a 3.13 as the bytes after it say, and the rest.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn any(bytes: &[u8]) -> Option<(code::Layout, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if first % 6 < 5 {
        return known(9 + first % 6).map(|(_, code, _)| (code, rest));
    }
    let (offsets, rest) = rest.split_at_checked(DEBUG_OFFSETS as usize)?;
    described(offsets).map(|(_, code, _)| (code, rest))
}

/// Bytes at an address of the file's own address space.
fn at(file: &(impl Bytes + ?Sized), segments: &[Segment], addr: u64, len: u64) -> Option<Vec<u8>> {
    file.bytes(offset(segments, addr)?, len)
}

fn offset(segments: &[Segment], addr: u64) -> Option<u64> {
    segments.iter().find_map(|segment| segment.offset_of(addr))
}

/// Address and size of dynamic symbols; `None` if there are none at all.
fn symbols<const N: usize>(
    file: &(impl Bytes + ?Sized),
    names: [&str; N],
) -> Option<[Option<(u64, u64)>; N]> {
    let elf = unwind::headers(file)?;
    let symbols = elf.sections.iter().find(|section| section.kind == SHT_DYNSYM)?;
    let body =
        |section: &Section| (section.size <= MAX_TABLE).then(|| file.bytes(section.offset, section.size))?;
    let (table, texts) = (body(symbols)?, body(elf.sections.get(symbols.link as usize)?)?);
    let mut found = [None; N];
    for symbol in table.chunks_exact(24) {
        let (Some(name), Some(addr), Some(size)) = (u32_at(symbol, 0), u64_at(symbol, 8), u64_at(symbol, 16))
        else {
            continue;
        };
        let text = texts.get(name as usize..).and_then(|rest| rest.split(|byte| *byte == 0).next());
        if addr != 0
            && let Some(place) = names.iter().position(|name| Some(name.as_bytes()) == text)
        {
            found[place] = Some((addr, size));
        }
    }
    Some(found)
}

/// Parts of the loop, by offset in the file: the function itself, and the part for rare cases that compilers put
/// elsewhere, which no dynamic symbol names. It is where most of the function's conditional jumps to outside of it lead: in
/// Debian's 3.11 all 208, to one function of 7.5 KiB.
fn loops(file: &(impl Bytes + ?Sized), segments: &[Segment], addr: u64, size: u64) -> Vec<Range<u64>> {
    let Some(start) = offset(segments, addr) else { return Vec::new() };
    let own = start..start.saturating_add(size);
    let Some(code) = (size <= MAX_LOOP).then(|| file.bytes(start, size)).flatten() else { return vec![own] };
    let functions = unwind::functions(file);
    let mut hits: Vec<(u64, u64)> = Vec::new();
    for (place, window) in code.windows(6).enumerate() {
        let [0x0f, 0x80..=0x8f, distance @ ..] = window else { continue };
        let Some(distance) = i32_at(distance, 0) else { continue };
        let target = addr.wrapping_add(place as u64 + 6).wrapping_add_signed(distance.into());
        if target.wrapping_sub(addr) < size {
            continue;
        }
        let behind = functions.partition_point(|(from, _)| *from <= target);
        let hit = behind.checked_sub(1).map(|at| functions[at]);
        hits.extend(hit.filter(|(_, to)| target < *to));
    }
    hits.sort_unstable();
    let runs = hits.chunk_by(|a, b| a == b);
    let most = runs.max_by_key(|run| run.len()).filter(|run| run.len() * 2 > hits.len());
    let cold = most.and_then(|run| run.first()).and_then(|(from, to)| {
        let start = offset(segments, *from)?;
        Some(start..start.saturating_add(to - from))
    });
    [own].into_iter().chain(cold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_in_the_name() {
        let minor = |name: &str| minor_of(Path::new(name));
        assert_eq!(minor("/usr/bin/python3.9"), Some(9));
        assert_eq!(minor("/usr/lib/libpython3.10.so.1.0"), Some(10));
        assert_eq!(minor("/usr/bin/python3.9d"), None);
        assert_eq!(minor("/usr/bin/python3"), None);
        assert_eq!(version_of(&0x030b_02f0_u64.to_le_bytes()), Some(11));
    }

    #[test]
    fn what_3_13_tells_of_itself_is_believed_where_it_makes_sense() {
        let mut offsets = vec![0; DEBUG_OFFSETS as usize];
        let mut put =
            |place: usize, value: u64| offsets[place..place + 8].copy_from_slice(&value.to_le_bytes());
        for (place, value) in [
            (40, 632),
            (64, 7264),
            (72, 7344),
            (168, 8),
            (184, 72),
            (192, 152),
            (232, 8),
            (248, 56),
            (264, 70),
            (280, 112),
            (296, 128),
            (304, 136),
            (312, 68),
            (344, 200),
            (528, 32),
            (560, 40),
        ] {
            put(place, value);
        }
        let (layout, code, head) = described(&offsets).expect("it makes sense");
        assert_eq!(Some((layout, code, head)), known(13));
        offsets[249] = 1;
        assert_eq!(described(&offsets), None, "a frame of more than is read");
        offsets[255] = 1;
        assert_eq!(described(&offsets), None);
    }
}
