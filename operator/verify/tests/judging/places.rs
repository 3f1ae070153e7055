//! What a mirror says, or one source while another is silent, can only add trust.

use std::collections::BTreeSet;

use charttrust_verify::evidence::{Answer, Bound, Place, ProvenanceFacts};
use charttrust_verify::key::RevocationReason;
use charttrust_verify::policy::Level;
use charttrust_verify::verdict::{Basis, Cause, Class, Reason, Verdict};
use proptest::prelude::*;

use crate::forge::Sig;
use crate::world::{
    MIRROR, SOURCE, World, archive, other_digest, person, provenance, read, signature,
    signature_by, source, text,
};

const TRUSTED: Verdict = Verdict::Trusted(Basis::SignatureVerified);
const SILENT: Verdict = Verdict::Unknown(Cause::SourceUnavailable);
const COMPROMISED: Verdict = Verdict::Untrusted(Reason::KeyCompromised);

/// What one address has. Alice is listed and good, Bob is listed and his key was stolen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Has {
    ByAlice,
    ByBob,
    ByNobody,
    Broken,
    Malformed,
    OfAnotherChart,
    Unsigned,
    WithoutAnswerForProvenance,
    Other,
    NotFound,
    Nothing,
}

const EVERYTHING: [Has; 11] = [
    Has::ByAlice,
    Has::ByBob,
    Has::ByNobody,
    Has::Broken,
    Has::Malformed,
    Has::OfAnotherChart,
    Has::Unsigned,
    Has::WithoutAnswerForProvenance,
    Has::Other,
    Has::NotFound,
    Has::Nothing,
];

impl Has {
    /// What comes of it; a mirror without the chart is passed over.
    fn at(self, place: Place) -> Answer {
        let silent = || Answer::Unavailable {
            cause: Cause::SourceUnavailable,
            message: "no answer".into(),
        };
        let served = |provenance: ProvenanceFacts| {
            let mut answer = archive(provenance.served_by(place));
            if let Answer::Archive(facts) = &mut answer {
                // Only statements lie elsewhere.
                facts.place = match place {
                    Place::Main | Place::Elsewhere => Place::Main,
                    Place::Mirror => Place::Mirror,
                };
            }
            answer
        };
        match self {
            Self::ByAlice => served(provenance(&text(), &[signature(&person(1))])),
            Self::ByBob => served(provenance(&text(), &[signature(&person(2))])),
            Self::Broken => {
                let broken = signature_by(person(1).signer(), &text(), Sig::broken);
                served(provenance(&text(), &[broken]))
            }
            Self::ByNobody => served(provenance(&text(), &[signature(&person(3))])),
            Self::Malformed => served(read(b"nonsense")),
            Self::OfAnotherChart => {
                let text = text().replace("web", "other");
                let signature = signature_by(person(1).signer(), &text, |sig| sig);
                served(provenance(&text, &[signature]))
            }
            Self::Unsigned => served(ProvenanceFacts::Missing),
            Self::WithoutAnswerForProvenance => served(ProvenanceFacts::Unavailable {
                cause: Cause::SourceUnavailable,
                message: "no answer".into(),
            }),
            Self::Other => {
                let mut answer = served(provenance(&text(), &[signature(&person(2))]));
                if let Answer::Archive(facts) = &mut answer {
                    facts.digest = other_digest();
                    facts.binding = Bound::Different(vec!["a template".into()]);
                }
                answer
            }
            Self::NotFound if place != Place::Mirror => Answer::NotFound,
            Self::NotFound | Self::Nothing => silent(),
        }
    }
}

/// Nothing was answered yet; Alice and Bob are listed, and Bob's key was stolen.
fn nothing_known(level: Level, sources: &[&str]) -> World {
    let mut world = World::signed_by(&[person(1), person(2)]);
    world.signers(&["alice", "bob"], 1);
    world.revoke("bob", RevocationReason::Compromised);
    world.level(level);
    world.rule().sources = sources.iter().map(|url| source(url)).collect();
    world.evidence.answers.clear();
    world
}

impl World {
    fn hear(&mut self, url: &str, answer: Answer) {
        let by = self.clone();
        self.evidence.apply(url, answer, &by.judged_by());
        self.try_keys();
    }
}

