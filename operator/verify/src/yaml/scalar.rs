//! What a plain scalar means: go-yaml v2 `resolve.go`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;

use super::{Value, YamlError, float64};

/// Resolves the text of a scalar, given its tag in the short form (`!!int`), if it has one.
///
/// # Errors
/// Fails where go-yaml does: the text does not fit the tag, or is no base64 under `!!binary`.
pub(super) fn resolve(tag: &str, text: String) -> Result<Value, YamlError> {
    match tag {
        "" | "!!bool" | "!!int" | "!!float" | "!!null" | "!!timestamp" => {
            fit(tag, plain(&text), text)
        }
        "!!binary" => binary(&text),
        // `!!str` and, as in go-yaml, every tag that it does not know.
        _ => Ok(Value::Text(text)),
    }
}

/// Applies an explicit tag to what the text looks like.
fn fit(tag: &str, found: Option<Value>, text: String) -> Result<Value, YamlError> {
    match (tag, found) {
        ("", None) => Ok(Value::Text(text)),
        ("!!timestamp", None) if timestamp(&text) => Ok(Value::Text(text)),
        ("!!float", Some(Value::Int(number))) => Ok(Value::Float(float64(number))),
        ("", Some(value))
        | ("!!bool", Some(value @ Value::Bool(_)))
        | ("!!int", Some(value @ Value::Int(_)))
        | ("!!float", Some(value @ Value::Float(_)))
        | ("!!null", Some(value @ Value::Null)) => Ok(value),
        _ => Err(YamlError::NotJson),
    }
}

fn binary(text: &str) -> Result<Value, YamlError> {
    let text: String = text.split(['\r', '\n']).collect();
    let bytes = STANDARD.decode(text).map_err(|_| YamlError::NotJson)?;
    Ok(Value::Text(lossy(&bytes)))
}

/// Replaces each invalid *byte* by U+FFFD, as Go's JSON encoder does.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '\u{FFFD}'));
    }
    text
}

/// Says what a plain text is, or `None` for a text.
fn plain(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Some(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Some(Value::Bool(true))
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(Value::Bool(false))
        }
        ".nan" | ".NaN" | ".NAN" => Some(Value::Float(f64::NAN)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(Value::Float(f64::INFINITY)),
        "-.inf" | "-.Inf" | "-.INF" => Some(Value::Float(f64::NEG_INFINITY)),
        _ => match text.bytes().next() {
            Some(b'.') => fraction(text),
            Some(b'+' | b'-' | b'0'..=b'9') => number(text),
            _ => None,
        },
    }
}

/// Reads a float that begins with its point, where Go's `ParseFloat` wants every `_` between digits.
fn fraction(text: &str) -> Option<Value> {
    let digit = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_digit());
    let mut parts = text.split('_').peekable();
    while let Some(part) = parts.next() {
        if let Some(next) = parts.peek()
            && !(digit(part.bytes().last()) && digit(next.bytes().next()))
        {
            return None;
        }
    }
    float(&text.replace('_', ""))
}

/// Reads an integer or a float; a date is neither.
fn number(text: &str) -> Option<Value> {
    let text = text.replace('_', "");
    let number = integer(&text).or_else(|| signed_binary(&text));
    number.map(Value::Int).or_else(|| float(&text))
}

/// Reads `0b+1` and `0b-1`, as go-yaml alone does.
fn signed_binary(text: &str) -> Option<i128> {
    let digits = text.strip_prefix("0b")?;
    i64::from_str_radix(digits, 2).ok().map(i128::from)
}

/// Reads an integer as Go's `strconv.ParseInt(text, 0, 64)` and `ParseUint` do: `0x`, `0o`, `0b`
/// and a plain leading `0` for octal.
fn integer(text: &str) -> Option<i128> {
    let (negative, signed, digits) = match text.as_bytes().first()? {
        b'-' => (true, true, text.get(1..)?),
        b'+' => (false, true, text.get(1..)?),
        _ => (false, false, text),
    };
    let (radix, digits) = radix(digits);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let number = if negative {
        magnitude.checked_neg()?
    } else {
        magnitude
    };
    let fits = i64::try_from(number).is_ok() || (!signed && u64::try_from(number).is_ok());
    fits.then_some(number)
}

