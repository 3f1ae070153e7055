//! Versions and version constraints as Helm understands them: Masterminds/semver v3
//! (`version.go`, `constraints.go`), not Cargo's. Touches nothing but text.

use std::cmp::Ordering;
use std::str::FromStr;

/// A constraint such as `>=1.2, <2 || ~3.1` that a version can be held against.
///
/// Space and comma mean *and*, `||` means *or*; a bare `1.2.3` means exactly that, a bare `1.2`
/// means `~1.2`. Pre-releases are excluded unless the group names one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    groups: Vec<Vec<Comparison>>,
}

/// A text is no constraint that Helm understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a version constraint")]
pub struct InvalidConstraint;

impl Constraint {
    /// Says whether `version` fulfils the constraint. What is no version fulfils none.
    pub fn allows(&self, version: &str) -> bool {
        Version::parse(version).is_some_and(|version| self.allows_version(&version))
    }

    /// The highest of some versions that fulfils it.
    pub fn highest<'a>(&self, versions: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        let parsed = versions.filter_map(|text| Some((Version::parse(text)?, text)));
        let allowed = parsed.filter(|(version, _)| self.allows_version(version));
        let order = |one: &Version<'_>, other: &Version<'_>| {
            one.core
                .cmp(&other.core)
                .then_with(|| compare_pre(one.pre, other.pre))
        };
        let highest = allowed.max_by(|(one, _), (other, _)| order(one, other));
        highest.map(|(_, text)| text)
    }

    fn allows_version(&self, version: &Version<'_>) -> bool {
        self.groups.iter().any(|group| {
            let with_pre = group.iter().any(|comparison| !comparison.pre.is_empty());
            // Masterminds asks for a pre-release anywhere in the group, Cargo for one of the same
            // three numbers: `>=1.0.0-0 <2` takes 1.5.0-rc1 here and not there.
            (version.pre.is_empty() || with_pre)
                && group.iter().all(|comparison| comparison.allows(version))
        })
    }
}

impl FromStr for Constraint {
    type Err = InvalidConstraint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_CONSTRAINT || text.split("||").count() > MAX_GROUPS {
            return Err(InvalidConstraint);
        }
        let text = without_ranges(text);
        let groups = text
            .split("||")
            .map(|group| parse_group(group).ok_or(InvalidConstraint));
        Ok(Self {
            groups: groups.collect::<Result<_, _>>()?,
        })
    }
}

/// Whether a text is one version, all of whose numbers are there, and no constraint that several may fulfil.
pub fn is_exact(text: &str) -> bool {
    let bare = text.strip_prefix('v').unwrap_or(text);
    let core = bare.split(['-', '+']).next().unwrap_or_default();
    Version::parse(text).is_some() && core.split('.').count() == 3
}

/// Helm's `IsCompatibleRange` (`pkg/chart/v2/util/compatible.go`).
pub(crate) fn is_compatible(constraint: &str, version: &str) -> bool {
    constraint
        .parse()
        .is_ok_and(|constraint: Constraint| constraint.allows(version))
}

/// Says whether Helm takes `text` for a version.
pub(crate) fn is_version(text: &str) -> bool {
    Version::parse(text).is_some()
}

/// A version, read as leniently as `NewVersion` does. Build metadata does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version<'a> {
    core: [u64; 3],
    pre: &'a str,
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        // Masterminds/semver refuses longer ones, against expressions that take for ever.
        if text.len() > MAX_VERSION {
            return None;
        }
        let (shape, rest) = Shape::parse(text)?;
        if !rest.is_empty() {
            return None;
        }
        let [major, minor, patch] = shape.core;
        let number = |part: Option<&str>| part.map_or(Some(0), |part| part.parse().ok());
        let core = [number(Some(major?))?, number(minor)?, number(patch)?];
        is_pre(shape.pre).then_some(Self {
            core,
            pre: shape.pre,
        })
    }

    fn order(&self, comparison: &Comparison) -> Ordering {
        self.core
            .cmp(&comparison.core)
            .then_with(|| compare_pre(self.pre, &comparison.pre))
    }
}