#[test]
fn a_mirror_gives_trust_and_nothing_else() {
    for level in [Level::Signature, Level::Strict] {
        for has in EVERYTHING {
            let mut world = nothing_known(level, &[SOURCE]);
            world.hear(SOURCE, has.at(Place::Mirror));
            let verdict = world.verdict();
            match has {
                Has::ByAlice => assert!(verdict.is_trusted(), "{level:?}"),
                _ => assert_eq!(verdict, SILENT, "{level:?} {has:?}"),
            }
        }
    }
}

#[test]
fn what_the_source_says_itself_counts_whatever_its_mirror_had_said() {
    for level in [Level::Signature, Level::Strict] {
        for before in EVERYTHING {
            for main in EVERYTHING {
                let mut alone = nothing_known(level, &[SOURCE]);
                alone.hear(SOURCE, main.at(Place::Main));
                let mut world = nothing_known(level, &[SOURCE]);
                world.hear(SOURCE, before.at(Place::Mirror));
                world.hear(SOURCE, main.at(Place::Main));
                let verdict = world.verdict();
                if before == Has::ByAlice {
                    assert!(verdict.is_trusted(), "{main:?}");
                } else {
                    assert_eq!(verdict, alone.verdict(), "{level:?} {before:?}, {main:?}");
                }
            }
        }
    }
}

#[test]
fn nothing_that_the_source_has_shown_is_replaced_by_its_mirrors() {
    for main in [Has::ByBob, Has::Broken, Has::Unsigned, Has::Other] {
        for mirror in EVERYTHING {
            let mut world = nothing_known(Level::Strict, &[SOURCE]);
            world.hear(SOURCE, main.at(Place::Main));
            let before = world.facts().clone();
            world.hear(SOURCE, mirror.at(Place::Mirror));
            let after = world.facts().clone();
            assert_eq!(after.digest, before.digest, "{main:?}, {mirror:?}");
            assert_eq!(after.place, Place::Main, "{main:?}, {mirror:?}");
            let is_as_before = after.signed().map(|signed| signed.digest)
                == before.signed().map(|signed| signed.digest);
            let gives_trust = mirror == Has::ByAlice && main != Has::Other;
            assert_eq!(is_as_before, !gives_trust, "{main:?}, {mirror:?}");
        }
    }
}

#[test]
fn a_mirror_gives_the_provenance_that_the_source_could_not() {
    for (mirror, verdict) in [
        (Has::ByAlice, TRUSTED),
        (Has::ByBob, SILENT),
        (Has::Broken, SILENT),
    ] {
        let mut world = nothing_known(Level::Strict, &[SOURCE]);
        world.hear(SOURCE, Has::WithoutAnswerForProvenance.at(Place::Main));
        world.hear(SOURCE, mirror.at(Place::Mirror));
        assert_eq!(world.verdict(), verdict, "{mirror:?}");
        assert_eq!(world.facts().place, Place::Main);
        // And what the source then says itself counts.
        if mirror != Has::ByAlice {
            world.hear(SOURCE, Has::Unsigned.at(Place::Main));
            assert_eq!(world.verdict(), Verdict::Untrusted(Reason::Unsigned));
        }
    }
}

/// A revoked key takes trust at once, and is badness once the source itself has shown the signature.
#[test]
fn a_revocation_of_what_a_mirror_showed_is_badness_once_the_source_shows_it() {
    let mut world = nothing_known(Level::Strict, &[SOURCE]);
    world.hear(SOURCE, Has::ByAlice.at(Place::Mirror));
    assert_eq!(world.verdict(), TRUSTED);
    world.revoke("alice", RevocationReason::Compromised);
    assert_eq!(world.verdict(), SILENT);
    world.hear(SOURCE, Has::Nothing.at(Place::Main));
    assert_eq!(world.verdict(), SILENT);
    world.hear(SOURCE, Has::ByAlice.at(Place::Main));
    assert_eq!(world.verdict(), COMPROMISED);
}

