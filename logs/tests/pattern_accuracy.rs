//! Whether lines of one log statement, and only they, have one pattern: by statements whose number travels beside the line.

#[path = "patterns/generator.rs"]
mod generator;

use std::collections::HashMap;

use agent_common::units::UnixNs;
use generator::{Random, Statement, line, statements};
use logs::pattern::{Line, PatternId, Patterns};
use logs::{Severity, Stream};

const LINES: u64 = 60_000;

struct Accuracy {
    /// Share of lines whose group has exactly the lines of their statement.
    group: f64,
    /// What went wrong, one line a statement.
    wrong: Vec<String>,
    patterns: usize,
}

/// Writes lines of these statements, the first ones of a program more often than its last ones, and compares.
fn measure(all: &'static [Statement], seed: u64, one_stream: bool) -> Accuracy {
    let mut random = Random(seed);
    let mut patterns = Patterns::new();
    let stream_of = |statement: &Statement| {
        let program = if one_stream { 0 } else { statement.program };
        Stream::new([("source", "file".to_owned()), ("file", format!("/var/log/{program}"))])
    };
    let mut seen: Vec<(usize, PatternId)> = Vec::new();
    let mut examples: HashMap<(usize, PatternId), String> = HashMap::new();
    for nth in 0..LINES {
        // The smaller of two: some statements are rare.
        let id = random.below(all.len() as u64).min(random.below(all.len() as u64)) as usize;
        let id = (id * 97) % all.len();
        let text = line(all[id].text, &mut random);
        let at = UnixNs(1_700_000_000_000_000_000 + nth * 10_000_000);
        let asked = Line { message: &text, severity: Severity::Info, at, failing: false };
        let pattern = patterns.of(&stream_of(&all[id]), &asked).id;
        examples.entry((id, pattern)).or_insert(text);
        seen.push((id, pattern));
    }
    let mut groups: HashMap<(usize, PatternId), (u64, Vec<usize>)> = HashMap::new();
    let mut of_statement: HashMap<usize, u64> = HashMap::new();
    let mut cells: HashMap<(usize, PatternId), u64> = HashMap::new();
    for (id, pattern) in &seen {
        let pattern = patterns.current(&stream_of(&all[*id]), *pattern);
        let program = if one_stream { 0 } else { all[*id].program };
        let group = groups.entry((program, pattern)).or_default();
        group.0 += 1;
        if !group.1.contains(id) {
            group.1.push(*id);
        }
        *of_statement.entry(*id).or_default() += 1;
        *cells.entry((*id, pattern)).or_default() += 1;
    }
    let mut right = 0;
    let mut wrong: HashMap<usize, Vec<(PatternId, u64)>> = HashMap::new();
    for ((id, pattern), lines) in &cells {
        let program = if one_stream { 0 } else { all[*id].program };
        let (of_group, ids) = &groups[&(program, *pattern)];
        if ids.len() == 1 && of_group == &of_statement[id] {
            right += lines;
        } else {
            wrong.entry(*id).or_default().push((*pattern, *lines));
        }
    }
    let texts: HashMap<PatternId, String> = patterns
        .streams()
        .flat_map(|stream| patterns.patterns(stream))
        .map(|pattern| (pattern.id, pattern.text))
        .collect();
    let wrong = wrong
        .into_iter()
        .map(|(id, mut parts)| {
            parts.sort_unstable_by_key(|(_, lines)| std::cmp::Reverse(*lines));
            let shown: Vec<String> = parts
                .iter()
                .take(5)
                .map(|(pattern, lines)| {
                    format!("\n      {lines} x {}", texts.get(pattern).map_or("?", |text| text))
                })
                .collect();
            format!(
                "{} lines in {} groups: {}{}",
                of_statement[&id],
                parts.len(),
                all[id].text,
                shown.concat()
            )
        })
        .collect();
    Accuracy { group: right as f64 / LINES as f64, wrong, patterns: texts.len() }
}

