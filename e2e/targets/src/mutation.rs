//! Changes of seeds that are the same each time: what the tests try, without a fuzzer.

/// Inputs made of seeds, one after the other, as many as one likes.
pub struct Mutations<'a> {
    seeds: &'a [Vec<u8>],
    longest: usize,
    state: u64,
}

impl<'a> Mutations<'a> {
    /// Of these seeds; none is longer than `longest` bytes. The same number makes the same inputs.
    pub fn new(seeds: &'a [Vec<u8>], longest: usize, number: u64) -> Self {
        Self {
            seeds,
            longest,
            state: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    /// Xorshift (Marsaglia 2003).
    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// A number below `end`; 0 if there is none.
    fn below(&mut self, end: usize) -> usize {
        let random = self.random() >> 11;
        let end = u64::try_from(end.max(1)).unwrap_or(u64::MAX);
        usize::try_from(random % end).unwrap_or_default()
    }

    /// A stretch of some bytes, mostly a short one.
    fn stretch(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        let most = if self.below(4) == 0 { length } else { 16 };
        let end = start + self.below(most.min(length - start)) + 1;
        start..end.min(length)
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        match self.below(8) {
            0 if !bytes.is_empty() => {
                let (at, bit) = (at % bytes.len(), self.below(8));
                bytes[at] ^= 1 << bit;
            }
            1 if !bytes.is_empty() => {
                let at = at % bytes.len();
                bytes[at] = u8::try_from(self.below(256)).unwrap_or_default();
            }
            2 => {
                let token = TOKENS[self.below(TOKENS.len())];
                bytes.splice(at..at, token.iter().copied());
            }
            3 if !bytes.is_empty() => {
                let stretch = self.stretch(bytes.len());
                bytes.drain(stretch);
            }
            4 if !bytes.is_empty() => {
                let copy = bytes[self.stretch(bytes.len())].to_vec();
                bytes.splice(at..at, copy);
            }
            5 => {
                let other = &self.seeds[self.below(self.seeds.len())];
                let copy = match other.len() {
                    0 => Vec::new(),
                    length => other[self.stretch(length)].to_vec(),
                };
                let end = (at + copy.len()).min(bytes.len());
                bytes.splice(at..end, copy);
            }
            6 => bytes.truncate(at),
            _ => {
                let token = TOKENS[self.below(TOKENS.len())];
                let end = (at + token.len()).min(bytes.len());
                bytes.splice(at..end, token.iter().copied());
            }
        }
        bytes.truncate(self.longest);
    }
}

impl Iterator for Mutations<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut bytes = self.seeds.get(self.below(self.seeds.len()))?.clone();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes);
        }
        Some(bytes)
    }
}

/// What parsers stumble over.
const TOKENS: &[&[u8]] = &[
    b"\0",
    b"\n",
    b"\r\n",
    b"\t",
    b" ",
    b"-",
    b"- ",
    b"---\n",
    b"\n...\n",
    b"\"",
    b"\\",
    b"{}",
    b"[]",
    b"{\"\":0}",
    b"null",
    b"0",
    b"-1",
    b"18446744073709551616",
    b"1e999",
    b"9223372036854775807",
    b"&a [*a,*a]",
    b"<<: *a",
    b"!!binary ",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\xe2\x80\xae",
    b"\x1e",
    b"\xff\xff\xff\xff",
    b"\x30\x84\x7f\xff\xff\xff",
    b"../",
    b"sha256:",
    b"=",
    b"*",
    b"%00",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_makes_the_same_inputs_and_another_makes_others() {
        let seeds = [b"one".to_vec(), Vec::new()];
        let made = |number| {
            Mutations::new(&seeds, 64, number)
                .take(50)
                .collect::<Vec<_>>()
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
        assert!(made(3).iter().all(|bytes| bytes.len() <= 64));
        let distinct: std::collections::BTreeSet<_> = made(4).into_iter().collect();
        assert!(distinct.len() > 30, "{}", distinct.len());
    }
}
