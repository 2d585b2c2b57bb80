//! Evaluations whose result differs from the file's, and why.

/// Why this query of this file differs.
pub(crate) fn reason(file: &str, query: &str) -> Option<&'static str> {
    let of_file = EXCLUDED.iter().filter(|excluded| excluded.file == file);
    let found =
        of_file.into_iter().find(|excluded| excluded.queries.is_empty() || excluded.queries.contains(&query));
    found.map(|excluded| excluded.reason)
}

struct Excluded {
    file: &'static str,
    /// None: each query of the file may differ.
    queries: &'static [&'static str],
    reason: &'static str,
}

const EXCLUDED: [Excluded; 7] = [
    Excluded {
        file: "duration_expression",
        queries: &[],
        reason: "arithmetic with durations is experimental in Prometheus 3 (`promql-duration-expr`); the parser has none",
    },
    Excluded {
        file: "type_and_unit",
        queries: &[],
        reason: "the labels `__type__` and `__unit__` are experimental in Prometheus 3 (`type-and-unit-labels`): here they are \
                 labels like others, which arithmetic keeps",
    },
    Excluded {
        file: "name_label_dropping",
        queries: &[
            r#"label_replace(rate({env="1"}[10m]), "my_name", "rate_$1", "__name__", "(.+)")"#,
            r#"label_replace(rate({env="1"}[10m]), "__name__", "rate_$1", "__name__", "(.+)")"#,
            r#"label_join(rate({env="1"}[10m]), "my_name", "_", "__name__")"#,
            r#"label_join(rate({env="1"}[10m]), "__name__", "_", "__name__", "env")"#,
            r#"sum(rate({env="1"}[10m])) by (env)"#,
        ],
        reason: "names that are removed at the end of the query are experimental in Prometheus 3 \
                 (`promql-delayed-name-removal`): here each function removes them",
    },
    Excluded {
        file: "limit",
        queries: &[
            r#"abs(avg(limit_ratio(0.5, http_requests{instance!~"histogram_[0-9]"})) - avg(limit_ratio(-0.5, http_requests{instance!~"histogram_[0-9]"}))) <= bool stddev(http_requests{instance!~"histogram_[0-9]"})"#,
        ],
        reason: "which series are of a share follows from a hash of the labels; Prometheus's differs from build to build",
    },
    Excluded {
        file: "functions",
        queries: &[r#"label_replace(testmetric, "\xff", "", "src", "(.*)")"#],
        reason: "the parser reads `\\xff` as a character, not as a byte: no text of a query is invalid UTF-8",
    },
    Excluded {
        file: "functions",
        queries: &[r#"label_replace(testmetric, "invalid-label-name", "", "src", "(.*)")"#],
        reason: "Prometheus 3 allows each name in UTF-8; 2 did not",
    },
    Excluded {
        file: "functions",
        queries: &[
            r#"sort_by_label(http_requests, "instance")"#,
            r#"sort_by_label_desc(http_requests, "instance")"#,
        ],
        reason: "Prometheus 3 sorts series with the same value by all labels; 2 left them as they came",
    },
];
