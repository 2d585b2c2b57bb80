//! Kernel addresses → names, from `/proc/kallsyms`: the kernel, its modules, and BPF programs.
//!
//! Read here and not by blazesym because we want it to notice modules and BPF programs loaded since
//! (kallsyms has no sizes: a program that is newer than the table would take its neighbour's name),
//! to say when addresses are hidden, and to keep 2 MiB instead of 10.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::time::{Duration, Instant};

use profile::{FrameName, Unnamed};

const KALLSYMS: &str = "/proc/kallsyms";
/// No kernel function is larger; beyond it an address belongs to something the table does not know.
const MAX_FUNCTION: u64 = 1 << 20;
/// The table is read again, for new addresses outside the kernel image, at most this often: it takes 20 to 60 ms.
const RELOAD_EVERY: Duration = Duration::from_secs(10);
/// And for those that it named before, when it is this old: another program may lie there by now.
const RELOAD_KNOWN_EVERY: Duration = Duration::from_mins(10);
/// Addresses outside the kernel image that are remembered: 64 KiB. The agent's own programs have some hundred.
const MAX_KNOWN: usize = 4096;

/// All kernel functions.
#[derive(Debug, Default)]
pub(crate) struct Kallsyms {
    /// Address and place of the name in `text`, by address, each address once.
    symbols: Vec<(u64, u32)>,
    /// Names, NUL-terminated.
    text: String,
    /// `_stext.._etext`: what is in here never changes.
    core: (u64, u64),
    /// Addresses outside that were asked for when the table was read.
    known: HashSet<u64>,
    state: State,
    read_at: Option<Instant>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Unread,
    Good,
    Hidden,
    Unreadable,
}

impl Kallsyms {
    /// Names of `addrs` in order. Reads the table if it has not been read, and again if an address is
    /// outside the kernel image and the table is old.
    pub(crate) fn names(&mut self, addrs: &[u64]) -> Vec<FrameName> {
        if !addrs.is_empty() && self.read_at.is_none_or(|at| self.is_old_for(addrs, at.elapsed())) {
            let all_are_old = self.read_at.is_none_or(|at| at.elapsed() >= RELOAD_KNOWN_EVERY);
            let known = std::mem::take(&mut self.known);
            self.read();
            self.know(if all_are_old { HashSet::new() } else { known }, addrs);
        }
        let mut last: Option<(u32, FrameName)> = None;
        addrs
            .iter()
            .map(|&addr| match (self.find(addr), self.state) {
                (Some(at), _) => match &last {
                    Some((known, name)) if *known == at => name.clone(),
                    _ => last.insert((at, FrameName::named(display(self.name(at)).into()))).1.clone(),
                },
                (None, State::Hidden) => FrameName::unnamed("[kernel]", Unnamed::KernelHidden),
                (None, State::Unreadable) => FrameName::unnamed("[kernel]", Unnamed::KernelUnreadable),
                (None, _) => FrameName::unnamed("[kernel]", Unnamed::KernelUnknown),
            })
            .collect()
    }

    /// The table was just read for these addresses: whatever has them is in it. An address that is asked for while the table is not read
    /// may belong to what was loaded since.
    fn know(&mut self, known: HashSet<u64>, addrs: &[u64]) {
        self.known = known;
        let foreign = addrs.iter().copied().filter(|addr| !(self.core.0..self.core.1).contains(addr));
        let room = MAX_KNOWN.saturating_sub(self.known.len());
        self.known.extend(foreign.take(room));
    }

    /// Whether modules or BPF programs that it may lack can be at one of these addresses.
    fn is_old_for(&self, addrs: &[u64], age: Duration) -> bool {
        let mut foreign = addrs.iter().filter(|addr| !(self.core.0..self.core.1).contains(addr)).peekable();
        match age {
            _ if age < RELOAD_EVERY || foreign.peek().is_none() => false,
            _ if age >= RELOAD_KNOWN_EVERY => true,
            _ => foreign.any(|addr| !self.known.contains(addr)),
        }
    }

