//! Closed vocabularies: a word, its usual cause and the next step, in one place.
//!
//! Conditions, events, metrics, the command line, the schema and the documentation are all made of
//! these, so that a new word is written once.

/// A word that is not in the vocabulary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no word of this vocabulary")]
pub struct UnknownWord(String);

impl UnknownWord {
    /// Keeps the begin of the word: whoever wrote it chose its length.
    pub fn new(word: &str) -> Self {
        Self(word.chars().take(64).collect())
    }
}

/// An enum whose variants are words: `Word: "usual cause" => "next step"`.
#[macro_export]
macro_rules! words {
    ($(#[$meta:meta])* $name:ident {
        $($(#[$doc:meta])* $word:ident: $cause:literal => $step:literal,)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* #[doc = $cause] $word,)+ }

        impl $name {
            /// Every word, in the order of the vocabulary.
            pub const ALL: &[Self] = &[$(Self::$word,)+];

            /// The word itself, as conditions, events and metrics show it.
            pub fn word(self) -> &'static str {
                match self { $(Self::$word => stringify!($word),)+ }
            }

            /// What usually stands behind it, for people.
            pub fn cause(self) -> &'static str {
                match self { $(Self::$word => $cause,)+ }
            }

            /// What to do about it.
            pub fn step(self) -> &'static str {
                match self { $(Self::$word => $step,)+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::vocabulary::UnknownWord;
            fn from_str(word: &str) -> Result<Self, Self::Err> {
                let known = Self::ALL.iter().copied().find(|known| known.word() == word);
                known.ok_or_else(|| $crate::vocabulary::UnknownWord::new(word))
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.word())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let word = <String as ::serde::Deserialize>::deserialize(from)?;
                word.parse().map_err(::serde::de::Error::custom)
            }
        }
    };
}
