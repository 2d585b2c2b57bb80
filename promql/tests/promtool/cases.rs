//! Rules, tests of them, and whether the tests hold.

/// (name, rules, tests, whether they hold)
pub(crate) const TESTS: &[(&str, &str, &str, bool)] = &[
    ("alerts and recordings of one host", RULES, HOLDS, true),
    ("an alert that does not fire is expected", RULES, WRONG_ALERT, false),
    ("an annotation differs", RULES, WRONG_ANNOTATION, false),
    ("a value differs", RULES, WRONG_VALUE, false),
    ("series that end, go missing and come back", RULES, GAPS, true),
    ("templates", TEMPLATES, TEMPLATES_HOLD, true),
    ("a rule that fails", FAILING, FAILING_TEST, false),
    ("groups in an order of their own", CHAIN, CHAIN_ORDERED, true),
    ("rules of public forms under faults", NODE, NODE_FAULTS, true),
    ("nothing is expected", RULES, "rule_files: [rules.yml]\ntests: []\n", true),
    ("a wrong value in a series", RULES, WRONG_NOTATION, false),
    ("an unknown field", RULES, "rule_files: [rules.yml]\nunknown: 1\n", false),
];

const RULES: &str = r#"
groups:
  - name: host
    interval: 30s
    rules:
      - record: instance:cpu_busy:rate5m
        expr: 1 - avg by (instance) (rate(cpu_seconds_total{mode="idle"}[5m]))
        labels:
          source: rules
      - alert: HostBusy
        expr: instance:cpu_busy:rate5m > 0.8
        for: 3m
        labels:
          severity: warning
        annotations:
          summary: "{{ $labels.instance }} is busy: {{ $value | humanizePercentage }}"
      - alert: HostGone
        expr: absent(up{job="node"})
        labels: { severity: critical }
      - alert: HostDown
        expr: up == 0
        for: 1m
        annotations: { summary: "{{ $labels.instance }} of {{ $labels.job }} is down" }
"#;

const HOLDS: &str = r#"
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - { series: 'cpu_seconds_total{mode="idle",instance="a",cpu="0"}', values: '0+6x20' }
      - { series: 'cpu_seconds_total{mode="idle",instance="b",cpu="0"}', values: '0+60x20' }
      - { series: 'up{job="node",instance="a"}', values: '1x10 0x10' }
    alert_rule_test:
      - eval_time: 3m
        alertname: HostBusy
      - eval_time: 10m
        alertname: HostBusy
        exp_alerts:
          - exp_labels: { severity: warning, instance: a, source: rules }
            exp_annotations: { summary: "a is busy: 90%" }
      - { eval_time: 10m, alertname: HostGone, exp_alerts: [] }
      - { eval_time: 11m, alertname: HostDown, exp_alerts: [] }
      - eval_time: 12m
        alertname: HostDown
        exp_alerts:
          - exp_labels: { job: node, instance: a }
            exp_annotations: { summary: "a of node is down" }
    promql_expr_test:
      - expr: round(instance:cpu_busy:rate5m, 0.1)
        eval_time: 10m
        exp_samples:
          - { labels: '{instance="a", source="rules"}', value: 0.9 }
          - { labels: '{instance="b", source="rules"}', value: 0 }
      - expr: ALERTS{alertname="HostBusy"}
        eval_time: 3m
        exp_samples:
          - { labels: 'ALERTS{alertname="HostBusy",alertstate="pending",instance="a",severity="warning",source="rules"}', value: 1 }
      - expr: ALERTS{alertname="HostBusy"}
        eval_time: 10m
        exp_samples:
          - { labels: 'ALERTS{alertname="HostBusy",alertstate="firing",instance="a",severity="warning",source="rules"}', value: 1 }
      - expr: ALERTS_FOR_STATE{alertname="HostDown"}
        eval_time: 15m
        exp_samples:
          - { labels: 'ALERTS_FOR_STATE{alertname="HostDown",instance="a",job="node"}', value: 660 }
      - expr: count(up) + 1
        eval_time: 5m
        exp_samples: [{ labels: '{}', value: 2 }]
      - expr: time()
        eval_time: 90s
        exp_samples: [{ labels: '{}', value: 90 }]
"#;

