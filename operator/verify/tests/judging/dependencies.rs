//! `dependencies: Verify`: each subchart is signed itself, as its own archive.

use charttrust_verify::check::Vouchers;
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{
    Answer, Claimed, Place, ProvenanceFacts, SubchartFacts, SubchartId,
};
use charttrust_verify::key::{Grandfather, RevocationReason};
use charttrust_verify::limits::MOST_SUBCHARTS;
use charttrust_verify::policy::{Dependencies, Level};
use charttrust_verify::verdict::{Basis, Cause, Reason, Verdict};

use crate::forge::{self, Shape, Sig, day, time};
use crate::world::{SIGNED, World, archive, key, other_digest, person, signature_by, text_about};

const REPOSITORY: &str = "https://parts.example.com";
const VERSION: &str = "2.0.0";
const UNTRUSTED: Verdict = Verdict::Untrusted(Reason::DependencyNotTrusted);

fn id(name: &str) -> SubchartId {
    SubchartId {
        repository: REPOSITORY.into(),
        name: name.into(),
        version: VERSION.into(),
    }
}

fn content(name: &str) -> Sha256Digest {
    Sha256Digest::of(name.as_bytes())
}

/// The statement about a subchart's own archive.
fn signed(name: &str, signer: &Shape, change: fn(Sig) -> Sig) -> ProvenanceFacts {
    let text = text_about(own_archive(name)).replace("web", name);
    let text = text.replace("1.2.3", VERSION);
    let signature = signature_by(signer.signer(), &text, change);
    let message = forge::message_of(&text, &[signature]);
    let claimed = Claimed {
        chart: name,
        version: VERSION,
    };
    ProvenanceFacts::read(message.as_bytes(), claimed)
}

fn own_archive(name: &str) -> Sha256Digest {
    Sha256Digest::of(format!("archive of {name}").as_bytes())
}

fn own(name: &str, provenance: ProvenanceFacts) -> Answer {
    let mut answer = archive(provenance);
    if let Answer::Archive(facts) = &mut answer {
        facts.digest = own_archive(name);
        (facts.name, facts.version) = (name.into(), VERSION.into());
        facts.content = Some(content(name));
    }
    answer
}

impl World {
    /// The archive has one more subchart, which Alice has signed.
    pub(crate) fn subchart(&mut self, name: &str) {
        let facts = self.facts();
        facts.has_subcharts = true;
        facts.subcharts.push(SubchartFacts {
            id: id(name),
            content: content(name),
        });
        let answer = own(name, signed(name, &person(1), |sig| sig));
        self.evidence.subcharts.insert(id(name), answer);
    }
}

/// An umbrella of three, where the rule asks for their signatures.
fn umbrella() -> World {
    let mut world = World::good();
    world.keys.push(key(&person(2)));
    for name in ["cache", "db", "queue"] {
        world.subchart(name);
    }
    world.verify().dependencies = Dependencies::Verify;
    world
}

/// The verdict after a change of what is known of one of the three, and what is told of it.
fn after(change: impl Fn(&mut World)) -> (Verdict, Vec<String>) {
    let mut verdicts = Vec::new();
    for level in [Level::Strict, Level::Signature] {
        let mut world = umbrella();
        world.level(level);
        change(&mut world);
        let judgement = world.judge();
        let told = judgement.findings.into_iter().map(|it| it.message);
        let told: Vec<_> = told.filter(|it| it.starts_with("subchart")).collect();
        verdicts.push((judgement.verdict, told));
    }
    let trusted = |verdict: Verdict| verdict.is_trusted();
    let (strict, signature) = (&verdicts[0], &verdicts[1]);
    let is_same = strict.0 == signature.0 || (trusted(strict.0) && trusted(signature.0));
    assert!(is_same, "{verdicts:?}");
    verdicts.remove(0)
}

fn answered(answer: &Answer) -> (Verdict, Vec<String>) {
    after(|world| _ = world.evidence.subcharts.insert(id("db"), answer.clone()))
}

#[test]
fn an_umbrella_of_signed_charts_is_trusted() {
    let trusted = Verdict::Trusted(Basis::SignatureVerified);
    assert_eq!(after(|_| ()), (trusted, Vec::new()));
}