fn radix(digits: &str) -> (u32, &str) {
    let mut bytes = digits.bytes();
    let prefix = (
        bytes.next(),
        bytes.next().map(|byte| byte.to_ascii_lowercase()),
    );
    let radix = match prefix {
        (Some(b'0'), Some(b'x')) => 16,
        (Some(b'0'), Some(b'o')) => 8,
        (Some(b'0'), Some(b'b')) => 2,
        (Some(b'0'), Some(_)) => return (8, digits.get(1..).unwrap_or_default()),
        _ => return (10, digits),
    };
    (radix, digits.get(2..).unwrap_or_default())
}

/// Reads `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`; what overflows is a text. Rust reads
/// the same, and beyond it only words that are not finite.
fn float(text: &str) -> Option<Value> {
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(Value::Float(number))
}

/// Says whether a plain text is a text, for readers of YAML 1.1 too (`encode.go`, `stringv`).
pub(super) fn is_text(text: &str) -> bool {
    plain(text).is_none() && !timestamp(text) && !base_60(text)
}

/// Says whether go-yaml takes `text` for a timestamp (`parseTimestamp`). It stays a text where it is read.
fn timestamp(text: &str) -> bool {
    let Some(after) = date(text) else {
        return false;
    };
    if after.is_empty() {
        return true;
    }
    if let Some(after) = after.strip_prefix(['T', 't']) {
        return clock(after).is_some_and(is_zone);
    }
    let clocked = after.trim_start_matches(' ');
    clocked.len() < after.len() && clock(clocked) == Some("")
}

/// Reads `2006-1-2`, and gives what follows.
fn date(text: &str) -> Option<&str> {
    let (year, rest) = text.split_once('-')?;
    let is_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
    let (month, rest) = one_or_two_digits(rest)?;
    let (day, rest) = one_or_two_digits(rest.strip_prefix('-')?)?;
    let year = year.parse().ok().filter(|_| is_year)?;
    Date::new(year, month, day).is_ok().then_some(rest)
}

/// Reads `15:4:5.999999999`, and gives what follows.
fn clock(text: &str) -> Option<&str> {
    let (hour, rest) = one_or_two_digits(text)?;
    let (minute, rest) = one_or_two_digits(rest.strip_prefix(':')?)?;
    let (second, rest) = one_or_two_digits(rest.strip_prefix(':')?)?;
    let fraction = rest.strip_prefix(['.', ',']).unwrap_or_default();
    let after = fraction.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let rest = if after.len() < fraction.len() {
        after
    } else {
        rest
    };
    (hour < 24 && minute < 60 && second < 60).then_some(rest)
}

/// Reads `Z07:00`.
fn is_zone(text: &str) -> bool {
    let offset = || {
        let (hours, minutes) = text.strip_prefix(['+', '-'])?.split_once(':')?;
        let two = |digits: &str| {
            let (value, rest) = one_or_two_digits(digits)?;
            (digits.len() == 2 && rest.is_empty()).then_some(value)
        };
        // Some write offsets of 24 hours or 60 minutes, says Go.
        Some(two(hours)? <= 24 && two(minutes)? <= 60)
    };
    text == "Z" || offset() == Some(true)
}

fn one_or_two_digits(text: &str) -> Option<(i8, &str)> {
    let digits = text.bytes().take(2).take_while(u8::is_ascii_digit);
    let (digits, rest) = text.split_at_checked(digits.count())?;
    Some((digits.parse().ok()?, rest))
}

