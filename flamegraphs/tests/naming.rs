//! Names of every kind of binary: with debug info here, there and compressed, static, stripped, compiled at run time.

mod program;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use agent_common::units::MonoNs;
use profile::{FrameName, NotRead, Unnamed};
use program::{Mapped, Running, cannot, compile, fold, only, sample, symbolizer};
use tempfile::TempDir;

/// `outer` with `inner` inlined into it, which has `innermost` inlined into it.
const NESTED: &str = "\
static inline __attribute__((always_inline)) int innermost(volatile int *at) {
    return *at + 7;
}
static inline __attribute__((always_inline)) int inner(volatile int *at) {
    int sum = *at;
    return sum * innermost(at);
}
__attribute__((noinline)) int outer(volatile int *at) {
    int first = *at;
    return first + inner(at);
}
int main(int count, char **words) { (void)words; return outer(&count); }
";

fn run(dir: &Path, script: &str) {
    let made = Command::new("sh").current_dir(dir).args(["-ec", script]).status().unwrap();
    assert!(made.success(), "{script}: a C compiler and binutils are needed");
}

fn build(dir: &Path, flags: &str) -> PathBuf {
    fs::write(dir.join("nested.c"), NESTED).unwrap();
    run(dir, &format!("cc -O2 {flags} -o nested nested.c"));
    dir.join("nested")
}

/// Address and size of a function, of a program that still has symbols.
fn function(program: &Path, name: &str) -> std::ops::Range<u64> {
    let out = Command::new("nm").arg("-S").arg(program).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let line = text.lines().find(|line| line.ends_with(&format!(" {name}"))).expect("in the symbol table");
    let mut words = line.split(' ').map(|word| u64::from_str_radix(word, 16).unwrap_or(0));
    let start = words.next().unwrap();
    start..start + words.next().unwrap()
}

/// `outer nested.c:9 > inner nested.c:6 > …`.
fn shown(name: &FrameName) -> String {
    let line = |source: Option<&profile::Source>| {
        source.map_or(String::new(), |source| {
            format!(" {}:{}", source.file.rsplit('/').next().unwrap(), source.line)
        })
    };
    let outer = format!("{}{}", name.text, line(name.code.as_ref().and_then(|code| code.source.as_ref())));
    let inlined = name.inlined().iter().map(|one| format!(" > {}{}", one.text, line(one.source.as_ref())));
    outer + &inlined.collect::<String>()
}

/// The same in binutils' words.
fn addr2line(program: &Path, addrs: &[u64]) -> Vec<String> {
    let mut command = Command::new("addr2line");
    command.args(["-a", "-i", "-f", "-e"]).arg(program);
    let out = command.args(addrs.iter().map(|addr| format!("{addr:#x}"))).output().expect("binutils");
    let text = String::from_utf8(out.stdout).unwrap();
    // An address starts a line; a random directory's name may hold "0x" too.
    let lines: Vec<&str> = text.lines().collect();
    let blocks = lines.split(|line| line.starts_with("0x")).skip(1);
    blocks
        .map(|block| {
            let frames = block.chunks(2).rev().map(|frame| {
                let place = frame[1].rsplit('/').next().unwrap();
                format!("{} {}", frame[0], place.split(" (").next().unwrap())
            });
            frames.collect::<Vec<_>>().join(" > ")
        })
        .collect()
}

#[test]
fn inlined_functions_and_lines_are_those_of_addr2line() {
    for flags in ["-g", "-g -gdwarf-4", "-g -gdwarf-5 -gz=zlib", "-g -static-pie", "-g -no-pie"] {
        let dir = TempDir::new().unwrap();
        let program = build(dir.path(), flags);
        let addrs: Vec<u64> = function(&program, "outer").collect();
        let names = symbolizer().file(program.clone(), addrs.clone()).unwrap();
        let ours: Vec<String> = names.iter().map(shown).collect();
        assert_eq!(ours, addr2line(&program, &addrs), "{flags}");
        let deepest = names.iter().max_by_key(|name| name.inlined().len()).unwrap();
        let inlined: Vec<&str> = deepest.inlined().iter().map(|one| &*one.text).collect();
        assert_eq!(inlined, ["inner", "innermost"], "{flags}");
        assert_eq!(deepest.code.as_ref().unwrap().module.as_deref(), program.to_str());
    }
}

/// What every address of `outer` in `program` is called.
fn names_of_outer(program: &Path) -> (Vec<String>, Vec<FrameName>) {
    let addrs: Vec<u64> = function(program, "outer").collect();
    let names = symbolizer().file(program.to_owned(), addrs).unwrap();
    (names.iter().map(shown).collect(), names)
}

