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

const FAILING: &str = r#"
groups:
  - name: failing
    rules:
      - { record: both, expr: 'a * on () group_left b' }
"#;

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

const CHAIN: &str = r#"
groups:
  - name: second
    rules:
      - { record: twice, expr: 'once * 2' }
  - name: first
    rules:
      - { record: once, expr: 'a + 1' }
      - { record: thrice, expr: 'once * 3', labels: { of: first } }
"#;

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

const WRONG_NOTATION: &str = r#"
rule_files: [rules.yml]
tests:
  - interval: 1m
    input_series: [{ series: 'up', values: '1 two' }]
    promql_expr_test: [{ expr: '1', eval_time: 1m, exp_samples: [{ labels: '{}', value: 1 }] }]
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
