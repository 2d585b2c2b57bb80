//! What a user without privileges can put in the symbolizer's way: it gets no names for it, and takes none from others.

mod program;

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use profile::Unnamed;
use program::{Running, cannot, compile, fold, only, sample, symbolizer};
use tempfile::TempDir;

/// The attacker, and another user.
const ATTACKER: u32 = 65_534;
const OTHER: u32 = 65_533;
/// The same program with other names.
const EVIL: [&str; 2] = ["-Dd=evil", "-Dwork_of_the_test=evil_work"];
const BUILD_ID: &str = "-Wl,--build-id=0x6c6962632e736f2e36000102030405060708090a";

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        cannot("only root can run programs as another user");
    }
    root
}

/// A directory that every user may read, and in which the attacker may write.
fn open_dir() -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o1777)).unwrap();
    dir
}

fn run_as_attacker(program: &Path) -> Running {
    Running::start(Command::new(program).uid(ATTACKER).gid(ATTACKER))
}

fn give_to(path: &Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).unwrap();
}

fn shell(dir: &Path, script: &str) {
    assert!(
        Command::new("sh").args(["-ec", script]).current_dir(dir).status().unwrap().success(),
        "{script}"
    );
}

/// What lies at a path for a while.
struct Placed(PathBuf);

impl Drop for Placed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0).or_else(|_| fs::remove_dir(&self.0));
    }
}

#[test]
fn a_perf_map_or_jitdump_that_is_no_file_of_its_process_is_not_read() {
    if !is_root() {
        return;
    }
    let dir = open_dir();
    let program = compile(dir.path(), "jit", &[]);
    let running = run_as_attacker(&program);
    let line = format!("{:x} 10 secret_of_root\n", running.jit);
    let secret = dir.path().join("secret");
    fs::write(&secret, &line).unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let place = |trick: &str, path: &Path| match trick {
        "FIFO" => nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        "link to a file of root's" => symlink(&secret, path).unwrap(),
        "link to a device" => symlink("/dev/zero", path).unwrap(),
        "socket" => drop(UnixListener::bind(path).unwrap()),
        "directory" => fs::create_dir(path).unwrap(),
        _ => {
            fs::write(path, &line).unwrap();
            give_to(path, OTHER);
        }
    };
    let tricks = [
        "FIFO",
        "link to a file of root's",
        "link to a device",
        "socket",
        "directory",
        "another user's file",
    ];
    let symbolizer = symbolizer();
    for name in [format!("perf-{}.map", running.own_pid), format!("jit-{}.dump", running.own_pid)] {
        for trick in tricks {
            let placed = Placed(Path::new("/tmp").join(&name));
            place(trick, &placed.0);
            let folded = fold(&symbolizer, vec![sample(running.tgid, &[running.jit + 4, running.work + 2])]);
            assert_eq!(only(&folded), "test;work_of_the_test;[jit]", "{name}: {trick}");
        }
    }
    // The process' own is read: it was the tricks that were refused.
    let placed = Placed(PathBuf::from(format!("/tmp/perf-{}.map", running.own_pid)));
    fs::write(&placed.0, line.replace("secret_of_root", "own")).unwrap();
    give_to(&placed.0, ATTACKER);
    let folded = fold(&symbolizer, vec![sample(running.tgid, &[running.jit + 4])]);
    assert_eq!(only(&folded), "test;own_[j]");
}

#[test]
fn links_in_a_container_do_not_lead_out_of_it() {
    if !is_root() {
        return;
    }
    let outside = open_dir();
    let jail = open_dir();
    compile(jail.path(), "inside", &["-static"]);
    // `/tmp` of the jail leads to a directory of ours, by `..` and by way of /proc.
    let escapes = [
        format!("../../../../../../..{}", outside.path().display()),
        format!("/proc/1/root{}", outside.path().display()),
        format!("/proc/self/cwd/../../../../../..{}", outside.path().display()),
    ];
    for escape in escapes {
        let link = jail.path().join("tmp");
        let _ = fs::remove_file(&link);
        symlink(&escape, &link).unwrap();
        let user = format!("--userspec={ATTACKER}:{ATTACKER}");
        let running = Running::start(Command::new("chroot").arg(user).arg(jail.path()).arg("/inside"));
        let map = outside.path().join(format!("perf-{}.map", running.own_pid));
        fs::write(map, format!("{:x} 10 secret_of_root\n", running.jit)).unwrap();
        let folded = fold(&symbolizer(), vec![sample(running.tgid, &[running.jit + 4, running.work + 2])]);
        assert_eq!(only(&folded), "test;work_of_the_test;[jit]", "{escape}");
    }
}