/// Says whether the numeric parts of a pre-release have no leading zeros.
fn is_pre(pre: &str) -> bool {
    let padded = |part: &str| {
        part.len() > 1 && part.starts_with('0') && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    pre.is_empty() || !pre.split('.').any(padded)
}

/// Compares pre-releases; none is above any.
fn compare_pre(left: &str, right: &str) -> Ordering {
    match (left.is_empty(), right.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(left), Some(right)) => compare_part(left, right),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn compare_part(left: &str, right: &str) -> Ordering {
    match (left.parse::<u64>(), right.parse::<u64>()) {
        (Ok(left), Ok(right)) => left.cmp(&right),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => left.cmp(right),
    }
}

/// The pieces of `v1.x.*-pre+meta`, not yet numbers.
struct Shape<'a> {
    core: [Option<&'a str>; 3],
    pre: &'a str,
}

impl<'a> Shape<'a> {
    /// Splits a version off the front.
    fn parse(text: &'a str) -> Option<(Self, &'a str)> {
        // Helm takes `v1.2.3` for a version, and keeps the `v` in names of files: what is compared
        // has none, what is looked for has it.
        let text = text.strip_prefix('v').unwrap_or(text);
        // Its expression has a bar among them: `*.|` is a star to it, and `1|2` no number.
        let core = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'x' | b'X' | b'*' | b'|');
        let (major, mut rest) = split_while(text, core);
        if major.is_empty() {
            return None;
        }
        let mut parts = [None; 2];
        for part in &mut parts {
            let Some(after) = rest.strip_prefix('.') else {
                break;
            };
            let (found, after) = split_while(after, core);
            if found.is_empty() {
                break;
            }
            (*part, rest) = (Some(found), after);
        }
        let [minor, patch] = parts;
        let (pre, rest) = suffix(rest, '-');
        let (_, rest) = suffix(rest, '+');
        Some((
            Self {
                core: [Some(major), minor, patch],
                pre,
            },
            rest,
        ))
    }
}

/// Splits `-alpha.1` or `+build.1` off the front; the identifiers must not be empty.
fn suffix(text: &str, mark: char) -> (&str, &str) {
    let Some(after) = text.strip_prefix(mark) else {
        return ("", text);
    };
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let (found, rest) = split_while(after, letter);
    if found.split('.').any(str::is_empty) {
        ("", text)
    } else {
        (found, rest)
    }
}

fn split_while(text: &str, keep: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text
        .bytes()
        .position(|byte| !keep(byte))
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// One operator with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    core: [u64; 3],
    pre: String,
    wild: Wild,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Above,
    AtLeast,
    AtMost,
    Below,
    Caret,
    Equal,
    Not,
    Tilde,
}

/// From which part on a version is open: `1.x` from the minor part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wild {
    Major,
    Minor,
    None,
    Patch,
}

impl Comparison {
    fn new(operator: Operator, shape: &Shape<'_>) -> Option<Self> {
        let [major, minor, patch] = shape.core;
        let wild = match (is_open(major), is_open(minor), is_open(patch)) {
            (true, _, _) => Wild::Major,
            (false, true, _) => Wild::Minor,
            (false, false, true) => Wild::Patch,
            (false, false, false) => Wild::None,
        };
        let number = |part: Option<&str>| part.unwrap_or_default().parse::<u64>().ok();
        let core = match wild {
            Wild::Major => [0; 3],
            Wild::Minor => [number(major)?, 0, 0],
            Wild::Patch => [number(major)?, number(minor)?, 0],
            Wild::None => [number(major)?, number(minor)?, number(patch)?],
        };
        let pre = shape.pre.to_owned();
        is_pre(&pre).then_some(Self {
            operator,
            core,
            pre,
            wild,
        })
    }

    fn allows(&self, version: &Version<'_>) -> bool {
        let order = version.order(self);
        match self.operator {
            Operator::Above => self.is_below(version, order),
            Operator::AtLeast => order != Ordering::Less,
            Operator::AtMost => self.is_at_least(version, order),
            Operator::Below => order == Ordering::Less,
            Operator::Caret => order != Ordering::Less && self.in_caret(version),
            Operator::Equal if self.wild == Wild::None => order == Ordering::Equal,
            Operator::Equal | Operator::Tilde => order != Ordering::Less && self.in_tilde(version),
            Operator::Not => !self.is_hit(version, order),
        }
    }