/// Whoever keeps statements, and no archives, can withhold proof, and nothing more.
#[test]
fn what_lies_elsewhere_gives_trust_and_shows_at_worst_that_there_is_no_proof() {
    for level in [Level::Signature, Level::Strict] {
        for has in EVERYTHING {
            let mut world = nothing_known(level, &[SOURCE]);
            world.hear(SOURCE, has.at(Place::Elsewhere));
            let judgement = world.judge();
            let verdict = judgement.verdict;
            match has {
                Has::ByAlice => assert!(verdict.is_trusted(), "{level:?}"),
                // That is the archive's.
                Has::Other if level == Level::Strict => {
                    assert_eq!(verdict, Verdict::Untrusted(Reason::ContentMismatch));
                }
                Has::ByBob => {
                    assert_eq!(verdict, Verdict::Untrusted(Reason::SignerNotTrusted));
                    let mut told = judgement.findings.iter();
                    assert!(
                        told.any(|it| it.message.contains("KeyCompromised")),
                        "it is told"
                    );
                }
                _ => assert!(
                    verdict.class() <= Class::ProofMissing,
                    "{level:?} {has:?}: {verdict}"
                ),
            }
            assert!(
                judgement
                    .policies
                    .iter()
                    .all(|policy| policy.revocations.is_empty())
            );
        }
    }
}

/// Its statement was believed: that its key is revoked is as bad as beside the archive.
#[test]
fn a_revocation_counts_in_full_for_what_lies_elsewhere_once_trust_has_rested_on_it() {
    for is_trusted_before in [true, false] {
        let mut world = nothing_known(Level::Strict, &[SOURCE]);
        world.hear(SOURCE, Has::ByAlice.at(Place::Elsewhere));
        let judgement = world.judge();
        assert_eq!(judgement.verdict, TRUSTED);
        if is_trusted_before {
            assert!(world.evidence.settle(&judgement));
            assert!(!world.evidence.settle(&judgement), "it is noted once");
        }
        world.revoke("alice", RevocationReason::Compromised);
        let expected = if is_trusted_before {
            COMPROMISED
        } else {
            Verdict::Untrusted(Reason::SignerNotTrusted)
        };
        assert_eq!(world.verdict(), expected);
        // What it has afterwards changes nothing.
        for has in [Has::ByBob, Has::Unsigned, Has::Broken, Has::Nothing] {
            world.hear(SOURCE, has.at(Place::Elsewhere));
            assert_eq!(world.verdict(), expected, "{has:?}");
        }
    }
}

/// A pin names the archive itself: a statement from elsewhere neither defeats it, nor is believed by it.
#[test]
fn what_lies_elsewhere_defeats_no_pin() {
    for has in [Has::ByBob, Has::Broken, Has::ByNobody, Has::Unsigned] {
        let mut world = nothing_known(Level::Strict, &[SOURCE]);
        world.hear(SOURCE, has.at(Place::Elsewhere));
        world.pin();
        for _ in 0..2 {
            let judgement = world.judge();
            let pinned = Verdict::Trusted(Basis::DigestPinned);
            assert_eq!(judgement.verdict, pinned, "{has:?}");
            world.evidence.settle(&judgement);
        }
    }
}

/// A signature by whom the rule believes over another archive is nothing that whoever keeps it can make.
#[test]
fn a_good_statement_elsewhere_about_another_archive_is_a_sign_of_tampering() {
    let mut world = nothing_known(Level::Strict, &[SOURCE]);
    let text = text().replace(&archive_digest(), &other_digest().to_string());
    for (signer, verdict) in [
        (1, Reason::DigestMismatch),
        (2, Reason::SignerNotTrusted),
        (3, Reason::SignerNotTrusted),
    ] {
        let signature = signature_by(person(signer).signer(), &text, |sig| sig);
        let elsewhere = provenance(&text, &[signature]).served_by(Place::Elsewhere);
        world.evidence.answers.clear();
        world.hear(SOURCE, archive(elsewhere));
        assert_eq!(world.verdict(), Verdict::Untrusted(verdict), "{signer}");
    }
}

fn archive_digest() -> String {
    let Answer::Archive(facts) = Has::Unsigned.at(Place::Main) else {
        unreachable!("it is an archive")
    };
    facts.digest.to_string()
}

#[test]
fn one_source_proves_nothing_bad_while_another_is_silent() {
    for level in [Level::Signature, Level::Strict] {
        for has in EVERYTHING {
            let mut world = nothing_known(level, &[SOURCE, MIRROR]);
            world.hear(SOURCE, Has::Nothing.at(Place::Main));
            world.hear(MIRROR, has.at(Place::Main));
            match has {
                Has::ByAlice => assert!(world.verdict().is_trusted(), "{level:?}"),
                _ => assert_eq!(world.verdict(), SILENT, "{level:?} {has:?}"),
            }
            world.hear(SOURCE, Has::ByAlice.at(Place::Main));
            assert!(world.verdict().is_trusted(), "{level:?} {has:?}");
        }
    }
}

