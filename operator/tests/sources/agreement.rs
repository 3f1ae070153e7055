//! The same chart over HTTP and in a registry: the same verdict, and the same facts, but for the source.

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::Bound;
use proptest::prelude::*;
use wiremock::{MockServer, ResponseTemplate};

use crate::court::{Bar, NAME, OTHER_CHART, REPOSITORY, SIGNED_CHART, STATEMENT, VERSION, judged};
use crate::registry::{ARCHIVE, PROVENANCE, Registry, descriptor};
use crate::server::serve;

/// What somebody publishes.
#[derive(Clone, Debug)]
struct Publication {
    archive: Vec<u8>,
    /// What index and manifest say that the archive is.
    claimed: Sha256Digest,
    provenance: Option<Vec<u8>>,
}

impl Publication {
    fn new(archive: &[u8], provenance: Option<&[u8]>) -> Self {
        Self {
            archive: archive.to_vec(),
            claimed: Sha256Digest::of(archive),
            provenance: provenance.map(<[u8]>::to_vec),
        }
    }

    async fn over_http(&self) -> (MockServer, String) {
        let server = MockServer::start().await;
        let index = format!(
            "apiVersion: v1\nentries:\n  {NAME}:\n  - version: {VERSION}\n    urls: [x.tgz]\n    digest: {}\n",
            self.claimed
        );
        serve(
            &server,
            "/index.yaml",
            ResponseTemplate::new(200).set_body_string(index),
        )
        .await;
        let bytes = |bytes: &[u8]| ResponseTemplate::new(200).set_body_bytes(bytes.to_vec());
        serve(&server, "/x.tgz", bytes(&self.archive)).await;
        if let Some(provenance) = &self.provenance {
            serve(&server, "/x.tgz.prov", bytes(provenance)).await;
        }
        let url = server.uri();
        (server, url)
    }

    async fn in_registry(&self) -> (Registry, String) {
        let registry = Registry::named(REPOSITORY, |_, _| None).await;
        let mut layers = Vec::new();
        if let Some(provenance) = &self.provenance {
            layers.push((PROVENANCE, provenance.as_slice()));
        }
        let mut manifest = registry.content.manifest(&layers);
        registry.content.blob_as(&self.claimed, &self.archive);
        let archive = descriptor(ARCHIVE, &self.claimed, self.archive.len());
        manifest["layers"].as_array_mut().unwrap().push(archive);
        registry.tag(VERSION, &manifest);
        let url = registry.url();
        (registry, url)
    }

    /// What both say of it, every bit, with one word for whatever is an address.
    async fn told(&self, bar: &Bar) -> ([String; 2], &'static str) {
        let (_server, http) = self.over_http().await;
        let (_registry, oci) = self.in_registry().await;
        let told = async |url: &str| {
            let (answer, judgement) = judged(url, bar).await;
            let told = format!("{answer:#?}\n{judgement:#?}");
            (without_addresses(&told), judgement.verdict.word())
        };
        let ((http, word), (oci, _)) = (told(&http).await, told(&oci).await);
        ([http, oci], word)
    }
}

/// One word for each address, and for what states digests there.
fn without_addresses(text: &str) -> String {
    let words = text
        .split_inclusive(char::is_whitespace)
        .map(without_address);
    let text: String = words.collect();
    text.replace("the index of", "the list of")
        .replace("the tag or manifest of", "the list of")
}

fn without_address(word: &str) -> String {
    let starts = ["http://", "https://", "oci://"].map(|scheme| word.find(scheme));
    let Some(start) = starts.into_iter().flatten().min() else {
        return word.to_owned();
    };
    let (before, address) = word.split_at(start);
    let end = address.find(|c: char| c.is_whitespace() || "\",;)".contains(c));
    let (address, after) = address.split_at(end.unwrap_or(address.len()));
    let colon = if address.ends_with(':') { ":" } else { "" };
    format!("{before}ADDRESS{colon}{after}")
}

/// The first line in which two texts differ.
fn difference([one, other]: &[String; 2]) -> Option<String> {
    let (mut ours, mut theirs) = (one.lines(), other.lines());
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return None,
            (one, other) if one == other => {}
            (one, other) => return Some(format!("{one:?} is {other:?}")),
        }
    }
}

