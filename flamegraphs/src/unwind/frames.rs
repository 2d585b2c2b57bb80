//! Functions and their rows, by `gimli`.
//!
//! A compiler's library describes two million rows: they are made one function at a time, in order of address, for whoever
//! packs them, and not kept.

use std::collections::HashMap;

use gimli::{
    BaseAddresses, CieOrFde, CommonInformationEntry, DebugFrame, EhFrame, EndianSlice, FrameDescriptionEntry,
    LittleEndian, UnwindContext, UnwindOffset, UnwindSection,
};

use super::elf::Frames;
use super::rule::{Form, form};

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Functions of one file at most: 32 MiB of them here for a while. The largest library of a compiler has 200,000.
const MAX_FUNCTIONS: usize = 1 << 20;
/// Rows of one function at most.
const MAX_ROWS: usize = 1 << 20;

/// One function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) rows: Rows,
}

/// Where its rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// There is one: a handler returns here, and above lies what it interrupted.
    Signal,
    /// In this of the sections, described at this offset.
    At(u8, u32),
}

/// What a file's unwind information says.
#[expect(clippy::struct_field_names, reason = "it is what it lists")]
pub(super) struct Functions<'a> {
    /// In no order.
    pub(super) functions: Vec<Function>,
    sections: Vec<Section<'a>>,
    context: UnwindContext<usize>,
}

/// One section, and the common entries in it: hundreds of functions share one.
enum Section<'a> {
    Eh(EhFrame<Slice<'a>>, BaseAddresses, Shared<'a>),
    Debug(DebugFrame<Slice<'a>>, BaseAddresses, Shared<'a>),
}

type Shared<'a> = HashMap<usize, CommonInformationEntry<Slice<'a>>>;

pub(super) fn functions(frames: &[Frames]) -> Functions<'_> {
    let mut found = Functions { functions: Vec::new(), sections: Vec::new(), context: UnwindContext::new() };
    for (number, frames) in frames.iter().enumerate().take(usize::from(u8::MAX)) {
        let mut known: Vec<(u64, u64)> = found.functions.iter().map(|f| (f.start, f.end)).collect();
        known.sort_unstable();
        let functions = &mut found.functions;
        found.sections.push(match frames {
            Frames::Eh { bytes, vaddr } => {
                let mut section = EhFrame::new(bytes, LittleEndian);
                section.set_address_size(8);
                let bases = BaseAddresses::default().set_eh_frame(*vaddr);
                let shared = list(&section, &bases, &known, number as u8, functions);
                Section::Eh(section, bases, shared)
            }
            Frames::Debug { bytes } => {
                let mut section = DebugFrame::new(bytes, LittleEndian);
                section.set_address_size(8);
                let bases = BaseAddresses::default();
                let shared = list(&section, &bases, &known, number as u8, functions);
                Section::Debug(section, bases, shared)
            }
        });
    }
    found
}

impl Functions<'_> {
    /// Calls `each` with the rows of a function: where each begins, and what holds from there on.
    pub(super) fn rows(&mut self, function: &Function, mut each: impl FnMut(u64, Form)) {
        let Rows::At(section, offset) = function.rows else { return each(function.start, Form::SIGNAL) };
        match self.sections.get_mut(usize::from(section)) {
            Some(Section::Eh(section, bases, shared)) => {
                rows(section, bases, shared, offset, &mut self.context, each);
            }
            Some(Section::Debug(section, bases, shared)) => {
                rows(section, bases, shared, offset, &mut self.context, each);
            }
            None => {}
        }
    }
}

/// Lists everything up to the first entry that cannot be read: what follows it cannot be found. Leaves out what begins in
/// one of the `known` ranges, which are sorted.
fn list<'a, S: UnwindSection<Slice<'a>>>(
    section: &S,
    bases: &BaseAddresses,
    known: &[(u64, u64)],
    number: u8,
    functions: &mut Vec<Function>,
) -> Shared<'a> {
    let is_known = |at: u64| {
        let behind = known.partition_point(|(start, _)| *start <= at);
        behind > 0 && at < known[behind - 1].1
    };
    let mut shared = Shared::new();
    let mut entries = section.entries(bases);
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else { continue };
        let Ok(function) =
            partial.parse(|section, bases, offset| common(&mut shared, section, bases, offset))
        else {
            continue;
        };
        let (start, end) = (function.initial_address(), function.end_address());
        let Ok(offset) = u32::try_from(function.offset()) else { break };
        if functions.len() >= MAX_FUNCTIONS {
            break;
        }
        if start < end && !is_known(start) {
            let rows = if function.is_signal_trampoline() { Rows::Signal } else { Rows::At(number, offset) };
            functions.push(Function { start, end, rows });
        }
    }
    shared
}

/// The common entry at an offset, read once.
fn common<'a, S: UnwindSection<Slice<'a>>>(
    shared: &mut Shared<'a>,
    section: &S,
    bases: &BaseAddresses,
    offset: S::Offset,
) -> gimli::Result<CommonInformationEntry<Slice<'a>>> {
    let at: usize = UnwindOffset::into(offset);
    if let Some(known) = shared.get(&at) {
        return Ok(known.clone());
    }
    let fresh = section.cie_from_offset(bases, offset)?;
    shared.insert(at, fresh.clone());
    Ok(fresh)
}

fn rows<'a, S: UnwindSection<Slice<'a>>>(
    section: &S,
    bases: &BaseAddresses,
    shared: &mut Shared<'a>,
    offset: u32,
    context: &mut UnwindContext<usize>,
    mut each: impl FnMut(u64, Form),
) {
    let offset = S::Offset::from(offset as usize);
    let function: gimli::Result<FrameDescriptionEntry<Slice<'a>>> =
        section
            .fde_from_offset(bases, offset, |section, bases, offset| common(shared, section, bases, offset));
    let Ok(function) = function else { return };
    let Ok(mut rows) = function.rows(section, bases, context) else { return };
    let address = function.cie().return_address_register();
    for _ in 0..MAX_ROWS {
        let Ok(Some(row)) = rows.next_row() else { return };
        each(row.start_address(), form(row, section, address));
    }
}