#[test]
fn a_forged_build_id_renames_no_functions_of_other_users() {
    if !is_root() {
        return;
    }
    for attacker_first in [true, false] {
        let dir = open_dir();
        let honest = compile(dir.path(), "honest", &[BUILD_ID]);
        let forged = compile(dir.path(), "forged", &[&EVIL[..], &[BUILD_ID]].concat());
        give_to(&forged, ATTACKER);
        let (victim, attacker) = (Running::start(&mut Command::new(&honest)), run_as_attacker(&forged));
        assert_eq!(victim.d & 0xfff, attacker.d & 0xfff, "one layout, or the test shows nothing");
        let symbolizer = symbolizer();
        let mut order = [attacker.sample(), victim.sample()];
        if !attacker_first {
            order.reverse();
        }
        for sample in order {
            let want = if sample.tgid == victim.tgid { "work_of_the_test;d" } else { "evil_work;evil" };
            assert_eq!(only(&fold(&symbolizer, vec![sample])), format!("test;{want}"), "{attacker_first}");
        }
    }
}

#[test]
fn a_debug_file_that_is_none_delays_no_request() {
    if !is_root() {
        return;
    }
    let dir = open_dir();
    let program = compile(dir.path(), "linked", &[]);
    let debug = dir.path().join("linked.debug");
    shell(
        dir.path(),
        "objcopy --only-keep-debug linked linked.debug; strip linked; \
         objcopy --add-gnu-debuglink=linked.debug linked; rm linked.debug",
    );
    give_to(&program, ATTACKER);
    let running = run_as_attacker(&program);
    for trick in ["FIFO", "/dev/zero", "/proc/kmsg", "/proc/1/root/bin/sh"] {
        let placed = Placed(debug.clone());
        if trick == "FIFO" {
            nix::unistd::mkfifo(&debug, nix::sys::stat::Mode::S_IRWXU).unwrap();
        } else {
            symlink(trick, &debug).unwrap();
        }
        let folded = fold(&symbolizer(), vec![running.sample()]);
        assert_eq!(folded.names.unnamed.get(&Unnamed::Stripped), Some(&2), "{trick}: {:?}", folded.stacks);
        drop(placed);
    }
}

#[test]
fn roots_programs_take_no_names_from_debug_files_that_others_can_write() {
    if !is_root() {
        return;
    }
    let dir = open_dir();
    let program = compile(dir.path(), "trusted", &[BUILD_ID]);
    if !opener::file::at(&program).unwrap().is_trusted() {
        cannot("temporary files are on a file system that users may fill");
    }
    compile(dir.path(), "forged", &[&EVIL[..], &[BUILD_ID, "-g"]].concat());
    shell(
        dir.path(),
        "objcopy --only-keep-debug forged trusted.debug; strip trusted; \
         objcopy --add-gnu-debuglink=trusted.debug trusted",
    );
    let debug = dir.path().join("trusted.debug");
    let running = Running::start(&mut Command::new(&program));
    give_to(&debug, ATTACKER);
    let folded = fold(&symbolizer(), vec![running.sample()]);
    assert_eq!(folded.names.unnamed.get(&Unnamed::Stripped), Some(&2), "{:?}", folded.stacks);
    // What root has put there counts, whatever it says.
    give_to(&debug, 0);
    assert_eq!(only(&fold(&symbolizer(), vec![running.sample()])), "test;evil_work;evil");
}

/// The beginning of an ELF file: a segment of code, and a symbol table with strings of these sizes.
fn elf(symbols: u64, strings: u64) -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    let half = |elf: &mut Vec<u8>, values: &[u16]| elf.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    let long = |elf: &mut Vec<u8>, values: &[u64]| elf.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    half(&mut elf, &[2, 62, 1, 0]);
    // Entry, program headers, section headers, flags and sizes.
    long(&mut elf, &[0x1000, 64, 120]);
    half(&mut elf, &[0, 0, 64, 56, 1, 64, 3, 0]);
    // A segment that can be read and run.
    long(&mut elf, &[5 << 32 | 1, 0, 0x1000, 0x1000, 0x1000, 0x1000, 4096]);
    // Sections: none, symbols, strings.
    elf.resize(elf.len() + 64, 0);
    for (kind, size, link) in [(2_u64, symbols, 2_u64), (3, strings, 0)] {
        long(&mut elf, &[kind << 32, 0, 0, 8192, size, link, 8, 24]);
    }
    elf
}

