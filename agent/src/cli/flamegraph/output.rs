//! Where a profile goes, and in which format.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use flamegraphs::{About, Unit, firefox, html, pprof, speedscope, text};
use profile::Timeline;
use serde_json::json;

use super::picture::{self, empty_reason, subtitle, title};
use super::{Context, FlamegraphArgs, term};
use crate::control::protocol::Profile;
use crate::output;

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A picture that a browser can search and zoom (.svg)
    Svg,
    /// A page with a heat map of the samples and a graph of the time selected (.html)
    Html,
    /// `comm;root;…;leaf count`, one stack a line (.folded, .txt)
    Folded,
    /// For `go tool pprof` and what reads its format (.pb.gz, .pprof)
    Pprof,
    /// For profiler.firefox.com (.json)
    Firefox,
    /// For speedscope.app (.speedscope.json)
    Speedscope,
}

impl Format {
    /// It shows each sample with its time or thread.
    pub(super) const fn has_times(self) -> bool {
        !matches!(self, Self::Svg | Self::Folded)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Svg => "SVG",
            Self::Html => "page",
            Self::Folded => "folded text",
            Self::Pprof => "pprof profile",
            Self::Firefox => "Firefox profile",
            Self::Speedscope => "speedscope file",
        }
    }

    const fn default_file(self) -> Option<&'static str> {
        match self {
            Self::Svg => Some("flamegraph.svg"),
            Self::Html => Some("flamegraph.html"),
            Self::Folded => None,
            Self::Pprof => Some("flamegraph.pb.gz"),
            Self::Firefox => Some("flamegraph.json"),
            Self::Speedscope => Some("flamegraph.speedscope.json"),
        }
    }

    fn of_path(path: &Path) -> Option<Self> {
        Some(match flamegraphs::Format::of_path(path)? {
            flamegraphs::Format::Svg => Self::Svg,
            flamegraphs::Format::Html => Self::Html,
            flamegraphs::Format::Folded => Self::Folded,
            flamegraphs::Format::Pprof => Self::Pprof,
            flamegraphs::Format::Firefox => Self::Firefox,
            flamegraphs::Format::Speedscope => Self::Speedscope,
            _ => return None,
        })
    }
}

/// The format that was asked for, or that the file's name says.
pub(super) fn format(args: &FlamegraphArgs) -> Format {
    args.format.or_else(|| Format::of_path(args.output.as_deref()?)).unwrap_or(Format::Svg)
}

/// Why the file's name does not go with what is to be written, if it does not: a picture that no browser opens as one is
/// found out late.
pub(super) fn misnamed(args: &FlamegraphArgs) -> Option<String> {
    let path = args.output.as_deref().filter(|path| path.extension().is_some())?;
    let said = match (args.format, Format::of_path(path)) {
        (None, None) => {
            "says no format; end it in .svg, .html, .folded, .pb.gz, .json or .speedscope.json, or say --format"
        }
        // A page that reads either goes by what is in it.
        (Some(Format::Speedscope), Some(Format::Firefox)) => return None,
        (Some(format), Some(named)) if format != named => {
            "is the name of another format than --format; leave one of them out"
        }
        _ => return None,
    };
    Some(format!("{} {said}", path.display()))
}

/// Where the profile goes. Opened before the probes are attached; nothing is at the path before all is written.
#[derive(Debug)]
pub(super) struct Output {
    format: Format,
    file: Option<(output::Output, PathBuf)>,
}

impl Output {
    pub(super) fn open(context: &Context, args: &FlamegraphArgs) -> anyhow::Result<Self> {
        let format = format(args);
        let path = match &args.output {
            Some(path) if path == Path::new("-") => None,
            Some(path) => Some(path.clone()),
            None => format.default_file().map(PathBuf::from),
        };
        let Some(path) = path else {
            if context.global.json {
                bail!("--json and the {} both want stdout; name a file with -o", format.name());
            }
            return Ok(Self { format, file: None });
        };
        let file = output::Output::create(&path, args.output_mode);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { format, file: Some((file, path)) })
    }

    pub(super) fn write(self, context: &Context, profile: &Profile) -> anyhow::Result<()> {
        let path = match self.file {
            None => {
                let mut out = io::BufWriter::new(io::stdout().lock());
                render(self.format, profile, &mut out)?;
                out.flush()?;
                None
            }
            Some((mut file, path)) => {
                let cannot = || format!("cannot write {}", path.display());
                let mut out = io::BufWriter::new(file.file());
                render(self.format, profile, &mut out).and_then(|()| out.flush()).with_context(cannot)?;
                drop(out);
                file.finish().with_context(cannot)?;
                Some(path)
            }
        };
        if context.global.json {
            term::print_json(&json!({
                "output": path.map(|path| path.display().to_string()),
                "target": profile.target,
                "comm": profile.comm,
                "window_s": profile.window_s,
                "rate_hz": profile.rate_hz,
                "mode": profile.mode,
                "samples": profile.samples,
                "waits": profile.waits,
                "waited_ns": profile.waited_ns,
                "blocked_ns": profile.blocked_ns,
                "stacks": profile.folded.stacks.len(),
                "coverage": profile.coverage,
                "names": profile.folded.names,
                "ended_early": profile.ended_early,
            }))?;
        } else {
            let wrote = path.map(|path| format!("{}: ", path.display())).unwrap_or_default();
            let early = profile.ended_early.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
            term::complain(&format!("{wrote}{}{early}", subtitle(profile)));
            if profile.folded.is_empty() {
                term::complain(&empty_reason(profile));
            }
        }
        Ok(())
    }
}

