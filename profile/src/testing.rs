//! A timeline made by hand, for tests (feature `testing`).

use std::sync::Arc;

use agent_common::units::MonoNs;

use crate::coverage::Unnamed;
use crate::frame::Source;
use crate::names::{Code, FrameName, Inlined, Names};
use crate::options::FoldOptions;
use crate::sample::{Sample, Stacked};
use crate::timeline::Timeline;

/// Two threads of one process and another process: native code with a function inlined into it, the kernel, a
/// library without symbols, a JIT.
#[must_use]
pub fn example() -> Timeline {
    let mut names = Names::default();
    let source = |file: &str, line| Some(Source { file: file.into(), line });
    let code = Code {
        module: Some("/usr/bin/app".into()),
        source: source("/src/main.c", 12),
        inlined: vec![Inlined { text: "inner".into(), source: source("/src/inner.h", 3) }],
        not_read: None,
    };
    let work = FrameName { code: Some(Arc::new(code)), ..FrameName::named("work".into()) };
    names.set_user(7, 10, work);
    names.set_user(7, 30, FrameName::named("main".into()));
    names.set_user(7, 40, FrameName::unnamed("[libz.so.1+0x28]", Unnamed::Stripped));
    names.set_user(9, 50, FrameName { jit: true, ..FrameName::named("JS:*run".into()) });
    names.set_kernel(100, FrameName::named("vfs_read".into()));
    let sample = |at, tgid, tid, user: &[u64], kernel: &[u64], weight| Sample {
        at: MonoNs(at),
        tgid,
        tid,
        comm: if tgid == 7 { "app".into() } else { "node".into() },
        kernel: kernel.into(),
        user: user.into(),
        weight,
    };
    let group =
        |sample, group: Option<&str>| Stacked { group: group.map(Into::into), ..Stacked::from(sample) };
    let stacks = [
        group(sample(1_000_000_000, 7, 7, &[10, 31], &[], 1), None),
        group(sample(1_010_000_000, 7, 8, &[40, 31], &[100], 1), None),
        group(sample(1_500_000_000, 9, 9, &[50], &[], 2), Some("c0ffee")),
        group(sample(2_020_000_000, 7, 7, &[10, 31], &[], 3), None),
    ];
    Timeline::new(&stacks, &names, &FoldOptions::default())
}