#[test]
fn inlined_functions_are_found_in_a_supplement() {
    for flags in ["-g", "-g -gdwarf-4"] {
        let dir = TempDir::new().unwrap();
        let program = build(dir.path(), flags);
        let (whole, _) = names_of_outer(&program);
        // The path in the programs is relative to themselves; `dwz` wants two of them.
        run(
            dir.path(),
            "cp nested twin && dwz -m common.dwz nested twin && readelf -S nested | grep -q altlink",
        );
        let (ours, _) = names_of_outer(&program);
        assert_eq!(ours, whole, "{flags}");
        assert!(ours.iter().any(|name| name.contains("> innermost")), "{ours:?}");

        fs::rename(dir.path().join("common.dwz"), dir.path().join("elsewhere")).unwrap();
        let (without, names) = names_of_outer(&program);
        assert!(without.iter().all(|name| !name.contains("innermost")), "{without:?}");
        let missing = names.iter().filter_map(|name| name.code.as_ref()?.not_read);
        assert!(missing.clone().count() > 0 && missing.clone().all(|what| what == NotRead::Supplement));

        // Another file of that name is not the one that belongs to it.
        let other = dir.path().join("other");
        fs::create_dir(&other).unwrap();
        let source = NESTED.replace("innermost", "somewhere");
        fs::write(other.join("nested.c"), source).unwrap();
        run(
            &other,
            &format!(
                "cc -O2 {flags} -o nested nested.c && cp nested twin && dwz -m ../common.dwz nested twin"
            ),
        );
        let (wrong, _) = names_of_outer(&program);
        assert_eq!(wrong, without, "{flags}");
    }
}

#[test]
fn inlined_functions_are_found_in_split_debug_info() {
    for flags in ["-g -gsplit-dwarf", "-gdwarf-4 -gsplit-dwarf"] {
        let dir = TempDir::new().unwrap();
        let (whole, _) = names_of_outer(&build(dir.path(), flags.trim_end_matches("-gsplit-dwarf")));
        // Compiled and linked at once, the `.dwo` has the program's name.
        let program = build(dir.path(), flags);
        let dwo = dir.path().join("nested.dwo");
        assert!(dwo.exists(), "{:?}", fs::read_dir(dir.path()).unwrap().collect::<Vec<_>>());
        assert_eq!(names_of_outer(&program).0, whole, "{flags}");

        // That of Debian 12 crashes over DWARF 5.
        if flags.contains("dwarf-4") {
            run(dir.path(), "dwp -e nested -o nested.dwp && mv nested.dwo away");
            assert_eq!(names_of_outer(&program).0, whole, "{flags}, packed");
            fs::remove_file(dir.path().join("nested.dwp")).unwrap();
        } else {
            fs::remove_file(&dwo).unwrap();
        }
        let (without, names) = names_of_outer(&program);
        assert!(without.iter().all(|name| name.starts_with("outer") && !name.contains('>')), "{without:?}");
        let missing: Vec<_> = names.iter().map(|name| name.code.as_ref().unwrap().not_read).collect();
        assert!(missing.iter().all(|what| *what == Some(NotRead::SplitDwarf)), "{flags}: {missing:?}");
    }
}

#[test]
fn bytes_of_a_name_that_are_no_text_are_replaced_and_the_name_is_shown() {
    let dir = TempDir::new().unwrap();
    let program = build(dir.path(), "");
    let mut bytes = fs::read(&program).unwrap();
    let at = bytes.windows(7).position(|window| window == b"\0outer\0").unwrap() + 1;
    bytes[at + 1..at + 3].copy_from_slice(b"\xff\xfe");
    let addrs: Vec<u64> = function(&program, "outer").collect();
    let copy = dir.path().join("copy");
    fs::write(&copy, bytes).unwrap();
    for name in symbolizer().file(copy, addrs).unwrap() {
        assert_eq!((&*name.text, name.unnamed), ("o\u{fffd}\u{fffd}er", None));
    }
}

#[test]
fn a_debug_link_is_followed_and_a_wrong_one_is_not() {
    let separate = "objcopy --only-keep-debug nested nested.debug && strip nested && \
                    objcopy --add-gnu-debuglink=nested.debug nested";
    for (flags, place) in [("-g", "."), ("-g -Wl,--build-id=none", ".debug")] {
        let dir = TempDir::new().unwrap();
        let program = build(dir.path(), flags);
        let addrs: Vec<u64> = function(&program, "outer").collect();
        let before: Vec<String> =
            symbolizer().file(program.clone(), addrs.clone()).unwrap().iter().map(shown).collect();
        run(dir.path(), &format!("{separate}; mkdir -p {place}; mv -n nested.debug {place} || true"));
        let after = symbolizer().file(program.clone(), addrs.clone()).unwrap();
        assert_eq!(after.iter().map(shown).collect::<Vec<_>>(), before, "{flags}");

        // Another program's debug file under that name.
        fs::write(dir.path().join("other.c"), "int main(void) { return 3; }").unwrap();
        run(dir.path(), &format!("cc {flags} -o {place}/nested.debug other.c"));
        let wrong = symbolizer().file(program, addrs).unwrap();
        assert!(wrong.iter().all(|name| name.unnamed == Some(Unnamed::Stripped)), "{flags}");
    }
}

