//! Tables of real files against what `gimli` says of each row.

use agent_common::abi::unwind::{
    KIND_RBP, KIND_RSP, KIND_SPECIAL, RBP_AT_CFA, RBP_SAME, SPECIAL_END, SPECIAL_PLT, SPECIAL_SIGNAL,
    SPECIAL_UNSUPPORTED,
};
use gimli::{
    BaseAddresses, CfaRule, CieOrFde, EhFrame, LittleEndian, Register, RegisterRule, UnwindContext,
    UnwindSection as _, UnwindTableRow,
};

use super::elf::{self, Frames};
use super::*;

const RBP: Register = Register(6);
const RSP: Register = Register(7);
const RA: Register = Register(16);

/// Does the table say of `at` what the row says? `None`: not followed.
fn agrees(table: &Table, at: u64, row: &UnwindTableRow<usize>, signal: bool) -> Option<bool> {
    let rule = table.rule(at);
    if rule.kind() == KIND_SPECIAL {
        return match rule.middle() {
            SPECIAL_UNSUPPORTED => None,
            SPECIAL_SIGNAL => Some(signal),
            SPECIAL_END => Some(matches!(row.register(RA), None | Some(RegisterRule::Undefined))),
            SPECIAL_PLT => Some(matches!(row.cfa(), CfaRule::Expression(_))),
            _ => Some(false),
        };
    }
    let (base, offset, deref, rbp) = if rule.kind() == KIND_RSP || rule.kind() == KIND_RBP {
        let rbp = (rule.low() != 0).then(|| (RBP_AT_CFA, -8 * i64::from(rule.low())));
        (rule.kind(), i64::from(rule.middle()) * 8, false, rbp)
    } else {
        let wide = table.wide[rule.index() as usize];
        let rbp = (wide.rbp != RBP_SAME).then(|| (wide.rbp, i64::from(wide.rbp_offset)));
        (u32::from(wide.base), i64::from(wide.offset), wide.deref != 0, rbp)
    };
    let register = if base == KIND_RSP { RSP } else { RBP };
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register: theirs, offset: by } => {
            !deref && *theirs == register && *by == offset
        }
        CfaRule::Expression(_) => deref,
    };
    let saved = match row.register(RBP) {
        None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => rbp.is_none(),
        Some(RegisterRule::Offset(offset)) => rbp == Some((RBP_AT_CFA, offset)),
        Some(RegisterRule::Expression(_)) => rbp.is_some_and(|(how, _)| how != RBP_AT_CFA),
        Some(_) => false,
    };
    Some(cfa && saved && row.register(RA) == Some(RegisterRule::Offset(-8)))
}

/// Rows that agree, and that are not followed. Every row is looked at where it begins and where it ends.
fn compare(path: &str) -> (usize, usize) {
    let file = File::open(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let table = build(&file).unwrap_or_else(|e| panic!("{path}: {e}"));
    let image = elf::read(&file).unwrap();
    let [Frames::Eh { bytes, vaddr }, ..] = &image.frames[..] else { panic!("{path} has no .eh_frame") };
    let section = EhFrame::new(bytes, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(*vaddr);
    let mut context = UnwindContext::new();
    let mut entries = section.entries(&bases);
    let (mut agreed, mut left) = (0, 0);
    while let Some(entry) = entries.next().unwrap() {
        let CieOrFde::Fde(partial) = entry else { continue };
        let function = partial.parse(gimli::UnwindSection::cie_from_offset).unwrap();
        let inside = |at: u64| image.segments.iter().any(|s| at >= s.vaddr && at < s.vaddr + s.size);
        if !inside(function.initial_address()) || function.len() == 0 {
            continue;
        }
        let mut rows = function.rows(&section, &bases, &mut context).unwrap();
        while let Some(row) = rows.next_row().unwrap() {
            let end = row.end_address().min(function.end_address());
            for at in [row.start_address(), end - 1] {
                match agrees(&table, at, row, function.is_signal_trampoline()) {
                    Some(true) => agreed += 1,
                    Some(false) => panic!("{path} at {at:#x}: {:?} is not {row:?}", table.rule(at)),
                    None => left += 1,
                }
            }
        }
    }
    (agreed, left)
}

/// The file of this process that is mapped under such a name.
fn mapped(name: &str) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let path =
        maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains(name));
    path.unwrap_or_else(|| panic!("{name} is not mapped:\n{maps}")).to_owned()
}

#[test]
fn the_table_of_libc_says_what_its_rows_say() {
    let (agreed, left) = compare(&mapped("libc.so"));
    assert!(agreed > 10_000, "{agreed}");
    // Hand-written code that keeps its frame in a register of its own: some hundred rows at most.
    assert!(left * 200 < agreed, "{left} of {agreed} rows are not followed");
}

#[test]
fn the_table_of_the_loader_says_what_its_rows_say() {
    let (agreed, left) = compare(&mapped("ld-linux"));
    assert!(agreed > 1000 && left * 100 < agreed, "{agreed} {left}");
}

#[test]
fn the_table_of_this_program_says_what_its_rows_say() {
    let (agreed, left) = compare("/proc/self/exe");
    assert!(agreed > 10_000 && left * 1000 < agreed, "{agreed} {left}");
}

#[test]
fn every_row_is_in_its_page_and_in_order() {
    let table = build(&File::open(mapped("libc.so")).unwrap()).unwrap();
    assert_eq!(table.pages.first(), Some(&0));
    assert_eq!(table.pages.last().map(|end| *end as usize), Some(table.rows.len()));
    for index in 0..table.page_count() {
        let rows = table.page(index);
        assert!(rows.is_empty() || rows[0].0 >> 20 == 0, "page {index} does not begin at its first byte");
        assert!(rows.is_sorted_by_key(|row| row.0 >> 20), "page {index}");
        assert!(
            rows.windows(2).all(|two| two[0].0 >> 20 < two[1].0 >> 20),
            "page {index}: two rows of one byte"
        );
    }
    // 8 B a page and 4 B a row: what 500 such files would take is the bound on kernel memory.
    let bytes = table.page_count() * 8 + table.rows.len() * 4;
    assert!(bytes < 400 << 10, "{bytes} bytes");
}

#[test]
fn scrambled_files_give_less_or_an_error_but_no_panic() {
    let whole = std::fs::read("/bin/true").unwrap();
    let mut seed = 7_u64;
    let mut built = 0;
    for round in 0..400 {
        let mut bytes = whole.clone();
        // Headers, then everything.
        let span = if round % 2 == 0 { 1024 } else { bytes.len() };
        for _ in 0..round {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = 20 + (seed >> 33) as usize % (span - 20);
            bytes[at] = (seed >> 24) as u8;
        }
        bytes.truncate(whole.len() - round * 16);
        built += usize::from(build(bytes.as_slice()).is_ok());
    }
    assert!(built > 10, "{built} of 400 were still read");
    assert_eq!(build([0_u8; 64].as_slice()), Err(Error::NotElf));
    assert_eq!(build([].as_slice()), Err(Error::NotElf));
}
