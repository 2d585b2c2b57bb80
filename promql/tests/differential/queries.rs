//! Queries, made of templates: each `{{…}}` stands for all values of that name.

const VALUES: [(&str, &[&str]); 20] = [
    ("range", &["25s", "1m", "5m", "15m"]),
    ("short", &["1m", "5m"]),
    ("offset", &["30s", "5m", "-2m"]),
    ("aggregation", &["sum", "avg", "min", "max", "count", "stddev", "stdvar", "group"]),
    (
        "grouping",
        &["", " by (instance)", " by (mode, cpu)", " without (cpu)", " without ()", " by (nothing)"],
    ),
    ("extreme", &["topk", "bottomk"]),
    ("quantile", &["-0.5", "0", "0.1", "0.5", "0.95", "1", "1.5", "NaN"]),
    ("arithmetic", &["+", "-", "*", "/", "%", "^", "atan2"]),
    ("comparison", &["==", "!=", "<", ">", "<=", ">="]),
    ("set", &["and", "or", "unless"]),
    (
        "math",
        &[
            "abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn", "round", "sin", "cos",
            "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "deg", "rad",
        ],
    ),
    ("rate", &["rate", "increase", "delta", "irate", "idelta", "deriv", "changes", "resets"]),
    (
        "over_time",
        &[
            "avg_over_time",
            "min_over_time",
            "max_over_time",
            "sum_over_time",
            "count_over_time",
            "last_over_time",
            "stddev_over_time",
            "stdvar_over_time",
            "present_over_time",
        ],
    ),
    (
        "date",
        &["minute", "hour", "day_of_month", "day_of_week", "day_of_year", "days_in_month", "month", "year"],
    ),
    ("factor", &["0.1", "0.5", "0.9"]),
    ("clamp", &["clamp_min", "clamp_max"]),
    ("join", &["on (instance)", "ignoring (mode, cpu)", "on (instance, job)"]),
    ("matcher", &["=\"a\"", "!=\"a\"", "=~\"a|b\"", "!~\"a|b\"", "=~\"\"", "=~\".+\"", "!~\".*x\""]),
    ("bound", &["0.5", "100", "2e9"]),
    ("number", &["0", "1", "-2.5", "1e10", "Inf", "NaN"]),
];

