//! `agent store export`.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agent_common::units::UnixNs;
use anyhow::Context as _;
use clap::Args;
use promql::Matcher;
use server::store::embedded::Export;

use super::super::moment::moment;
use super::super::{Outcome, term};

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// InfluxDB's line protocol, times in ns: InfluxDB, VictoriaMetrics and Telegraf read it
    Lines,
    /// `OpenMetrics`, counters as running sums: promtool makes blocks of it
    Openmetrics,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo agent store export -o all.lp
  sudo agent store export --from 'yesterday 14:00' --to 'yesterday 15:00' --match '{host=\"web1\"}' | gzip > hour.lp.gz
  sudo agent store export --match s7mpa_cpu_user_ns | curl --data-binary @- 'http://influx:8086/write?db=s7mpa'
  sudo agent store export --format openmetrics --match 's7mpa_cpu_user_ns_total' -o cpu.txt
  promtool tsdb create-blocks-from openmetrics cpu.txt /var/lib/prometheus

Of old time it is what is left: sums of counters and last values of levels over ten seconds or a minute.")]
pub(in crate::cli) struct ExportArgs {
    /// From here on: 5m (ago), 14:03, 'yesterday 14:03', Unix seconds [default: the oldest]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<UnixNs>,

    /// Up to here [default: the newest]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<UnixNs>,

    /// Only these series, such as `s7mpa_cpu_user_ns{host="web1"}`; may be repeated
    #[arg(long = "match", value_name = "SELECTOR", value_parser = selector)]
    sets: Vec<Selector>,

    /// Form
    #[arg(long, value_name = "FORMAT", default_value = "lines")]
    format: Format,

    /// File to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Conditions on the labels of series.
#[derive(Debug, Clone)]
struct Selector(Vec<Vec<Matcher>>);

fn selector(text: &str) -> Result<Selector, String> {
    server::api::selector(text).map(Selector)
}

impl ExportArgs {
    /// Makes the file to write, for its owner alone. It is written in place: by then this is another user, who may not rename
    /// here.
    pub(super) fn create(&self) -> anyhow::Result<Option<File>> {
        let Some(path) = &self.output else { return Ok(None) };
        let make = || -> std::io::Result<File> {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let file = options.custom_flags(libc::O_NOFOLLOW).open(path)?;
            if file.metadata()?.is_file() {
                file.set_permissions(Permissions::from_mode(0o600))?;
            }
            Ok(file)
        };
        make().map(Some).with_context(|| format!("cannot write {}", path.display()))
    }
}

pub(super) fn run(args: &ExportArgs, file: Option<File>, path: &Path) -> Outcome {
    let reader = super::open(path)?;
    let what = Export {
        from: args.from.unwrap_or(UnixNs(0)),
        to: args.to.unwrap_or(UnixNs(u64::MAX)),
        sets: args.sets.iter().flat_map(|set| set.0.clone()).collect(),
    };
    if what.to <= what.from {
        return Err(anyhow::anyhow!("--to is not after --from").into());
    }
    let file: Box<dyn Write> = match file {
        Some(file) => Box::new(file),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut out = BufWriter::with_capacity(256 << 10, file);
    let progress = term::Progress::new();
    let exported = match args.format {
        Format::Lines => reader.export_lines(&what, &mut out, |done, all| {
            progress.show(&format!("{done} of {all} slots, Ctrl-C ends"));
        }),
        Format::Openmetrics => reader.export_openmetrics(&what, &mut out, |done, all| {
            progress.show(&format!("{done} of {all} metrics, Ctrl-C ends"));
        }),
    };
    drop(progress);
    let exported = exported.map_err(anyhow::Error::from)?;
    out.flush().context("cannot write")?;
    if exported.points == 0 {
        term::complain("nothing in the store is of this time and these series");
    } else if args.output.is_some() {
        term::complain(&format!("{} points, {} values", exported.points, exported.samples));
    }
    Ok(ExitCode::SUCCESS)
}