const WRONG_ALERT: &str = r#"
rule_files: [rules.yml]
tests:
  - interval: 1m
    input_series: [{ series: 'up{job="node",instance="a"}', values: '1x10' }]
    alert_rule_test:
      - eval_time: 5m
        alertname: HostDown
        exp_alerts: [{ exp_labels: { job: node, instance: a } }]
"#;

const WRONG_ANNOTATION: &str = r#"
rule_files: [rules.yml]
tests:
  - interval: 1m
    input_series: [{ series: 'up{job="node",instance="a"}', values: '0x10' }]
    alert_rule_test:
      - eval_time: 5m
        alertname: HostDown
        exp_alerts:
          - { exp_labels: { job: node, instance: a }, exp_annotations: { summary: "something else" } }
"#;

const WRONG_VALUE: &str = r#"
rule_files: [rules.yml]
tests:
  - interval: 1m
    input_series: [{ series: 'up{job="node",instance="a"}', values: '1x10' }]
    promql_expr_test:
      - { expr: sum(up), eval_time: 5m, exp_samples: [{ labels: '{}', value: 1.0000001 }] }
"#;

const GAPS: &str = r#"
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    name: gaps
    input_series:
      - { series: 'up{job="node",instance="a"}', values: '1 1 stale _x3 0 0 0 1x3' }
      - { series: 'up{job="other",instance="b"}', values: '0-1x3 5x2 _ -1+2x3' }
    alert_rule_test:
      - { eval_time: 1m, alertname: HostGone }
      - { eval_time: 3m, alertname: HostGone, exp_alerts: [{ exp_labels: { severity: critical, job: node } }] }
      - { eval_time: 6m, alertname: HostGone }
      - eval_time: 8m
        alertname: HostDown
        exp_alerts:
          - { exp_labels: { job: node, instance: a }, exp_annotations: { summary: "a of node is down" } }
      - { eval_time: 10m, alertname: HostDown }
    promql_expr_test:
      - { expr: 'up{job="node"}', eval_time: 2m, exp_samples: [] }
      - { expr: 'up{job="other"}', eval_time: 3m, exp_samples: [{ labels: 'up{job="other",instance="b"}', value: -3 }] }
      - { expr: 'up{job="other"}', eval_time: 6m, exp_samples: [{ labels: 'up{job="other",instance="b"}', value: 5 }] }
      - { expr: 'up{job="other"}', eval_time: 10m, exp_samples: [{ labels: 'up{job="other",instance="b"}', value: 3 }] }
      - { expr: 'ALERTS{alertname="HostGone"}', eval_time: 6m, exp_samples: [] }
"#;

const TEMPLATES: &str = r#"
groups:
  - name: templates
    rules:
      - alert: Full
        expr: disk_bytes > 1000000
        labels:
          level: '{{ if gt $value 2000000.0 }}high{{ else }}low{{ end }}'
        annotations:
          plain: "VALUE = {{ $value }} LABELS = {{ $labels }}"
          printf: '{{ printf "%.1f|%5.0f|%v|%d|%s" $value $value $value 7 $labels.device }}'
          pipes: '{{ $value | humanize1024 }} {{ humanize $value }} {{ $labels.device | toUpper }}'
          query: '{{ with query "sum(disk_bytes)" }}{{ . | first | value | humanize }}{{ end }}'
          range: '{{ range query "disk_bytes" | sortByLabel "device" }}{{ .Labels.device }}={{ .Value }};{{ end }}'
          logic: '{{ and true $labels.device }} {{ or "" "x" }} {{ not "" }} {{ eq $labels.device "sda" "sdb" }}'
          text: '{{ reReplaceAll "sd(.)" "disk-$1" $labels.device }} {{ title "a disk" }} {{ match "^sd" $labels.device }}'
          trimmed: "a {{- $labels.device -}} b"
          variable: '{{ $d := $labels.device }}{{ $d }} {{ len $d }}'
"#;

const TEMPLATES_HOLD: &str = r#"
rule_files: [rules.yml]
tests:
  - interval: 1m
    input_series:
      - { series: 'disk_bytes{device="sda"}', values: '1234567x5' }
      - { series: 'disk_bytes{device="sdb"}', values: '1000x5' }
    alert_rule_test:
      - eval_time: 2m
        alertname: Full
        exp_alerts:
          - exp_labels: { device: sda, level: low }
            exp_annotations:
              plain: "VALUE = 1.234567e+06 LABELS = map[__name__:disk_bytes device:sda]"
              printf: "1234567.0|1234567|1.234567e+06|7|sda"
              pipes: "1.177Mi 1.235M SDA"
              query: "1.236M"
              range: "sda=1.234567e+06;sdb=1000;"
              logic: "sda x true true"
              text: "disk-a A Disk true"
              trimmed: "asdab"
              variable: "sda 3"