const TEMPLATES: &str = r#"
42
-1.5e3
0x1F
NaN
-Inf
"a text"
time()
pi()
time() - 1e9
1 + 2 * 3 ^ 2 ^ 0.5 % 7 - -1
2 {{comparison}} bool 3
vector({{number}})
scalar(demo_cpus)
scalar(demo_cpus{instance="a"})
demo_memory_bytes
demo_memory_bytes{type="free"}
demo_memory_bytes{instance{{matcher}}}
demo_rare_seconds
demo_build_info
demo_process_seconds_total
{__name__=~"demo_(cpus|disk_size_bytes)"}
{__name__=~"demo_d.*", device!="sda"}
{job="batch"}
nothing_at_all
demo_memory_bytes offset {{offset}}
demo_cpu_seconds_total{mode="user"} @ 1700001000.4 offset {{offset}}
demo_cpus @ start()
demo_memory_bytes{type="used"} @ end()
rate(demo_requests_total[5m] @ end())
rate(demo_requests_total[5m] offset {{offset}})
timestamp(demo_memory_bytes)
timestamp(demo_rare_seconds)
timestamp(demo_memory_bytes offset {{offset}})
timestamp(timestamp(demo_cpus))
{{rate}}(demo_requests_total[{{range}}])
{{rate}}(demo_cpu_seconds_total{cpu="0"}[{{range}}])
{{rate}}(demo_process_seconds_total[{{range}}])
{{rate}}(demo_temperature_celsius[{{range}}])
{{rate}}(demo_signed[{{range}}])
{{rate}}(demo_odd[1m])
{{over_time}}(demo_requests_total[{{range}}])
{{over_time}}(demo_temperature_celsius[{{range}}])
{{over_time}}(demo_process_seconds_total[{{short}}])
{{over_time}}(demo_odd[{{short}}])
{{over_time}}(demo_rare_seconds[15m])
{{over_time}}(rate(demo_cpu_seconds_total[1m])[10m:{{short}}])
{{over_time}}(demo_temperature_celsius[10m:7s] offset {{offset}})
{{over_time}}(demo_build_info[10m:])
quantile_over_time({{quantile}}, demo_temperature_celsius[{{range}}])
quantile_over_time({{quantile}}, demo_odd[2m])
absent_over_time(nothing[5m])
absent_over_time(nothing{a="b", c=~"d"}[5m])
absent_over_time(demo_rare_seconds[{{range}}])
absent(demo_rare_seconds)
absent(nothing{a="b", c=~"d", e="f"})
absent(sum(nothing))
predict_linear(demo_disk_used_bytes[{{range}}], 600)
predict_linear(demo_temperature_celsius[5m] offset {{offset}}, 60)
double_exponential_smoothing(demo_temperature_celsius[{{range}}], {{factor}}, {{factor}})
max_over_time(deriv(demo_temperature_celsius[1m])[10m:30s])
{{aggregation}}{{grouping}} (demo_cpu_seconds_total)
{{aggregation}}{{grouping}} (rate(demo_cpu_seconds_total[5m]))
{{aggregation}} by (comm) (demo_process_seconds_total)
{{aggregation}} by (instance) (demo_odd)
{{aggregation}}(nothing)
{{extreme}}{{grouping}} (2, demo_cpu_seconds_total)
{{extreme}}(3, rate(demo_requests_total[5m]))
{{extreme}}(0, demo_cpus)
{{extreme}}(demo_cpus, demo_cpus)
{{extreme}} by (comm) (1, demo_process_seconds_total)
quantile({{quantile}}, demo_cpu_seconds_total)
quantile by (instance) ({{quantile}}, rate(demo_cpu_seconds_total[5m]))
quantile without (cpu, mode) ({{quantile}}, demo_odd)
count_values("value", demo_cpus)
count_values by (job) ("value", demo_build_info)
count_values without (instance) ("value", demo_signed)
count_values("instance", demo_cpus)
{{math}}(demo_temperature_celsius)
{{math}}(demo_signed / 4)
{{math}}(demo_odd)
{{math}}(-demo_cpu_seconds_total{mode="user"})
round(demo_temperature_celsius, {{bound}})
{{clamp}}(demo_temperature_celsius, {{number}})
clamp(demo_temperature_celsius, 19, 21)
clamp(demo_temperature_celsius, 21, 19)
clamp(demo_odd, -1, 1)
{{date}}()
{{date}}(demo_last_success_seconds)
{{date}}(demo_last_success_seconds * 1.7)
-demo_temperature_celsius
-{__name__=~"demo_(cpus|signed)"}
+demo_cpus
demo_temperature_celsius {{arithmetic}} {{number}}
{{number}} {{arithmetic}} demo_temperature_celsius
demo_odd {{arithmetic}} demo_signed
demo_temperature_celsius {{comparison}} 20
20 {{comparison}} bool demo_temperature_celsius
demo_odd {{comparison}} {{number}}
demo_odd {{comparison}} bool demo_odd
demo_temperature_celsius {{arithmetic}} demo_cpus
demo_temperature_celsius {{comparison}} demo_cpus * 10
demo_temperature_celsius {{comparison}} bool demo_cpus * 10
demo_disk_used_bytes / demo_disk_size_bytes
demo_disk_used_bytes {{arithmetic}} on (instance, device) demo_disk_size_bytes
demo_disk_used_bytes / on (instance) group_left demo_cpus
demo_cpus * on (instance) group_right demo_disk_used_bytes
demo_disk_used_bytes * on (instance) group_left (version) demo_build_info
demo_cpus * on (instance) group_left (version) demo_build_info
demo_cpus * on (instance) demo_disk_used_bytes
demo_cpu_seconds_total / {{join}} group_left sum without (mode, cpu) (demo_cpu_seconds_total)
demo_cpu_seconds_total {{comparison}} {{join}} group_left max without (mode, cpu) (demo_cpu_seconds_total)
sum by (instance) (rate(demo_cpu_seconds_total[5m])) / on (instance) demo_cpus
demo_cpu_seconds_total {{set}} demo_cpu_seconds_total{mode="user"}
demo_cpu_seconds_total {{set}} on (instance) demo_cpus{instance="a"}
demo_cpu_seconds_total {{set}} ignoring (mode, cpu) demo_cpus{instance!="a"}
demo_process_seconds_total {{set}} on (comm) topk(1, demo_process_seconds_total)
demo_temperature_celsius > 20 {{set}} demo_cpus > 2
demo_cpus {{set}} vector(1)
histogram_quantile({{quantile}}, demo_latency_seconds_bucket)
histogram_quantile({{quantile}}, rate(demo_latency_seconds_bucket[{{short}}]))
histogram_quantile({{quantile}}, sum by (le, instance) (rate(demo_latency_seconds_bucket[5m])))
histogram_quantile(0.9, sum by (instance) (demo_latency_seconds_bucket))
histogram_quantile(0.9, demo_cpus)
rate(demo_latency_seconds_sum[{{range}}]) / rate(demo_latency_seconds_count[{{range}}])
label_replace(demo_cpus, "host", "$1-x", "instance", "(.*)")
label_replace(demo_cpus, "host", "x", "nothing", "")
label_replace(demo_cpus, "host", "$1", "instance", "(b)")
label_replace(demo_cpus, "instance", "", "instance", ".*")
label_replace(demo_cpus, "job", "${1}_$2", "instance", "(a)(b)?|c")
label_replace(demo_cpus, "instance", "same", "job", "demo")
label_join(demo_disk_used_bytes, "both", "/", "instance", "device")
label_join(demo_disk_used_bytes, "device", "")
label_join(demo_cpus, "instance", "-", "job")
sort(demo_temperature_celsius)
sort_desc(rate(demo_requests_total[5m]))
sum(rate(demo_requests_total{status=~"5.."}[5m])) / sum(rate(demo_requests_total[5m]))
100 * (1 - avg by (instance) (rate(demo_cpu_seconds_total{mode="idle"}[{{range}}])))
sum by (comm) (increase(demo_process_seconds_total[{{range}}]))
topk(5, sum by (comm) (rate(demo_process_seconds_total[{{range}}])))
count by (version) (demo_build_info)
changes(demo_build_info[{{range}}])
max_over_time(sum by (instance) (rate(demo_requests_total[1m]))[15m:1m])
avg_over_time((demo_temperature_celsius > 20)[10m:{{short}}])
sum_over_time(absent(demo_rare_seconds)[15m:1m])
min_over_time(rate(demo_requests_total[{{short}}])[10m:30s] @ end())
rate(sum by (instance) (demo_requests_total)[10m:30s])
stddev(demo_memory_bytes) / avg(demo_memory_bytes)
(demo_memory_bytes{type="free"} + ignoring (type) demo_memory_bytes{type="cached"}) / ignoring (type) demo_memory_bytes{type="used"}
sum without (type) (demo_memory_bytes) > bool {{bound}}
"#;