/// What had been trusted before needs no other source to be bad.
#[test]
fn a_revocation_counts_at_once_for_what_was_trusted_while_another_source_is_silent() {
    for level in [Level::Signature, Level::Strict] {
        let mut world = nothing_known(level, &[SOURCE, MIRROR]);
        world.hear(SOURCE, Has::Nothing.at(Place::Main));
        world.hear(MIRROR, Has::ByAlice.at(Place::Main));
        let judgement = world.judge();
        assert!(judgement.verdict.is_trusted());
        assert!(world.evidence.settle(&judgement));
        world.revoke("alice", RevocationReason::Compromised);
        assert_eq!(world.verdict(), COMPROMISED, "{level:?}");
        // Trust that came without a look counts as well.
        let mut world = nothing_known(level, &[SOURCE, MIRROR]);
        world.signers(&["bob"], 1);
        world.hear(SOURCE, Has::Nothing.at(Place::Main));
        world.hear(MIRROR, Has::ByAlice.at(Place::Main));
        assert_eq!(world.verdict(), SILENT, "{level:?}");
        world.signers(&["alice", "bob"], 1);
        let judgement = world.judge();
        assert!(judgement.verdict.is_trusted());
        assert!(world.evidence.settle(&judgement) && !world.evidence.settle(&judgement));
        world.revoke("alice", RevocationReason::Compromised);
        assert_eq!(world.verdict(), COMPROMISED, "{level:?}");
    }
}

/// Four places: a source whose statements lie beside or elsewhere, with a mirror, and another source.
const PLACES: [(&str, Place); 4] = [
    (SOURCE, Place::Main),
    (SOURCE, Place::Elsewhere),
    (SOURCE, Place::Mirror),
    (MIRROR, Place::Main),
];

fn said() -> impl Strategy<Value = Vec<(usize, Has)>> {
    let one = (
        0..PLACES.len(),
        proptest::sample::select(EVERYTHING.to_vec()),
    );
    proptest::collection::vec(one, 1..8)
}

proptest! {
    /// Whatever up to four places say, in whatever order.
    #[test]
    fn no_order_of_answers_harms(said in said(), is_strict: bool) {
        let level = if is_strict { Level::Strict } else { Level::Signature };
        let mut world = nothing_known(level, &[SOURCE, MIRROR]);
        let (mut have_answered, mut mains_by_bob) = (BTreeSet::new(), false);
        let (mut had_trust, mut had_word) = (false, false);
        for (place, has) in said {
            let (url, place) = PLACES[place];
            world.hear(url, has.at(place));
            if place != Place::Mirror && has != Has::Nothing {
                have_answered.insert(url);
                mains_by_bob |= has == Has::ByBob && place == Place::Main;
            }
            let verdict = world.verdict();
            prop_assert!(!had_trust || verdict.is_trusted(), "trust was taken: {verdict}");
            if matches!(verdict, Verdict::Untrusted(_)) {
                let first_has_answered = have_answered.contains(SOURCE);
                let all = have_answered.len() == 2 || (!is_strict && first_has_answered);
                prop_assert!(all || had_word, "{verdict} while a source is silent");
            }
            prop_assert!(verdict.class() != Class::Badness || mains_by_bob, "{verdict} by a mirror");
            had_trust |= verdict.is_trusted();
            had_word |= !matches!(verdict, Verdict::Unknown(_));
        }
    }

    /// Whatever its mirrors say before or after one that has proof, while the source says nothing of the
    /// provenance.
    #[test]
    fn no_order_of_answers_hides_proof(
        said in proptest::collection::vec(proptest::sample::select(EVERYTHING.to_vec()), 0..6),
        at in any::<proptest::sample::Index>(),
        has_archive: bool,
        is_strict: bool,
    ) {
        let level = if is_strict { Level::Strict } else { Level::Signature };
        let mut world = nothing_known(level, &[SOURCE]);
        if has_archive {
            world.hear(SOURCE, Has::WithoutAnswerForProvenance.at(Place::Main));
        }
        let mut said = said;
        said.insert(at.index(said.len() + 1), Has::ByAlice);
        for has in &said {
            world.hear(SOURCE, has.at(Place::Mirror));
        }
        prop_assert!(world.verdict().is_trusted(), "{said:?}: {}", world.verdict());
    }
}
