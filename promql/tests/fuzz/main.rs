//! Texts that were changed at random, the same in each run: none of them may panic, or take long.

#[path = "../promtool/cases.rs"]
mod cases;
mod entries;

use std::time::{Duration, Instant};

use entries::ENTRIES;

/// Changed texts of each entry.
const ROUNDS: usize = 4_000;
/// Longest time for one text on a machine that does other things, too: most take some µs.
const PATIENCE: Duration = Duration::from_secs(20);

const QUERIES: [&str; 12] = [
    "sum by (host) (rate(x_total{host=~\"a|b\"}[30s])) / on (host) group_left count without (le) (y_bucket) > bool 0.5",
    "histogram_quantile(0.9, sum by (le) (y_bucket)) or vector(1) unless x_total offset -5s",
    "topk(2, x_total) and quantile_over_time(0.5, x_total[20s:3s] @ end())",
    "label_replace(x_total, \"a\", \"$1-$2\", \"host\", \"(.)(.*)\")",
    "median by (host) (mean_over_time(x_total[10s])) ^ -2 % 3 atan2 1e3",
    "absent_over_time(z{a=\"b\"}[5m]) * predict_linear(x_total[20s], 3600)",
    "count_values(\"v\", round(x_total, 0.1)) + Inf - NaN * 0x1F",
    "double_exponential_smoothing(x_total[30s], 0.5, 0.1) @ 1.5e1",
    "sort_desc(-x_total) <= 5 # a comment",
    "max_over_time(deriv(x_total[10s])[30s:5s] offset 3s)",
    "x_total[30s]",
    "f(g(x_total, 1m), \"a\")",
];

const MACROS: &str = "# help\nf(a, b) = sum by (host) (a{host=b})\ng(x, d) = rate(x[d]) + g2(x)\ng2(x) = x\nf(g(x_total, 1m), \"a\")";

/// Numbers that are the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

/// The text with some pieces left out, doubled, exchanged, or replaced by what breaks parsers.
fn changed(numbers: &mut Numbers, text: &str, other: &str) -> String {
    const HARD: [&str; 24] = [
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        "`",
        "\\",
        "{{",
        "}}",
        "\u{0}",
        "é",
        "\u{10ffff}",
        "99999999999999999999",
        "1e999",
        "-",
        ":",
        "\n",
        "  ",
        "x5000000",
        "9999y",
        "|",
    ];
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(chars.len());
        let end = (at + numbers.below(12)).min(chars.len());
        match numbers.below(5) {
            0 => drop(chars.drain(at..end)),
            1 => {
                let piece: Vec<char> = chars[at..end].to_vec();
                let most = if numbers.below(20) == 0 { 3_000 } else { 3 };
                let times = 1 + numbers.below(most);
                chars.splice(at..at, piece.repeat(times));
            }
            2 => drop(chars.splice(at..end, HARD[numbers.below(HARD.len())].chars())),
            3 => {
                let other: Vec<char> = other.chars().collect();
                let from = numbers.below(other.len());
                let to = (from + numbers.below(40)).min(other.len());
                chars.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                let with = numbers.below(chars.len());
                if !chars.is_empty() {
                    chars.swap(at, with);
                }
            }
        }
    }
    chars.into_iter().take(100_000).collect()
}

/// Texts to begin with.
fn corpus(entry: &str) -> Vec<&'static str> {
    match entry {
        "query" => QUERIES.to_vec(),
        "macros" => vec![MACROS],
        "rules" => cases::CHECKS.iter().map(|(_, rules, _)| *rules).collect(),
        _ => cases::TESTS.iter().map(|(_, _, tests, _)| *tests).collect(),
    }
}

#[test]
fn no_text_breaks_the_language_or_its_files() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for (name, entry) in ENTRIES {
        let corpus = corpus(name);
        let mut slowest = (Duration::ZERO, String::new());
        for text in &corpus {
            entry(text);
        }
        for _ in 0..ROUNDS {
            let (one, other) = (corpus[numbers.below(corpus.len())], corpus[numbers.below(corpus.len())]);
            let text = changed(&mut numbers, one, other);
            let begun = Instant::now();
            let shown = text.clone();
            let result = std::panic::catch_unwind(move || entry(&text));
            assert!(result.is_ok(), "{name}: {shown:?}");
            if begun.elapsed() > slowest.0 {
                slowest = (begun.elapsed(), shown);
            }
        }
        let shown: String = slowest.1.chars().take(200).collect();
        println!("{name}: {ROUNDS} texts, the slowest {:?}: {shown:?}", slowest.0);
        assert!(slowest.0 < PATIENCE, "{name}: {shown:?} took {:?}", slowest.0);
    }
}
