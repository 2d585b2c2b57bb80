//! The symbolizer on real processes: our own, children that a C compiler makes, and the kernel.

mod program;

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use flamegraphs::{Symbolizer, SymbolizerOptions};
use profile::{FoldOptions, Roots, Sample, Unnamed};
use program::{Mapped, Running, cannot, compile, fold, only, sample, symbolizer};
use tempfile::TempDir;

/// Its stack, before what is inlined into it.
const OWN: &str = "test;symbolize::function_of_this_test";

#[inline(never)]
fn function_of_this_test(x: u64) -> u64 {
    std::hint::black_box(x) + 1
}

#[test]
fn a_function_of_our_own_process_is_named() {
    let addr = function_of_this_test as fn(u64) -> u64 as usize as u64;
    let folded = fold(&symbolizer(), vec![sample(std::process::id(), &[addr + 1])]);
    assert!(only(&folded).starts_with(OWN), "{:?}", folded.stacks);
    assert_eq!(folded.names.named, 1);
}

#[test]
fn plain_c_names_stay_as_they_are() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(&mut Command::new(compile(dir.path(), "plain", &[])));
    let folded = fold(&symbolizer(), vec![running.sample()]);
    assert_eq!(only(&folded), "test;work_of_the_test;d", "`d` is not `double`");
}

#[test]
fn the_call_site_counts_not_the_return_address() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(&mut Command::new(compile(dir.path(), "call", &[])));
    // A call as the last instruction of `d` returns to what is the first of `work_of_the_test`, if that
    // follows; the leaf itself is taken as it is.
    let folded = fold(&symbolizer(), vec![sample(running.tgid, &[running.work, running.work + 1])]);
    assert_eq!(only(&folded), "test;work_of_the_test;work_of_the_test");
}

#[test]
fn a_process_that_has_been_observed_gets_names_after_it_and_its_file_are_gone() {
    let dir = TempDir::new().unwrap();
    let program = compile(dir.path(), "shortlived", &[]);
    let mut running = Running::start(&mut Command::new(&program));
    let symbolizer = symbolizer();
    symbolizer.observe(running.tgid);
    fold(&symbolizer, Vec::new()); // in order behind the observe
    running.end();
    fs::remove_file(&program).unwrap();
    assert!(!Path::new(&format!("/proc/{}", running.tgid)).exists());
    assert_eq!(only(&fold(&symbolizer, vec![running.sample()])), "test;work_of_the_test;d");
}

#[test]
fn a_forked_child_has_the_names_of_its_parent() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(&mut Command::new(compile(dir.path(), "parent", &[])));
    // A PID that has never been: above the largest there can be.
    let child = 0x7fff_fff0;
    let symbolizer = symbolizer();
    symbolizer.observe(running.tgid);
    symbolizer.forked(running.tgid, child);
    let folded = fold(&symbolizer, vec![Sample { tgid: child, ..running.sample() }]);
    assert_eq!(only(&folded), "test;work_of_the_test;d");
}

#[test]
fn a_deleted_binary_of_a_living_process_is_still_named() {
    let dir = TempDir::new().unwrap();
    let program = compile(dir.path(), "deleted", &[]);
    let running = Running::start(&mut Command::new(&program));
    fs::remove_file(&program).unwrap();
    // Another program under the same path must not be mistaken for it.
    fs::copy("/bin/sh", &program).unwrap();
    let folded = fold(&symbolizer(), vec![running.sample()]);
    if fs::read_link(format!("/proc/{}/map_files", running.tgid)).is_ok() || can_read_map_files(running.tgid)
    {
        assert_eq!(only(&folded), "test;work_of_the_test;d");
    } else {
        assert_eq!(folded.names.unnamed[&Unnamed::FileGone], 2, "{:?}", folded.stacks);
        cannot("map_files needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE");
    }
}

fn can_read_map_files(tgid: u32) -> bool {
    let entry = fs::read_dir(format!("/proc/{tgid}/map_files")).ok().and_then(|mut dir| dir.next());
    entry.and_then(Result::ok).is_some_and(|entry| fs::File::open(entry.path()).is_ok())
}

