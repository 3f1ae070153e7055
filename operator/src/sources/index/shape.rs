//! What is read of an index; everything else is passed over.

use std::fmt;

use charttrust_verify::digest::Sha256Digest;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::error::Amount;
use super::super::limits::Limits;
use super::{Flaw, Index, Published, Stretch};

/// The index while it is read.
pub(super) struct Root<'a> {
    api_version: bool,
    breach: Option<Amount>,
    entries: bool,
    index: Index,
    limits: &'a Limits,
    stretch: Stretch,
}

impl<'a> Root<'a> {
    pub(super) fn new(limits: &'a Limits, stretch: Stretch) -> Self {
        Self {
            api_version: false,
            breach: None,
            entries: false,
            index: Index::default(),
            limits,
            stretch,
        }
    }

    /// The index, if it was read to its end and is one.
    pub(super) fn finish(mut self, parsed: Result<(), Flaw>) -> Result<Index, Flaw> {
        let most = Amount::EntryBytes(self.limits.index_entry_bytes);
        let entry = self.stretch.is_too_long().then_some(most);
        match (self.breach.or(entry), parsed) {
            (Some(breach), _) => return Err(Flaw::TooLarge(breach)),
            (None, parsed) => parsed?,
        }
        if !self.api_version {
            return Err(Flaw::Unusable("it has no `apiVersion`"));
        }
        if !self.entries {
            return Err(Flaw::Unusable("it has no `entries`"));
        }
        self.index.charts.values_mut().for_each(Vec::shrink_to_fit);
        self.index.charts.shrink_to_fit();
        Ok(self.index)
    }

    fn chart(&mut self, name: &str) -> Result<(), Amount> {
        self.stretch.begin();
        // A name of three letters takes a hundred bytes in the table.
        if self.index.charts.len() >= self.limits.index_versions {
            return self.breached(Amount::Charts(self.limits.index_versions));
        }
        self.text(name.len())?;
        self.index.charts.entry(name.into()).or_default();
        Ok(())
    }

    fn publish(&mut self, chart: &str, found: Entry) -> Result<(), Amount> {
        self.stretch.begin();
        let Some(version) = found.version else {
            return Ok(());
        };
        if self.index.versions >= self.limits.index_versions {
            return self.breached(Amount::Versions(self.limits.index_versions));
        }
        self.text(version.len() + found.url.as_ref().map_or(0, String::len))?;
        self.index.versions += 1;
        let claimed_digest = found.digest.as_deref().and_then(sha256);
        let published = Published {
            claimed_digest,
            url: found.url.map(Into::into),
            version: version.into(),
        };
        self.index
            .charts
            .entry(chart.into())
            .or_default()
            .push(published);
        Ok(())
    }

    fn text(&mut self, bytes: usize) -> Result<(), Amount> {
        self.index.text_bytes += bytes;
        if self.index.text_bytes > self.limits.index_text_bytes {
            return self.breached(Amount::TextBytes(self.limits.index_text_bytes));
        }
        Ok(())
    }

    fn breached(&mut self, amount: Amount) -> Result<(), Amount> {
        self.breach = Some(amount);
        Err(amount)
    }
}

/// The digest in the form that indexes have: hex, with or without `sha256:`.
fn sha256(text: &str) -> Option<Sha256Digest> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
    let mut digest = [0; 32];
    if hex.len() != 2 * digest.len() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
        let digit = |digit: u8| {
            char::from(digit)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        *byte = digit(*pair.first()?)? << 4 | digit(*pair.last()?)?;
    }
    Some(Sha256Digest::from_bytes(digest))
}

impl<'de> DeserializeSeed<'de> for &mut Root<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Root<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a repository index")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if is_called(&key, "apiversion") {
                self.api_version = map
                    .next_value::<Option<String>>()?
                    .is_some_and(|version| !version.is_empty());
            } else if is_called(&key, "entries") {
                map.next_value_seed(Entries(self))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Chart name → versions.
struct Entries<'r, 'a>(&'r mut Root<'a>);

impl<'de> DeserializeSeed<'de> for Entries<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("charts by name")
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.0.entries = true;
        while let Some(chart) = map.next_key::<String>()? {
            self.0.chart(&chart).map_err(Error::custom)?;
            map.next_value_seed(Versions {
                chart: &chart,
                root: self.0,
            })?;
        }
        Ok(())
    }
}

/// The versions of one chart.
struct Versions<'r, 'a> {
    chart: &'r str,
    root: &'r mut Root<'a>,
}

impl<'de> DeserializeSeed<'de> for Versions<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Versions<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("versions of a chart")
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut versions: A) -> Result<(), A::Error> {
        while let Some(version) = versions.next_element::<Option<Entry>>()? {
            self.root
                .publish(self.chart, version.unwrap_or_default())
                .map_err(Error::custom)?;
        }
        Ok(())
    }
}

/// One version as it is listed; unknown fields are passed over.
#[derive(Default)]
struct Entry {
    digest: Option<String>,
    url: Option<String>,
    version: Option<String>,
}

/// A field of an entry.
enum Field {
    Digest,
    Other,
    Urls,
    Version,
}

/// Whether Helm takes a key for this field, whose name is in small letters: it pays no regard to case (Go's
/// `encoding/json`, which folds two letters beyond ASCII as well). What were passed over here, Helm would install.
fn is_called(key: &str, name: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars())
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_identifier(Key)
    }
}

struct Key;

impl Visitor<'_> for Key {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Field, E> {
        let fields = [
            ("digest", Field::Digest),
            ("urls", Field::Urls),
            ("version", Field::Version),
        ];
        let mut fields = fields.into_iter();
        let found = fields.find(|(name, _)| is_called(key, name));
        Ok(found.map_or(Field::Other, |(_, field)| field))
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a version of a chart")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let (mut digest, mut url, mut version) = (None, None, None);
        while let Some(field) = map.next_key::<Field>()? {
            let before = match field {
                Field::Digest => digest
                    .replace(map.next_value::<Option<String>>()?)
                    .is_some(),
                Field::Urls => url.replace(map.next_value::<Urls>()?.0).is_some(),
                Field::Version => version
                    .replace(map.next_value::<Option<String>>()?)
                    .is_some(),
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                    false
                }
            };
            // Which of two counts, Helm decides otherwise in JSON and in YAML.
            if before {
                return Err(Error::custom("an entry has the same field twice"));
            }
        }
        Ok(Entry {
            digest: digest.flatten(),
            url: url.flatten(),
            version: version.flatten(),
        })
    }
}

/// The first of a list of strings, of which there may be none.
struct Urls(Option<String>);

impl<'de> Deserialize<'de> for Urls {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_option(First).map(Self)
    }
}

struct First;

impl<'de> Visitor<'de> for First {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of URLs")
    }

    fn visit_none<E: Error>(self) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Option<String>, D::Error> {
        from.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut urls: A) -> Result<Option<String>, A::Error> {
        let first = urls.next_element::<Option<String>>()?.flatten();
        while urls.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first)
    }
}
