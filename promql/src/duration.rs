//! Lengths of time as the language writes them.

/// Milliseconds of `1h30m`: units from large to small, each once.
pub fn milliseconds(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 31_536_000_000),
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut sum, mut next) = (text, 0_i64, 0);
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let place = next + UNITS[next..].iter().position(|(own, _)| *own == unit)?;
        sum = sum.checked_add(digits.parse::<i64>().ok()?.checked_mul(UNITS[place].1)?)?;
        (rest, next) = (after, place + 1);
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn units_come_from_large_to_small_each_once() {
        let cases =
            [("0", 0), ("15s", 15_000), ("1m30s", 90_000), ("1h5ms", 3_600_005), ("2w", 1_209_600_000)];
        for (text, ms) in cases {
            assert_eq!(milliseconds(text), Some(ms), "{text}");
        }
        for text in ["", "s", "5", "5x", "30s1m", "1m1m", "1.5m", "99999999999y", "1 m", "-5m"] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }
}