    /// `constraintGreaterThan`: `>11` needs 12, `>11.1` needs 11.2.
    fn is_below(&self, version: &Version<'_>, order: Ordering) -> bool {
        let ([major, minor, _], [own_major, own_minor, _]) = (version.core, self.core);
        match self.wild {
            Wild::None => order == Ordering::Greater,
            _ if major != own_major => major > own_major,
            Wild::Minor => false,
            Wild::Patch => minor > own_minor,
            Wild::Major => order == Ordering::Greater,
        }
    }

    /// `constraintLessThanEqual`: `<=11` takes all of 11.
    fn is_at_least(&self, version: &Version<'_>, order: Ordering) -> bool {
        let ([major, minor, _], [own_major, own_minor, _]) = (version.core, self.core);
        match self.wild {
            Wild::None => order != Ordering::Greater,
            _ if major != own_major => major < own_major,
            Wild::Minor => true,
            Wild::Major | Wild::Patch => minor <= own_minor,
        }
    }

    /// `constraintTilde`; `~0.0.0` accepts everything.
    fn in_tilde(&self, version: &Version<'_>) -> bool {
        let ([major, minor, _], [own_major, own_minor, _]) = (version.core, self.core);
        if self.core == [0; 3] && matches!(self.wild, Wild::None | Wild::Major) {
            return true;
        }
        major == own_major && (minor == own_minor || self.wild == Wild::Minor)
    }

    /// `constraintCaret`: nothing left of the first part that is not zero may change.
    fn in_caret(&self, version: &Version<'_>) -> bool {
        let ([major, minor, patch], [own_major, own_minor, own_patch]) = (version.core, self.core);
        if own_major > 0 || self.wild == Wild::Minor {
            return major == own_major;
        }
        if major > 0 {
            return false;
        }
        if own_minor > 0 || self.wild == Wild::Patch {
            return minor == own_minor;
        }
        minor == 0 && patch == own_patch
    }

    /// `constraintNotEqual`, turned round.
    fn is_hit(&self, version: &Version<'_>, order: Ordering) -> bool {
        let ([major, minor, _], [own_major, own_minor, _]) = (version.core, self.core);
        match self.wild {
            Wild::None | Wild::Major => order == Ordering::Equal,
            Wild::Minor => major == own_major,
            Wild::Patch => {
                let same = major == own_major && minor == own_minor;
                same && compare_pre(version.pre, &self.pre) == Ordering::Equal
            }
        }
    }
}

fn is_open(part: Option<&str>) -> bool {
    matches!(part, None | Some("x" | "X" | "*"))
}

/// Parses the comparisons between two `||`, in which no hyphen range is left.
fn parse_group(text: &str) -> Option<Vec<Comparison>> {
    let mut group = Vec::new();
    let mut rest = after_blanks(text);
    loop {
        let (operator, after) = operator(rest);
        let (shape, after) = Shape::parse(after_blanks(after))?;
        group.push(Comparison::new(operator, &shape)?);
        let next = after_blanks(after);
        if next.is_empty() {
            return Some(group);
        }
        if next.len() == after.len() && !next.starts_with(',') {
            return None;
        }
        rest = after_blanks(next.strip_prefix(',').unwrap_or(next));
    }
}

/// Writes hyphen ranges as two comparisons (`rewriteRange`), before anything else is looked at: a range begins where
/// its expression finds one first, within a word or over a `||` without blanks.
fn without_ranges(text: &str) -> String {
    let (mut written, mut rest) = (text.to_owned(), text);
    while !rest.is_empty() {
        if let Some(range) = Range::parse(rest) {
            let comparisons = format!(">= {}, <= {} ", range.from, range.to);
            written = written.replacen(range.whole, &comparisons, 1);
            rest = range.after;
        } else {
            let mut letters = rest.chars();
            letters.next();
            rest = letters.as_str();
        }
    }
    written
}

/// A hyphen range such as `1.2 - 1.4`, with the blanks around it.
struct Range<'a> {
    whole: &'a str,
    from: &'a str,
    to: &'a str,
    after: &'a str,
}

impl<'a> Range<'a> {
    /// Splits one off the front; the hyphen stands between blanks.
    fn parse(text: &'a str) -> Option<Self> {
        let begin = after_blanks(text);
        let (_, end) = Shape::parse(begin)?;
        let hyphen = after_blanks(end);
        let behind = hyphen.strip_prefix('-')?;
        let second = after_blanks(behind);
        if hyphen.len() == end.len() || second.len() == behind.len() {
            return None;
        }
        let (_, rest) = Shape::parse(second)?;
        let after = after_blanks(rest);
        Some(Self {
            whole: before(text, after),
            from: before(begin, end),
            to: before(second, rest),
            after,
        })
    }
}

