//! The maps that the unwinder looks things up in.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use agent_common::abi::python::{LAYOUTS, PythonLayout};
use agent_common::abi::unwind::{
    KIND_WIDE, MAPPINGS, Mapping, PAGE_BITS, PAGES, Page, ProcessMaps, RULE_BITS, Row, Rule, SLAB_ROWS,
    SLABS, WIDE_RULES, WideRule,
};
use aya::maps::{Array, HashMap, Map, MapData, RingBuf};

use super::{Maps, Plain, Probes, no_map};
use crate::bpf::StartError;
use crate::bpf::mapped::Mapped;
use crate::bpf::sys;

/// Where user space puts tables and mappings. Lives on the thread that makes them.
pub struct UnwindMaps {
    processes: HashMap<MapData, u32, Plain<ProcessMaps>>,
    mappings: Mapped<Mapping>,
    pages: Mapped<Page>,
    rules: Mapped<WideRule>,
    layouts: Array<MapData, Plain<PythonLayout>>,
    known_layouts: Vec<PythonLayout>,
    outer: MapData,
    wanted: RingBuf<MapData>,
    slabs: Vec<Option<OwnedFd>>,
    /// Slabs that are mapped, the one used last at the end.
    in_reach: RefCell<Vec<(u32, Mapped<u32>)>>,
}

/// Most slabs that are mapped at once, 512 KiB each. Mapped pages count as resident, and all 24 MiB of rows are for the kernel
/// side. A file's rows lie in one or two slabs; to map one takes 10 µs.
const MAX_MAPPED_SLABS: usize = 6;

impl std::fmt::Debug for UnwindMaps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnwindMaps").finish_non_exhaustive()
    }
}

impl UnwindMaps {
    pub(super) fn new(maps: &mut Maps<'_>) -> Result<Self, StartError> {
        let Map::ArrayOfMaps(outer) = maps.take_any("ROW_SLABS")? else { return Err(no_map("ROW_SLABS")) };
        Ok(Self {
            mappings: maps.mapped_writable("UNWIND_MAPS", MAPPINGS as usize)?,
            pages: maps.mapped_writable("UNWIND_PAGES", PAGES as usize)?,
            rules: maps.mapped_writable("UNWIND_RULES", WIDE_RULES as usize)?,
            layouts: maps.take("PYTHON_LAYOUTS")?,
            known_layouts: Vec::new(),
            processes: maps.take("UNWIND_PROCS")?,
            outer,
            wanted: maps.take("UNWIND_WANTED")?,
            slabs: (0..SLABS).map(|_| None).collect(),
            in_reach: RefCell::default(),
        })
    }

