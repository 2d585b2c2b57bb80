//! Functions and their rows, by `gimli`.

use std::collections::HashMap;

use gimli::{
    BaseAddresses, CieOrFde, CommonInformationEntry, DebugFrame, EhFrame, EndianSlice, LittleEndian,
    UnwindContext, UnwindOffset, UnwindSection,
};

use super::elf::Frames;
use super::rule::{Form, form};

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Rows of one file at most: 32 MiB of them here for a while.
const MAX_ROWS: usize = 4 << 20;

/// One function: rows `first` to `end` of [`Functions::rows`] hold from its `start` to its `end`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) rows: (usize, usize),
}

/// What a file's unwind information says, in no order.
#[derive(Debug, Default)]
pub(super) struct Functions {
    pub(super) functions: Vec<Function>,
    pub(super) rows: Vec<(u64, Form)>,
}

pub(super) fn functions(frames: &[Frames]) -> Functions {
    let mut found = Functions::default();
    for frames in frames {
        let mut known: Vec<(u64, u64)> = found.functions.iter().map(|f| (f.start, f.end)).collect();
        known.sort_unstable();
        match frames {
            Frames::Eh { bytes, vaddr } => {
                let mut section = EhFrame::new(bytes, LittleEndian);
                section.set_address_size(8);
                read(&section, &BaseAddresses::default().set_eh_frame(*vaddr), &known, &mut found);
            }
            Frames::Debug { bytes } => {
                let mut section = DebugFrame::new(bytes, LittleEndian);
                section.set_address_size(8);
                read(&section, &BaseAddresses::default(), &known, &mut found);
            }
        }
    }
    found
}

/// Adds everything up to the first entry that cannot be read: what follows it cannot be found. Leaves out what begins in
/// one of the `known` ranges, which are sorted.
fn read<'a, S: UnwindSection<Slice<'a>>>(
    section: &S,
    bases: &BaseAddresses,
    known: &[(u64, u64)],
    found: &mut Functions,
) {
    let is_known = |at: u64| {
        let behind = known.partition_point(|(start, _)| *start <= at);
        behind > 0 && at < known[behind - 1].1
    };
    let mut context = UnwindContext::new();
    // Hundreds of functions share one.
    let mut shared: HashMap<usize, CommonInformationEntry<Slice<'a>>> = HashMap::new();
    let mut entries = section.entries(bases);
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else { continue };
        let function = partial.parse(|section, bases, offset| {
            let at: usize = UnwindOffset::into(offset);
            if let Some(known) = shared.get(&at) {
                return Ok(known.clone());
            }
            let fresh = section.cie_from_offset(bases, offset)?;
            shared.insert(at, fresh.clone());
            Ok(fresh)
        });
        let Ok(function) = function else { continue };
        if is_known(function.initial_address()) {
            continue;
        }
        let first = found.rows.len();
        if first >= MAX_ROWS {
            break;
        }
        if function.is_signal_trampoline() {
            found.rows.push((function.initial_address(), Form::SIGNAL));
        } else if let Ok(mut rows) = function.rows(section, bases, &mut context) {
            let address = function.cie().return_address_register();
            while let Ok(Some(row)) = rows.next_row() {
                found.rows.push((row.start_address(), form(row, section, address)));
                if found.rows.len() - first >= MAX_ROWS {
                    break;
                }
            }
        }
        let rows = (first, found.rows.len());
        let (start, end) = (function.initial_address(), function.end_address());
        if rows.0 < rows.1 && start < end {
            found.functions.push(Function { start, end, rows });
        }
    }
}
