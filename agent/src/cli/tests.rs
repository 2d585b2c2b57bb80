use clap::CommandFactory;

use super::*;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_readme_examples_parse() {
    for line in [
        "agent run",
        "agent run --mqtt mqtts://user@broker:8883",
        "agent serve",
        "agent flamegraph --pid 4242 -o out.svg",
        "agent flamegraph --pid 4242 --duration 10s --rate 97 -o out.folded --format folded",
        "agent flamegraph --all --last 5m",
        "agent flamegraph -o - -- make -j 4",
        "agent flamegraph --pid 7 --by container --user -o out.html",
        "agent flamegraph --all --kernel --format firefox",
        "agent flamegraph diff before.folded after.pb.gz -o diff.svg",
        "agent flamegraph -- diff a b",
        "agent syscalls --pid 7 --duration 5s --json",
        "agent top --once",
        "agent report --duration 10s --json",
        "agent report --pid 42 --last 5m --html out.html",
        "agent report --replay x.s7rec",
        "agent record -o x.s7rec --duration 1m --pid 1 --pid 2",
        "agent flamegraph --mode off-cpu --no-idle --pid 42",
        "agent flamegraph --replay x.s7rec --all --mode wakers",
        "agent alerts --follow --json",
        "agent alerts --mqtt mqtts://user@broker --follow",
        "agent run --http 0.0.0.0:7676",
        "agent serve --no-http",
        "agent open",
        "agent user add alice --role admin",
        "agent token create --name grafana --role viewer --expires 90d",
        "agent token create --name telegraf --role writer",
        "agent doctor --json",
        "agent store info --json",
        "agent host list --json",
        "agent host forget web-7",
        "agent store check",
        "agent store compact",
        "agent store backup --no-profiles /backup",
        "agent store export --from yesterday --to now --match up --format openmetrics -o x.txt",
        "agent rules check a.yml",
        "agent rules test a.yml b.yml",
        "agent rules functions",
        "agent config check",
        "agent config show",
        "agent completions bash",
        "agent -v --set collector.rate_hz=49 report",
    ] {
        if let Err(error) = Cli::try_parse_from(line.split(' ')) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    for line in [
        "agent flamegraph",
        "agent flamegraph --pid 1 --all",
        "agent flamegraph --pid 1 -- true",
        "agent flamegraph --pid 0",
        "agent flamegraph --last 5m -- true",
        "agent flamegraph --pid 1 --last 5m --duration 3s",
        "agent flamegraph --pid 1 --rate 0",
        "agent flamegraph --pid 1 --user --kernel",
        "agent flamegraph --pid 1 diff a b",
        "agent flamegraph diff a",
        "agent record",
        "agent report --replay x.s7rec --last 5m",
        "agent flamegraph --replay x.s7rec -- true",
        "agent syscalls --duration 0s",
        "agent run --http 0.0.0.0:7676 --no-http",
        "agent user add alice",
        "agent token create --name grafana --role boss",
        "agent store",
        "agent store export --format csv",
        "agent completions tcl",
    ] {
        assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
    }
}