fn render(format: Format, profile: &Profile, out: &mut impl Write) -> io::Result<()> {
    let empty = Timeline::default();
    let timeline = profile.timeline.as_ref().unwrap_or(&empty);
    // It came over a socket.
    if !timeline.is_sound() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the daemon's samples do not fit together"));
    }
    match format {
        Format::Folded => text::write(&profile.folded, out),
        Format::Svg => picture::write(profile, out),
        Format::Html => html::write(timeline, &about(profile), out),
        Format::Pprof => pprof::write(timeline, &about(profile), out),
        Format::Firefox => firefox::write(timeline, &about(profile), out),
        Format::Speedscope => speedscope::write(timeline, &about(profile), out),
    }
}

fn about(profile: &Profile) -> About {
    let waits = profile.mode.has_waits();
    About {
        title: title(profile),
        coverage: Some(if profile.folded.is_empty() { empty_reason(profile) } else { subtitle(profile) }),
        unit: if waits { Unit::Nanoseconds } else { Unit::Samples },
        period_ns: if waits { 0 } else { 1_000_000_000 / u64::from(profile.rate_hz.max(1)) },
        start_unix_ns: profile.start_unix_ns,
        duration_ns: (profile.window_s * 1e9) as u64,
        producer: concat!("agent ", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use agent_common::units::MonoNs;
    use agent_common::wire::report::Coverage;
    use profile::{FoldOptions, Folded, Mode, Names, Sample};

    use super::*;
    use crate::control::protocol::Target;

    fn profile(samples: u64) -> Profile {
        let sample = Sample {
            at: MonoNs(5),
            tgid: 42,
            tid: 42,
            comm: "worker".into(),
            kernel: [].into(),
            user: [0x10].into(),
            weight: samples,
        };
        let options = FoldOptions::default();
        let timeline = Timeline::new(&[sample.into()], &Names::default(), &options);
        Profile {
            target: Target::Pid(42),
            comm: Some("worker".to_owned()),
            window_s: 10.0,
            rate_hz: 97,
            samples,
            mode: Mode::OnCpu,
            waits: 0,
            waited_ns: 0,
            blocked_ns: None,
            coverage: Coverage {
                expected: 1940,
                captured: 1930,
                lost: [("sample_ring_full".to_owned(), 10)].into(),
                ..Coverage::default()
            },
            folded: Folded::new(&timeline, &options),
            start_unix_ns: 0,
            timeline: Some(timeline),
            ended_early: None,
            when: None,
        }
    }

    fn rendered(format: Format, samples: u64) -> Vec<u8> {
        let mut out = Vec::new();
        render(format, &profile(samples), &mut out).unwrap();
        out
    }

    #[test]
    fn every_format_says_what_it_covers() {
        let covers =
            "960 samples in 10s at 97 Hz; captured 1930 of 1940 expected, 10 samples lost (buffer full)";
        for format in [Format::Svg, Format::Html, Format::Firefox] {
            let text = String::from_utf8(rendered(format, 960)).unwrap();
            assert!(text.contains("On-CPU time of worker (42)") && text.contains(covers), "{format:?}");
            assert!(text.contains("[unknown]"), "{format:?}");
        }
        let speedscope = String::from_utf8(rendered(Format::Speedscope, 960)).unwrap();
        assert!(speedscope.contains("On-CPU time of worker (42)"));
        assert_eq!(rendered(Format::Folded, 960), b"worker;[unknown] 960\n");
        let period = 1_000_000_000 / 97;
        assert_eq!(pprof::read(&rendered(Format::Pprof, 960)[..]).unwrap().total(), 960 * period);
    }

    #[test]
    fn an_empty_picture_says_why() {
        for format in [Format::Svg, Format::Html] {
            let text = String::from_utf8(rendered(format, 0)).unwrap();
            assert!(text.contains("it sleeps, waits or has ended"), "{format:?}");
        }
    }

    #[test]
    fn samples_that_do_not_fit_together_are_refused() {
        let mut bad = profile(1);
        bad.timeline.as_mut().unwrap().points[0].stack = 9;
        assert!(render(Format::Html, &bad, &mut Vec::new()).is_err());
    }

    #[test]
    fn a_name_that_does_not_go_with_the_format_is_refused() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: FlamegraphArgs,
        }
        let misnamed = |words: &str| {
            let line = ["agent", "--all"].into_iter().chain(words.split(' '));
            misnamed(&<Line as clap::Parser>::parse_from(line).args)
        };
        for right in
            ["-o a.svg", "-o -", "-o /dev/stdout", "-o a.json -f speedscope", "-o a.dat -f pprof", "-f html"]
        {
            assert_eq!(misnamed(right), None, "{right}");
        }
        assert!(misnamed("-o a.png").unwrap().starts_with("a.png says no format"));
        assert!(misnamed("-o a.svg -f folded").unwrap().contains("another format"));
    }

    #[test]
    fn a_file_of_each_default_name_has_its_format() {
        for format in Format::value_variants() {
            if let Some(file) = format.default_file() {
                assert_eq!(Format::of_path(Path::new(file)), Some(*format));
            }
        }
    }
}
