//! Samples a made-up program and writes it in every format: what each looks like, and how each is called.
//!
//!     cargo run -p flamegraphs --example formats -- /tmp/out

use std::error::Error;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_common::units::MonoNs;
use flamegraphs::diff::Difference;
use flamegraphs::{About, SvgOptions, firefox, html, pprof, speedscope, svg, text};
use profile::{
    Code, FoldOptions, Folded, FrameName, Inlined, Names, Sample, Source, Stacked, Timeline, Unnamed,
};

/// 97 samples a second, for twelve of them.
const PERIOD_NS: u64 = 1_000_000_000 / 97;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| ".".into()));
    fs::create_dir_all(&dir)?;
    let names = names();
    let options = FoldOptions::default();
    let timeline = Timeline::new(&samples(false), &names, &options);
    let about = About {
        title: "A made-up program".to_owned(),
        coverage: Some(format!("{} samples of 12 s at 97 Hz; {}", timeline.total(), timeline.names)),
        period_ns: PERIOD_NS,
        start_unix_ns: 1_700_000_000_000_000_000,
        duration_ns: 12_000_000_000,
        ..About::default()
    };
    html::write(&timeline, &about, create(&dir, "out.html")?)?;
    pprof::write(&timeline, &about, create(&dir, "out.pb.gz")?)?;
    firefox::write(&timeline, &about, create(&dir, "out.json")?)?;
    speedscope::write(&timeline, &about, create(&dir, "out.speedscope.json")?)?;

    let folded = Folded::new(&timeline, &options);
    text::write(&folded, create(&dir, "out.folded")?)?;
    let picture = SvgOptions { title: about.title, subtitle: about.coverage, ..SvgOptions::default() };
    svg::write(&folded, &picture, create(&dir, "out.svg")?)?;

    // The same program with a slower parser.
    let after = Folded::new(&Timeline::new(&samples(true), &names, &options), &options);
    text::write(&after, create(&dir, "after.folded")?)?;
    let difference = Difference::new(&folded, &after).normalized();
    for change in difference.changes().iter().take(3) {
        println!("{:+6.2} % {}", change.points(), change.frame);
    }
    let picture = SvgOptions { title: "After against before".to_owned(), ..SvgOptions::default() };
    svg::write_difference(&difference, &picture, create(&dir, "diff.svg")?)?;
    println!("see {}", dir.display());
    Ok(())
}

fn create(dir: &Path, name: &str) -> std::io::Result<BufWriter<File>> {
    Ok(BufWriter::new(File::create(dir.join(name))?))
}

/// Addresses as the symbolizer would name them.
fn names() -> Names {
    let source = |line| Some(Source { file: "/src/server/request.rs".into(), line });
    let mut names = Names::default();
    let native = |text: &str, line| {
        let module = Some("/usr/bin/server".into());
        let code = Code { module, source: source(line), ..Code::default() };
        FrameName { code: Some(Arc::new(code)), ..FrameName::named(text.into()) }
    };
    names.set_user(1, 0x10, native("main", 12));
    names.set_user(1, 0x20, native("server::Request::handle", 80));
    let mut parse = native("server::parse", 140);
    parse.code = parse.code.map(|code| {
        let inlined = vec![
            Inlined { text: "core::str::from_utf8".into(), source: source(33) },
            Inlined { text: "core::str::run_utf8_validation".into(), source: source(125) },
        ];
        Arc::new(Code { inlined, ..(*code).clone() })
    });
    names.set_user(1, 0x30, parse);
    names.set_user(1, 0x40, native("write", 0));
    names.set_user(1, 0x50, FrameName::unnamed("[libz.so.1+0x2f40]", Unnamed::Stripped));
    names.set_user(2, 0x10, FrameName::named("node::Start".into()));
    let jit = |text: &str| FrameName { jit: true, ..FrameName::named(text.into()) };
    names.set_user(2, 0x20, jit("JS:*render /app/page.js:3"));
    names.set_user(2, 0x30, jit("py::render:/app/page.py"));
    names.set_kernel(0x100, FrameName::named("entry_SYSCALL_64_after_hwframe".into()));
    names.set_kernel(0x200, FrameName::named("ksys_write".into()));
    names.set_kernel(0x300, FrameName::named("ext4_file_write_iter".into()));
    names
}

/// Stacks leaf first; return addresses are one byte behind the call.
fn samples(slower: bool) -> Vec<Stacked> {
    let mut random = 88_172_645_463_325_252_u64;
    let mut samples = Vec::new();
    for tick in 1..=12 * 97_u64 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let at_ns = 1_000_000_000 + tick * PERIOD_NS;
        let second = at_ns % 1_000_000_000;
        // It works at the beginning of each second, and all through the seventh.
        let busy = second < 400_000_000 || (7_000_000_000..8_000_000_000).contains(&(tick * PERIOD_NS));
        let parses = if slower { 45 } else { 25 };
        let (tgid, user, kernel): (u32, &[u64], &[u64]) = match random % 100 {
            part if busy && part < parses => (1, &[0x30, 0x21, 0x11], &[]),
            part if busy && part < parses + 20 => (1, &[0x40, 0x21, 0x11], &[0x300, 0x201, 0x101]),
            part if busy && part < parses + 30 => (1, &[0x50, 0x21, 0x11], &[]),
            part if part < 12 => (2, &[0x20, 0x11], &[]),
            part if part < 20 => (2, &[0x30, 0x11], &[]),
            _ => continue,
        };
        let comm: Arc<str> = if tgid == 1 { "server".into() } else { "node".into() };
        let (kernel, user) = (kernel.into(), user.into());
        let sample = Sample { at: MonoNs(at_ns), tgid, tid: tgid, comm, kernel, user, weight: 1 };
        let group = (tgid == 2).then(|| "c0ffee012345".into());
        samples.push(Stacked { group, ..sample.into() });
    }
    samples
}
