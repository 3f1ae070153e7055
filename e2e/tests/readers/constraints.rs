//! Version constraints beside those of Masterminds/semver, which Helm uses.

use charttrust_e2e::reader::{Question, Reader};
use charttrust_verify::version::Constraint;

use crate::{Tally, times};

/// Xorshift (Marsaglia 2003): the same pairs each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % end as u64).unwrap()
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn number(&mut self) -> String {
        match self.below(20) {
            0 if self.below(4) == 0 => "18446744073709551615".to_owned(),
            1 if self.below(10) == 0 => "18446744073709551616".to_owned(),
            2 => format!("0{}", self.below(3)),
            _ => self.below(4).to_string(),
        }
    }

    /// One of the first list, and now and then of the second.
    fn mostly<'a>(&mut self, usual: &[&'a str], rare: &[&'a str]) -> &'a str {
        let list = if self.below(25) == 0 { rare } else { usual };
        self.one_of(list)
    }

    /// A version, or what looks like one.
    fn version(&mut self, wild: &[&str]) -> String {
        let mut text = self.mostly(&["", "", "v"], &["V", "vv"]).to_owned();
        let parts = [1, 2, 2, 3, 3, 3, 3, 3, 3, 4][self.below(10)].min(3 + self.below(8) / 7);
        for part in 0..parts {
            if part > 0 {
                text.push('.');
            }
            match self.below(6) {
                0 if !wild.is_empty() => text.push_str(self.one_of(wild)),
                _ => text.push_str(&self.number()),
            }
        }
        if self.below(4) == 0 {
            text.push('-');
            text.push_str(self.mostly(
                &["0", "alpha", "alpha.1", "rc.1", "a-b", "9-", "-", "A.9"],
                &["rc.01", "", "a..b", "1.x", "18446744073709551616"],
            ));
        }
        if self.below(8) == 0 {
            text.push('+');
            text.push_str(self.mostly(&["b", "b.1", "01", "-"], &["", "a_b", "b+c"]));
        }
        text
    }

    fn constraint(&mut self) -> String {
        let mut text = String::new();
        for number in 0..=self.below(4) {
            if number > 0 {
                text.push_str(self.mostly(
                    &["||", " || ", " ", ", ", ",", "  ", " - ", "\t"],
                    &["-", " ,, ", "|", "&&", "\u{b}", "\u{a0}"],
                ));
            }
            text.push_str(self.mostly(OPERATORS, &["==", "!", "><", "~=", "^^"]));
            text.push_str(self.one_of(&["", "", "", " ", "  "]));
            let version = self.version(&["x", "X", "*"]);
            text.push_str(&version);
        }
        if self.below(25) == 0 {
            text.insert_str(0, self.one_of(&[" ", ",", "||", "\u{a0}", "*"]));
        }
        if self.below(25) == 0 {
            text.push_str(self.one_of(&[" ", ",", "||", ".", "*", " ||", "x", "-"]));
        }
        text
    }
}

const OPERATORS: &[&str] = &[
    "", "", "", "", "=", "!=", ">", "<", ">=", "=>", "<=", "=<", "~", "~>", "^",
];

const LINES: usize = 10_000;

#[test]
fn a_million_pairs_are_judged_as_masterminds_judges_them() {
    let (mut dice, mut reader) = (Dice(0x5eed), Reader::of_helm4().unwrap());
    let mut tally = Tally::default();
    for _ in 0..times(100) {
        let pairs: Vec<_> = (0..LINES)
            .map(|_| (dice.constraint(), dice.version(&[])))
            .collect();
        let lines = pairs
            .iter()
            .map(|(constraint, version)| format!("{constraint}\u{1e}{version}\n"));
        let answers = reader
            .ask(Question::Pairs, lines.collect::<String>().as_bytes())
            .unwrap();
        assert_eq!(answers.len(), pairs.len());
        for ((constraint, version), answer) in pairs.iter().zip(answers) {
            let ours = constraint
                .parse::<Constraint>()
                .map(|it| it.allows(version));
            let is_same = match answer {
                b'1' => ours == Ok(true),
                b'0' | b'v' => ours == Ok(false),
                _ => ours.is_err(),
            };
            assert!(
                is_same,
                "{constraint:?} and {version:?}: {ours:?}, and Masterminds {}",
                char::from(answer)
            );
            tally.count(char::from(answer).to_string());
        }
    }
    println!("{tally}");
    let least = LINES;
    assert!(
        ["0", "1", "c", "v"]
            .iter()
            .all(|word| tally.of(word) > least),
        "pairs of one kind only: {tally}"
    );
}