fn bars() -> Vec<Bar> {
    let bounds = [
        Bound::Same(Vec::new()),
        Bound::NotCompared,
        Bound::NoRecord,
        Bound::Different(vec!["templates/a.yaml".to_owned()]),
        Bound::OldWriter(vec!["templates/a.yaml".to_owned()]),
    ];
    let levels = ["Strict", "Signature"];
    let bars = bounds.into_iter().flat_map(|bound| {
        levels.map(|level| Bar {
            level,
            bound: bound.clone(),
        })
    });
    bars.collect()
}

/// A chart with one change each, and the word for it where the release is made of it.
fn table() -> Vec<(&'static str, Publication, &'static str)> {
    let signed = Publication::new(SIGNED_CHART, Some(STATEMENT));
    let with = |provenance: &[u8]| Publication::new(SIGNED_CHART, Some(provenance));
    let of = |archive: &[u8]| Publication::new(archive, Some(STATEMENT));
    let changed = String::from_utf8(STATEMENT.to_vec())
        .unwrap()
        .replace("Test chart", "Best chart");
    let claimed = Publication {
        claimed: Sha256Digest::of(b"another"),
        ..signed.clone()
    };
    let two = [SIGNED_CHART, SIGNED_CHART].concat();
    let backslash = include_bytes!("../../verify/tests/data/frobnitz_backslash-1.2.3.tgz");
    vec![
        ("signed", signed, "SignatureVerified"),
        ("unsigned", Publication::new(SIGNED_CHART, None), "Unsigned"),
        ("claimed to be another", claimed, "SignatureVerified"),
        (
            "with one more byte",
            of(&[SIGNED_CHART, b"\0"].concat()),
            "DigestMismatch",
        ),
        ("another chart", of(OTHER_CHART), "DigestMismatch"),
        ("of Windows", of(backslash), "DigestMismatch"),
        ("twice", of(&two), "DigestMismatch"),
        ("cut", of(&SIGNED_CHART[..100]), "SourceUnavailable"),
        ("empty", of(b""), "SourceUnavailable"),
        ("a page", of(b"<html>"), "SourceUnavailable"),
        ("no gzip", of(b"no archive"), "SourceUnavailable"),
        (
            "signed text changed",
            with(changed.as_bytes()),
            "SignatureInvalid",
        ),
        ("statement empty", with(b""), "ProvenanceMalformed"),
        ("statement is text", with(b"hello"), "ProvenanceMalformed"),
        ("statement is a page", with(b"<html>"), "SourceUnavailable"),
        (
            "statement at the limit",
            with(&[b'x'; 64 * 1024]),
            "ProvenanceMalformed",
        ),
        (
            "statement above it",
            with(&[b'x'; 64 * 1024 + 1]),
            "LimitExceeded",
        ),
    ]
}

#[tokio::test]
async fn http_and_oci_say_the_same_of_the_same_chart() {
    for (what, publication, word) in table() {
        for bar in bars() {
            let (told, of_http) = publication.told(&bar).await;
            assert_eq!(difference(&told), None, "{what} {bar:?}");
            if matches!((bar.level, &bar.bound), ("Strict", Bound::Same(_))) {
                assert_eq!(of_http, word, "{what}");
            }
        }
    }
}

/// Bytes with one change.
fn changed(bytes: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let at = any::<prop::sample::Index>();
    (at, any::<u8>(), 0..4).prop_map(move |(at, byte, how)| {
        let (mut bytes, at) = (bytes.to_vec(), at.index(bytes.len()));
        match how {
            0 => bytes[at] ^= byte,
            1 => bytes.truncate(at),
            2 => bytes.insert(at, byte),
            _ => {}
        }
        bytes
    })
}

fn publication() -> impl Strategy<Value = Publication> {
    let parts = (
        changed(SIGNED_CHART),
        prop::option::weighted(0.9, changed(STATEMENT)),
        any::<bool>(),
    );
    parts.prop_map(|(archive, provenance, is_claimed)| {
        let publication = Publication::new(&archive, provenance.as_deref());
        if is_claimed {
            return publication;
        }
        Publication {
            claimed: Sha256Digest::of(b"another"),
            ..publication
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn http_and_oci_agree_whatever_is_published(publication in publication(), bar in prop::sample::select(bars())) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (told, _) = runtime.block_on(publication.told(&bar));
        prop_assert_eq!(difference(&told), None);
    }
}