/// One that is not, and the finding names it.
#[test]
fn one_that_is_not_signed_is_named() {
    let missing = ProvenanceFacts::Missing;
    let unavailable = ProvenanceFacts::Unavailable {
        cause: Cause::SourceUnavailable,
        message: "no answer".into(),
    };
    let by_bob = signed("db", &person(2), |sig| sig);
    let broken = signed("db", &person(1), Sig::broken);
    let of_another = signed("cache", &person(1), |sig| sig);
    for (answer, verdict) in [
        (own("db", missing), UNTRUSTED),
        (own("db", by_bob), UNTRUSTED),
        (own("db", broken), UNTRUSTED),
        (own("db", of_another), UNTRUSTED),
        (
            own("db", unavailable),
            Verdict::Unknown(Cause::SourceUnavailable),
        ),
        (Answer::NotFound, UNTRUSTED),
        (
            Answer::Ambiguous {
                message: "two".into(),
            },
            UNTRUSTED,
        ),
        (
            Answer::Unavailable {
                cause: Cause::LimitExceeded,
                message: "too large".into(),
            },
            Verdict::Unknown(Cause::LimitExceeded),
        ),
        // It is signed, and is not what the archive holds.
        (
            own("cache", signed("cache", &person(1), |sig| sig)),
            Verdict::Untrusted(Reason::ContentMismatch),
        ),
    ] {
        let (said, told) = answered(&answer);
        assert_eq!(said, verdict, "{answer:?}: {told:?}");
        assert!(!told.is_empty(), "{answer:?}");
        assert!(
            told.iter().all(|it| it.starts_with("subchart db 2.0.0: ")),
            "{told:?}"
        );
    }
    let forget = |world: &mut World| _ = world.evidence.subcharts.remove(&id("db"));
    assert_eq!(after(forget).0, Verdict::Unknown(Cause::Pending));
    let unpublished = |world: &mut World| world.facts().subcharts[1].id.repository.clear();
    assert_eq!(after(unpublished).0, UNTRUSTED);
}

/// The signers of the chart have vouched for what it contains, so that it is no proof of badness.
#[test]
fn the_key_of_a_subchart_is_judged_as_that_of_a_chart() {
    let by_bob = || own("db", signed("db", &person(2), |sig| sig));
    let listed = |world: &mut World| {
        world.signers(&["alice", "bob"], 1);
        world.evidence.subcharts.insert(id("db"), by_bob());
    };
    assert!(after(listed).0.is_trusted());
    for (change, word) in [
        (
            (|world| _ = world.revoke("bob", RevocationReason::Compromised)) as fn(&mut World),
            "KeyCompromised",
        ),
        (
            |world| _ = world.revoke("bob", RevocationReason::Retired),
            "KeyRetired",
        ),
        (
            |world| world.keys[1].not_after = Some(time(day(SIGNED))),
            "KeyExpired",
        ),
        (
            |world| world.keys[1].scope.sources = vec!["https://charts.example.com".into()],
            "KeyOutOfScope",
        ),
    ] {
        let (verdict, told) = after(|world| {
            listed(world);
            change(world);
        });
        assert_eq!(verdict, UNTRUSTED, "{word}");
        assert!(
            told[0].starts_with(&format!("subchart db 2.0.0: {word}: ")),
            "{told:?}"
        );
    }
    let scoped = after(|world| {
        listed(world);
        world.keys[1].scope.sources = vec![REPOSITORY.into()];
    });
    assert!(scoped.0.is_trusted());
}

/// What counts is the content in the archive that is judged, not what another source has.
#[test]
fn each_archive_is_judged_by_its_own_subcharts() {
    let (verdict, _) = after(|world| world.facts().subcharts[1].content = other_digest());
    assert_eq!(verdict, Verdict::Untrusted(Reason::ContentMismatch));
    let mirrored = |world: &mut World| {
        world.facts().subcharts[1].content = other_digest();
        world.facts().place = Place::Mirror;
    };
    assert_eq!(
        after(mirrored).0,
        Verdict::Unknown(Cause::SourceUnavailable)
    );
}

/// Who publishes an archive names the repositories of its subcharts, and so whom we ask.
#[test]
fn repositories_are_asked_for_what_somebody_vouches_for() {
    let unsigned = |world: &mut World| world.facts().provenance = ProvenanceFacts::Missing;
    let of_a_stranger = |world: &mut World| {
        world.keys.clear();
        let facts = world.facts();
        facts.provenance = crate::world::provenance(&crate::world::text(), &[]);
    };
    let replaced = |world: &mut World| world.facts().digest = other_digest();
    let pinned = |world: &mut World| {
        world.facts().provenance = ProvenanceFacts::Missing;
        world.pin();
    };
    for (change, is_asked) in [
        ((|_| ()) as fn(&mut World), true),
        (pinned, true),
        (unsigned, false),
        (of_a_stranger, false),
        (replaced, false),
    ] {
        let mut world = umbrella();
        world.evidence.subcharts.clear();
        change(&mut world);
        world.try_keys();
        let mut policy = world.policies[0].clone();
        let rules = [&*crate::world::rule(&mut policy)];
        let (release, evidence) = (("web", "1.2.3"), &world.evidence);
        let vouchers = Vouchers {
            rules: &rules,
            sigstore: &world.sigstore,
        };
        let source = crate::world::SOURCE;
        let open = evidence.open_subcharts(release, source, vouchers);
        assert_eq!(open.len(), if is_asked { 3 } else { 0 });
        assert_eq!(
            evidence.lacks_subcharts(release, source, vouchers),
            is_asked
        );
        let verdict = world.verdict();
        let is_pending = verdict == Verdict::Unknown(Cause::Pending);
        assert_eq!(is_pending, is_asked, "{verdict:?}");
        assert!(!verdict.is_trusted());
    }
}

