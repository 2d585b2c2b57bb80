//! Functions of one value.

type OfValue = fn(f64, &[f64]) -> f64;

pub(super) fn find(name: &str) -> Option<OfValue> {
    Some(match name {
        "abs" => |value, _| value.abs(),
        "acos" => |value, _| value.acos(),
        "acosh" => |value, _| value.acosh(),
        "asin" => |value, _| value.asin(),
        "asinh" => |value, _| asinh(value),
        "atan" => |value, _| value.atan(),
        "atanh" => |value, _| value.atanh(),
        "ceil" => |value, _| value.ceil(),
        "clamp" => |value, limits| clamp(value, limits[0], limits[1]),
        "clamp_max" => |value, limits| clamp(value, f64::NEG_INFINITY, limits[0]),
        "clamp_min" => |value, limits| clamp(value, limits[0], f64::INFINITY),
        "cos" => |value, _| value.cos(),
        "cosh" => |value, _| value.cosh(),
        "deg" => |value, _| value * 180.0 / std::f64::consts::PI,
        "exp" => |value, _| value.exp(),
        "floor" => |value, _| value.floor(),
        "ln" => |value, _| value.ln(),
        "log10" => |value, _| value.log10(),
        "log2" => |value, _| value.log2(),
        "rad" => |value, _| value * std::f64::consts::PI / 180.0,
        "round" => |value, to| {
            // By the inverse: 0.1 has no exact value, 10 has.
            let inverse = 1.0 / to[0];
            (value * inverse + 0.5).floor() / inverse
        },
        "sgn" => |value, _| if value == 0.0 || value.is_nan() { value } else { value.signum() },
        "sin" => |value, _| value.sin(),
        "sinh" => |value, _| value.sinh(),
        "sqrt" => |value, _| value.sqrt(),
        "tan" => |value, _| value.tan(),
        "tanh" => |value, _| value.tanh(),
        _ => return None,
    })
}

/// Nothing where the limits cross; NaN where one of them is.
fn clamp(value: f64, least: f64, most: f64) -> f64 {
    if most < least {
        return crate::rows::ABSENT;
    }
    if value.is_nan() || least.is_nan() || most.is_nan() {
        return f64::NAN;
    }
    value.min(most).max(least)
}

/// The standard library's loses small values: it is 0 for `1e-20`, and large ones overflow its square.
fn asinh(value: f64) -> f64 {
    let size = value.abs();
    if !size.is_finite() || size < 1e-9 {
        return value;
    }
    if size > 1e9 {
        return (size.ln() + std::f64::consts::LN_2).copysign(value);
    }
    value.asinh()
}
