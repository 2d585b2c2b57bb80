use super::*;

fn mask(line: &str) -> String {
    let mut masked = Masked::default();
    masked.mask(line);
    for token in &masked.tokens {
        assert!(!masked.bytes(token).contains(&b' '), "{line}");
    }
    assert!(masked.tokens.len() <= mask::MAX_TOKENS, "{line}");
    String::from_utf8_lossy(&masked.text).into_owned()
}

#[test]
fn a_line_has_so_many_tokens_at_most() {
    for depth in 0..12 {
        for words in 50..70 {
            let inner = "word ".repeat(words);
            mask(&format!("{}{inner}{} a b", "(x [y {z ".repeat(depth), "} ] )".repeat(depth)));
            mask(&format!("a=\"{inner}\" ").repeat(depth));
            // A text within a text, and a trace behind: each says that there is more.
            let said = format!("level=info msg=\"{inner}\" more and more");
            let trace = "java.lang.Error: a\n\tat com.A.b(A.java:1)\nCaused by: java.io.IOException: b\n\tat c.D.e(D.java:2)";
            mask(&format!("{said}\n{trace}"));
            mask(&format!("{{\"message\":{said:?},\"a\":1,\"b\":[2]}}\n{trace}"));
            mask(&format!("msg='\"{inner}\" a=1 b=2' more\n{trace}"));
        }
    }
}

fn stream() -> Stream {
    Stream::new([("source", "file")])
}

fn at(seconds: u64) -> UnixNs {
    UnixNs((1_000_000 + seconds) * 1_000_000_000)
}

fn see(patterns: &mut Patterns, message: &str, severity: Severity, seconds: u64) -> Seen {
    patterns.of(&stream(), &Line { message, severity, at: at(seconds), failing: false })
}

#[test]
fn the_mask_hides_parameters_and_leaves_words() {
    for (line, masked) in [
        ("connection from 10.0.0.1 port 5312", "connection from <*> port <*>"),
        ("took 5 ms", "took <*>"),
        ("took 5.1s", "took <*>"),
        ("1 file removed", "<*> file removed"),
        ("2 files removed", "<*> file removed"),
        ("sshd[123]: no", "sshd[<*>]: no"),
        ("open() \"/a b\" failed", "open() \"<*>\" failed"),
        ("open 'x y z', then", "open \"<*>\", then"),
        ("it can't be", "it can't be"),
        ("loaded a, b, c", "loaded <*>"),
        ("loaded: a, b", "loaded: <*>"),
        ("a.txt, b.txt and c.txt gone", "<*> gone"),
        ("read /dev/sda1: No such file or directory", "read <*>: <*>"),
        ("statement: SELECT 1 FROM x", "statement: <*>"),
        ("login of user=bob from=here done", "login of <fields> done"),
        ("a=1 b=2", "a=<*> b=<*>"),
        ("ts=1 level=info msg=\"started worker 3\" x=1", "started worker <*>"),
        ("Nov 30 18:41:02 up", "<*> up"),
        ("\u{1b}[32mINFO\u{1b}[0m ready", "INFO ready"),
        ("[error] 12#12: *4 gone", "[error] <*>: *<*> gone"),
        ("{\"level\":3,\"msg\":\"job 5 done\"}", "job <*> done"),
        ("{\"a\":\"up\",\"n\":{\"x\":[1,\"}\"]}}", "a: up n: <*>"),
        (
            "1.2.3.4 - bob [30/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 1",
            "<*> - <*> [<*>] \"<*>\" <*>",
        ),
        ("", "<empty>"),
        ("ERROR:root:broken", "ERROR:root:broken"),
        ("mac 00:16:3e:aa:bb:cc ok", "mac <*> ok"),
    ] {
        assert_eq!(mask(line), masked, "{line}");
    }
}

#[test]
fn fields_that_come_and_go_do_not_split() {
    let bare = mask("open \"/x\" failed (2: gone), client: 1.2.3.4, server: a, host: \"x\"");
    assert_eq!(
        bare,
        mask("open \"/x\" failed (2: gone), client: 1.2.3.4, server: a, host: \"x\", referrer: \"y\"")
    );
    assert_eq!(bare, "open \"<*>\" failed");
}

#[test]
fn a_trace_is_known_by_its_first_line_and_its_innermost_cause() {
    let trace = "request 5 failed\njava.lang.Error: a\n\tat com.A.b(A.java:1)\nCaused by: java.io.IOException: b\n\tat com.B.c(B.java:7)";
    assert_eq!(mask(trace), "request <*> failed | java.io.IOException com.B.c");
}

