//! All settings.

use super::super::{Delivery, QueryLanguage, StoreKind, SyscallTier, parse_bytes, parse_duration};
use super::text::{absolute, address, host, list, path, prefix, some, source_age, url, within};
use super::{Key, Kind};

const TIERS: Kind = Kind::Choice(&["auto", "counts", "times", "off"]);

/// All settings, in the order `config show` prints them.
pub static KEYS: &[Key] = &[
    key!(
        "host",
        Kind::Text,
        "",
        "Name of this host in topics and tags; empty: the kernel's host name",
        |c, v| {
            if v.contains(['/', '+', '#', '\0']) {
                return Err(format!("`{v}` cannot stand in an MQTT topic; leave out / + and #"));
            }
            if !v.is_empty() {
                v.clone_into(&mut c.host);
            }
            Ok(())
        }
    ),
    key!(
        "state_dir",
        Kind::Text,
        "/var/lib/s7mpa",
        "State; spool and store of the process without privileges lie beside it, in the same name with -server",
        |c, v| {
            c.state_dir = absolute(v)?;
            Ok(())
        }
    ),
    key!(
        "run_dir",
        Kind::Text,
        "/run/s7mpa",
        "Control socket; the broker's password lies beside it, in the same name with -server",
        |c, v| {
            c.run_dir = absolute(v)?;
            c.socket = c.run_dir.join("agent.sock");
            Ok(())
        }
    ),
    key!("socket", Kind::Text, "", "Control socket of the daemon; empty: agent.sock in run_dir", |c, v| {
        if let Some(socket) = path(v)? {
            c.socket = socket;
        }
        Ok(())
    }),
    key!("collector.rate_hz", Kind::Integer, "97", "On-CPU samples a second and CPU; 0: none", |c, v| {
        c.collector.rate_hz = within(v, 0, 9973)?;
        Ok(())
    }),
    key!("collector.syscalls", TIERS, "auto", "Syscall accounting", |c, v| {
        c.collector.syscalls = match v {
            "counts" => SyscallTier::Counts,
            "times" => SyscallTier::Times,
            "off" => SyscallTier::Off,
            _ => SyscallTier::Auto,
        };
        Ok(())
    }),
    key!("collector.sched", Kind::Bool, "true", "Thread states, waits and wakers", |c, v| {
        c.collector.sched = v == "true";
        Ok(())
    }),
    key!(
        "collector.processes",
        Kind::Integer,
        "2000",
        "Most processes published one by one: those that did something, and the largest of the others; the rest is `other`",
        |c, v| {
            c.collector.processes = within(v, 1, 10_000)?;
            Ok(())
        }
    ),
    key!("history.windows", Kind::Duration, "10m", "Windows kept in memory", |c, v| {
        c.history.windows = parse_duration(v)?;
        Ok(())
    }),
    key!(
        "history.samples",
        Kind::Duration,
        "5m",
        "Stack samples kept in memory (`flamegraph --last`)",
        |c, v| {
            c.history.samples = parse_duration(v)?;
            Ok(())
        }
    ),
    key!("history.max_bytes", Kind::Bytes, "16MiB", "Memory of windows and samples together", |c, v| {
        c.history.max_bytes = parse_bytes(v)?;
        Ok(())
    }),
    key!(
        "recordings.max_bytes",
        Kind::Bytes,
        "2GiB",
        "Disk for the windows of the last days (`report --at`), at most as much as is free beside them; 0: none are kept",
        |c, v| {
            c.recordings.max_bytes = parse_bytes(v)?;
            Ok(())
        }
    ),
    key!("recordings.max_age", Kind::Duration, "48h", "Age of the oldest of them", |c, v| {
        c.recordings.max_age = parse_duration(v)?;
        Ok(())
    }),
    key!("mqtt.url", Kind::Text, "", "Broker, mqtt://… or mqtts://…; empty: the embedded one", |c, v| {
        c.mqtt.url = some(v).map(|url| url.parse()).transpose()?;
        Ok(())
    }),
    key!("mqtt.user", Kind::Text, "", "User, unless the URL names one", |c, v| {
        c.mqtt.user = some(v);
        Ok(())
    }),
    key!(secret "mqtt.password", "Password, unless the URL names one", |c, v| {
        c.mqtt.password = some(v);
        Ok(())
    }),
    key!("mqtt.password_file", Kind::Text, "", "File with the password", |c, v| {
        c.mqtt.password_file = path(v)?;
        Ok(())
    }),
    key!("mqtt.ca_file", Kind::Text, "", "Certificates to trust in place of the system's (PEM)", |c, v| {
        c.mqtt.ca_file = path(v)?;
        Ok(())
    }),
    key!(
        "mqtt.cert_file",
        Kind::Text,
        "",
        "Our certificates for a broker that asks for them (PEM)",
        |c, v| {
            c.mqtt.cert_file = path(v)?;
            Ok(())
        }
    ),
    key!("mqtt.key_file", Kind::Text, "", "The key to them (PEM)", |c, v| {
        c.mqtt.key_file = path(v)?;
        Ok(())
    }),
    key!(
        "mqtt.delivery",
        Kind::Choice(&["store", "broker"]),
        "store",
        "What counts as delivered: the store has it, or the broker (for consumers such as Telegraf)",
        |c, v| {
            c.mqtt.delivery = if v == "broker" { Delivery::Broker } else { Delivery::Store };
            Ok(())
        }
    ),
    key!(
        "spool.max_bytes",
        Kind::Bytes,
        "256MiB",
        "Disk for windows that wait for the broker; profiles have a quarter of it beside",
        |c, v| {
            c.spool.max_bytes = parse_bytes(v)?;
            Ok(())
        }
    ),
    key!("spool.max_age", Kind::Duration, "24h", "Age of the oldest window that waits", |c, v| {
        c.spool.max_age = parse_duration(v)?;
        Ok(())
    }),
    key!(
        "server.user",
        Kind::Text,
        "s7mpa",
        "User of the process without privileges; `nobody` where s7mpa does not exist",
        |c, v| {
            v.clone_into(&mut c.server.user);
            Ok(())
        }
    ),
    key!("server.mqtt_listen", Kind::Text, "127.0.0.1:7677", "Where the embedded broker listens", |c, v| {
        c.server.mqtt_listen = address(v, "127.0.0.1:7677")?;
        Ok(())
    }),
    key!(
        "server.store",
        Kind::Choice(&["embedded", "influx2", "influx1"]),
        "embedded",
        "Where points are kept",
        |c, v| {
            c.server.store = match v {
                "influx2" => StoreKind::Influx2,
                "influx1" => StoreKind::Influx1,
                _ => StoreKind::Embedded,
            };
            Ok(())
        }
    ),
    key!(
        "server.ingest_group",
        Kind::Text,
        "",
        "Ingesters of this name share a broker's windows (shared subscription); needs a store other than the embedded one",
        |c, v| {
            if v.contains(['/', '+', '#']) {
                return Err(format!("`{v}` cannot stand in an MQTT topic; leave out / + and #"));
            }
            c.server.ingest_group = some(v);
            Ok(())
        }
    ),
    key!(
        "server.ingest_id",
        Kind::Text,
        "",
        "Name of this ingester at the broker, each its own: the broker keeps what comes while it is away",
        |c, v| {
            c.server.ingest_id = some(v);
            Ok(())
        }
    ),
    key!(
        "server.retention_1s",
        Kind::Duration,
        "24h",
        "How long the embedded store keeps points as they came, one a second",
        |c, v| {
            c.server.retention_1s = parse_duration(v)?;
            Ok(())
        }
    ),
    key!(
        "server.retention_10s",
        Kind::Duration,
        "7d",
        "Age up to which it has then one in ten seconds: sums of counters; last, least, greatest, mean of levels",
        |c, v| {
            c.server.retention_10s = parse_duration(v)?;
            Ok(())
        }
    ),
    key!(
        "server.retention",
        Kind::Duration,
        "90d",
        "Age up to which it has one in a minute; what is older goes",
        |c, v| {
            c.server.retention = parse_duration(v)?;
            Ok(())
        }
    ),
    key!(
        "server.max_bytes",
        Kind::Bytes,
        "5GiB",
        "Size of the embedded store; the oldest points go first",
        |c, v| {
            c.server.max_bytes = parse_bytes(v)?;
            Ok(())
        }
    ),
    key!(
        "server.profile_retention",
        Kind::Duration,
        "7d",
        "How long profiles are kept; evidence of alerts stays 30 days",
        |c, v| {
            c.server.profile_retention = parse_duration(v)?;
            Ok(())
        }
    ),
    key!(
        "server.profile_max_bytes",
        Kind::Bytes,
        "1GiB",
        "Size of the store of profiles; the oldest go first",
        |c, v| {
            c.server.profile_max_bytes = parse_bytes(v)?;
            Ok(())
        }
    ),
    key!("server.log_retention", Kind::Duration, "14d", "How long log lines are kept", |c, v| {
        c.server.log_retention = parse_duration(v)?;
        Ok(())
    }),
    key!(
        "server.log_source_retention",
        Kind::Text,
        "",
        "Of some sources shorter: `stdio=1d, kmsg=7d`; sources are journal, kmsg, file, container, stdio",
        |c, v| {
            c.server.log_source_retention = list(v, source_age)?.into_iter().collect();
            Ok(())
        }
    ),
    key!(
        "server.log_max_bytes",
        Kind::Bytes,
        "2GiB",
        "Size of the store of log lines; the oldest go first",
        |c, v| {
            c.server.log_max_bytes = parse_bytes(v)?;
            Ok(())
        }
    ),
    key!(
        "server.push.max_series",
        Kind::Integer,
        "100000",
        "Most series that programs may push (Telegraf, Prometheus); ended ones count until retention deletes them",
        |c, v| {
            c.server.push.max_series = within(v, 0, 10_000_000)?;
            Ok(())
        }
    ),
    key!(
        "server.push.new_series_per_minute",
        Kind::Integer,
        "20000",
        "Most new series that they may push in a minute",
        |c, v| {
            c.server.push.new_series_per_minute = within(v, 0, 10_000_000)?;
            Ok(())
        }
    ),
    key!("server.influx_url", Kind::Text, "", "InfluxDB: http(s)://host:port[/prefix]", |c, v| {
        if !(v.is_empty() || v.starts_with("http://") || v.starts_with("https://")) {
            return Err(format!("`{v}` is not a URL; write it as http://host:8086 or https://host"));
        }
        c.server.influx_url = some(v);
        Ok(())
    }),
    key!("server.influx_org", Kind::Text, "s7mpa", "InfluxDB 2: organisation", |c, v| {
        v.clone_into(&mut c.server.influx_org);
        Ok(())
    }),
    key!("server.influx_bucket", Kind::Text, "s7mpa", "InfluxDB 2: bucket; InfluxDB 1: database", |c, v| {
        v.clone_into(&mut c.server.influx_bucket);
        Ok(())
    }),
    key!(
        "server.influx_query",
        Kind::Choice(&["auto", "influxql", "flux", "promql"]),
        "auto",
        "Language in which it is asked: InfluxDB 1 and 3 influxql, 2 flux, VictoriaMetrics promql",
        |c, v| {
            c.server.influx_query = match v {
                "influxql" => QueryLanguage::Influxql,
                "flux" => QueryLanguage::Flux,
                "promql" => QueryLanguage::Promql,
                _ => QueryLanguage::Auto,
            };
            Ok(())
        }
    ),
    key!("server.influx_user", Kind::Text, "", "InfluxDB 1: user", |c, v| {
        c.server.influx_user = some(v);
        Ok(())
    }),
    key!(secret "server.influx_token", "InfluxDB 2: token; InfluxDB 1: password", |c, v| {
        c.server.influx_token = some(v);
        Ok(())
    }),
    key!("server.influx_token_file", Kind::Text, "", "File with the token or password", |c, v| {
        c.server.influx_token_file = path(v)?;
        Ok(())
    }),
    key!(
        "server.influx_ca_file",
        Kind::Text,
        "",
        "PEM file of the authorities to trust beside the well-known ones",
        |c, v| {
            c.server.influx_ca_file = path(v)?;
            Ok(())
        }
    ),
    key!(
        "server.http.enabled",
        Kind::Bool,
        "true",
        "The HTTP API runs; it answers from the store",
        |c, v| {
            c.server.http.enabled = v == "true";
            Ok(())
        }
    ),
    key!(
        "server.http.listen",
        Kind::Text,
        "127.0.0.1:7676",
        "Where it listens; on other than loopback addresses it speaks TLS and needs an account (`agent user add`) or a token",
        |c, v| {
            c.server.http.listen = address(v, "127.0.0.1:7676")?;
            Ok(())
        }
    ),
    key!(
        "server.http.hosts",
        Kind::Text,
        "",
        "Names that it is called by, separated by commas, beside localhost and its address: requests to others are refused",
        |c, v| {
            c.server.http.hosts = list(v, host)?;
            Ok(())
        }
    ),
    key!(
        "server.http.path_prefix",
        Kind::Text,
        "",
        "What a reverse proxy puts before all paths, such as /s7mpa",
        |c, v| {
            c.server.http.path_prefix = prefix(v)?;
            Ok(())
        }
    ),
    key!(
        "server.http.trusted_proxies",
        Kind::Text,
        "",
        "Addresses or networks of reverse proxies, separated by commas: their X-Forwarded-For, -Proto and -Host are believed",
        |c, v| {
            c.server.http.trusted_proxies = list(v, str::parse)?;
            Ok(())
        }
    ),
    key!("server.http.query_timeout", Kind::Duration, "10s", "How long a query may take", |c, v| {
        c.server.http.query_timeout = parse_duration(v)?;
        Ok(())
    }),
    key!(
        "server.http.lookback",
        Kind::Duration,
        "5m",
        "How old the newest sample of a series may be at the moment of a query",
        |c, v| {
            c.server.http.lookback = parse_duration(v)?;
            Ok(())
        }
    ),
    key!(
        "server.http.cert_file",
        Kind::Text,
        "",
        "PEM certificates for TLS; empty: none on loopback, elsewhere one that the server signs itself",
        |c, v| {
            c.server.http.cert_file = path(v)?;
            Ok(())
        }
    ),
    key!("server.http.key_file", Kind::Text, "", "The key to them (PEM)", |c, v| {
        c.server.http.key_file = path(v)?;
        Ok(())
    }),
    key!(
        "alerts.exec",
        Kind::Text,
        "",
        "Program that is run for each change of an alert as plugin.user, with its JSON on standard input",
        |c, v| {
            c.alerts.exec = path(v)?;
            Ok(())
        }
    ),
    key!(secret "alerts.webhook", "Where alerts are posted as Alertmanager's API v2 takes them: http(s)://host:9093/api/v2/alerts", |c, v| {
        c.alerts.webhook = url(v, "http://host:9093/api/v2/alerts")?;
        Ok(())
    }),
    key!("alerts.timeout", Kind::Duration, "10s", "What one try of either may take", |c, v| {
        c.alerts.timeout = parse_duration(v)?;
        Ok(())
    }),
    key!(secret "export.remote_write", "Where metrics are sent by Prometheus's remote write besides: http(s)://host:9090/api/v1/write", |c, v| {
        c.export.remote_write = url(v, "http://host:9090/api/v1/write")?;
        Ok(())
    }),
    key!("export.token_file", Kind::Text, "", "File with the token that the receiver asks for", |c, v| {
        c.export.token_file = path(v)?;
        Ok(())
    }),
    key!(secret "export.pyroscope", "Where profiles are sent besides, a Pyroscope: http(s)://host:4040", |c, v| {
        c.export.pyroscope = url(v, "http://host:4040")?;
        Ok(())
    }),
    key!("export.pyroscope_token_file", Kind::Text, "", "File with the token that it asks for", |c, v| {
        c.export.pyroscope_token_file = path(v)?;
        Ok(())
    }),
    key!(
        secret "export.otlp_profiles",
        "Where profiles are sent besides by OTLP over HTTP, whose profiles are alpha and may change: http(s)://host:4318",
        |c, v| {
            c.export.otlp_profiles = url(v, "http://host:4318")?;
            Ok(())
        }
    ),
    key!(secret "export.otlp_logs", "Where log lines are sent besides by OTLP over HTTP: http(s)://host:4318", |c, v| {
        c.export.otlp_logs = url(v, "http://host:4318")?;
        Ok(())
    }),
    key!(secret "export.loki", "Where log lines are sent besides, a Loki: http(s)://host:3100", |c, v| {
        c.export.loki = url(v, "http://host:3100")?;
        Ok(())
    }),
    key!("export.loki_token_file", Kind::Text, "", "File with the token that it asks for", |c, v| {
        c.export.loki_token_file = path(v)?;
        Ok(())
    }),
    key!(
        "export.otlp_token_file",
        Kind::Text,
        "",
        "File with the token that receivers of OTLP ask for",
        |c, v| {
            c.export.otlp_token_file = path(v)?;
            Ok(())
        }
    ),
    key!(
        "export.interval",
        Kind::Duration,
        "15s",
        "Time between two samples of a series in remote write",
        |c, v| {
            c.export.interval = parse_duration(v)?;
            if c.export.interval < std::time::Duration::from_secs(1) {
                return Err(format!("`{v}` is shorter than a window; write 1s or more"));
            }
            Ok(())
        }
    ),
    key!(
        "export.max_bytes",
        Kind::Bytes,
        "8MiB",
        "Memory for what waits while a receiver is away, of each; the oldest falls out",
        |c, v| {
            c.export.max_bytes = parse_bytes(v)?;
            Ok(())
        }
    ),
    key!("export.timeout", Kind::Duration, "10s", "What one try may take", |c, v| {
        c.export.timeout = parse_duration(v)?;
        Ok(())
    }),
    key!(
        "rules.files",
        Kind::Paths,
        "/etc/s7mpa/rules.d/*.yml:/etc/s7mpa/rules.d/*.yaml",
        "Prometheus's rule files, recorded and alerted on over the embedded store; `*` and `?` in the last part of a path",
        |c, v| {
            let files = v.split(':').filter(|path| !path.is_empty());
            c.rules.files = files.map(absolute).collect::<Result<_, _>>()?;
            Ok(())
        }
    ),
    key!(
        "rules.macros",
        Kind::Text,
        "",
        "Functions for queries, one after the other: `lost_share(p) = sum by (comm) (…)`; comments above are their help",
        |c, v| {
            v.clone_into(&mut c.rules.macros);
            Ok(())
        }
    ),
    key!(
        "rules.interval",
        Kind::Duration,
        "15s",
        "How often groups of rules are evaluated that do not say it",
        |c, v| {
            c.rules.interval = parse_duration(v)?;
            Ok(())
        }
    ),
    key!(
        "plugin.user",
        Kind::Text,
        "s7mpa-plugin",
        "User that foreign programs (alerts.exec, debuginfod-find) run as; `nobody` where s7mpa-plugin does not exist",
        |c, v| {
            v.clone_into(&mut c.plugin.user);
            Ok(())
        }
    ),
    key!(
        "plugin.write_dirs",
        Kind::Text,
        "/tmp:/var/tmp",
        "Directories that they may write to, separated by `:`; enforced where the kernel has Landlock",
        |c, v| {
            let dirs = v.split(':').filter(|dir| !dir.is_empty());
            c.plugin.write_dirs = dirs.map(absolute).collect::<Result<_, _>>()?;
            Ok(())
        }
    ),
    key!(
        "logs.files",
        Kind::Paths,
        "/var/log/syslog:/var/log/messages:/var/log/auth.log:/var/log/secure:/var/log/*.log:/var/log/*/*.log",
        "Log files that are collected; `*`, `?`, `[…]`, and `**` for directories at any depth",
        |c, v| {
            let files = v.split(':').filter(|path| !path.is_empty());
            c.logs.files = files.map(absolute).collect::<Result<_, _>>()?;
            Ok(())
        }
    ),
    key!(
        "logs.except",
        Kind::Paths,
        "/var/log/dpkg.log:/var/log/alternatives.log:/var/log/apt/*",
        "Files of those that are left out",
        |c, v| {
            let files = v.split(':').filter(|path| !path.is_empty());
            c.logs.except = files.map(absolute).collect::<Result<_, _>>()?;
            Ok(())
        }
    ),
    key!("logs.journal", Kind::Bool, "true", "Collect systemd's journal", |c, v| {
        c.logs.journal = v == "true";
        Ok(())
    }),
    key!("logs.kmsg", Kind::Bool, "true", "Collect the kernel's messages", |c, v| {
        c.logs.kmsg = v == "true";
        Ok(())
    }),
    key!(
        "logs.containers",
        Kind::Bool,
        "true",
        "Collect what containers print, from the files of Docker and of Kubernetes",
        |c, v| {
            c.logs.containers = v == "true";
            Ok(())
        }
    ),
    key!(
        "logs.redact",
        Kind::Bool,
        "true",
        "Replace passwords, tokens and keys in lines before they leave the process that reads them",
        |c, v| {
            c.logs.redact = v == "true";
            Ok(())
        }
    ),
    key!(
        "log.level",
        Kind::Text,
        "",
        "error, warn, info, debug, trace, or a filter; empty: by command",
        |c, v| {
            let known = |part: &str| {
                part.contains('=') || part.parse::<tracing_subscriber::filter::LevelFilter>().is_ok()
            };
            let filter = v.parse::<tracing_subscriber::filter::Targets>().ok();
            filter.filter(|_| v.is_empty() || v.split(',').all(|part| known(part.trim()))).ok_or_else(
                || format!("`{v}` is not a log level; write error, warn, info, debug or trace"),
            )?;
            v.clone_into(&mut c.log.level);
            Ok(())
        }
    ),
    key!("log.format", Kind::Choice(&["text", "json"]), "text", "Form of the daemon's log", |c, v| {
        c.log.json = v == "json";
        Ok(())
    }),
];