    /// Why kernel frames have no names, in words; `None` while they have.
    pub(crate) fn trouble(&self) -> Option<String> {
        match self.state {
            State::Unread | State::Good => None,
            State::Hidden => {
                let level = std::fs::read_to_string("/proc/sys/kernel/kptr_restrict").unwrap_or_default();
                Some(format!(
                    "{KALLSYMS} shows no addresses (kernel.kptr_restrict = {}; needs CAP_SYSLOG, or root at level 1)",
                    level.trim()
                ))
            }
            State::Unreadable => Some(format!("{KALLSYMS} cannot be read")),
        }
    }

    /// Memory of the table.
    pub(crate) fn bytes(&self) -> usize {
        self.symbols.capacity() * size_of::<(u64, u32)>() + self.text.capacity()
    }

    fn read(&mut self) {
        self.read_at = Some(Instant::now());
        let result =
            File::open(KALLSYMS).and_then(|file| Self::parse(BufReader::with_capacity(64 * 1024, file)));
        match result {
            Ok(table) => *self = Self { read_at: self.read_at, ..table },
            Err(error) => {
                tracing::warn!(%error, "cannot read {KALLSYMS}: kernel frames stay without names");
                self.state = State::Unreadable;
            }
        }
        if let Some(trouble) = self.trouble() {
            tracing::warn!("{trouble}");
        }
    }

    /// Parses `address type name [module]` lines; keeps functions.
    fn parse(mut input: impl BufRead) -> io::Result<Self> {
        let mut found: Vec<Symbol> = Vec::with_capacity(80_000);
        let mut text = String::with_capacity(2 << 20);
        let (mut core, mut lines) = ((0, 0), 0_u64);
        let mut line = Vec::new();
        while {
            line.clear();
            input.read_until(b'\n', &mut line)?
        } > 0
        {
            lines += 1;
            let Some((addr, kind, name)) = split(&line) else { continue };
            match name {
                "_stext" => core.0 = addr,
                "_etext" => core.1 = addr,
                _ => {}
            }
            // `__pfx_` symbols are the padding before a function.
            if addr == 0 || !matches!(kind, b't' | b'T' | b'w' | b'W') || name.starts_with("__pfx_") {
                continue;
            }
            let underscores = name.bytes().take_while(|&byte| byte == b'_').count() as u32;
            let weak = u32::from(matches!(kind, b'w' | b'W'));
            found.push(Symbol { addr, rank: weak << 16 | underscores, at: text.len() as u32 });
            text.push_str(name);
            text.push('\0');
        }
        // Aliases of one address: strong before weak, fewer underscores first, then the kernel's order.
        found.sort_unstable_by_key(|symbol| (symbol.addr, symbol.rank, symbol.at));
        found.dedup_by_key(|symbol| symbol.addr);
        text.shrink_to_fit();
        let state = if !found.is_empty() {
            State::Good
        } else if lines > 0 {
            State::Hidden
        } else {
            State::Unreadable
        };
        let symbols = found.iter().map(|symbol| (symbol.addr, symbol.at)).collect();
        Ok(Self { symbols, text, core, known: HashSet::new(), state, read_at: None })
    }

    /// Place of the name of the function that covers `addr`.
    fn find(&self, addr: u64) -> Option<u32> {
        let next = self.symbols.partition_point(|&(start, _)| start <= addr);
        let &(start, at) = self.symbols.get(next.checked_sub(1)?)?;
        (addr - start < MAX_FUNCTION).then_some(at)
    }

    fn name(&self, at: u32) -> &str {
        let tail = &self.text[at as usize..];
        tail.split('\0').next().unwrap_or(tail)
    }
}

struct Symbol {
    addr: u64,
    rank: u32,
    at: u32,
}

fn split(line: &[u8]) -> Option<(u64, u8, &str)> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let addr = u64::from_str_radix(words.next()?, 16).ok()?;
    Some((addr, *words.next()?.as_bytes().first()?, words.next()?))
}

