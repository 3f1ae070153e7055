//! How the JSON of a record is read: known keys only, each once and as Helm spells it.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::chart::{self, folds};
use crate::yaml::Value;

/// A JSON object whose known keys are read into `T`.
pub(super) trait Known<'de>: Default {
    const KEYS: &'static [&'static str];

    fn set<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Reads the known keys of an object; null is an empty one.
pub(super) struct Fields<T>(pub(super) T);

impl<'de, T: Known<'de>> Deserialize<'de> for Fields<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldsVisitor(PhantomData))
    }
}

pub(super) struct FieldsVisitor<T>(pub(super) PhantomData<T>);

impl<'de, T: Known<'de>> Visitor<'de> for FieldsVisitor<T> {
    type Value = Fields<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Fields(T::default()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut target = T::default();
        let mut seen = 0_u32;
        while let Some(Text(key)) = map.next_key()? {
            let Some(index) = T::KEYS.iter().position(|known| folds(&key, known)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let bit = u32::try_from(index).map_or(0, |index| 1_u32.wrapping_shl(index));
            // Helm takes both spellings, and the last wins: what we compare would not be what Helm
            // applies.
            let exact = T::KEYS.get(index).is_some_and(|known| *known == key);
            if !exact || seen & bit != 0 {
                return Err(A::Error::custom("repeated key, or key in another case"));
            }
            seen |= bit;
            target.set(&key, &mut map)?;
        }
        Ok(Fields(target))
    }
}

/// A text, borrowed where it has no escapes; null is an empty one.
#[derive(Default)]
pub(super) struct Text<'de>(pub(super) Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Text::default())
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text)))
    }
}

/// An RFC 3339 instant; null, empty and Go's zero time are none.
pub(super) struct Time(pub(super) Option<Timestamp>);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        let mut time = None;
        let read = chart::instant(&mut time, &Value::Text(text.into_owned()));
        read.map(|()| Self(time)).map_err(D::Error::custom)
    }
}

/// Metadata and locks have no numbers.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without numbers")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<Value, E> {
        Ok(Value::Bool(yes))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut pairs: Vec<(String, Value)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            // Fields in another case, or twice, would be merged by Go.
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom("repeated key"));
            }
            pairs.push((key, value));
        }
        Ok(Value::Map(pairs))
    }
}