/// All of them, each once.
pub(crate) fn all() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for template in TEMPLATES.lines().filter(|line| !line.is_empty()) {
        for query in expanded(template) {
            if !all.contains(&query) {
                all.push(query);
            }
        }
    }
    all
}

/// The template with all values of its names, one after the other. A name that comes twice has the same value at both places.
fn expanded(template: &str) -> Vec<String> {
    let Some((_, rest)) = template.split_once("{{") else { return vec![template.to_owned()] };
    let (name, _) = rest.split_once("}}").expect("a name");
    let values =
        VALUES.iter().find(|(own, _)| *own == name).unwrap_or_else(|| panic!("no values of {name}")).1;
    let mark = format!("{{{{{name}}}}}");
    values.iter().flat_map(|value| expanded(&template.replace(&mark, value))).collect()
}

/// Queries whose answer Prometheus 3 has changed, and how; this crate follows it. Each was seen to be the same with 3.5.3.
const CHANGED: [(&str, &str); 6] = [
    (
        "label_join(demo_disk_used_bytes, \"device\", \"\")",
        "series that become the same are an error; 2 gave them twice",
    ),
    ("label_join(demo_cpus, \"instance\", \"-\", \"job\")", "likewise"),
    ("stddev_over_time(demo_odd[1m])", "values that are not finite: 3 rounds off in another order"),
    ("stdvar_over_time(demo_odd[1m])", "likewise"),
    ("stddev by (instance) (demo_odd)", "of one value that is not finite: NaN; 2 said 0"),
    ("stdvar by (instance) (demo_odd)", "likewise"),
];

/// Why Prometheus 2 answers otherwise.
pub(crate) fn changed(query: &str) -> Option<&'static str> {
    CHANGED.iter().find(|(own, _)| *own == query).map(|(_, why)| *why)
}