#[test]
fn a_stripped_program_shows_file_and_address() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(&mut Command::new(compile(dir.path(), "stripped", &["-s", "-no-pie"])));
    let folded = fold(&symbolizer(), vec![running.sample()]);
    let want = format!("test;[stripped+{:#x}];[stripped+{:#x}]", running.work + 1, running.d + 1);
    assert_eq!(only(&folded), want);
    assert_eq!(folded.names.unnamed[&Unnamed::Stripped], 2);
}

#[test]
fn run_time_compiled_code_is_named_by_the_perf_map() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(&mut Command::new(compile(dir.path(), "jit", &[])));
    let jit = sample(running.tgid, &[running.jit + 4, running.work + 2]);
    let symbolizer = symbolizer();
    let without = fold(&symbolizer, vec![jit.clone()]);
    assert_eq!(only(&without), "test;work_of_the_test;[jit]");
    assert_eq!(without.names.unnamed[&Unnamed::Anonymous], 1);

    let map = PerfMap::write(
        running.own_pid,
        &format!("{:x} 10 LApp;run:12\n{:x} 8", running.jit, running.jit + 32),
    );
    let with = fold(&symbolizer, vec![jit]);
    drop(map);
    assert_eq!(only(&with), "test;work_of_the_test;LApp:run:12_[j]");
}

/// A perf map that is removed again.
struct PerfMap(PathBuf);

impl PerfMap {
    fn write(pid: u32, text: &str) -> Self {
        let path = PathBuf::from(format!("/tmp/perf-{pid}.map"));
        fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        Self(path)
    }
}

impl Drop for PerfMap {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_process_in_other_namespaces_is_named_from_its_own_files() {
    let dir = TempDir::new().unwrap();
    let program = compile(dir.path(), "inside", &[]);
    // The path it runs from exists in its own mount namespace alone; its own PID is not what we call it.
    let script = "mount -t tmpfs none /mnt && cp \"$0\" /mnt/inside && exec /mnt/inside";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]).arg(&program);
    let probe =
        Command::new("unshare").args(["--mount", "--pid", "--fork", "true"]).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        cannot("namespaces cannot be made (needs root and unshare)");
    }
    let mut running = Running::start(&mut command);
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.tgid)).unwrap();
    running.tgid = children.trim().parse().expect("the one child of unshare");
    assert_ne!(running.tgid, running.own_pid);
    assert!(!Path::new("/mnt/inside").exists());

    let symbolizer = symbolizer();
    assert_eq!(only(&fold(&symbolizer, vec![running.sample()])), "test;work_of_the_test;d");
    // /tmp is the same here, so its map lies where we could see it too, but under its own PID.
    let map = PerfMap::write(running.own_pid, &format!("{:x} 10 inner_jit\n", running.jit));
    let folded = fold(&symbolizer, vec![sample(running.tgid, &[running.jit])]);
    drop(map);
    assert_eq!(only(&folded), "test;inner_jit_[j]");
}

#[test]
fn what_cannot_be_named_has_its_reason() {
    let dir = TempDir::new().unwrap();
    let mut running = Running::start(&mut Command::new(compile(dir.path(), "gone", &[])));
    let unmapped = sample(running.tgid, &[0x10, u64::MAX]);
    let symbolizer = symbolizer();
    let folded = fold(&symbolizer, vec![unmapped]);
    assert_eq!(only(&folded), "test;[unknown]");
    assert_eq!(folded.names.unnamed[&Unnamed::Unmapped], 1, "one hole");

    running.end();
    let folded = fold(&self::symbolizer(), vec![running.sample()]);
    assert_eq!(only(&folded), "test;[unknown]");
    assert_eq!(folded.names.unnamed[&Unnamed::ProcessGone], 1);
    assert_eq!(folded.names.named, 0);
}