#[test]
fn a_huge_sparse_file_and_millions_of_symbols_are_over_budget_and_others_are_named() {
    let dir = TempDir::new().unwrap();
    let symbolizer = symbolizer();
    for (symbols, strings) in [(1 << 40, 1 << 40), (24 * 6_000_000, 1 << 20), (24, u64::MAX - 9000)] {
        let path = dir.path().join("huge");
        let file = fs::File::create(&path).unwrap();
        file.write_all_at(&elf(symbols, strings), 0).unwrap();
        file.set_len(1 << 41).unwrap();
        let names = symbolizer.file(path, vec![0x1000, 0x1010]).unwrap();
        assert!(names.iter().all(|name| name.unnamed == Some(Unnamed::OverBudget)), "{symbols}: {names:?}");
        let running = Running::start(&mut Command::new(compile(dir.path(), "small", &[])));
        assert_eq!(only(&fold(&symbolizer, vec![running.sample()])), "test;work_of_the_test;d");
    }
}

#[test]
fn a_map_with_a_million_functions_of_long_names_costs_its_process_names_and_no_other() {
    let dir = TempDir::new().unwrap();
    let program = compile(dir.path(), "jit", &[]);
    let (many, few) =
        (Running::start(&mut Command::new(&program)), Running::start(&mut Command::new(&program)));
    let path = |of: &Running| Placed(PathBuf::from(format!("/tmp/perf-{}.map", of.own_pid)));
    let (large, small) = (path(&many), path(&few));
    let name = "x".repeat(200);
    let mut text = String::new();
    for number in 0..300_000_u64 {
        use std::fmt::Write as _;
        writeln!(text, "{:x} 10 {name}", 0x7000_0000_0000 + number * 16).unwrap();
    }
    fs::write(&large.0, text + &format!("{:x} 10 last\n", many.jit)).unwrap();
    fs::write(&small.0, format!("{:x} 10 few\n", few.jit)).unwrap();
    let symbolizer = symbolizer();
    let asked = || vec![sample(few.tgid, &[few.jit]), sample(many.tgid, &[many.jit])];
    let folded = fold(&symbolizer, asked());
    assert_eq!(folded.names.unnamed.get(&Unnamed::OverBudget), Some(&1), "{:?}", folded.stacks);
    assert!(folded.stacks.iter().any(|(stack, _)| stack == "test;few_[j]"), "{:?}", folded.stacks);
    // The other map was not forgotten for it.
    let (jit, budget) = (symbolizer.stats().jit_bytes, 12 << 20);
    assert!(jit > 0 && jit <= budget, "{jit}");
}

#[test]
fn debug_info_with_changed_bytes_costs_its_own_names_and_no_answer() {
    let dir = TempDir::new().unwrap();
    let program = compile(dir.path(), "d", &["-g", "-Wl,--build-id=none"]);
    let whole = fs::read(&program).unwrap();
    let symbolizer = symbolizer();
    let addrs: Vec<u64> = (0x1000..0x2000).step_by(32).collect();
    let mut seed = 1_u64;
    let mut next = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let mut with_lines = 0;
    for round in 0..400 {
        let mut bytes = whole.clone();
        // Sections and their headers lie behind the code.
        let code = bytes.len() / 3;
        for _ in 0..=next(12) {
            let at = code + next(bytes.len() - code);
            bytes[at] = match next(3) {
                0 => 0xff,
                1 => 0,
                _ => next(256) as u8,
            };
        }
        let path = dir.path().join(format!("changed{round}"));
        fs::write(&path, &bytes).unwrap();
        // No ELF file any more, in some rounds.
        let Ok(names) = symbolizer.file(path.clone(), addrs.clone()) else { continue };
        assert_eq!(names.len(), addrs.len());
        let has_line =
            |name: &profile::FrameName| name.code.as_ref().is_some_and(|code| code.source.is_some());
        with_lines += usize::from(names.iter().any(has_line));
        fs::remove_file(&path).unwrap();
    }
    assert!(with_lines > 100, "most changes leave some lines: {with_lines}");
    assert!(symbolizer.file(program, addrs).is_ok_and(|names| names.iter().any(|name| name.code.is_some())));
}
