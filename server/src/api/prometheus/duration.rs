//! Lengths of time as Prometheus writes them.

/// Milliseconds of a length of time: seconds (`15`, `0.5`) or units (`15s`, `1m30s`), largest first.
pub(super) fn parse(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = (seconds * 1_000.0).round();
        return (ms.abs() < 9e15).then_some(ms as i64);
    }
    let mut rest = text;
    let mut sum = 0_i64;
    // ms of each unit; one that comes later is smaller.
    let mut units = [
        ("y", 31_536_000_000),
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ]
    .into_iter();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let len = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (_, ms) = units.find(|(name, _)| *name == &rest[..len])?;
        sum = sum.checked_add(count.checked_mul(ms)?)?;
        rest = &rest[len..];
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn seconds_and_units_are_read_and_all_else_is_not() {
        let cases = [
            ("15", 15_000),
            ("0.25", 250),
            ("1e3", 1_000_000),
            ("15s", 15_000),
            ("1m30s", 90_000),
            ("1h5ms", 3_600_005),
            ("2w", 1_209_600_000),
            ("-5", -5_000),
        ];
        for (text, ms) in cases {
            assert_eq!(parse(text), Some(ms), "{text}");
        }
        for text in
            ["", "s", "5x", "30s1m", "1m1m", "1.5m", "NaN", "inf", "1e300", "99999999999y", "1 m", "-5m"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
