//! Numbers as text.

/// A float as Prometheus writes it: the shortest text that reads as the same value, without exponent.
pub fn plain(value: f64) -> String {
    if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}