#[test]
fn many_values_of_a_word_make_it_a_parameter_and_old_ids_lead_to_it() {
    let mut patterns = Patterns::new();
    let names = ["ann", "ben", "cid", "dan", "eve", "fay", "gus", "hal"];
    let ids: Vec<PatternId> = names
        .iter()
        .map(|name| see(&mut patterns, &format!("user {name} has logged in"), Severity::Info, 1).id)
        .collect();
    let last = *ids.last().unwrap();
    assert_ne!(ids[0], last);
    assert!(ids.iter().all(|id| patterns.current(&stream(), *id) == last));
    let all: Vec<Pattern> = patterns.patterns(&stream()).collect();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].text, "user <*> has logged in");
    assert_eq!(all[0].lines, 8);
    assert_eq!(last, PatternId::of("user <*> has logged in"), "the same on every host");
}

#[test]
fn few_variants_stay_apart() {
    let mut patterns = Patterns::new();
    let up = see(&mut patterns, "link is now up", Severity::Info, 1).id;
    let down = see(&mut patterns, "link is now down", Severity::Info, 1).id;
    assert_ne!(patterns.current(&stream(), up), patterns.current(&stream(), down));
}

#[test]
fn a_new_error_is_news_after_ten_minutes_and_only_once() {
    let mut patterns = Patterns::new();
    assert_eq!(see(&mut patterns, "disk is bad", Severity::Error, 0).news, None, "all is new at first");
    assert_eq!(see(&mut patterns, "disk is bad", Severity::Error, 700).news, None);
    assert_eq!(see(&mut patterns, "all is well", Severity::Info, 701).news, None, "not grave");
    assert_eq!(see(&mut patterns, "cannot reach 10.0.0.1", Severity::Error, 702).news, Some(News::New));
    assert_eq!(see(&mut patterns, "cannot reach 10.0.0.2", Severity::Error, 703).news, None);
    let line = Line { message: "giving up now", severity: Severity::Info, at: at(704), failing: true };
    assert_eq!(patterns.of(&stream(), &line).news, Some(News::New), "of a failing process");
}

#[test]
fn a_snapshot_brings_back_ids_learning_and_counts() {
    let mut patterns = Patterns::new();
    for nth in 0..40 {
        see(&mut patterns, &format!("request {nth} from /x/{nth} has failed"), Severity::Error, nth * 10);
        let name = ["ann", "ben", "cid", "dan", "eve"][nth as usize % 5];
        see(&mut patterns, &format!("user {name} has logged in"), Severity::Error, nth * 10);
    }
    let text = serde_json::to_string(&patterns.snapshot()).unwrap();
    let mut back = Patterns::restore(serde_json::from_str(&text).unwrap());
    let sort = |patterns: &Patterns| {
        let mut all: Vec<Pattern> = patterns.patterns(&stream()).collect();
        all.sort_by_key(|pattern| pattern.id);
        all
    };
    assert_eq!(sort(&patterns), sort(&back));
    assert_eq!(see(&mut back, "request 7 from /y has failed", Severity::Error, 1_000).news, None);
    assert_eq!(see(&mut back, "user zoe has logged in", Severity::Error, 1_000).news, None);
    assert_eq!(see(&mut back, "something else", Severity::Error, 1_001).news, Some(News::New));
}

#[test]
fn a_snapshot_that_was_tampered_with_is_left_out_or_cut() {
    let hostile = r#"{"streams":[{"stream":[["a","b"]],"first_ns":1,"templates":[
        {"text":"a b","kinds":"w","gap":null,"proven":true,"severity":"info","counts":{},"example":""},
        {"text":"a","kinds":"w","gap":9,"proven":false,"severity":"info","counts":{},"example":""}],
        "old_ids":[[1,2],[2,1]]}]}"#;
    let mut patterns = Patterns::restore(serde_json::from_str(hostile).unwrap());
    let stream = Stream::new([("a", "b")]);
    assert_eq!(patterns.patterns(&stream).count(), 0);
    let _ = patterns.current(&stream, PatternId(1));
    let line = Line { message: "x", severity: Severity::Info, at: at(0), failing: false };
    assert!(patterns.of(&stream, &line).born);
}

