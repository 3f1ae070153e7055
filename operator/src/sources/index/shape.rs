//! What is read of an index; everything else is passed over.

use std::fmt;

use charttrust_verify::digest::Sha256Digest;
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
            match key.as_str() {
                "apiVersion" => {
                    self.api_version = map
                        .next_value::<Option<String>>()?
                        .is_some_and(|version| !version.is_empty());
                }
                "entries" => map.next_value_seed(Entries(self))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
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
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Entry {
    digest: Option<String>,
    #[serde(rename = "urls", deserialize_with = "first")]
    url: Option<String>,
    version: Option<String>,
}

/// The first of a list of strings, of which there may be none.
fn first<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    from.deserialize_option(First)
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
