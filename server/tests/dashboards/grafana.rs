//! The dashboards as Grafana reads them.
//!
//! Amounts are added up over the step and divided by it: exact, also where the store has only sums of ten seconds or a
//! minute, and the same on VictoriaMetrics, which has no `_total` of ours.

use serde_json::{Value, json};

use super::panels::{Line, Panel, ROWS};

/// Which kind of data source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// s7mpa's own API, VictoriaMetrics, Prometheus.
    Prometheus,
    /// `InfluxDB` 1, 2 or 3, by `InfluxQL`.
    Influx,
}

impl Source {
    const fn kind(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Influx => "influxdb",
        }
    }
}

/// The query of a line.
pub(crate) fn query(line: &Line, source: Source) -> String {
    match source {
        Source::Prometheus => promql(line),
        Source::Influx => influxql(line),
    }
}

fn promql(line: &Line) -> String {
    let Line { measurement, field, only, by, top, .. } = line;
    let only = only.map(|(tag, value)| format!(",{tag}=\"{value}\"")).unwrap_or_default();
    let series = format!("{measurement}_{field}{{host=~\"$host\"{only}}}");
    let value = if line.is_amount() {
        let per_second =
            if line.is_time() { "/ $__rate_interval_ms / 1e6" } else { "/ $__rate_interval_ms * 1e3" };
        format!("sum_over_time({series}[$__rate_interval]) {per_second}")
    } else if line.is_time() {
        format!("max_over_time({series}[$__rate_interval]) / 1e9")
    } else {
        series
    };
    let tags = ["host"].iter().chain(*by).copied().collect::<Vec<_>>().join(", ");
    let all = format!("sum by ({tags}) ({value})");
    if *top { format!("topk(10, {all})") } else { all }
}

fn influxql(line: &Line) -> String {
    let Line { measurement, field, only, by, top, .. } = line;
    let value = if line.is_amount() {
        let per_second =
            if line.is_time() { "/ $__interval_ms / 1000000" } else { "/ $__interval_ms * 1000" };
        format!("sum(\"{field}\") {per_second}")
    } else if line.is_time() {
        format!("max(\"{field}\") / 1000000000")
    } else {
        format!("mean(\"{field}\")")
    };
    let only = only.map(|(tag, value)| format!(" AND \"{tag}\" = '{value}'")).unwrap_or_default();
    let tags: Vec<String> = ["host"].iter().chain(*by).map(|tag| format!(", \"{tag}\"")).collect();
    let tags = tags.concat();
    // InfluxQL cannot choose the highest series; a bound keeps the graph readable.
    let bound = if *top { " SLIMIT 50" } else { "" };
    format!(
        "SELECT {value} FROM \"{measurement}\" WHERE \"host\" =~ /^$host$/{only} AND $timeFilter \
         GROUP BY time($__interval){tags} fill(none){bound}"
    )
}

fn legend(line: &Line, source: Source) -> String {
    let tag = |tag: &str| match source {
        Source::Prometheus => format!("{{{{{tag}}}}}"),
        Source::Influx => format!("$tag_{tag}"),
    };
    let name = (!line.name.is_empty()).then(|| line.name.to_owned());
    let parts: Vec<String> = name.into_iter().chain(line.by.iter().map(|by| tag(by))).collect();
    format!("{} · {}", parts.join(" "), tag("host"))
}

fn target(nth: usize, line: &Line, source: Source) -> Value {
    let reference = char::from(b'A' + nth as u8).to_string();
    match source {
        Source::Prometheus => json!({
            "refId": reference, "expr": query(line, source), "legendFormat": legend(line, source), "range": true,
        }),
        Source::Influx => json!({
            "refId": reference, "query": query(line, source), "rawQuery": true, "resultFormat": "time_series",
            "alias": legend(line, source),
        }),
    }
}

fn panel(panel: &Panel, id: usize, place: (usize, usize), source: Source) -> Value {
    let targets: Vec<Value> =
        panel.lines.iter().enumerate().map(|(nth, line)| target(nth, line, source)).collect();
    let stacking = if panel.stacked { "normal" } else { "none" };
    json!({
        "id": id,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": {"type": source.kind(), "uid": "${datasource}"},
        "gridPos": {"x": place.0, "y": place.1, "w": 12, "h": 8},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": {
            "lineWidth": 1, "fillOpacity": if panel.stacked { 40 } else { 8 }, "showPoints": "never",
            "stacking": {"mode": stacking, "group": "A"},
        }}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": targets,
    })
}

/// The dashboard of a kind of data source.
pub(crate) fn dashboard(source: Source) -> Value {
    let mut panels = Vec::new();
    let mut y = 0;
    for row in ROWS {
        let id = panels.len() + 1;
        panels.push(json!({
            "id": id, "type": "row", "title": row.title, "collapsed": false, "panels": [],
            "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
        }));
        y += 1;
        for pair in row.panels.chunks(2) {
            for (nth, one) in pair.iter().enumerate() {
                panels.push(panel(one, panels.len() + 1, (12 * nth, y), source));
            }
            y += 8;
        }
    }
    let hosts = match source {
        Source::Prometheus => json!("label_values(s7mpa_host_load1, host)"),
        Source::Influx => json!("SHOW TAG VALUES FROM \"s7mpa_host\" WITH KEY = \"host\""),
    };
    json!({
        "uid": format!("s7mpa-{}", source.kind()),
        "title": match source {
            Source::Prometheus => "s7mpa: hosts",
            Source::Influx => "s7mpa: hosts (InfluxDB)",
        },
        "tags": ["s7mpa"],
        "schemaVersion": 39,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "templating": {"list": [
            {"name": "datasource", "label": "Data source", "type": "datasource", "query": source.kind()},
            {
                "name": "host", "label": "Host", "type": "query", "query": hosts, "refresh": 2, "sort": 1,
                "datasource": {"type": source.kind(), "uid": "${datasource}"},
                "multi": true, "includeAll": true, "allValue": ".*", "current": {"text": "All", "value": "$__all"},
            },
        ]},
        "panels": panels,
    })
}
