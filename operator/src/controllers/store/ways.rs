//! The ways of asking sources.
//!
//! A way is everything that decides how a source is asked. Looks, pauses and a share of the workers belong
//! to a way: a policy that cannot ask takes nothing from another that can, though both name one url.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use charttrust_verify::policy::Source;

/// One way of asking.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Way {
    /// Url, mirrors, credentials, authorities, and where statements are.
    pub source: Source,
    /// The lane in which it is asked: no other way has the same.
    pub lane: String,
}

impl Way {
    fn new(source: &Source) -> Self {
        Self {
            source: source.clone(),
            // Names every field, and quotes what stands in them.
            lane: format!("{source:?}"),
        }
    }
}

/// The ways that are in use: looks of many releases share them.
#[derive(Debug, Default)]
pub struct Ways(Mutex<HashMap<Source, Weak<Way>>>);

impl Ways {
    /// The way of asking a source.
    pub fn of(&self, source: &Source) -> Arc<Way> {
        let mut ways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = ways.get(source).and_then(Weak::upgrade) {
            return way;
        }
        ways.retain(|_, way| way.strong_count() > 0);
        let way = Arc::new(Way::new(source));
        ways.insert(source.clone(), Arc::downgrade(&way));
        way
    }
}

#[cfg(test)]
mod tests {
    use charttrust_verify::policy::{CaRef, ProvenanceAt, SecretName};
    use proptest::prelude::*;

    use super::*;

    /// Few and awkward texts, so that equal and nearly equal ones meet.
    fn text() -> impl Strategy<Value = String> {
        proptest::sample::select(vec![
            "https://a.example.com",
            "https://a.example.com/",
            "a",
            "b",
            "",
            "\", \"",
            "None",
            "Some(\"a\")",
        ])
        .prop_map(str::to_owned)
    }

    fn source() -> impl Strategy<Value = Source> {
        let mirrors = prop::collection::vec(text(), 0..3);
        let ca = prop_oneof![
            text().prop_map(CaRef::ConfigMap),
            text().prop_map(CaRef::Secret)
        ];
        let elsewhere = (text(), prop::option::of(text()));
        let elsewhere = elsewhere.prop_map(|(url, credentials_secret)| ProvenanceAt {
            url,
            credentials_secret,
        });
        let logins = (
            prop::option::of(text()),
            prop::option::of(text()),
            prop::option::of((text(), text())),
        );
        let parts = (
            text(),
            mirrors,
            logins,
            prop::option::of(ca),
            prop::option::of(elsewhere),
        );
        parts.prop_map(
            |(url, mirrors, (credentials_secret, token_audience, of), ca, provenance)| Source {
                url,
                mirrors,
                credentials_secret,
                token_audience,
                deployer_secret: of.map(|(namespace, name)| SecretName { namespace, name }),
                ca,
                provenance,
            },
        )
    }

    proptest! {
        /// Whatever decides how to ask makes another way, so that none waits for another's answers.
        #[test]
        fn two_sources_share_a_way_only_if_they_are_asked_alike(one in source(), other in source()) {
            let ways = Ways::default();
            let (a, b) = (ways.of(&one), ways.of(&other));
            prop_assert_eq!(one == other, Arc::ptr_eq(&a, &b));
            prop_assert_eq!(one == other, a.lane == b.lane);
            prop_assert_eq!((&a.source, &b.source), (&one, &other));
        }
    }

    #[test]
    fn a_way_that_nobody_asks_is_forgotten() {
        let ways = Ways::default();
        let source = |url: &str| Source::at(url);
        (0..100).for_each(|number| drop(ways.of(&source(&number.to_string()))));
        assert_eq!(ways.0.lock().unwrap().len(), 1);
    }
}
