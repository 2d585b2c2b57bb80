//! A small BTF reader: byte offsets of kernel structure members, from `/sys/kernel/btf/vmlinux`.
//!
//! aya 0.14 has neither CO-RE nor a public lookup. One pass over the type section finds the structures by name;
//! members are looked up through anonymous structs and unions. Format: Documentation/bpf/btf.rst.

mod endings;
mod sched;

use std::cell::RefCell;
use std::collections::HashMap;

use agent_common::abi::settings::{NO_OFFSET, Offsets};
use agent_common::le::{u16_at, u32_at};

/// Why the kernel's type information could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BtfError {
    /// The kernel was built without `CONFIG_DEBUG_INFO_BTF`, or `/sys` is not mounted.
    #[error("cannot read {path}")]
    Missing {
        /// Where it should be.
        path: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Not BTF as documented.
    #[error("{path} is not valid BTF: {what}")]
    Malformed {
        /// Where it came from.
        path: &'static str,
        /// First thing that is wrong.
        what: &'static str,
    },
}

const PATH: &str = "/sys/kernel/btf/vmlinux";
const MAGIC: u16 = 0xeb9f;

const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// Parsed headers; types are decoded on demand.
pub(crate) struct Btf {
    data: Vec<u8>,
    strings: usize,
    /// Byte position of each type; index = type id − 1.
    types: Vec<u32>,
    /// Structures that were looked for: a search walks all types (1 ms).
    found: RefCell<HashMap<String, Option<usize>>>,
}

impl Btf {
    /// Reads the running kernel's types.
    pub(crate) fn of_kernel() -> Result<Self, BtfError> {
        let data = std::fs::read(PATH).map_err(|source| BtfError::Missing { path: PATH, source })?;
        Self::parse(data)
    }

    fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        let malformed = |what| BtfError::Malformed { path: PATH, what };
        let word = |at: usize| u32_at(&data, at).ok_or(malformed("it is cut short"));
        if u16_at(&data, 0) != Some(MAGIC) {
            return Err(malformed("its magic number is wrong"));
        }
        let header = word(4)? as usize;
        let (type_off, type_len) = (header + word(8)? as usize, word(12)? as usize);
        let strings = header + word(16)? as usize;
        let mut types = Vec::with_capacity(type_len / 24);
        let (mut at, end) = (type_off, type_off + type_len);
        while at < end {
            types.push(at as u32);
            let info = word(at + 4)?;
            let vlen = (info & 0xffff) as usize;
            at += 12
                + match info >> 24 & 0x1f {
                    KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
                    KIND_ARRAY => 12,
                    KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => vlen * 12,
                    KIND_ENUM | KIND_FUNC_PROTO => vlen * 8,
                    0..=KIND_ENUM64 => 0,
                    _ => return Err(malformed("a type is of an unknown kind")),
                };
        }
        Ok(Self { data, strings, types, found: RefCell::default() })
    }

    fn word(&self, at: usize) -> Option<u32> {
        u32_at(&self.data, at)
    }

    fn name(&self, offset: u32) -> &[u8] {
        let rest = self.data.get(self.strings + offset as usize..).unwrap_or_default();
        rest.split(|&b| b == 0).next().unwrap_or_default()
    }

    /// Position of the structure called `name`.
    fn structure(&self, name: &str) -> Option<usize> {
        let mut found = self.found.borrow_mut();
        *found.entry(name.to_owned()).or_insert_with(|| self.find(KIND_STRUCT, name))
    }

    fn find(&self, kind: u32, name: &str) -> Option<usize> {
        self.types.iter().map(|&at| at as usize).find(|&at| {
            self.word(at + 4).is_some_and(|info| info >> 24 & 0x1f == kind)
                && self.word(at).is_some_and(|off| self.name(off) == name.as_bytes())
        })
    }

    /// Size in bytes of the structure called `name`.
    pub(super) fn size(&self, name: &str) -> Option<u32> {
        self.word(self.structure(name)? + 8)
    }

    /// Arguments of a tracepoint, and of each whether it is a pointer. `None`: this kernel has no such tracepoint.
    ///
    /// `typedef void (*btf_trace_NAME)(void *data, ...)`: `include/trace/bpf_probe.h`, since 5.0.
    pub(super) fn tracepoint(&self, name: &str) -> Option<Vec<bool>> {
        let typedef = self.find(KIND_TYPEDEF, &format!("btf_trace_{name}"))?;
        let pointer = self.at(self.word(typedef + 8)?)?;
        let function = self.at(self.word(pointer + 8)?)?;
        let arguments = (self.word(function + 4)? & 0xffff) as usize;
        (1..arguments)
            .map(|index| {
                let ty = self.at(self.word(function + 12 + index * 8 + 4)?)?;
                Some(self.word(ty + 4)? >> 24 & 0x1f == KIND_PTR)
            })
            .collect()
    }

    /// Position of a type by its number.
    fn at(&self, id: u32) -> Option<usize> {
        Some(*self.types.get(id.checked_sub(1)? as usize)? as usize)
    }

    /// Position of the structure or union behind typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<usize> {
        for _ in 0..32 {
            let at = self.at(id)?;
            match self.word(at + 4)? >> 24 & 0x1f {
                KIND_STRUCT | KIND_UNION => return Some(at),
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    id = self.word(at + 8)?;
                }
                _ => return None,
            }
        }
        None
    }

    /// Offset in bits of `member` in the structure at `at`, and the member's type.
    fn member(&self, at: usize, member: &str, depth: u32) -> Option<(u32, u32)> {
        let info = self.word(at + 4)?;
        let (vlen, bitfields) = ((info & 0xffff) as usize, info >> 31 == 1);
        for m in (0..vlen).map(|i| at + 12 + i * 12) {
            let (name, ty, offset) = (self.word(m)?, self.word(m + 4)?, self.word(m + 8)?);
            let bits = if bitfields { offset & 0x00ff_ffff } else { offset };
            if self.name(name) == member.as_bytes() {
                return Some((bits, ty));
            }
            if self.name(name).is_empty() && depth < 8 {
                let inner = self.resolve(ty).and_then(|inner| self.member(inner, member, depth + 1));
                if let Some((inner_bits, ty)) = inner {
                    return Some((bits + inner_bits, ty));
                }
            }
        }
        None
    }

    /// Offset in bits of `path` (`a.b.c`) in the structure called `structure`.
    fn bits(&self, structure: &str, path: &str) -> Option<u32> {
        let mut at = self.structure(structure)?;
        let mut bits = 0;
        let mut steps = path.split('.').peekable();
        while let Some(step) = steps.next() {
            let (offset, ty) = self.member(at, step, 0)?;
            bits += offset;
            if steps.peek().is_some() {
                at = self.resolve(ty)?;
            }
        }
        Some(bits)
    }

    /// Offset in bytes of `path` (`a.b.c`) in the structure called `structure`; [`NO_OFFSET`] if there is none.
    pub(crate) fn offset(&self, structure: &str, path: &str) -> u32 {
        self.bits(structure, path).map_or(NO_OFFSET, |bits| bits / 8)
    }

    /// Value of an enumerator.
    fn enumerator(&self, name: &str, enumerator: &str) -> Option<u32> {
        let at = self.find(KIND_ENUM, name)?;
        let count = (self.word(at + 4)? & 0xffff) as usize;
        let is_it = |at: &usize| self.word(*at).is_some_and(|name| self.name(name) == enumerator.as_bytes());
        let found = (0..count).map(|i| at + 12 + i * 8).find(is_it)?;
        self.word(found + 4)
    }

    /// Whether the kernel has this helper.
    fn has_helper(&self, helper: &str) -> bool {
        self.enumerator("bpf_func_id", &format!("BPF_FUNC_{helper}")).is_some()
    }

    /// Everything the BPF programs ask for.
    pub(crate) fn offsets(&self) -> Offsets {
        let task = |path| self.offset("task_struct", path);
        let signal = |path| self.offset("signal_struct", path);
        let start = match task("start_boottime") {
            NO_OFFSET => task("real_start_time"),
            found => found,
        };
        Offsets {
            task_tgid: task("tgid"),
            task_pid: task("pid"),
            task_real_parent: task("real_parent"),
            task_signal: task("signal"),
            task_exit_code: task("exit_code"),
            task_start_boottime: start,
            task_utime: task("utime"),
            task_stime: task("stime"),
            task_min_flt: task("min_flt"),
            task_maj_flt: task("maj_flt"),
            task_sum_exec_runtime: task("se.sum_exec_runtime"),
            task_comm: task("comm"),
            task_thread_status: task("thread_info.status"),
            task_group_leader: task("group_leader"),
            task_fsbase: task("thread.fsbase"),
            signal_live: signal("live.counter"),
            signal_group_exit_code: signal("group_exit_code"),
            signal_utime: signal("utime"),
            signal_stime: signal("stime"),
            signal_min_flt: signal("min_flt"),
            signal_maj_flt: signal("maj_flt"),
            signal_sum_sched_runtime: signal("sum_sched_runtime"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct inner { int x; int y; }; struct outer { u64; struct { int anon; }; struct inner in; }`
    fn sample() -> Vec<u8> {
        let strings = b"\0inner\0x\0y\0outer\0anon\0in\0int\0";
        let at = |s: &str| {
            let needle = [&[0], s.as_bytes(), &[0]].concat();
            strings.windows(needle.len()).position(|w| w == needle).map_or(0, |p| p as u32 + 1)
        };
        let mut types: Vec<u32> = Vec::new();
        types.extend([at("int"), KIND_INT << 24, 4, 32]); // id 1
        types.extend([at("inner"), KIND_STRUCT << 24 | 2, 8, at("x"), 1, 0, at("y"), 1, 32]); // id 2
        types.extend([0, KIND_STRUCT << 24 | 1, 4, at("anon"), 1, 0]); // id 3
        types.extend([at("outer"), KIND_STRUCT << 24 | 2, 20, 0, 3, 64, at("in"), 2, 96]); // id 4
        let body: Vec<u8> = types.iter().flat_map(|w| w.to_le_bytes()).collect();
        let mut out = Vec::new();
        out.extend(MAGIC.to_le_bytes());
        out.extend([1, 0]);
        for w in [24, 0, body.len() as u32, body.len() as u32, strings.len() as u32] {
            out.extend(w.to_le_bytes());
        }
        out.extend(&body);
        out.extend(strings);
        out
    }

    #[test]
    fn members_are_found_through_paths_and_anonymous_structures() {
        let btf = Btf::parse(sample()).expect("valid");
        assert_eq!(btf.offset("outer", "anon"), 8);
        assert_eq!(btf.offset("outer", "in.y"), 16);
        assert_eq!(btf.offset("outer", "in.z"), NO_OFFSET);
        assert_eq!(btf.offset("nothing", "x"), NO_OFFSET);
    }

    #[test]
    fn damaged_type_information_is_an_error_not_a_panic() {
        let good = sample();
        for cut in 0..good.len() {
            if let Ok(btf) = Btf::parse(good[..cut].to_vec()) {
                let _ = btf.offset("outer", "in.y");
            }
            let mut flipped = good.clone();
            flipped[cut] ^= 0xff;
            if let Ok(btf) = Btf::parse(flipped) {
                let _ = btf.offset("outer", "in.y");
            }
        }
    }
}