#[test]
fn broken_debug_info_costs_lines_but_no_names() {
    let dir = TempDir::new().unwrap();
    let program = build(dir.path(), "-g");
    let addrs: Vec<u64> = function(&program, "outer").collect();
    let mut bytes = fs::read(&program).unwrap();
    run(
        dir.path(),
        "objcopy -O binary --only-section=.debug_info --set-section-flags .debug_info=alloc nested info",
    );
    let info = fs::read(dir.path().join("info")).unwrap();
    let at = bytes.windows(info.len()).position(|window| window == info).unwrap();
    bytes[at..at + info.len()].fill(0xff);
    fs::write(&program, bytes).unwrap();
    let symbolizer = symbolizer();
    let names = symbolizer.file(program, addrs).unwrap();
    assert!(names.iter().all(|name| &*name.text == "outer"), "{names:?}");
    assert_eq!(symbolizer.stats().failed_total, 0);
}

#[test]
fn static_programs_are_named() {
    let dir = TempDir::new().unwrap();
    for flags in [&["-static-pie"][..], &["-static"]] {
        let running = Running::start(&mut Command::new(compile(dir.path(), "static", flags)));
        assert_eq!(
            only(&fold(&symbolizer(), vec![running.sample()])),
            "test;work_of_the_test;d",
            "{flags:?}"
        );
    }
}

#[test]
fn musl_programs_are_named() {
    let dir = TempDir::new().unwrap();
    if !Command::new("musl-gcc").arg("--version").stdout(Stdio::null()).status().is_ok_and(|it| it.success())
    {
        cannot("there is no musl-gcc (package musl-tools)");
    }
    fs::write(dir.path().join("c.c"), program::PROGRAM).unwrap();
    for flags in ["", "-static"] {
        run(dir.path(), &format!("musl-gcc -O1 {flags} -o musl c.c"));
        let running = Running::start(&mut Command::new(dir.path().join("musl")));
        assert_eq!(only(&fold(&symbolizer(), vec![running.sample()])), "test;work_of_the_test;d", "{flags}");
    }
}

#[test]
fn a_program_on_an_overlay_is_named() {
    let dir = TempDir::new().unwrap();
    let program = compile(dir.path(), "layered", &[]);
    let script = "mkdir -p /mnt/d && mount -t tmpfs none /mnt/d && cd /mnt/d && mkdir low up work all && \
                  cp \"$0\" low/layered && mount -t overlay none -o lowerdir=low,upperdir=up,workdir=work all && \
                  exec all/layered";
    let probe =
        format!("{} --mount sh -c '{}' /bin/true", "unshare", script.replace("exec all/layered", "true"));
    let probe = Command::new("sh").args(["-c", &probe]).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        cannot("an overlay cannot be mounted (needs root, unshare and overlayfs)");
    }
    let mut command = Command::new("unshare");
    let running = Running::start(command.args(["--mount", "sh", "-c", script]).arg(&program));
    assert_eq!(only(&fold(&symbolizer(), vec![running.sample()])), "test;work_of_the_test;d");
}

#[test]
fn the_vdso_is_named() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.ends_with("[vdso]")).expect("a vDSO");
    let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
    let [start, end] = [start, end].map(|word| u64::from_str_radix(word, 16).unwrap());
    let samples = (start..end).step_by(8).map(|addr| sample(std::process::id(), &[addr])).collect();
    let folded = fold(&symbolizer(), samples);
    let names: Vec<&str> = folded.stacks.iter().map(|(stack, _)| stack.as_str()).collect();
    assert!(names.iter().any(|name| name.ends_with("clock_gettime")), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("LINUX")), "a version is no function: {names:?}");
}

#[test]
fn a_jitdump_that_the_process_has_mapped_names_its_code_with_lines() {
    let dir = TempDir::new().unwrap();
    let code = Mapped::anonymous(4096);
    let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let record = |kind: u32, body: &[u8]| {
        let head = [kind.to_le_bytes(), (16 + body.len() as u32).to_le_bytes()].concat();
        [&head[..], &[0; 8], body].concat()
    };
    let mut dump =
        [0x4a69_5444_u32, 1, 40, 62, 0, 1].iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    dump.extend([0; 16]);
    let line = [&code.addr.to_le_bytes()[..], &11_u32.to_le_bytes(), &[0; 4], b"/src/app.py\0"].concat();
    dump.extend(record(2, &[words(&[code.addr, 1]), line].concat()));
    dump.extend(record(
        0,
        &[&words(&[0, code.addr, code.addr, 64, 1])[..], b"py::handle\0", &[0x90; 64]].concat(),
    ));
    dump.resize(dump.len().max(4096), 0);
    let path = dir.path().join(format!("jit-{}.dump", std::process::id()));
    fs::File::create(&path).unwrap().write_all(&dump).unwrap();
    let marker = Mapped::new(&fs::File::open(&path).unwrap(), 4096);
    let stack = vec![sample(std::process::id(), &[code.addr + 5])];
    let symbolizer = symbolizer();
    let (samples, names) = symbolizer.names(stack.clone()).unwrap();
    drop(marker);
    let name = names.user(samples[0].tgid, code.addr + 5, MonoNs(0)).unwrap();
    assert_eq!((shown(name).as_str(), name.jit), ("py::handle app.py:11", true));
    assert_eq!(only(&fold(&symbolizer, stack)), "test;py::handle_[j]", "kept, though the mapping has gone");
    assert!(symbolizer.stats().jit_bytes > 0);
}