#[test]
fn kernel_frames_are_named_and_marked() {
    let text = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let find = |name: &str| {
        let line = text.lines().find(|line| line.split_whitespace().nth(2) == Some(name))?;
        u64::from_str_radix(line.split(' ').next()?, 16).ok().filter(|&addr| addr != 0)
    };
    let (Some(schedule), Some(panic)) = (find("schedule"), find("panic")) else {
        let symbolizer = symbolizer();
        let folded = fold(&symbolizer, vec![Sample { kernel: [1 << 63].into(), ..sample(0, &[]) }]);
        assert!(symbolizer.stats().kernel_trouble.is_some(), "hidden, and not said");
        assert_eq!(only(&folded), "test;[kernel]_[k]");
        cannot("/proc/kallsyms hides its addresses (needs root and kernel.kptr_restrict < 2)");
    };
    let symbolizer = symbolizer();
    let stack = Sample { kernel: [schedule + 8, panic + 9].into(), ..sample(0, &[]) };
    let folded = fold(&symbolizer, vec![stack]);
    assert_eq!(only(&folded), "test;panic_[k];schedule_[k]");
    assert_eq!((folded.names.kernel_frames, folded.names.kernel_named), (2, 2));
    let stats = symbolizer.stats();
    assert_eq!(stats.kernel_trouble, None);
    assert!(stats.kernel_bytes > 0 && stats.kernel_bytes < 16 << 20, "{} bytes", stats.kernel_bytes);
}

#[test]
fn one_root_frame_a_process_on_request() {
    let me = std::process::id();
    let options = FoldOptions { roots: Roots::Process, ..FoldOptions::default() };
    let folded = symbolizer().fold(vec![sample(me, &[])], options).unwrap();
    assert_eq!(only(&folded), format!("test-{me}"));
}

#[test]
fn many_threads_share_one_symbolizer_and_a_storm_is_counted() {
    let symbolizer = symbolizer();
    let addr = function_of_this_test as fn(u64) -> u64 as usize as u64;
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let symbolizer = symbolizer.clone();
            std::thread::spawn(move || {
                for _ in 0..2000 {
                    symbolizer.observe(1);
                }
                fold(&symbolizer, vec![sample(std::process::id(), &[addr]); 10])
            })
        })
        .collect();
    for thread in threads {
        let folded = thread.join().unwrap();
        assert!(only(&folded).starts_with(OWN), "{:?}", folded.stacks);
        assert_eq!(folded.total(), 10);
    }
    let stats = symbolizer.stats();
    assert!(stats.processes <= 2, "{stats:?}");
    assert_eq!(stats.failed_total, 0);
}

#[test]
fn small_budgets_cost_time_but_no_names() {
    let symbolizer = Symbolizer::spawn(SymbolizerOptions {
        name_bytes: 1,
        table_bytes: 1,
        ..SymbolizerOptions::default()
    })
    .unwrap();
    let addr = function_of_this_test as fn(u64) -> u64 as usize as u64;
    for round in 1..4 {
        let folded = fold(&symbolizer, vec![sample(std::process::id(), &[addr + round])]);
        assert!(only(&folded).starts_with(OWN), "{:?}", folded.stacks);
        let stats = symbolizer.stats();
        assert_eq!(stats.tables_evicted_total, round, "{stats:?}");
        assert_eq!(stats.table_bytes, 0);
    }
}

/// Maps scrambled copies of a program as code and asks for names in them.
#[test]
fn a_scrambled_file_gives_no_names_and_no_failure() {
    let dir = TempDir::new().unwrap();
    let whole = fs::read(compile(dir.path(), "whole", &[])).unwrap();
    let symbolizer = symbolizer();
    let mut seed = 7_u64;
    let mut next = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let section_table = u64::from_le_bytes(whole[40..48].try_into().unwrap()) as usize;
    for round in 0..150 {
        let mut bytes = whole.clone();
        for _ in 0..=round % 12 {
            // Headers, section headers, and symbols are where it hurts.
            let at = match next(3) {
                0 => 6 + next(1000),
                1 => section_table + next(bytes.len() - section_table),
                _ => next(bytes.len() - 6) + 6,
            };
            bytes[at] = next(256) as u8;
        }
        let path = dir.path().join(format!("scrambled{round}"));
        fs::write(&path, &bytes).unwrap();
        let map = Mapped::new(&fs::File::open(&path).unwrap(), bytes.len());
        let user: Vec<u64> = (0..40).map(|_| map.addr + next(bytes.len()) as u64).collect();
        // A panic inside is allowed to fail the one request, never the service.
        let _ = symbolizer.fold(vec![sample(std::process::id(), &user)], FoldOptions::default());
        fs::remove_file(path).unwrap();
    }
    let addr = function_of_this_test as fn(u64) -> u64 as usize as u64;
    let folded = fold(&symbolizer, vec![sample(std::process::id(), &[addr])]);
    assert!(only(&folded).starts_with(OWN), "{:?}", folded.stacks);
    eprintln!("failed requests: {}", symbolizer.stats().failed_total);
}

