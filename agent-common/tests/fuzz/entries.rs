//! The entry for fuzzing: what any client of InfluxDB may send. The target of `cargo fuzz` in `fuzz/` calls it; the test beside
//! replays texts that were changed at random.

use agent_common::wire::line::{self, Value, loose};

/// Lines of both kinds: what the strict reader takes, the other takes as well, and finds the same in it.
pub(crate) fn lines(text: &str) {
    let mut last = 0;
    for line in loose(text) {
        let number = match line {
            Ok(line) => {
                assert!(!line.line.measurement().is_empty() && !line.line.fields.is_empty());
                let finite = |value: &Value<'_>| !matches!(value, Value::Float(value) if !value.is_finite());
                assert!(line.line.fields.iter().all(|(name, value)| !name.is_empty() && finite(value)));
                assert!(line.line.tags().all(|(name, _)| !name.is_empty()));
                line.number
            }
            Err(error) => {
                assert!(error.column > 0);
                error.line
            }
        };
        assert!(number > last, "{number} after {last}");
        last = number;
    }
    let quoted = text.contains('"');
    // White space before a line is nothing here.
    for one in text.split('\n').filter(|one| !quoted && !one.starts_with('\t')) {
        let Some(Ok(strict)) = line::lines(one).next() else { continue };
        let found: Vec<_> = loose(one).collect();
        assert_eq!(found.len(), 1, "{one:?}");
        let found = found.into_iter().next().and_then(Result::ok).unwrap_or_else(|| panic!("{one:?}"));
        assert_eq!((found.line.key, &found.line.fields), (strict.key, &strict.fields));
        assert_eq!(found.time.map(i64::cast_unsigned), Some(strict.time.0));
    }
}
