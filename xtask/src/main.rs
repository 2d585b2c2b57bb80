//! Developer commands: `cargo xtask <command>`. One file a command; this one only dispatches.

mod apt;
mod bench;
mod build_ebpf;
mod digest;
mod fresh;
mod halves;
mod layers;
mod lint;
mod opens;
mod page;
mod private_apt;
mod prometheus;
mod pypi;
mod run;
mod shell;
mod test;
mod tidy;
mod toolchain;
mod vmtest;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands of s7mpa")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the BPF programs into the committed object `agent/bpf/agent.bpf.o`
    BuildEbpf(build_ebpf::Args),
    /// Build the agent and run its main job: `agent run` on embedded defaults
    Run(run::Args),
    /// Lint and run all tests, installing what they need (says so)
    Test(test::Args),
    /// Fetch and unpack the servers that tests talk to; prints the directory (`S7MPA_TOOLS`)
    Tools,
    /// Fetch Prometheus's tests of its language; prints the directory (`S7MPA_PROMETHEUS_TESTS`)
    PrometheusTests,
    /// Fetch Prometheus and promtool; prints the directory (`S7MPA_PROMETHEUS`)
    Prometheus,
    /// Fetch OpenTelemetry's messages for Python; prints the directory (`S7MPA_OTLP`)
    Otlp,
    /// Boot Debian's cloud kernels and run the agent and its exactness tests in each
    Vmtest(vmtest::Args),
    /// Measure against other tools, in one run; and the diagnosis by known faults
    Bench(bench::Args),
    /// Build the page that the server shows in a browser: `server/ui/src` into the committed `server/ui/dist`
    Page(page::Args),
    /// Format, lints, committed object, file lengths, licences
    Tidy(tidy::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::BuildEbpf(args) => build_ebpf::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Tools => test::servers().map(|tree| println!("{}", tree.display())),
        Command::PrometheusTests => test::prometheus().map(|dir| println!("{}", dir.display())),
        Command::Prometheus => test::prometheus_programs().map(|dir| println!("{}", dir.display())),
        Command::Otlp => test::otlp().map(|dir| println!("{}", dir.display())),
        Command::Vmtest(args) => vmtest::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Page(args) => page::run(&args),
        Command::Tidy(args) => tidy::run(&args),
    }
}