fn report(name: &str, all: &'static [Statement], bound: f64) {
    let mut least: f64 = 1.0;
    for seed in [1, 77, 4_242] {
        let apart = measure(all, seed, false);
        println!(
            "{name}: group accuracy {:.4}, {} statements, {} patterns",
            apart.group,
            all.len(),
            apart.patterns
        );
        if seed == 1 {
            for wrong in &apart.wrong {
                println!("  {wrong}");
            }
        }
        least = least.min(apart.group);
    }
    let together = measure(all, 1, true);
    println!("{name}: all programs in one stream: {:.4}", together.group);
    assert!(least >= bound, "{name}: {least} < {bound}");
}

#[test]
fn lines_of_two_hundred_statements_fall_into_their_groups() {
    let all = statements(include_str!("patterns/statements.txt"));
    assert!(all.len() >= 200, "{}", all.len());
    report("statements", Box::leak(all.into_boxed_slice()), 0.95);
}

/// Written after the algorithm stood. What it showed changed three general rules: brackets in a row, remarks in parentheses,
/// names of several words. Before that it was 0.85 to 0.90.
#[test]
fn lines_of_the_first_statements_that_were_held_out() {
    let all = statements(include_str!("patterns/held_out.txt"));
    assert!(all.len() >= 60, "{}", all.len());
    report("held out", Box::leak(all.into_boxed_slice()), 0.9);
}

/// Written after that; it showed 0.89, and that little is known of lines with few words and of values behind a colon.
#[test]
fn lines_of_the_second_statements_that_were_held_out() {
    let all = statements(include_str!("patterns/held_out_second.txt"));
    assert!(all.len() >= 60, "{}", all.len());
    report("held out, second", Box::leak(all.into_boxed_slice()), 0.92);
}

/// Written last: 0.90 to 0.93 as measured first. Later changes came from other lines (a package manager's log, two values that
/// merged two statements here) and left this figure as it was.
#[test]
fn lines_of_the_third_statements_that_were_held_out() {
    let all = statements(include_str!("patterns/held_out_third.txt"));
    assert!(all.len() >= 60, "{}", all.len());
    report("held out, third", Box::leak(all.into_boxed_slice()), 0.88);
}

/// All lines as errors: each pattern that is born after the ten minutes of learning is news.
#[test]
fn thirty_minutes_of_nginx_redis_and_postgres_bring_no_new_pattern() {
    let all = statements(include_str!("patterns/statements.txt"));
    let servers: Vec<&Statement> =
        all.iter().filter(|statement| (2..=4).contains(&statement.program)).collect();
    assert!(servers.len() > 40, "{}", servers.len());
    let mut random = Random(3);
    let mut patterns = Patterns::new();
    let mut news = Vec::new();
    for nth in 0..40 * 60 * 50_u64 {
        let statement = servers[random.below(servers.len() as u64) as usize];
        let text = line(statement.text, &mut random);
        let stream = Stream::new([("unit", ["nginx", "redis", "postgres"][statement.program - 2])]);
        let at = UnixNs(1_700_000_000_000_000_000 + nth * 20_000_000);
        let seen =
            patterns.of(&stream, &Line { message: &text, severity: Severity::Error, at, failing: false });
        news.extend(seen.news.map(|news| (news, text)));
    }
    assert!(news.is_empty(), "{} news: {:?}", news.len(), &news[..news.len().min(10)]);
    let stream = Stream::new([("unit", "postgres")]);
    let at = UnixNs(1_700_000_000_000_000_000 + 2_400_000_000_000);
    let message = "2026-11-30 12:00:00.123 UTC [77] PANIC:  could not write to file \"pg_wal/xlogtemp.77\"";
    let seen = patterns.of(&stream, &Line { message, severity: Severity::Error, at, failing: false });
    assert_eq!(seen.news, Some(logs::pattern::News::New));
}
