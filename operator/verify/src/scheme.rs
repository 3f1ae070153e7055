//! How the address of a chart source begins, and so how the source is asked.
//!
//! The only list of them: the pattern and the description in the schema, what `parse` accepts and which
//! kind of source is asked are made of it.

macro_rules! schemes {
    ($($name:ident = $word:literal, $port:literal, $states:literal: $publishes:literal,)+) => {
        /// What stands before `://`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Scheme { $(#[doc = $publishes] $name,)+ }

        impl Scheme {
            /// Every scheme, the one to prefer first.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word itself.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// The port that an address means which names none.
            pub fn port(self) -> u16 {
                match self { $(Self::$name => $port,)+ }
            }

            /// What states the digest of an archive there, for people.
            pub fn states_digests(self) -> &'static str {
                match self { $(Self::$name => $states,)+ }
            }

            /// What lies at such an address, for people.
            pub fn publishes(self) -> &'static str {
                match self { $(Self::$name => $publishes,)+ }
            }
        }
    };
}

schemes! {
    Https = "https", 443, "index": "a chart repository, the address to which `/index.yaml` is added",
    Http = "http", 80, "index": "the same without encryption, which needs the operator's `--allow-host`",
    Oci = "oci", 443, "tag or manifest": "an OCI registry with a path in it, to which `/` and the chart's name are added",
}

impl Scheme {
    /// The scheme of an address, and what follows `://`; `None` if it is none of these, as written here.
    pub fn split(address: &str) -> Option<(Self, &str)> {
        let (word, rest) = address.split_once("://")?;
        let scheme = Self::ALL.iter().find(|scheme| scheme.word() == word)?;
        Some((*scheme, rest))
    }

    /// All of them as one sentence begins an address with them: `https://, http:// or oci://`.
    pub fn listed() -> String {
        let mut listed = String::new();
        for (index, scheme) in Self::ALL.iter().enumerate() {
            let last = Self::ALL.len().saturating_sub(1);
            listed.push_str(match index {
                0 => "",
                index if index == last => " or ",
                _ => ", ",
            });
            listed.push_str(scheme.word());
            listed.push_str("://");
        }
        listed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_scheme_is_found_by_its_word_and_no_other_is() {
        for scheme in Scheme::ALL {
            let address = format!("{}://a.example/x://y", scheme.word());
            assert_eq!(
                Scheme::split(&address),
                Some((*scheme, "a.example/x://y")),
                "{address}"
            );
        }
        for other in [
            "",
            "a.example",
            "https:/a",
            "HTTPS://a",
            "ftp://a",
            "://a",
            " https://a",
        ] {
            assert_eq!(Scheme::split(other), None, "{other}");
        }
    }

    /// RFC 3986, 3.1, in lower case.
    #[test]
    fn words_are_different_and_are_those_of_addresses() {
        let words: BTreeSet<_> = Scheme::ALL.iter().map(|scheme| scheme.word()).collect();
        assert_eq!(words.len(), Scheme::ALL.len());
        for word in words {
            let is_usual = |letter: char| {
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || "+-.".contains(letter)
            };
            let is_begun = word.starts_with(|first: char| first.is_ascii_lowercase());
            assert!(is_begun && word.chars().all(is_usual), "{word}");
        }
    }

    #[test]
    fn a_sentence_names_them_all() {
        let listed = Scheme::listed();
        for scheme in Scheme::ALL {
            assert!(
                listed.contains(&format!("{}://", scheme.word())),
                "{listed}"
            );
        }
        assert!(listed.starts_with("https://, "), "{listed}");
        assert_eq!(listed.matches(" or ").count(), 1, "{listed}");
    }
}