/// Says whether a text is a number to the base 60 in YAML 1.1, such as `190:20:30`. go-yaml reads none, and
/// quotes them for others (`isBase60Float`).
fn base_60(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digit = |byte: u8| byte.is_ascii_digit() || byte == b'_';
    let mut places = whole.split(':');
    let first = places.next().unwrap_or_default();
    let is_first = first.starts_with(|letter: char| letter.is_ascii_digit());
    let mut places = places.peekable();
    is_first
        && first.bytes().chain(fraction.bytes()).all(is_digit)
        && places.peek().is_some()
        && places.all(|place| match place.as_bytes() {
            [one] | [b'0'..=b'5', one] => one.is_ascii_digit(),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn plain_scalars_mean_what_go_yaml_v2_says() {
        for (plain, value) in [
            ("yes", Value::Bool(true)),
            ("Off", Value::Bool(false)),
            ("n", Value::Bool(false)),
            ("yEs", text("yEs")),
            ("014", Value::Int(12)),
            ("0o14", Value::Int(12)),
            ("08", Value::Float(8.0)),
            ("0x1F", Value::Int(31)),
            ("-0x1F", Value::Int(-31)),
            ("0b11", Value::Int(3)),
            ("+12", Value::Int(12)),
            ("1_000", Value::Int(1000)),
            (
                "18446744073709551615",
                Value::Int(18_446_744_073_709_551_615),
            ),
            (
                "+18446744073709551615",
                Value::Float(18_446_744_073_709_551_615.0),
            ),
            ("1e6", Value::Float(1e6)),
            ("1.", Value::Float(1.0)),
            (".5", Value::Float(0.5)),
            (".51_000", Value::Float(0.51)),
            ("._5", text("._5")),
            (".5_", text(".5_")),
            (".", text(".")),
            ("1e400", text("1e400")),
            ("1.2.3", text("1.2.3")),
            ("2001-01-01", text("2001-01-01")),
            ("~", Value::Null),
            ("", Value::Null),
            ("-", text("-")),
            ("0", Value::Int(0)),
            ("0x", text("0x")),
            ("12e03", Value::Float(12000.0)),
            ("685230.15", Value::Float(685_230.15)),
            ("190:20:30", text("190:20:30")),
            ("v1", text("v1")),
        ] {
            assert_eq!(resolve("", plain.to_owned()), Ok(value), "{plain}");
        }
    }

    #[test]
    fn what_would_be_read_as_something_else_is_no_plain_text() {
        for other in [
            "2001-01-01",
            "2001-1-2",
            "2001-1-2T1:2:3Z",
            "2001-12-14t21:59:43.10-05:00",
            "2001-12-14 21:59:43,1",
            "2001-12-14   21:59:43",
            "190:20:30",
            "-1_0:59.1_",
            "12",
            "1e3",
            "0b1",
            "yes",
            "~",
            "",
            ".inf",
        ] {
            assert!(!is_text(other), "{other}");
        }
        for one in [
            "2001-13-01",
            "2001-02-29",
            "2001-1-2T1:2:3",
            "2001-1-2 1:2:3Z",
            "2001-1-2 1:2",
            "2001-1-2T24:0:0Z",
            "2001-1-2T1:2:3+1:00",
            "2001-1-2T1:2:3+25:00",
            "01-01-01",
            "190:60",
            ":30",
            "190:",
            "_1:20",
            "1:20.x",
            "1.2.3",
            "<<",
            "=",
            "v1",
        ] {
            assert!(is_text(one), "{one}");
        }
    }

    #[test]
    fn tags_are_applied_or_refused() {
        assert_eq!(resolve("!!str", "12".to_owned()), Ok(text("12")));
        assert_eq!(resolve("!!float", "12".to_owned()), Ok(Value::Float(12.0)));
        assert_eq!(resolve("!!int", "x".to_owned()), Err(YamlError::NotJson));
        assert_eq!(resolve("!!binary", "aGk=".to_owned()), Ok(text("hi")));
        assert_eq!(resolve("!mine", "12".to_owned()), Ok(text("12")));
    }

    #[test]
    fn each_invalid_byte_becomes_one_replacement_character() {
        assert_eq!(lossy(b"a\xe2\x82b"), "a\u{FFFD}\u{FFFD}b");
    }
}