"#;

const FAILING: &str = r"
groups:
  - name: failing
    rules:
      - { record: both, expr: 'a * on () group_left b' }
";

const FAILING_TEST: &str = r#"
rule_files: [rules.yml]
tests:
  - interval: 1m
    input_series:
      - { series: 'a', values: '1x5' }
      - { series: 'b{x="1"}', values: '1x5' }
      - { series: 'b{x="2"}', values: '1x5' }
    promql_expr_test:
      - { expr: '1', eval_time: 1m, exp_samples: [{ labels: '{}', value: 1 }] }
"#;

const CHAIN: &str = r"
groups:
  - name: second
    rules:
      - { record: twice, expr: 'once * 2' }
  - name: first
    rules:
      - { record: once, expr: 'a + 1' }
      - { record: thrice, expr: 'once * 3', labels: { of: first } }
";

const CHAIN_ORDERED: &str = r#"
rule_files: [rules.yml]
evaluation_interval: 1m
group_eval_order: [first, second]
tests:
  - interval: 1m
    input_series:
      - { series: 'a{x="y"}', values: '0+1x9' }
    promql_expr_test:
      - { expr: twice, eval_time: 4m, exp_samples: [{ labels: 'twice{x="y"}', value: 10 }] }
      - { expr: thrice, eval_time: 4m, exp_samples: [{ labels: 'thrice{x="y",of="first"}', value: 15 }] }
      - { expr: 'twice offset 1m', eval_time: 4m, exp_samples: [{ labels: 'twice{x="y"}', value: 8 }] }
"#;

const WRONG_NOTATION: &str = r"
rule_files: [rules.yml]
tests:
  - interval: 1m
    input_series: [{ series: 'up', values: '1 two' }]
    promql_expr_test: [{ expr: '1', eval_time: 1m, exp_samples: [{ labels: '{}', value: 1 }] }]
";

/// Rules of the forms of public ones for `node_exporter`.
const NODE: &str = r#"
groups:
  - name: node
    rules:
      - { alert: MemoryLow, expr: 'node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < .10', for: 2m, labels: { severity: warning }, annotations: { summary: '{{ $labels.instance }}' } }
      - { alert: MemoryPressure, expr: 'rate(node_vmstat_pgmajfault[5m]) > 1000', for: 2m, labels: { severity: warning }, annotations: { summary: '{{ $labels.instance }}' } }
      - { alert: NetworkIn, expr: 'rate(node_network_receive_bytes_total[5m]) > 1e8', for: 0m, labels: { severity: warning }, annotations: { summary: '{{ $labels.instance }}' } }
      - { alert: DiskBusy, expr: 'rate(node_disk_io_time_seconds_total[5m]) > .80', for: 5m, labels: { severity: warning }, annotations: { summary: '{{ $labels.instance }}' } }
      - { alert: ReadLatency, expr: 'rate(node_disk_read_time_seconds_total[1m30s]) / rate(node_disk_reads_completed_total[1m30s]) > 0.1 and rate(node_disk_reads_completed_total[1m30s]) > 0', for: 2m, labels: { severity: warning }, annotations: { summary: '{{ $labels.instance }}' } }
      - { alert: CpuHigh, expr: '1 - (avg without (cpu) (rate(node_cpu_seconds_total{mode="idle"}[5m]))) > .80', for: 10m, labels: { severity: warning }, annotations: { summary: '{{ $labels.instance }}' } }
      - { alert: CpuSteal, expr: 'avg without (cpu) (rate(node_cpu_seconds_total{mode="steal"}[5m])) * 100 > 10', for: 0m, labels: { severity: warning }, annotations: { summary: '{{ $labels.instance }}' } }
      - { alert: CpuIowait, expr: 'avg without (cpu) (rate(node_cpu_seconds_total{mode="iowait"}[5m])) > .10', for: 0m, labels: { severity: warning }, annotations: { summary: '{{ $labels.instance }}' } }
      - { alert: SwapFull, expr: '((1 - (node_memory_SwapFree_bytes / node_memory_SwapTotal_bytes)) * 100 > 80) and node_memory_SwapTotal_bytes > 0', for: 2m, labels: { severity: warning }, annotations: { summary: '{{ $labels.instance }}' } }
      - { alert: OomKill, expr: '(delta(node_vmstat_oom_kill[30m]) > 0)', for: 0m, labels: { severity: warning }, annotations: { summary: '{{ $labels.instance }}' } }
      - { alert: ReceiveErrors, expr: '(rate(node_network_receive_errs_total[2m30s]) / rate(node_network_receive_packets_total[2m30s]) > 0.01) and rate(node_network_receive_packets_total[2m30s]) > 0', for: 2m, labels: { severity: warning }, annotations: { summary: '{{ $labels.instance }}' } }
      - { alert: DiskFull, expr: '(node_filesystem_avail_bytes{fstype!~"^(fuse.*|tmpfs|cifs|nfs)"} / node_filesystem_size_bytes < .10 and on (instance, device, mountpoint) node_filesystem_readonly == 0)', for: 2m, labels: { severity: warning }, annotations: { summary: '{{ $labels.instance }}' } }
      - { alert: DiskWillFill, expr: 'predict_linear(node_filesystem_avail_bytes{fstype!~"^(fuse.*|tmpfs|cifs|nfs)"}[3h], 86400) <= 0 and node_filesystem_avail_bytes > 0', for: 2m, labels: { severity: warning }, annotations: { summary: '{{ $labels.instance }}' } }
      - { alert: ClockSkew, expr: '((node_timex_offset_seconds > 0.05 and deriv(node_timex_offset_seconds[5m]) >= 0) or (node_timex_offset_seconds < -0.05 and deriv(node_timex_offset_seconds[5m]) <= 0))', for: 10m, labels: { severity: warning }, annotations: { summary: '{{ $labels.instance }}' } }
