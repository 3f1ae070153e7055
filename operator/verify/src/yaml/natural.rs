//! The order in which go-yaml v2 writes the keys of a mapping (`sorter.go`): numbers in them by their value.

use std::cmp::Ordering;

use unicode_general_category::{GeneralCategory, get_general_category};

use super::Value;

/// The pairs of a mapping in that order.
///
/// It is no order of mathematics: what `sort_by` does then is its own affair, so each goes before the first
/// that is more.
pub(super) fn sorted(pairs: &[(String, Value)]) -> Vec<(&str, &Value)> {
    let mut sorted: Vec<(Vec<char>, &str, &Value)> = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let letters: Vec<char> = key.chars().collect();
        let at = sorted.partition_point(|(other, ..)| !is_before(&letters, other));
        sorted.insert(at, (letters, key, value));
    }
    let pairs = sorted.into_iter();
    pairs.map(|(_, key, value)| (key, value)).collect()
}

fn is_before(one: &[char], other: &[char]) -> bool {
    let differs = one.iter().zip(other).position(|(one, other)| one != other);
    let Some(at) = differs else {
        return one.len() < other.len();
    };
    let (common, one) = one.split_at(at);
    let (_, other) = other.split_at(at);
    let (Some(first), Some(second)) = (one.first(), other.first()) else {
        return false;
    };
    match (is_letter(*first), is_letter(*second)) {
        (false, false) => {}
        (true, true) => return first < second,
        (_, is_letter) => return is_letter,
    }
    // Within a number a zero is a digit like any other; at its beginning it is none.
    let digits = common.iter().rev().take_while(|letter| is_digit(**letter));
    let is_within = [first, second].contains(&&'0') && digits.into_iter().any(|one| *one != '0');
    let begin = i64::from(is_within);
    let (one, other) = (number(one, begin), number(other, begin));
    one.cmp(&other).then(first.cmp(second)) == Ordering::Less
}

/// The value of the digits at the beginning, after those that led there, and how many they are.
fn number(letters: &[char], begin: i64) -> (i64, usize) {
    let digits = letters.iter().take_while(|letter| is_digit(**letter));
    digits.fold((begin, 0_usize), |(value, count), digit| {
        let digit = i64::from(u32::from(*digit)).wrapping_sub(i64::from(u32::from('0')));
        let value = value.wrapping_mul(10).wrapping_add(digit);
        (value, count.saturating_add(1))
    })
}

fn is_letter(letter: char) -> bool {
    use GeneralCategory::{
        LowercaseLetter, ModifierLetter, OtherLetter, TitlecaseLetter, UppercaseLetter,
    };
    matches!(
        get_general_category(letter),
        LowercaseLetter | ModifierLetter | OtherLetter | TitlecaseLetter | UppercaseLetter
    )
}

fn is_digit(letter: char) -> bool {
    get_general_category(letter) == GeneralCategory::DecimalNumber
}
