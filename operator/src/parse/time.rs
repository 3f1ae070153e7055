//! Points in time as RFC 3339 writes them.

use jiff::Timestamp;

/// A text is no point in time.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is no point in time, write it as 2026-11-18T00:00:00Z")]
pub struct TimeError;

/// A point in time from RFC 3339, and nothing that other notations allow.
pub fn timestamp(text: &str) -> Result<Timestamp, TimeError> {
    if !is_rfc3339(text) {
        return Err(TimeError);
    }
    text.parse().map_err(|_| TimeError)
}

/// Whether the text has the form; the numbers are checked by reading it.
fn is_rfc3339(text: &str) -> bool {
    let Some((date_time, rest)) = text.split_at_checked("0000-00-00T00:00:00".len()) else {
        return false;
    };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) if fraction.starts_with(is_digit) => fraction.trim_start_matches(is_digit),
        Some(_) => return false,
        None => rest,
    };
    let is_offset = rest
        .strip_prefix(['+', '-'])
        .is_some_and(|offset| has_form(offset, "00:00"));
    has_form(date_time, "0000-00-00T00:00:00") && (is_offset || rest.eq_ignore_ascii_case("z"))
}

/// Whether digits stand where the form has zeros, and all else is equal but for case.
fn has_form(text: &str, form: &str) -> bool {
    let fits = |(at, form): (u8, u8)| match form {
        b'0' => at.is_ascii_digit(),
        letter => at.eq_ignore_ascii_case(&letter),
    };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
}

fn is_digit(character: char) -> bool {
    character.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_is_read_with_fraction_and_offset() {
        for (text, same) in [
            ("2026-11-18T00:00:00Z", "2026-11-18T00:00:00Z"),
            ("2026-11-18t01:00:00.5+01:00", "2026-11-18T00:00:00.5Z"),
            ("2026-11-17T23:00:00-01:00", "2026-11-18T00:00:00Z"),
        ] {
            assert_eq!(timestamp(text), Ok(same.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn other_notations_are_refused() {
        for text in [
            "",
            "2026-11-18",
            "2026-11-18T00:00Z",
            "2026-11-18 00:00:00Z",
            "2026-11-18T00:00:00",
            "2026-11-18T00:00:00.Z",
            "2026-11-18T00:00:00+0100",
            "2026-11-18T00:00:00Z[UTC]",
            "2026-13-18T00:00:00Z",
            "2026-11-18T00:00:00ZZ",
            "tomorrow, or so, at noon",
        ] {
            assert_eq!(timestamp(text), Err(TimeError), "{text}");
        }
    }
}