    /// Waits until a process is wanted or `bell` rings, `patience` at most.
    pub fn wait(&self, bell: BorrowedFd<'_>, patience: Duration) {
        let ready = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut fds = [ready(self.wanted.as_raw_fd()), ready(bell.as_raw_fd())];
        // SAFETY: two descriptors that are open. An interrupted wait is a short one.
        unsafe {
            libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, patience.as_millis() as libc::c_int)
        };
    }

    /// Calls `each` for every process that the kernel side wants to be looked at.
    pub fn wanted(&mut self, mut each: impl FnMut(u32)) {
        while let Some(item) = self.wanted.next() {
            if let Some(tgid) = item.first_chunk() {
                each(u32::from_ne_bytes(*tgid));
            }
        }
    }

    /// From now on the process' mappings are these.
    pub fn put_process(&mut self, tgid: u32, maps: ProcessMaps) -> io::Result<()> {
        self.processes.insert(tgid, Plain(maps), 0).map_err(io::Error::other)
    }

    /// From now on nothing is known of the process.
    pub fn drop_process(&mut self, tgid: u32) {
        // One that exec has dropped already is not there.
        let _ = self.processes.remove(&tgid);
    }

    /// Writes a mapping that no process refers to, or the same one with another table.
    pub fn put_mapping(&mut self, index: u32, mapping: Mapping) {
        self.mappings.set(index as usize, mapping);
    }

    /// The mapping at `index`, as it was written.
    #[must_use]
    pub fn mapping(&self, index: u32) -> Mapping {
        self.mappings.get(index as usize)
    }

    /// The rule in force at an address of the file whose page 0 is `pages`, and the one that it refers to.
    #[must_use]
    pub fn rule(&self, pages: u32, vaddr: u64) -> (Rule, Option<WideRule>) {
        let index = pages.wrapping_add((vaddr >> PAGE_BITS) as u32) as usize;
        if index >= PAGES as usize {
            return (Rule::GAP, None);
        }
        let page = self.pages.get(index);
        let within = (vaddr & ((1 << PAGE_BITS) - 1)) as u32;
        let first = page.first % SLAB_ROWS;
        let end = first.saturating_add(page.count).min(SLAB_ROWS);
        let find = |rows: &Mapped<u32>| {
            let row = |at: u32| Row(rows.get(at as usize));
            let (mut low, mut high) = (first, end);
            while low < high {
                let middle = low + (high - low) / 2;
                if row(middle).0 >> RULE_BITS <= within { low = middle + 1 } else { high = middle }
            }
            if low == first { Rule::GAP } else { row(low - 1).rule() }
        };
        let Some(rule) = self.with_slab(page.first / SLAB_ROWS, find) else { return (Rule::GAP, None) };
        let wide = rule.kind() == KIND_WIDE && rule.index() < WIDE_RULES;
        (rule, wide.then(|| self.rules.get(rule.index() as usize)))
    }

    /// Writes the place of a page's rows.
    pub fn put_page(&mut self, index: u32, page: Page) {
        self.pages.set(index as usize, page);
    }

    /// Writes a rule that no row refers to yet.
    pub fn put_rule(&mut self, index: u32, rule: WideRule) {
        self.rules.set(index as usize, rule);
    }

    /// The number of a layout, new or known; `None` where there is no room.
    pub fn layout(&mut self, layout: &PythonLayout) -> Option<u32> {
        if let Some(known) = self.known_layouts.iter().position(|known| known == layout) {
            return Some(known as u32);
        }
        let number = self.known_layouts.len() as u32;
        if number >= LAYOUTS || self.layouts.set(number, Plain(*layout), 0).is_err() {
            return None;
        }
        self.known_layouts.push(*layout);
        Some(number)
    }

    /// Makes memory for [`SLAB_ROWS`] rows.
    pub fn make_slab(&mut self, number: u32) -> io::Result<()> {
        let bytes = SLAB_ROWS as usize * size_of::<Row>();
        let slab = sys::make_mapped_array(c"row_slab", bytes as u32)?;
        sys::put_map(self.outer.fd().as_fd(), number, slab.as_fd())?;
        self.slabs[number as usize] = Some(slab);
        Ok(())
    }

    /// Gives the memory of a slab back. Programs that are reading it keep it until they end.
    pub fn drop_slab(&mut self, number: u32) {
        if let Err(error) = sys::delete_map(self.outer.fd().as_fd(), number) {
            tracing::warn!(%error, "cannot give memory of unwind tables back");
            return;
        }
        self.slabs[number as usize] = None;
        self.in_reach.get_mut().retain(|(mapped, _)| *mapped != number);
    }

    /// Writes rows that no page refers to yet.
    pub fn put_rows(&mut self, slab: u32, start: u32, rows: &[Row]) {
        let write = |memory: &Mapped<u32>| {
            for (at, row) in rows.iter().enumerate() {
                memory.set(start as usize + at, row.0);
            }
        };
        if self.with_slab(slab, write).is_none() {
            tracing::warn!(slab, "cannot map memory of unwind tables: some stacks end there");
        }
    }

    /// What `look` makes of a slab's rows. `None`: there is no such slab, or it cannot be mapped.
    fn with_slab<T>(&self, number: u32, look: impl FnOnce(&Mapped<u32>) -> T) -> Option<T> {
        let mut in_reach = self.in_reach.borrow_mut();
        let known = in_reach.iter().position(|(mapped, _)| *mapped == number);
        let slab = if let Some(at) = known {
            in_reach.remove(at).1
        } else {
            let slab = self.slabs.get(number as usize)?.as_ref()?;
            Mapped::writable(slab.as_fd(), SLAB_ROWS as usize).ok()?
        };
        if in_reach.len() >= MAX_MAPPED_SLABS {
            in_reach.remove(0);
        }
        let found = look(&slab);
        in_reach.push((number, slab));
        Some(found)
    }
}

impl Probes {
    /// Hands out the unwinder's maps, once.
    pub fn take_unwind(&mut self) -> Option<UnwindMaps> {
        self.unwind.take()
    }
}
