//! Operators where one side at least is a scalar.

use crate::error::Result;
use crate::eval::plan::{Binary, Node, Operation, Type};
use crate::eval::{Evaluator, Sink};
use crate::rows::{ABSENT, Row, Steps, is_absent};

impl Operation {
    /// The value of an arithmetic operation; 1 or 0 of a comparison.
    pub(crate) fn compute(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
            Self::Modulo => left % right,
            Self::Power => left.powf(right),
            Self::Atan2 => left.atan2(right),
            _ => f64::from(u8::from(self.holds(left, right))),
        }
    }

    #[expect(clippy::float_cmp, reason = "the language's == compares floats as they are")]
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterEqual => left >= right,
            _ => false,
        }
    }
}

impl Binary {
    /// The value of two: a comparison without `bool` keeps the left one, or nothing.
    pub(crate) fn value(&self, left: f64, right: f64) -> f64 {
        if self.filters() {
            if self.operation.holds(left, right) { left } else { ABSENT }
        } else {
            self.operation.compute(left, right)
        }
    }

    /// Whether it keeps values and labels as they are.
    pub(crate) fn filters(&self) -> bool {
        self.operation.is_comparison() && !self.bool
    }
}

impl Evaluator<'_> {
    pub(crate) fn binary_scalar(&self, binary: &Binary, steps: Steps) -> Result<Vec<f64>> {
        let (left, right) = (self.scalar(&binary.left, steps)?, self.scalar(&binary.right, steps)?);
        Ok(left.iter().zip(&right).map(|(left, right)| binary.operation.compute(*left, *right)).collect())
    }

    pub(crate) fn binary(&self, binary: &Binary, steps: Steps, sink: Sink<'_>) -> Result<()> {
        match (binary.left.kind(), binary.right.kind()) {
            (Type::Vector, Type::Vector) if binary.operation.is_set() => self.set(binary, steps, sink),
            (Type::Vector, Type::Vector) => self.matched(binary, steps, sink),
            (Type::Scalar, _) => self.with_scalar(binary, &binary.right, &binary.left, true, steps, sink),
            _ => self.with_scalar(binary, &binary.left, &binary.right, false, steps, sink),
        }
    }

    fn with_scalar(
        &self,
        binary: &Binary,
        vector: &Node,
        scalar: &Node,
        scalar_left: bool,
        steps: Steps,
        sink: Sink<'_>,
    ) -> Result<()> {
        let scalars = self.scalar(scalar, steps)?;
        let mut computed = |mut row: Row| {
            for (value, scalar) in
                row.points.iter_mut().zip(&scalars).filter(|(value, _)| !is_absent(**value))
            {
                let result =
                    if scalar_left { binary.value(*scalar, *value) } else { binary.value(*value, *scalar) };
                // A comparison keeps the value of the vector, on whichever side it is.
                if !binary.filters() || is_absent(result) {
                    *value = result;
                }
            }
            sink(row)
        };
        if binary.filters() {
            self.each(vector, steps, &mut computed)
        } else {
            self.each_nameless(vector, steps, &mut computed)
        }
    }
}