/// `bpf_prog_6deef7357e7b4530_count_syscalls` → `bpf_prog_count_syscalls`: the tag is a digest that
/// changes with each build. Anything else stays as it is.
fn display(name: &str) -> String {
    const TAG: usize = 16;
    if let Some(rest) = name.strip_prefix("bpf_prog_")
        && rest.len() > TAG
        && rest.is_char_boundary(TAG)
        && rest[..TAG].bytes().all(|byte| byte.is_ascii_hexdigit())
        && let Some(program) = rest[TAG..].strip_prefix('_')
    {
        return format!("bpf_prog_{program}");
    }
    super::name::readable(name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
ffffffff81000000 T srso_alias_untrain_ret
ffffffff81000000 T _stext
ffffffff81000100 t __pfx_do_work
ffffffff81000110 t do_work
ffffffff81000200 W __weak_alias
ffffffff81000200 T __strong_alias
ffffffff81000300 T _etext
ffffffff82000000 D some_data
ffffffffc0000000 t mod_fn\t[some_mod]
ffffffffc0100000 t bpf_prog_6deef7357e7b4530_sd_fw_egress\t[bpf]
";

    fn table(text: &str) -> Kallsyms {
        Kallsyms { read_at: Some(Instant::now()), ..Kallsyms::parse(text.as_bytes()).unwrap() }
    }

    fn named(table: &mut Kallsyms, addr: u64) -> String {
        table.names(&[addr])[0].text.to_string()
    }

    #[test]
    fn kernel_modules_and_bpf_programs_are_named() {
        let mut table = table(TEXT);
        assert_eq!(named(&mut table, 0xffff_ffff_8100_0000), "srso_alias_untrain_ret");
        assert_eq!(named(&mut table, 0xffff_ffff_8100_0150), "do_work");
        assert_eq!(named(&mut table, 0xffff_ffff_8100_0210), "__strong_alias");
        assert_eq!(named(&mut table, 0xffff_ffff_c000_0010), "mod_fn");
        assert_eq!(named(&mut table, 0xffff_ffff_c010_0010), "bpf_prog_sd_fw_egress");
    }

    #[test]
    fn the_table_is_read_again_for_new_addresses_outside_the_image_and_rarely_for_known_ones() {
        let mut table = table(TEXT);
        let (core, module, program) = (0xffff_ffff_8100_0150, 0xffff_ffff_c000_0010, 0xffff_ffff_c010_0010);
        table.know(HashSet::new(), &[core, module]);
        // Loaded a moment ago, perhaps: the table is not known to have it.
        named(&mut table, program);
        let seconds = Duration::from_secs;
        assert!(!table.is_old_for(&[core], seconds(3600)));
        assert!(!table.is_old_for(&[core, module], seconds(60)));
        assert!(table.is_old_for(&[core, module], seconds(600)));
        assert!(table.is_old_for(&[module, program], seconds(10)));
        assert!(!table.is_old_for(&[module, program], seconds(9)));
        let many: Vec<u64> = (0..5000).map(|n| 0xffff_ffff_c200_0000 + n).collect();
        let known = std::mem::take(&mut table.known);
        table.know(known, &many);
        assert_eq!(table.known.len(), MAX_KNOWN);
        assert!(!table.is_old_for(&[module], seconds(10)), "it is still known");
    }

    #[test]
    fn an_address_far_from_any_function_has_no_name() {
        let name = &table(TEXT).names(&[0xffff_ffff_f000_0000])[0];
        assert_eq!(name.unnamed, Some(Unnamed::KernelUnknown));
    }

    #[test]
    fn hidden_addresses_are_distinguished_from_a_missing_table() {
        let mut hidden = table("0000000000000000 T _stext\n0000000000000000 t do_work\n");
        assert_eq!(hidden.names(&[0xffff_ffff_8100_0150])[0].unnamed, Some(Unnamed::KernelHidden));
        assert!(hidden.trouble().unwrap().contains("kptr_restrict"));
        let mut empty = table("");
        assert_eq!(empty.names(&[0xffff_ffff_8100_0150])[0].unnamed, Some(Unnamed::KernelUnreadable));
    }
}
