//! Sums and means that keep what plain addition of floats loses: `1e100 + 1 - 1e100` is 1.

/// A sum with its compensation (Neumaier's variant of Kahan's method).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    pub(crate) fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        if sum.is_infinite() {
            // Infinity minus infinity would make the compensation a NaN.
            self.lost = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.lost += (self.sum - sum) + value;
        } else {
            self.lost += (value - sum) + self.sum;
        }
        self.sum = sum;
    }

    pub(crate) fn value(&self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.lost }
    }

    fn scaled(self, factor: f64) -> Self {
        Self { sum: self.sum * factor, lost: self.lost * factor }
    }
}

/// A mean: of the sum, or, where the sum would overflow, carried along from value to value.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    count: f64,
    /// The sum; once `carried`, the mean.
    sum: Sum,
    carried: bool,
}

impl Mean {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.carried {
            let mut sum = self.sum;
            sum.add(value);
            // A first value that is infinite has no mean before it to go on with.
            if !sum.sum.is_infinite() || self.count < 2.0 {
                self.sum = sum;
                return;
            }
            self.carried = true;
            self.sum = self.sum.scaled(1.0 / (self.count - 1.0));
        }
        if self.sum.sum.is_infinite() {
            let opposite = value.is_infinite() && value.signum() != self.sum.sum.signum();
            if !opposite && !value.is_nan() {
                return;
            }
        }
        self.sum = self.sum.scaled((self.count - 1.0) / self.count);
        self.sum.add(value / self.count);
    }

    pub(crate) fn value(&self) -> f64 {
        if self.carried { self.sum.value() } else { self.sum.value() / self.count }
    }
}

/// Variance of all values, after Welford, with compensated sums.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Variance {
    count: f64,
    mean: Sum,
    squares: Sum,
}

impl Variance {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        let before = value - self.mean.value();
        self.mean.add(before / self.count);
        self.squares.add(before * (value - self.mean.value()));
    }

    pub(crate) fn value(&self) -> f64 {
        self.squares.value() / self.count
    }
}

/// The value below which this share of the values lies, interpolated between its neighbours. Sorts the values; NaN counts as
/// the smallest.
pub(crate) fn quantile(share: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || share.is_nan() {
        return f64::NAN;
    }
    if share < 0.0 {
        return f64::NEG_INFINITY;
    }
    if share > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b)));
    let last = values.len() - 1;
    let rank = share * last as f64;
    let below = (rank.floor() as usize).min(last);
    let above = (below + 1).min(last);
    let weight = rank - rank.floor();
    values[below] * (1.0 - weight) + values[above] * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = Sum::default();
        for value in values {
            sum.add(*value);
        }
        sum.value()
    }

    fn mean(values: &[f64]) -> f64 {
        let mut mean = Mean::default();
        for value in values {
            mean.add(*value);
        }
        mean.value()
    }

    #[test]
    fn small_values_survive_between_large_ones() {
        assert_eq!(sum(&[1e100, 1.0, -1e100, 1.0]).to_bits(), 2f64.to_bits());
        assert_eq!(mean(&[1e100, 2.0, -1e100, 2.0]).to_bits(), 1f64.to_bits());
    }

    #[test]
    fn a_mean_does_not_overflow() {
        let max = f64::MAX;
        assert!((mean(&[max, max, max]) / max - 1.0).abs() < 1e-12);
    }

    #[test]
    fn infinities_stay_what_they_are() {
        let inf = f64::INFINITY;
        assert!(sum(&[inf, 1.0]).is_infinite() && mean(&[1.0, inf, 2.0]).is_infinite());
        assert!(sum(&[inf, -inf]).is_nan() && mean(&[inf, -inf]).is_nan());
    }

    #[test]
    fn quantiles_are_interpolated() {
        let bits = |share: f64| quantile(share, &mut [4.0, 1.0, 3.0, 2.0]).to_bits();
        assert_eq!(bits(0.5), 2.5f64.to_bits());
        assert_eq!(bits(1.0), 4f64.to_bits());
        assert_eq!(bits(1.1), f64::INFINITY.to_bits());
    }
}
