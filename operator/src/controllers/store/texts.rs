//! The signed texts and Sigstore bundles that nobody who is known could explain yet: whoever is declared later is
//! tried on them without a download.
//!
//! Whoever may write records decides how many there are, and whoever signs a chart how large. So they are
//! kept once for all releases of a chart, and only so many bytes of them; a text that was forgotten is
//! fetched again where somebody asks for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::openpgp::SignedMessage;
use charttrust_verify::sigstore::ClaimedBundle;

use super::Release;

/// Signed texts and Sigstore bundles, by the digests of the files that they were read from.
#[derive(Debug, Default)]
pub struct Texts {
    bundles: Mutex<Kept<ClaimedBundle>>,
    statements: Mutex<Kept<SignedMessage>>,
}

#[derive(Debug)]
struct Kept<T> {
    by_digest: BTreeMap<Sha256Digest, (u64, Arc<T>)>,
    /// The digests by when each was put or lent last, counted in turns.
    by_turn: BTreeMap<u64, Sha256Digest>,
    turns: u64,
    bytes: usize,
}

/// Most bytes of either: of two thousand files as Helm writes them, or of thirty that are as large as one may
/// be; of a thousand bundles as cosign writes them, or of eight that are as large as one may be.
const MOST_BYTES: usize = 8 << 20;

impl Texts {
    /// Puts what the evidence of a release holds of texts at its contents.
    pub fn lend(&self, release: &mut Release) {
        let (mut statements, mut bundles) = (held(&self.statements), held(&self.bundles));
        for content in release.contents_mut() {
            let evidence = &mut content.evidence;
            evidence.lend_texts(|digest| statements.find(digest));
            evidence.lend_bundles(|digest| bundles.find(digest));
        }
    }

    /// Takes the texts out of the evidence of a release, and keeps those that somebody may still explain.
    pub fn take(&self, release: &mut Release) {
        let (mut statements, mut bundles) = (held(&self.statements), held(&self.bundles));
        for content in release.contents_mut() {
            let evidence = &mut content.evidence;
            for (digest, message) in evidence.take_texts() {
                statements.put(digest, message, SignedMessage::weight);
            }
            for (digest, bundle) in evidence.take_bundles() {
                bundles.put(digest, bundle, ClaimedBundle::weight);
            }
        }
    }
}

#[cfg(test)]
impl Texts {
    /// As if others had needed all of the room.
    pub(in crate::controllers) fn forget_all(&self) {
        *held(&self.statements) = Kept::default();
        *held(&self.bundles) = Kept::default();
    }
}

fn held<T>(kept: &Mutex<Kept<T>>) -> MutexGuard<'_, Kept<T>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            by_digest: BTreeMap::new(),
            by_turn: BTreeMap::new(),
            turns: 0,
            bytes: 0,
        }
    }
}

impl<T> Kept<T> {
    fn find(&mut self, digest: &Sha256Digest) -> Option<Arc<T>> {
        let (turn, text) = self.by_digest.get_mut(digest)?;
        self.by_turn.remove(turn);
        self.turns += 1;
        *turn = self.turns;
        self.by_turn.insert(self.turns, *digest);
        Some(Arc::clone(text))
    }

    fn put(&mut self, digest: Sha256Digest, text: Arc<T>, weight: fn(&T) -> usize) {
        if self.find(&digest).is_some() {
            return;
        }
        self.turns += 1;
        self.bytes += weight(&text);
        self.by_digest.insert(digest, (self.turns, text));
        self.by_turn.insert(self.turns, digest);
        while self.bytes > MOST_BYTES {
            let Some((_, oldest)) = self.by_turn.pop_first() else {
                return;
            };
            let forgotten = self.by_digest.remove(&oldest);
            self.bytes -= forgotten.map_or(0, |(_, text)| weight(&text));
        }
    }
}

#[cfg(test)]
mod tests {
    use charttrust_verify::evidence::{
        Answer, ArchiveFacts, Claimed, Evidence, Outcome, ProvenanceFacts,
    };

    use serde_json::json;

    use super::*;
    use crate::api::TrustedKey;
    use crate::clock::Moment;
    use crate::controllers::store::{Content, LoadedKey, PollState, Reading, Revision, Store};
    use crate::controllers::testing::{id, signed_revision, web};
    use crate::inventory::helm::Driver;
    use crate::inventory::{Mark, RecordId, ReleaseId};
    use crate::parse;

    const SIGNED: &str = include_str!("../../../verify/tests/openpgp/vectors/ed25519.prov");
    const SIGNER: &str = include_str!("../../../verify/tests/openpgp/vectors/ed25519.asc");
    const URL: &str = "https://charts.example.com";
    const RECORD: RecordId = RecordId::Helm {
        driver: Driver::Secret,
        revision: 1,
    };

    /// A provenance file that a key signed whom nobody knows: other text, and as long as asked.
    fn provenance(number: usize, bytes: usize) -> ProvenanceFacts {
        let (head, rest) = SIGNED.split_once("description:").unwrap();
        let (_, block) = rest.split_once("\n-----BEGIN PGP SIGNATURE").unwrap();
        let padding = "x".repeat(bytes);
        let signed = format!(
            "{head}description: {number:08}{padding}\nname: web\nversion: 1.0.0\n\n...\nfiles:\n  \
             web-1.0.0.tgz: sha256:{}\n-----BEGIN PGP SIGNATURE{block}",
            "0".repeat(64)
        );
        let claimed = Claimed {
            chart: "web",
            version: "1.0.0",
        };
        let read = ProvenanceFacts::read(signed.as_bytes(), claimed);
        assert!(matches!(read, ProvenanceFacts::Signed(_)), "{read:?}");
        read
    }