"#;

/// Each fault makes its alert fire.
const NODE_FAULTS: &str = r#"
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - { series: 'node_memory_MemAvailable_bytes{instance="a"}', values: '50x30' }
      - { series: 'node_memory_MemTotal_bytes{instance="a"}', values: '1000x30' }
      - { series: 'node_vmstat_pgmajfault{instance="a"}', values: '0+120000x30' }
      - { series: 'node_network_receive_bytes_total{instance="a",device="eth0"}', values: '0+12000000000x30' }
      - { series: 'node_disk_io_time_seconds_total{instance="a",device="sda"}', values: '0+57x30' }
      - { series: 'node_disk_read_time_seconds_total{instance="a",device="sda"}', values: '0+30x30' }
      - { series: 'node_disk_reads_completed_total{instance="a",device="sda"}', values: '0+60x30' }
      - { series: 'node_cpu_seconds_total{instance="a",cpu="0",mode="idle"}', values: '0+3x30' }
      - { series: 'node_cpu_seconds_total{instance="a",cpu="1",mode="idle"}', values: '0+6x30' }
      - { series: 'node_cpu_seconds_total{instance="a",cpu="0",mode="steal"}', values: '0+12x30' }
      - { series: 'node_cpu_seconds_total{instance="a",cpu="0",mode="iowait"}', values: '0+12x30' }
      - { series: 'node_memory_SwapFree_bytes{instance="a"}', values: '10x30' }
      - { series: 'node_memory_SwapTotal_bytes{instance="a"}', values: '100x30' }
      - { series: 'node_vmstat_oom_kill{instance="a"}', values: '0x15 1x15' }
      - { series: 'node_network_receive_errs_total{instance="a",device="eth0"}', values: '0+5x30' }
      - { series: 'node_network_receive_packets_total{instance="a",device="eth0"}', values: '0+100x30' }
      - { series: 'node_filesystem_avail_bytes{instance="a",device="sda1",mountpoint="/",fstype="ext4"}', values: '5x30' }
      - { series: 'node_filesystem_size_bytes{instance="a",device="sda1",mountpoint="/",fstype="ext4"}', values: '100x30' }
      - { series: 'node_filesystem_readonly{instance="a",device="sda1",mountpoint="/",fstype="ext4"}', values: '0x30' }
      - { series: 'node_filesystem_avail_bytes{instance="b",device="sda1",mountpoint="/",fstype="ext4"}', values: '100000-100x30' }
      - { series: 'node_timex_offset_seconds{instance="a"}', values: '0.06+0.01x30' }
    alert_rule_test:
      - { eval_time: 25m, alertname: MemoryLow, exp_alerts: [{ exp_labels: { instance: a, severity: warning }, exp_annotations: { summary: a } }] }
      - { eval_time: 25m, alertname: MemoryPressure, exp_alerts: [{ exp_labels: { instance: a, severity: warning }, exp_annotations: { summary: a } }] }
      - { eval_time: 25m, alertname: NetworkIn, exp_alerts: [{ exp_labels: { instance: a, device: eth0, severity: warning }, exp_annotations: { summary: a } }] }
      - { eval_time: 25m, alertname: DiskBusy, exp_alerts: [{ exp_labels: { instance: a, device: sda, severity: warning }, exp_annotations: { summary: a } }] }
      - { eval_time: 25m, alertname: ReadLatency, exp_alerts: [{ exp_labels: { instance: a, device: sda, severity: warning }, exp_annotations: { summary: a } }] }
      - { eval_time: 25m, alertname: CpuHigh, exp_alerts: [{ exp_labels: { instance: a, mode: idle, severity: warning }, exp_annotations: { summary: a } }] }
      - { eval_time: 25m, alertname: CpuSteal, exp_alerts: [{ exp_labels: { instance: a, mode: steal, severity: warning }, exp_annotations: { summary: a } }] }
      - { eval_time: 25m, alertname: CpuIowait, exp_alerts: [{ exp_labels: { instance: a, mode: iowait, severity: warning }, exp_annotations: { summary: a } }] }
      - { eval_time: 25m, alertname: SwapFull, exp_alerts: [{ exp_labels: { instance: a, severity: warning }, exp_annotations: { summary: a } }] }
      - { eval_time: 25m, alertname: OomKill, exp_alerts: [{ exp_labels: { instance: a, severity: warning }, exp_annotations: { summary: a } }] }
      - { eval_time: 25m, alertname: ReceiveErrors, exp_alerts: [{ exp_labels: { instance: a, device: eth0, severity: warning }, exp_annotations: { summary: a } }] }
      - { eval_time: 25m, alertname: DiskFull, exp_alerts: [{ exp_labels: { instance: a, device: sda1, mountpoint: /, fstype: ext4, severity: warning }, exp_annotations: { summary: a } }] }
      - { eval_time: 25m, alertname: DiskWillFill, exp_alerts: [{ exp_labels: { instance: b, device: sda1, mountpoint: /, fstype: ext4, severity: warning }, exp_annotations: { summary: b } }] }
      - { eval_time: 25m, alertname: ClockSkew, exp_alerts: [{ exp_labels: { instance: a, severity: warning }, exp_annotations: { summary: a } }] }