/// A text without its end.
fn before<'a>(text: &'a str, end: &str) -> &'a str {
    text.strip_suffix(end).unwrap_or(text)
}

/// What follows the blanks that Go's `\s` knows: no others are blanks to it.
fn after_blanks(text: &str) -> &str {
    text.trim_start_matches(|letter: char| letter.is_ascii_whitespace())
}

fn operator(text: &str) -> (Operator, &str) {
    for (name, operator) in OPERATORS {
        if let Some(rest) = text.strip_prefix(name) {
            return (operator, rest);
        }
    }
    (Operator::Equal, text)
}

/// The longer names first.
const OPERATORS: [(&str, Operator); 11] = [
    ("!=", Operator::Not),
    ("<=", Operator::AtMost),
    ("=<", Operator::AtMost),
    ("=>", Operator::AtLeast),
    (">=", Operator::AtLeast),
    ("~>", Operator::Tilde),
    ("<", Operator::Below),
    ("=", Operator::Equal),
    (">", Operator::Above),
    ("^", Operator::Caret),
    ("~", Operator::Tilde),
];

/// Masterminds/semver 3.5 `MaxVersionLen`, in bytes.
const MAX_VERSION: usize = 256;
/// Masterminds/semver 3.5 `MaxConstraintLen`, in bytes.
const MAX_CONSTRAINT: usize = 512;
/// Masterminds/semver 3.5 `MaxConstraintGroups`.
const MAX_GROUPS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    // Both tables were made with Masterminds/semver 3.5.0 (MIT), the version in Helm 3.22 and 4.3:
    // `1` allowed, `0` not, `!` not a version.
    const VERSIONS: [&str; 30] = [
        "0.0.0",
        "0.0.3",
        "0.0.4",
        "0.2.3",
        "0.2.5",
        "0.3.0",
        "1.0.0",
        "1.2.0",
        "1.2.3",
        "1.2.4",
        "1.3.0",
        "2.0.0",
        "2.5.0",
        "3.0.0",
        "1.2.3-alpha",
        "1.2.3-beta",
        "1.2.3-beta.2",
        "1.2.3-beta.11",
        "1.2.4-rc.1",
        "2.0.0-rc1",
        "v1.2.3",
        "1.2",
        "1",
        "1.2.3+a",
        "",
        "x",
        "1.2.3.4",
        "01.2.3",
        "1.2.3-01",
        "1.2.3-a.b+c.d",
    ];
    const TABLE: [(&str, &str); 99] = [
        ("", "invalid"),
        ("*", "111111111111110000001111!!!1!0"),
        ("x", "111111111111110000001111!!!1!0"),
        ("1", "000000111110000000001111!!!1!0"),
        ("1.2", "000000011100000000001101!!!1!0"),
        ("1.2.3", "000000001000000000001001!!!1!0"),
        ("=1.2.3", "000000001000000000001001!!!1!0"),
        ("v1.2.3", "000000001000000000001001!!!1!0"),
        ("1.x", "000000111110000000001111!!!1!0"),
        ("1.2.x", "000000011100000000001101!!!1!0"),
        ("1.*", "000000111110000000001111!!!1!0"),
        ("x.x.x", "111111111111110000001111!!!1!0"),
        (">1", "000000000001110000000000!!!0!0"),
        (">1.2", "000000000011110000000000!!!0!0"),
        (">1.2.3", "000000000111110000000000!!!0!0"),
        (">*", "011111111111110000001111!!!1!0"),
        (">=1.2", "000000011111110000001101!!!1!0"),
        (">=1.2.3", "000000001111110000001001!!!1!0"),
        ("=>1.2.3", "000000001111110000001001!!!1!0"),
        ("<1.2", "111111100000000000000010!!!0!0"),
        ("<1.2.3", "111111110000000000000110!!!0!0"),
        ("<=1", "111111111110000000001111!!!1!0"),
        ("<=1.2", "111111111100000000001111!!!1!0"),
        ("<=1.2.3", "111111111000000000001111!!!1!0"),
        ("=<1.2.3", "111111111000000000001111!!!1!0"),
        ("<=*", "111000000000000000000000!!!0!0"),
        ("<*", "000000000000000000000000!!!0!0"),
        (">=*", "111111111111110000001111!!!1!0"),
        ("!=1", "111111000001110000000000!!!0!0"),
        ("!=1.2", "111111100011110000000010!!!0!0"),
        ("!=1.2.3", "111111110111110000000110!!!0!0"),
        ("!=*", "011111111111110000001111!!!1!0"),
        ("!=1.2.x", "111111100011110000000010!!!0!0"),
        ("~1", "000000111110000000001111!!!1!0"),
        ("~1.2", "000000011100000000001101!!!1!0"),
        ("~1.2.3", "000000001100000000001001!!!1!0"),
        ("~>1.2.3", "000000001100000000001001!!!1!0"),
        ("~0.0.0", "111111111111110000001111!!!1!0"),
        ("~0", "111111000000000000000000!!!0!0"),
        ("~*", "111111111111110000001111!!!1!0"),
        ("~0.0", "111000000000000000000000!!!0!0"),
        ("^1", "000000111110000000001111!!!1!0"),
        ("^1.2", "000000011110000000001101!!!1!0"),
        ("^1.2.3", "000000001110000000001001!!!1!0"),
        ("^0", "111111000000000000000000!!!0!0"),
        ("^0.2", "000110000000000000000000!!!0!0"),
        ("^0.2.3", "000110000000000000000000!!!0!0"),
        ("^0.0", "111000000000000000000000!!!0!0"),
        ("^0.0.3", "010000000000000000000000!!!0!0"),
        ("^0.0.0", "100000000000000000000000!!!0!0"),
        ("^*", "100000000000000000000000!!!0!0"),
        (">=1.0.0 <2.0.0", "000000111110000000001111!!!1!0"),
        (">=1.0.0, <2.0.0", "000000111110000000001111!!!1!0"),
        (">=1.0.0,<2.0.0", "000000111110000000001111!!!1!0"),
        (">=1.0.0 , <2.0.0", "000000111110000000001111!!!1!0"),
        (">=1.0.0<2.0.0", "invalid"),
        ("1.2 - 1.4.5", "000000011110000000001101!!!1!0"),
        ("1 - 2", "000000111111100000001111!!!1!0"),
        ("1.2.3 - 2 !=1.3.0", "000000001101100000001001!!!1!0"),
        ("1.2.3-2", "000000000000000000000000!!!0!0"),
        ("1.2 -1.4", "invalid"),
        ("1 - 2 - 3", "invalid"),
        (">=1 - 2", "invalid"),
        ("<1 || >2", "111111000000010000000000!!!0!0"),
        ("1||2", "000000111111100000001111!!!1!0"),
        ("1 || || 2", "invalid"),
        ("||", "invalid"),
        (">=1.2.3-0", "000000001111111111111001!!!1!1"),
        ("^1.2.3-alpha", "000000001110001111101001!!!1!0"),
        ("~1.2.3-beta.2", "000000001100000011101001!!!1!0"),
        (">1.2.3-beta.2", "000000001111110001111001!!!1!0"),
        ("!=1.2.3-beta", "111111111111111011111111!!!1!1"),
        ("1.2.x-0", "000000011100001111101101!!!1!1"),
        ("*-0", "111111111111111111111111!!!1!1"),
        ("<=1.2-beta", "111111111100001111101111!!!1!1"),
        ("1.2.3-beta", "000000000000000100000000!!!0!0"),
        ("!=1.2-beta", "111111111111111011111111!!!1!1"),
        (">=1.2.3-alpha <2", "000000001110001111111001!!!1!0"),
        ("01.2", "000000011100000000001101!!!1!0"),
        ("1.2.3-01", "invalid"),
        ("1.2.3+a", "000000001000000000001001!!!1!0"),
        ("=1.2.3+b", "000000001000000000001001!!!1!0"),
        (">= 1.2.3", "000000001111110000001001!!!1!0"),
        ("~ 1.2", "000000011100000000001101!!!1!0"),
        (", 1", "invalid"),
        ("1,", "invalid"),
        (",", "invalid"),
        ("foo", "invalid"),
        ("1.2.3.4", "invalid"),
        ("1.", "invalid"),
        ("1.2.3-", "invalid"),
        ("1.2.3-a..b", "invalid"),
        ("> =1", "invalid"),
        (">=1.2.3 foo", "invalid"),
        ("v", "invalid"),
        ("1x", "invalid"),
        ("99999999999999999999", "invalid"),
        ("1.2,,1.3", "invalid"),
        ("1.2  1.2.3", "000000001000000000001001!!!1!0"),
    ];

    #[test]
    fn constraints_behave_as_masterminds_semver() {
        for (text, expected) in TABLE {
            let Ok(constraint) = text.parse::<Constraint>() else {
                assert_eq!(expected, "invalid", "{text:?}");
                continue;
            };
            let verdict = |version: &&str| match (is_version(version), constraint.allows(version)) {
                (false, false) => '!',
                (false, true) => '?',
                (true, allowed) => {
                    if allowed {
                        '1'
                    } else {
                        '0'
                    }
                }
            };
            assert_eq!(
                VERSIONS.iter().map(verdict).collect::<String>(),
                expected,
                "{text:?}"
            );
        }
    }

    /// Each as Masterminds/semver 3.5.0 has it, made by `e2e/tests/readers`: what it takes, and what it does not.
    #[test]
    fn blanks_and_ranges_part_comparisons_as_its_expressions_do() {
        for (text, version) in [
            ("1 - 2 1.5 - 4", "1.7.0"),
            ("1 - 2>1.1", "1.5.0"),
            ("1.1, 1 - 2", "1.1.0"),
            (" 1 - 2", "1.5.0"),
            ("*.|5", "7.0.0"),
            ("1\t\n1", "1.0.0"),
            // At least 1, or 1.1.2 and at most 2: the bars are part of the word in which the range begins.
            ("1||1.1.2 - 2", "5.0.0"),
        ] {
            let constraint = text.parse::<Constraint>();
            assert_eq!(
                constraint.map(|it| it.allows(version)),
                Ok(true),
                "{text:?}"
            );
        }
        for text in [
            "1.1 1 - 2",
            ">1 1 - 2",
            "\u{a0}1",
            "1\u{b}1",
            "1\u{2003}2",
            "1|2",
            "1 - 2 - 3",
            "<= v0.1.1||1.1.2 - X.1.1",
        ] {
            assert!(text.parse::<Constraint>().is_err(), "{text:?}");
        }
    }

    /// `validatePrerelease`: only numbers have no leading zeros.
    #[test]
    fn letters_in_a_prerelease_may_follow_a_zero() {
        assert!(is_version("1.2.3-0a.b"));
        assert!(!is_version("1.2.3-b.00"));
    }

    #[test]
    fn lengths_are_limited_at_n_and_n_plus_1() {
        let version = |length: usize| format!("1.2.3-{}", "a".repeat(length - 6));
        assert!(is_version(&version(MAX_VERSION)));
        assert!(!is_version(&version(MAX_VERSION + 1)));
        assert!(
            vec!["1"; MAX_GROUPS]
                .join("||")
                .parse::<Constraint>()
                .is_ok()
        );
        assert!(
            vec!["1"; MAX_GROUPS + 1]
                .join("||")
                .parse::<Constraint>()
                .is_err()
        );
        assert!(format!("{:512}", "1").parse::<Constraint>().is_ok());
        assert!(format!("{:513}", "1").parse::<Constraint>().is_err());
    }

    #[test]
    fn the_highest_that_is_allowed_is_by_the_order_of_versions() {
        let highest = |constraint: &str| {
            let all = [
                "1.9.0",
                "v1.10.0",
                "2.0.0-rc.1",
                "2.0.0-rc.2",
                "latest",
                "1.10.0-a",
            ];
            let constraint: Constraint = constraint.parse().unwrap();
            constraint.highest(all.into_iter())
        };
        assert_eq!(highest("*"), Some("v1.10.0"));
        assert_eq!(highest("<1.10"), Some("1.9.0"));
        assert_eq!(highest(">=1-0"), Some("2.0.0-rc.2"));
        assert_eq!(highest(">=3"), None);
    }

    #[test]
    fn a_range_is_no_version() {
        for exact in ["1.2.3", "v1.2.3", "1.2.3-rc.1", "1.2.3+build"] {
            assert!(is_exact(exact), "{exact}");
        }
        for range in [
            "",
            "*",
            "1",
            "1.2",
            "1.x",
            "1.2.x",
            "^1.2.3",
            ">=1.2.3",
            "1.2.3 - 2.0.0",
            "latest",
        ] {
            assert!(!is_exact(range), "{range}");
        }
    }
}
