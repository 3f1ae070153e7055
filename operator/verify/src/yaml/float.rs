//! Floating-point numbers as Go's `strconv.FormatFloat(v, 'g', -1, bits)` writes them.

/// Writes `number` as Helm writes a float into a text field: shortest form *as a 32-bit float*
/// (`sigs.k8s.io/yaml`, `convertToJSONableObject`).
pub(crate) fn general_f32(number: f64) -> String {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "Go rounds to 32 bits here, too"
    )]
    #[allow(
        clippy::as_conversions,
        reason = "there is no other conversion between floats"
    )]
    let number = number as f32;
    let rounded = |places: usize| format!("{number:.places$e}");
    general(&even(format!("{number:e}"), rounded, |text| {
        text.parse() == Ok(number)
    }))
}

/// Writes `number` as Go's `%v` does.
pub(crate) fn general_f64(number: f64) -> String {
    let rounded = |places: usize| format!("{number:.places$e}");
    general(&even(format!("{number:e}"), rounded, |text| {
        text.parse() == Ok(number)
    }))
}

/// Of two shortest forms that are as near to a number, Go takes the even one, and Rust the larger: 230101.125 as a
/// 32-bit float is `230101.12` to Go. Rounded to as many places, Rust takes the even one too.
fn even(
    shortest: String,
    rounded: impl Fn(usize) -> String,
    is_number: impl Fn(&str) -> bool,
) -> String {
    let mantissa = shortest.split('e').next().unwrap_or_default();
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let even = rounded(digits.saturating_sub(1));
    if is_number(&even) { even } else { shortest }
}

/// A whole number where Go decodes every number into a `float64`.
pub(crate) fn float64(number: i128) -> f64 {
    #[allow(
        clippy::cast_precision_loss,
        reason = "Go loses what a float64 cannot hold, too"
    )]
    #[allow(
        clippy::as_conversions,
        reason = "there is no other conversion to a float"
    )]
    let number = number as f64;
    number
}

/// Turns Rust's shortest exponent form (`1.25e-7`) into Go's `%g`: plain digits for exponents from
/// -4 to 5, otherwise a sign and at least two digits of exponent.
fn general(shortest: &str) -> String {
    let Some((mantissa, exponent)) = shortest.split_once('e') else {
        return special(shortest).to_owned();
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    if !(-4..6).contains(&exponent) {
        let direction = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{direction}{:02}", exponent.unsigned_abs());
    }
    format!("{sign}{}", positional(&mantissa.replace('.', ""), exponent))
}

/// Places the decimal point `exponent` digits after the first one.
fn positional(digits: &str, exponent: i32) -> String {
    let Ok(exponent) = usize::try_from(exponent) else {
        let zeros = usize::try_from(exponent.unsigned_abs())
            .unwrap_or(1)
            .saturating_sub(1);
        return format!("0.{}{digits}", "0".repeat(zeros));
    };
    let whole = exponent.saturating_add(1);
    match digits.split_at_checked(whole) {
        Some((digits, "")) => digits.to_owned(),
        Some((before, after)) => format!("{before}.{after}"),
        None => format!("{digits}{}", "0".repeat(whole.saturating_sub(digits.len()))),
    }
}

fn special(text: &str) -> &'static str {
    match text {
        "inf" => "+Inf",
        "-inf" => "-Inf",
        _ => "NaN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Go 1.26, `strconv.FormatFloat(f, 'g', -1, 32)` and `fmt.Sprint(f)`.
    const GO: [(f64, &str, &str); 19] = [
        (1.10, "1.1", "1.1"),
        (1.0, "1", "1"),
        (0.0, "0", "0"),
        (1e6, "1e+06", "1e+06"),
        (20_230_101.12, "2.0230102e+07", "2.023010112e+07"),
        (123_456.0, "123456", "123456"),
        (1_234_567.0, "1.234567e+06", "1.234567e+06"),
        (0.00001, "1e-05", "1e-05"),
        (0.0001, "0.0001", "0.0001"),
        (100_000.0, "100000", "100000"),
        (1e21, "1e+21", "1e+21"),
        (1.5e20, "1.5e+20", "1.5e+20"),
        (12_345_678.0, "1.2345678e+07", "1.2345678e+07"),
        (2.345_678_901_23, "2.3456788", "2.34567890123"),
        // Halfway between two shortest forms.
        (230_101.12, "230101.12", "230101.12"),
        (230_101.13, "230101.12", "230101.13"),
        (230_101.37, "230101.38", "230101.37"),
        (230_101.62, "230101.62", "230101.62"),
        (1_048_576.25, "1.0485762e+06", "1.04857625e+06"),
    ];

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (number, as_f32, as_f64) in GO {
            assert_eq!(general_f32(number), as_f32);
            assert_eq!(general_f64(number), as_f64);
            if number != 0.0 {
                assert_eq!(general_f64(-number), format!("-{as_f64}"));
            }
        }
        assert_eq!(general_f32(f64::INFINITY), "+Inf");
        assert_eq!(general_f32(f64::NAN), "NaN");
        assert_eq!(general_f64(12.5), "12.5");
    }
}