"#;

/// (name, rules, whether they are right)
pub(crate) const CHECKS: &[(&str, &str, bool)] = &[
    ("all forms", RULES, true),
    ("templates", TEMPLATES, true),
    (
        "limit and interval",
        "groups: [{name: a, interval: 1m, limit: 5, rules: [{record: x, expr: y}]}]",
        true,
    ),
    ("keep_firing_for", "groups: [{name: a, rules: [{alert: x, expr: y, keep_firing_for: 5m}]}]", true),
    ("nothing", "groups: []", true),
    ("a recording with for", "groups: [{name: a, rules: [{record: x, expr: y, for: 1m}]}]", false),
    ("a wrong name", "groups: [{name: a, rules: [{record: 'x y', expr: y}]}]", false),
    ("no expression", "groups: [{name: a, rules: [{record: x}]}]", false),
    ("a wrong expression", "groups: [{name: a, rules: [{record: x, expr: 'sum('}]}]", false),
    ("both", "groups: [{name: a, rules: [{record: x, alert: z, expr: y}]}]", false),
    ("neither", "groups: [{name: a, rules: [{expr: y}]}]", false),
    ("groups of one name", "groups: [{name: a}, {name: a}]", false),
    ("an unknown field", "groups: [{name: a, rule: []}]", false),
    ("a wrong label", "groups: [{name: a, rules: [{record: x, expr: y, labels: {'a-b': c}}]}]", false),
    (
        "a wrong template",
        "groups: [{name: a, rules: [{alert: x, expr: y, annotations: {a: '{{ if }}'}}]}]",
        false,
    ),
    ("a wrong duration", "groups: [{name: a, rules: [{alert: x, expr: y, for: 1x}]}]", false),
];