/// The limit is the same before and after a restart: of more, one more is kept.
#[test]
fn more_subcharts_than_are_looked_at_are_said_and_nobody_is_asked() {
    for (count, verdict) in [
        (MOST_SUBCHARTS, Verdict::Trusted(Basis::SignatureVerified)),
        (MOST_SUBCHARTS + 1, Verdict::Unknown(Cause::LimitExceeded)),
        (MOST_SUBCHARTS + 2, Verdict::Unknown(Cause::LimitExceeded)),
    ] {
        let mut world = World::good();
        let db = own("db", signed("db", &person(1), |sig| sig));
        for number in 0..count {
            world.subchart("db");
            let name = format!("db-{number}");
            let subchart = world.facts().subcharts.last_mut().unwrap();
            subchart.id.name.clone_from(&name);
            world.evidence.subcharts.insert(id(&name), db.clone());
        }
        world.evidence.subcharts.remove(&id("db"));
        world.verify().dependencies = Dependencies::Verify;
        // What it is called elsewhere is not what its statement says.
        let mut judged = world.clone();
        for number in 0..count {
            let subchart = &mut judged.facts().subcharts[number];
            subchart.id = id("db");
        }
        judged.evidence.subcharts.insert(id("db"), db);
        assert_eq!(judged.verdict(), verdict, "{count}");

        world.try_keys();
        let mut policy = world.policies[0].clone();
        let rules = [&*crate::world::rule(&mut policy)];
        let source = crate::world::SOURCE;
        let release = ("web", "1.2.3");
        for known in [true, false] {
            if !known {
                world.evidence.subcharts.clear();
            }
            let is_looked_at = count <= MOST_SUBCHARTS;
            let vouchers = Vouchers {
                rules: &rules,
                sigstore: &world.sigstore,
            };
            let open = world.evidence.open_subcharts(release, source, vouchers);
            let lacks = world.evidence.lacks_subcharts(release, source, vouchers);
            assert_eq!(open.len(), if is_looked_at && !known { count } else { 0 });
            assert_eq!(lacks, is_looked_at && !known, "{count} {known}");
        }
        let told = judged.judge().findings;
        let mut told = told.into_iter().map(|it| it.message);
        let is_told = told.any(|it| it.contains("more than 64 subcharts"));
        assert_eq!(is_told, count > MOST_SUBCHARTS);
    }
}

/// A subchart that two versions carry was verified when the first of them was.
#[test]
fn a_subchart_is_witnessed_as_a_chart_is() {
    let revoked = |first_verified: Option<u32>, since: u32| {
        let mut world = umbrella();
        world.signers(&["alice", "bob"], 1);
        let by_bob = own("db", signed("db", &person(2), |sig| sig));
        world.evidence.subcharts.insert(id("db"), by_bob);
        let revocation = world.revoke("bob", RevocationReason::Compromised);
        revocation.grandfather = Grandfather::Witnessed;
        revocation.since = Some(time(day(since)));
        world.try_keys();
        let now = world.evidence.first_verifications().collect::<Vec<_>>();
        assert_eq!(now.len(), 4, "the chart and three subcharts");
        if let Some(first) = first_verified {
            let before = now.into_iter().map(|one| one.dated(time(day(first))));
            let before: Vec<_> = before.collect();
            world.evidence.restore_first_verified(&before);
        }
        world.verdict()
    };
    let since = SIGNED + 20;
    assert_eq!(
        revoked(None, since),
        UNTRUSTED,
        "verified now for the first time"
    );
    assert!(revoked(Some(SIGNED + 10), since).is_trusted());
    assert_eq!(revoked(Some(SIGNED + 30), since), UNTRUSTED);
}

#[test]
fn a_later_look_at_a_subchart_takes_no_trust() {
    let mut world = umbrella();
    world.try_keys();
    for answer in [
        own("db", ProvenanceFacts::Missing),
        Answer::NotFound,
        own("cache", ProvenanceFacts::Missing),
    ] {
        let by = world.clone();
        world
            .evidence
            .apply_subchart(&id("db"), answer, &by.judged_by());
        assert!(world.verdict().is_trusted());
    }
    let mut world = umbrella();
    world.evidence.subcharts.insert(id("db"), Answer::NotFound);
    let by = world.clone();
    let answer = own("db", signed("db", &person(1), |sig| sig));
    world
        .evidence
        .apply_subchart(&id("db"), answer, &by.judged_by());
    assert!(world.verdict().is_trusted(), "it may give trust");
}

/// As the text of a chart itself.
#[test]
fn the_text_of_a_subchart_is_wanted_by_a_key_that_names_it() {
    let mut world = umbrella();
    let by_bob = own("db", signed("db", &person(2), |sig| sig));
    world.evidence.subcharts.insert(id("db"), by_bob);
    world.keys.truncate(1);
    world.try_keys();
    drop(world.evidence.take_texts());
    let source = crate::world::SOURCE;
    assert!(!world.evidence.wants_text(source, &world.keys));
    world.keys.push(key(&person(2)));
    assert!(world.evidence.wants_text(source, &world.keys));
    assert!(
        !world
            .evidence
            .wants_text("https://other.example", &world.keys)
    );
}