    fn look(store: &Store, release: &ReleaseId, provenance: ProvenanceFacts) {
        let digest = Sha256Digest::of(b"archive");
        let facts = ArchiveFacts::plain(digest, ("web", "1.0.0"), provenance);
        let mut evidence = Evidence::default();
        let answer = Answer::Archive(Box::new(facts));
        evidence.answers.insert(URL.to_owned(), answer);
        let revision = Revision {
            resource_version: "1".into(),
            content: Ok(Content {
                chart: "web".into(),
                version: "1.0.0".into(),
                manifest: None,
                recorded: None,
                digest: Sha256Digest::of(b"content"),
                evidence,
            }),
            mark: Mark::None,
        };
        store.update(release, |release| {
            release.revisions.insert(RECORD, revision);
            store.texts.take(release);
        });
    }

    /// Whether the text of a release can still be had without a download.
    fn is_at_hand(store: &Store, release: &ReleaseId) -> bool {
        let mut release = store.release(release).unwrap();
        store.texts.lend(&mut release);
        let mut archives = release.contents().flat_map(|one| one.evidence.archives());
        archives.any(|(_, facts)| facts.signed().unwrap().message.is_some())
    }

    fn loaded(object: &TrustedKey) -> LoadedKey {
        let key = parse::key(object, SIGNER.as_bytes());
        assert!(key.is_ok(), "{key:?}");
        LoadedKey {
            reading: Reading {
                generation: 1,
                details: String::new(),
                at: jiff::Timestamp::UNIX_EPOCH,
            },
            fingerprint: object.spec.fingerprint.parse().ok(),
            revocation: None,
            refresh: None,
            key,
            remains: parse::Remains::default(),
        }
    }

    fn held(store: &Store) -> usize {
        let in_evidence = |release: ReleaseId| {
            let release = store.release(&release).unwrap();
            let archives = release.contents().flat_map(|one| one.evidence.archives());
            let texts = archives.filter_map(|(_, facts)| facts.signed()?.message.clone());
            texts.map(|text| text.weight()).sum::<usize>()
        };
        let evidence: usize = store.release_ids().into_iter().map(in_evidence).sum();
        evidence + super::held(&store.texts.statements).bytes
    }

    #[test]
    fn texts_of_many_releases_take_so_many_bytes_and_the_newest_stay() {
        let store = Store::default();
        let release = |number| id("shop", &format!("web-{number}"));
        for number in 0..200 {
            look(&store, &release(number), provenance(number, 60_000));
            assert!(held(&store) <= MOST_BYTES, "{number}: {}", held(&store));
        }
        assert!(held(&store) > MOST_BYTES / 2, "{}", held(&store));
        assert!(is_at_hand(&store, &release(199)));
        assert!(!is_at_hand(&store, &release(0)));
    }

    #[test]
    fn a_text_is_kept_once_for_all_releases_of_a_chart() {
        let store = Store::default();
        (0..100).for_each(|one| look(&store, &id("shop", &one.to_string()), provenance(0, 0)));
        let once = held(&store);
        look(&store, &web(), provenance(1, 0));
        assert_eq!(held(&store), 2 * once);
    }

    #[test]
    fn a_text_whose_signatures_all_hold_is_not_kept() {
        let store = Store::default();
        look(&store, &web(), provenance(0, 0));
        assert!(is_at_hand(&store, &web()));
        let key = "0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap();
        let Ok(known) = signed_revision(&key, &[None]).content else {
            panic!()
        };
        let (_, known) = known.evidence.archives().next().unwrap();
        let known = known.signed().unwrap().signatures[0].outcome.clone();
        assert!(matches!(known, Outcome::Verified(_)));
        let ProvenanceFacts::Signed(mut signed) = provenance(0, 0) else {
            panic!()
        };
        signed.signatures[0].outcome = known;
        let store = Store::default();
        look(&store, &web(), ProvenanceFacts::Signed(signed));
        assert_eq!(held(&store), 0);
        assert!(!is_at_hand(&store, &web()));
    }

    #[test]
    fn a_key_that_names_a_forgotten_text_has_its_source_asked_again() {
        let object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey", "metadata": {"name": "many"},
            "spec": {"fingerprint": "303F4EA7D525C7389A7FE12A099CA9C546A562A7",
                "publicKey": {"inline": SIGNER}},
        });
        let object = serde_json::from_value(object).unwrap();
        let moment = Moment::now();
        for (is_forgotten, is_known) in [(true, true), (true, false), (false, true)] {
            let store = Store::default();
            look(&store, &web(), provenance(0, 0));
            let poll = PollState {
                last_asked: moment.tick,
                answering_since: moment.tick,
                every: std::time::Duration::from_secs(3600),
                failures: 0,
                retry_after: None,
                requests: 0,
            };
            store.update(&web(), |release| {
                release.polls.insert(URL.to_owned(), poll);
            });
            if is_forgotten {
                *super::held(&store.texts.statements) = Kept::default();
            }
            if is_known {
                store.set_key("many", Some(loaded(&object)));
            }
            store.learn(&web(), moment);
            let asked = store.release(&web()).unwrap().requests.are_open();
            assert_eq!(asked, is_forgotten && is_known, "{is_forgotten} {is_known}");
        }
    }
}