#[test]
fn a_file_overwritten_in_place_is_read_again() {
    let dir = TempDir::new().unwrap();
    let program = compile(dir.path(), "before", &["-no-pie"]);
    let code = offset_of_work(&program);
    let bytes = fs::read(&program).unwrap();
    let name = b"work_of_the_test\0";
    let at = bytes.windows(name.len()).position(|window| window == name).expect("its symbol's name");
    let file = fs::OpenOptions::new().read(true).write(true).open(&program).unwrap();
    let map = Mapped::new(&file, bytes.len());
    let stack = || vec![sample(std::process::id(), &[map.addr + code])];
    let symbolizer = symbolizer();
    assert_eq!(only(&fold(&symbolizer, stack())), "test;work_of_the_test");
    file.write_all_at(b"work_of_a_writer", at as u64).unwrap();
    // File time stamps tick at up to 10 ms: set it rather than wait for it.
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(only(&fold(&symbolizer, stack())), "test;work_of_a_writer");
}

/// File offset of `work_of_the_test`, by the running program's own word.
fn offset_of_work(program: &Path) -> u64 {
    let running = Running::start(&mut Command::new(program));
    let maps = fs::read_to_string(format!("/proc/{}/maps", running.tgid)).unwrap();
    let offset = maps.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let range = u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?;
        let offset = u64::from_str_radix(words.nth(1)?, 16).ok()?;
        range.contains(&running.work).then_some(running.work - range.start + offset)
    });
    offset.expect("mapped")
}

#[test]
fn samples_without_frames_still_count() {
    let comm: Arc<str> = "shared".into();
    let samples: Vec<_> =
        (0..100).map(|_| Sample { comm: Arc::clone(&comm), ..sample(std::process::id(), &[]) }).collect();
    let folded = fold(&symbolizer(), samples);
    assert_eq!(folded.stacks, [("shared".to_owned(), 100)]);
}

/// Fedora's way: the symbol table compressed in a section of the stripped file.
#[test]
fn a_compressed_symbol_table_is_used() {
    let dir = TempDir::new().unwrap();
    let program = compile(dir.path(), "mini", &[]);
    let at = |name: &str| dir.path().join(name).display().to_string();
    let script = format!(
        "cd {0} && objcopy --only-keep-debug mini mini.debug && xz -k mini.debug && strip mini && \
         objcopy --add-section .gnu_debugdata=mini.debug.xz mini",
        at("")
    );
    let made = Command::new("sh").args(["-c", &script]).status().unwrap();
    assert!(made.success(), "binutils and xz are needed");
    let running = Running::start(&mut Command::new(program));
    let folded = fold(&symbolizer(), vec![running.sample()]);
    let root = fs::metadata(at("mini")).map(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0).unwrap();
    if root {
        assert_eq!(only(&folded), "test;work_of_the_test;d");
    } else {
        assert_eq!(folded.names.unnamed[&Unnamed::Stripped], 2, "only root's files are decompressed");
    }
}

/// A truncated mapped file kills who reads the mapping; we must not.
#[test]
fn a_file_truncated_under_us_costs_its_names_only() {
    let dir = TempDir::new().unwrap();
    let program = compile(dir.path(), "cut", &[]);
    let code = offset_of_work(&program);
    let file = fs::OpenOptions::new().read(true).write(true).open(&program).unwrap();
    let map = Mapped::new(&file, file.metadata().unwrap().len() as usize);
    let symbolizer = symbolizer();
    let ask = |offset| fold(&symbolizer, vec![sample(std::process::id(), &[map.addr + offset])]);
    assert_eq!(only(&ask(code)), "test;work_of_the_test");
    file.set_len(code + 64).unwrap();
    for offset in [code + 1, code + 4, 0, 64] {
        ask(offset);
    }
    file.set_len(0).unwrap();
    for offset in [code, code + 2, 1, 65] {
        ask(offset);
    }
    assert_eq!(symbolizer.stats().failed_total, 0);
}