#[test]
fn random_words_neither_grow_the_memory_nor_go_uncounted() {
    let mut patterns = Patterns::new();
    let mut state = 1_u64;
    let mut other = 0;
    for nth in 0..20_000_u64 {
        let mut words = String::new();
        for _ in 0..6 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            for shift in 0..5 {
                words.push(char::from(b'g' + ((state >> (20 + 5 * shift)) % 19) as u8));
            }
            words.push(' ');
        }
        other += u64::from(see(&mut patterns, &words, Severity::Info, nth / 100).id == PatternId::OTHER);
    }
    assert!(patterns.patterns(&stream()).count() <= MAX_PATTERNS);
    assert!(other > 0);
    assert_eq!(patterns.losses().overflow, other);
}

#[test]
fn minutes_are_counted_once() {
    let mut patterns = Patterns::new();
    for second in 0..180 {
        see(&mut patterns, &format!("tick {second}"), Severity::Info, second);
    }
    patterns.sweep(at(400));
    let minutes = patterns.take_minutes();
    assert_eq!(minutes.iter().map(|minute| minute.lines).sum::<u32>(), 180);
    assert!(patterns.take_minutes().is_empty());
}

#[test]
fn what_stops_coming_has_vanished() {
    let mut patterns = Patterns::new();
    for beat in 0..30 {
        see(&mut patterns, "heartbeat is fine", Severity::Info, beat * 10);
    }
    assert!(patterns.sweep(at(320)).is_empty());
    let vanished = patterns.sweep(at(360));
    assert!(
        matches!(vanished[..], [(_, _, News::Vanished { period_ns: DurNs(10_000_000_000), .. })]),
        "{vanished:?}"
    );
    assert!(patterns.sweep(at(400)).is_empty());
}

#[test]
fn hostile_lines_do_no_harm() {
    let mut patterns = Patterns::new();
    let nested = "(".repeat(100_000);
    let long = "x".repeat(1 << 20);
    let quotes = "\"'`".repeat(50_000);
    let pairs = "a=\"".repeat(50_000);
    let json = "{\"msg\":\"".repeat(20_000);
    let messages = "msg=\"event='msg=(x) y' ".repeat(1_000);
    let traces = "Caused by: xException\nat ".repeat(50_000);
    for hostile in [
        &nested,
        &long,
        &quotes,
        &pairs,
        &json,
        &messages,
        &traces,
        "\u{202e}\u{1b}[31m<script>",
        "{\"a\":",
        "{\"a\":\"\\",
        "=",
        "==",
        "= = =",
        "a = ",
        "[",
        "[]",
        "{}",
        "()",
        "\u{1b}",
        "\u{1b}[",
        "\n",
        "\n\n",
        "é=ü",
        "’’’",
        "x, y, ",
        ", , ,",
        "|",
    ] {
        see(&mut patterns, hostile, Severity::Info, 1);
        for cut in 0..hostile.len().min(40) {
            if hostile.is_char_boundary(cut) {
                see(&mut patterns, &hostile[..cut], Severity::Info, 1);
            }
        }
    }
    assert!(patterns.patterns(&stream()).all(|pattern| pattern.text.len() < 16_384));
}

#[test]
fn mangled_lines_do_no_harm() {
    let lines = [
        "2026/11/30 12:00:00 [error] 12#12: *4 open() \"/a b\" failed (2: No such file or directory), client: 1.2.3.4, server: x",
        "{\"level\":30,\"msg\":\"a \\\"b\\\" c\",\"n\":{\"x\":[1,{\"y\":2}]}}",
        "time=1 level=info msg=\"it's (x) [y] {z}\" a='b c' d=[1, 2] e=é",
        "user alice, bob and carol's \u{1b}[32m`files` took 5 seconds: connection refused = x = y",
        "x\njava.lang.Error: a\n\tat com.A.b(A.java:1)\nCaused by: java.io.IOException: b\nTraceback (most recent call last):",
    ];
    let signs: Vec<char> = "\"'`()[]{}=,:;. \\/\n\té<*>#@|-_0aZ\u{1b}\u{85}".chars().collect();
    let mut patterns = Patterns::new();
    let mut state = 7_u64;
    let mut random = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % end
    };
    for nth in 0..30_000 {
        let mut line: Vec<char> = lines[random(lines.len())].chars().collect();
        for _ in 0..=random(8) {
            let at = random(line.len());
            match random(3) {
                0 => line[at] = signs[random(signs.len())],
                1 => line.insert(at, signs[random(signs.len())]),
                _ => line.truncate(at.max(1)),
            }
        }
        let line: String = line.into_iter().collect();
        assert!(mask(&line).len() <= line.len() * 8 + 64, "{line}");
        see(&mut patterns, &line, Severity::Info, nth / 10);
    }
    let back = Patterns::restore(patterns.snapshot());
    assert_eq!(back.patterns(&stream()).count(), patterns.patterns(&stream()).count());
}
