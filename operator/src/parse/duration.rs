//! Durations as Go writes them: `1h30m`, `500ms`, `1.5h`.
//!
//! Decision: not `kube::core::Duration`, which reads numbers as floating point, so that long ones lose
//! nanoseconds, and takes signs, which no interval of ours can have.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DurationError {
    /// Not numbers with units.
    #[error("is no duration, write numbers with units ms, s, m or h, for example 1h30m")]
    Malformed,
    /// Longer than Go can hold.
    #[error("is longer than 290 years, write a shorter one, for example 24h")]
    TooLong,
}

/// A duration from Go's notation, without sign and with the units that the schema allows.
pub fn duration(text: &str) -> Result<Duration, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Malformed);
    }
    let mut rest = text;
    let mut nanoseconds = 0_u128;
    while !rest.is_empty() {
        let (part, after) = part(rest).ok_or(DurationError::Malformed)?;
        nanoseconds = nanoseconds.saturating_add(part);
        rest = after;
    }
    // Go keeps durations in 64 bits with sign; what it could not hold, `kubectl` and other clients
    // could not either.
    let nanoseconds = i64::try_from(nanoseconds).map_err(|_| DurationError::TooLong)?;
    Ok(Duration::from_nanos(nanoseconds.unsigned_abs()))
}

/// The first number with its unit, in nanoseconds, and what follows.
fn part(text: &str) -> Option<(u128, &str)> {
    let (whole, rest) = digits(text)?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest)?,
        None => ("", rest),
    };
    let (unit, rest) = unit(rest)?;
    let whole = whole.parse().unwrap_or(u128::MAX).saturating_mul(unit);
    Some((whole.saturating_add(part_of(unit, fraction)), rest))
}

fn digits(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn unit(text: &str) -> Option<(u128, &str)> {
    let units = [
        ("ms", MILLISECOND),
        ("s", SECOND),
        ("m", MINUTE),
        ("h", HOUR),
    ];
    units
        .into_iter()
        .find_map(|(name, unit)| Some((unit, text.strip_prefix(name)?)))
}

/// `unit` times `0.fraction`; digits beyond nanoseconds of an hour do not matter.
fn part_of(unit: u128, fraction: &str) -> u128 {
    let mut part = 0;
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        part += u128::from(digit - b'0') * place;
    }
    part
}

const MILLISECOND: u128 = 1_000_000;
const SECOND: u128 = 1_000 * MILLISECOND;
const MINUTE: u128 = 60 * SECOND;
const HOUR: u128 = 60 * MINUTE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("1s", 1_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("0.001s", 1),
            ("1m1m", 120_000),
            ("0s", 0),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "", "1", "h", "-1h", "+1h", "1 h", "1.h", ".5h", "1d", "1h1", "1H", "１h",
        ] {
            assert_eq!(duration(text), Err(DurationError::Malformed), "{text}");
        }
    }

    #[test]
    fn the_longest_duration_is_gos() {
        assert!(duration("2562047h").is_ok());
        assert_eq!(duration("2562048h"), Err(DurationError::TooLong));
        assert_eq!(
            duration(&format!("{}h", "9".repeat(60))),
            Err(DurationError::TooLong)
        );
    }
}
