//! What deploys a release says where its chart comes from: then only that source counts.

use charttrust_verify::deployer::{ChartOrigin, Deployer, Login, Place};
use charttrust_verify::evidence::{Answer, Bound, ProvenanceFacts};
use charttrust_verify::finding::{Fact, Finding};
use charttrust_verify::key::RevocationReason;
use charttrust_verify::policy::{Level, SecretName, Source};
use charttrust_verify::verdict::{Basis, Cause, Class, Reason, Verdict};

use crate::world::{
    MIRROR, SOURCE, World, archive, facts_of, other_digest, person, provenance, signature, source,
    text,
};

const TRUSTED: Verdict = Verdict::Trusted(Basis::SignatureVerified);
const ELSEWHERE: Verdict = Verdict::Unknown(Cause::SourceUnknown);

fn from(url: &str, chart: &str) -> ChartOrigin {
    ChartOrigin::Place(Place::new(url, chart).expect("an address"))
}

fn deployer(origin: ChartOrigin) -> Deployer {
    Deployer {
        name: "HelmRelease flux-system/front".to_owned(),
        origin,
    }
}

fn deployed(mut world: World, origins: Vec<ChartOrigin>) -> World {
    world.deployers = origins.into_iter().map(deployer).collect();
    world
}

fn said(world: &World) -> Vec<Finding> {
    let found = world.judge().findings.into_iter();
    found
        .filter(|finding| finding.fact == Fact::Doubt(Cause::SourceUnknown))
        .collect()
}

#[test]
fn only_the_source_that_the_deployer_names_counts() {
    for (url, chart, expected) in [
        (SOURCE, "web", TRUSTED),
        ("https://charts.example.com/", "web", TRUSTED),
        ("https://CHARTS.example.com:443", "web", TRUSTED),
        ("https://user:secret@charts.example.com", "web", TRUSTED),
        (SOURCE, "other", ELSEWHERE),
        ("http://charts.example.com", "web", ELSEWHERE),
        ("https://charts.example.com:8443", "web", ELSEWHERE),
        ("https://charts.example.com/a", "web", ELSEWHERE),
        ("https://charts.example.com?a=b", "web", ELSEWHERE),
        ("https://charts.example.com#web", "web", ELSEWHERE),
        ("https://charts.example.com@evil.example", "web", ELSEWHERE),
        ("https://evil.example/charts.example.com", "web", ELSEWHERE),
        ("https://charts.example.com.evil.example", "web", ELSEWHERE),
        ("oci://charts.example.com", "web", ELSEWHERE),
    ] {
        let world = deployed(World::good(), vec![from(url, chart)]);
        assert_eq!(world.verdict(), expected, "{url} {chart}");
        assert_eq!(said(&world).is_empty(), expected == TRUSTED, "{url}");
    }
}

/// It may have a token in its path, and whoever refers to it may not read it himself.
#[test]
fn an_address_that_is_told_by_a_name_is_not_in_what_is_said() {
    let place = Place::new("https://evil.example/t0ken/charts", "web").expect("an address");
    let named = ChartOrigin::Place(place.told_as("HelmRepository other/private".to_owned()));
    let found = said(&deployed(World::good(), vec![named]));
    let message = &found[0].message;
    assert!(
        message.contains("web of HelmRepository other/private"),
        "{message}"
    );
    assert!(
        !message.contains("evil.example") && !message.contains("t0ken"),
        "{message}"
    );
    let same = Place::new(SOURCE, "web").expect("an address");
    let named = ChartOrigin::Place(same.told_as("HelmRepository other/charts".to_owned()));
    assert_eq!(deployed(World::good(), vec![named]).verdict(), TRUSTED);
}

/// A login goes with the address that the same object names, and to no mirror of a source.
#[test]
fn a_login_is_for_the_address_of_a_source_itself() {
    let login = |named: Option<SecretName>| Login {
        named_by: "HelmRepository shop/charts".to_owned(),
        secret: named,
    };
    let secret = SecretName {
        namespace: "shop".to_owned(),
        name: "login".to_owned(),
    };
    let whole = login(Some(secret));
    let mut source = Source::at(SOURCE);
    source.mirrors = vec![MIRROR.to_owned()];
    for (url, chart, is_used) in [
        (SOURCE, "web", true),
        ("https://user:secret@CHARTS.example.com/", "web", true),
        (SOURCE, "other", false),
        (MIRROR, "web", false),
        ("https://charts.example.com?a=b", "web", false),
        ("https://charts.example.com/below", "web", false),
        ("http://charts.example.com", "web", false),
        ("https://evil.example", "web", false),
    ] {
        let place = Place::new(url, chart).expect("an address");
        let place = place.with_login(Some(whole.clone()));
        let found = deployer(ChartOrigin::Place(place.clone()));
        let expected = is_used.then_some(&whole);
        assert_eq!(found.login(&source, "web"), expected, "{url} {chart}");
        let told = deployer(ChartOrigin::Place(place.told_as("elsewhere".to_owned())));
        let expected = is_used.then(|| login(None));
        assert_eq!(told.login(&source, "web"), expected.as_ref(), "{url}");
    }
    let repository = Source::at("oci://a.example/one#web");
    let place = Place::new("oci://a.example", "one").expect("an address");
    let found = deployer(ChartOrigin::Place(place.with_login(Some(whole.clone()))));
    assert_eq!(found.login(&repository, "web"), Some(&whole));
    let unclear = deployer(ChartOrigin::Unknown("is odd".to_owned()));
    assert_eq!(unclear.login(&source, "web"), None);
}

#[test]
fn mirrors_and_repositories_of_one_chart_count_as_their_source() {
    let mut world = World::good();
    world.rule().sources[0].mirrors = vec![MIRROR.to_owned()];
    for (url, expected) in [(MIRROR, TRUSTED), ("https://third.example.com", ELSEWHERE)] {
        let world = deployed(world.clone(), vec![from(url, "web")]);
        assert_eq!(world.verdict(), expected, "{url}");
    }
    for (url, named, chart, expected) in [
        (
            "oci://a.example/charts",
            "oci://a.example/charts",
            "web",
            TRUSTED,
        ),
        (
            "oci://a.example/charts",
            "oci://a.example",
            "charts/web",
            TRUSTED,
        ),
        (
            "oci://a.example/charts",
            "oci://a.example/charts",
            "other",
            ELSEWHERE,
        ),
        (
            "oci://a.example/charts",
            "oci://a.example/more",
            "web",
            ELSEWHERE,
        ),
        ("oci://a.example/one#web", "oci://a.example", "one", TRUSTED),
        (
            "oci://a.example/one#web",
            "oci://a.example/one",
            "web",
            ELSEWHERE,
        ),
    ] {
        let world = deployed(registry(url), vec![from(named, chart)]);
        assert_eq!(world.verdict(), expected, "{url} {named} {chart}");
    }
}

/// A rule with this source alone, which answers as the one of the good world.
fn registry(url: &str) -> World {
    let mut world = World::good();
    let answer = world.evidence.answers.remove(SOURCE).unwrap();
    world.rule().sources = vec![source(url)];
    world.answer(url, answer);
    world
}

/// It has three names, and nobody else has.
#[test]
fn the_names_of_docker_hub_are_one_place() {
    for (url, named, expected) in [
        ("oci://docker.io/a", "oci://registry-1.docker.io/a", TRUSTED),
        (
            "oci://registry-1.docker.io/a",
            "oci://index.docker.io/a",
            TRUSTED,
        ),
        ("oci://docker.io/a", "oci://docker.io:8443/a", ELSEWHERE),
        ("oci://docker.io/a", "oci://hub.docker.io/a", ELSEWHERE),
        (
            "https://docker.io/a",
            "https://index.docker.io/a",
            ELSEWHERE,
        ),
    ] {
        let world = deployed(registry(url), vec![from(named, "web")]);
        assert_eq!(world.verdict(), expected, "{url} {named}");
    }
}

#[test]
fn the_repository_of_one_chart_is_read_without_tag_and_digest() {
    let whole = Place::new("oci://a.example:5000/charts", "web");
    assert!(whole.is_some());
    for address in [
        "oci://a.example:5000/charts/web",
        "oci://a.example:5000/charts/web:1.0.0",
        "oci://a.example:5000/charts/web:1.0.0@sha256:00",
    ] {
        assert_eq!(Place::of_repository(address), whole, "{address}");
    }
    for address in ["oci://", "oci://a.example", "a", "", "oci://a.example/"] {
        assert_eq!(Place::of_repository(address), None, "{address}");
    }
}

#[test]
fn no_credentials_and_no_more_than_a_line_of_an_address_are_told() {
    for (url, shown) in [
        (
            "https://user:secret@evil.example/a/",
            "https://evil.example/a",
        ),
        (
            "https://secret@evil.example/a?token=secret#secret",
            "https://evil.example/a",
        ),
    ] {
        let place = Place::new(url, "web").unwrap();
        assert_eq!(place.to_string(), format!("web of {shown}"));
        let world = deployed(World::good(), vec![ChartOrigin::Place(place)]);
        let told = format!("{:?}", world.judge().findings);
        assert!(
            told.contains("evil.example/a") && !told.contains("secret"),
            "{told}"
        );
        assert!(told.contains("HelmRelease flux-system/front"), "{told}");
    }
    let endless = format!("https://evil.example/{}", "a".repeat(1 << 20));
    let place = Place::new(&endless, &"b".repeat(1 << 20));
    assert_eq!(place, None, "an address that no source can have");
    for url in [
        "",
        "charts.example.com",
        "ftp://a",
        "https://",
        "https://a\\b",
        "https://a b",
        "https://a%2eb",
    ] {
        assert_eq!(Place::new(url, "web"), None, "{url}");
    }
    assert_eq!(Place::new(SOURCE, ""), None);
}

#[test]
fn what_cannot_be_resolved_is_not_trusted_and_says_why() {
    let why = "its HelmRepository flux-system/charts does not exist";
    let world = deployed(World::good(), vec![ChartOrigin::Unknown(why.to_owned())]);
    assert_eq!(world.verdict(), ELSEWHERE);
    assert!(said(&world)[0].message.contains(why));
}

/// Under Strict the content of the release decides; else the archive has to be the very one that a source has.
#[test]
fn an_archive_in_the_object_itself_is_known_by_its_content_or_its_digest() {
    let same = World::good().facts().digest;
    let archive = Verdict::Trusted(Basis::ArchiveVerified);
    for (level, digest, expected) in [
        (Level::Strict, Some(same), TRUSTED),
        (Level::Strict, Some(other_digest()), TRUSTED),
        (Level::Strict, None, TRUSTED),
        (Level::Signature, Some(same), archive),
        (Level::Signature, Some(other_digest()), ELSEWHERE),
        (Level::Signature, None, ELSEWHERE),
    ] {
        let mut world = deployed(World::good(), vec![ChartOrigin::Inline(digest)]);
        world.level(level);
        assert_eq!(world.verdict(), expected, "{level:?} {digest:?}");
        world.evidence.answers.clear();
        let unasked = Verdict::Unknown(Cause::Pending);
        assert_eq!(world.verdict(), unasked, "{level:?} {digest:?}");
    }
}

#[test]
fn the_source_that_is_named_decides_and_not_the_first() {
    let signed = || archive(provenance(&text(), &[signature(&person(1))]));
    let mut world = World::good();
    world.level(Level::Signature);
    world.rule().sources = vec![source(SOURCE), source(MIRROR)];
    world.answer(SOURCE, archive(ProvenanceFacts::Missing));
    world.answer(MIRROR, signed());
    let unsigned = Verdict::Untrusted(Reason::Unsigned);
    assert_eq!(world.verdict(), unsigned);
    for (url, expected) in [
        (SOURCE, unsigned),
        (MIRROR, Verdict::Trusted(Basis::ArchiveVerified)),
    ] {
        let world = deployed(world.clone(), vec![from(url, "web")]);
        assert_eq!(world.verdict(), expected, "{url}");
    }
}

#[test]
fn of_two_deployers_the_worse_verdict_counts_in_either_order() {
    let elsewhere = from("https://evil.example", "web");
    for origins in [
        vec![from(SOURCE, "web"), elsewhere.clone()],
        vec![elsewhere.clone(), from(SOURCE, "web")],
    ] {
        assert_eq!(deployed(World::good(), origins).verdict(), ELSEWHERE);
    }
    let both = vec![from(SOURCE, "web"), ChartOrigin::Inline(None)];
    assert_eq!(deployed(World::good(), both).verdict(), TRUSTED);
}

/// Proof of badness is about the content that runs, and whoever may write a deployer's object must not
/// hide it.
#[test]
fn badness_is_hidden_by_nothing_that_a_deployer_says() {
    let compromised = Verdict::Untrusted(Reason::KeyCompromised);
    for origin in [
        from(SOURCE, "web"),
        from("https://evil.example", "web"),
        ChartOrigin::Inline(None),
        ChartOrigin::Unknown("no source".to_owned()),
    ] {
        let mut world = deployed(World::good(), vec![origin.clone()]);
        world.revoke("alice", RevocationReason::Compromised);
        assert_eq!(world.verdict(), compromised, "{origin:?}");
    }
}

/// Nothing that only the deployer says is proof against the release.
#[test]
fn elsewhere_is_never_proof_of_badness_nor_tampering() {
    for different in [false, true] {
        let mut world = deployed(World::good(), vec![from("https://evil.example", "web")]);
        if different {
            facts_of(&mut world.evidence, SOURCE).binding = Bound::Different(vec!["x".into()]);
        }
        assert_eq!(world.verdict().class(), Class::CouldNotTell);
    }
}

#[test]
fn what_asks_for_nothing_stays_unmanaged_and_a_forbidden_version_forbidden() {
    let elsewhere = || vec![from("https://evil.example", "web")];
    let mut world = deployed(World::good(), elsewhere());
    world.level(Level::None);
    assert_eq!(world.verdict(), Verdict::Unknown(Cause::Unmanaged));
    let mut world = deployed(World::good(), elsewhere());
    world.rule().versions = Some(">=2.0.0".parse().unwrap());
    assert_eq!(
        world.verdict(),
        Verdict::Untrusted(Reason::VersionNotAllowed)
    );
}

/// A later answer that gives trust by the source that counts is taken, whatever other sources say.
#[test]
fn a_later_answer_is_weighed_by_the_source_that_counts() {
    let mut world = World::good();
    world.level(Level::Signature);
    world.rule().sources = vec![source(SOURCE), source(MIRROR)];
    world.answer(SOURCE, archive(ProvenanceFacts::Missing));
    world.answer(MIRROR, archive(ProvenanceFacts::Missing));
    let mut world = deployed(world, vec![from(MIRROR, "web")]);
    assert_eq!(world.verdict(), Verdict::Untrusted(Reason::Unsigned));
    let signed: Answer = archive(provenance(&text(), &[signature(&person(1))]));
    let mut evidence = world.evidence.clone();
    evidence.apply(MIRROR, signed, &world.judged_by());
    world.evidence = evidence;
    assert_eq!(world.verdict(), Verdict::Trusted(Basis::ArchiveVerified));
}

/// Nothing but its deployer says what runs: what another source has is no proof against it, and none for it.
#[test]
fn without_a_record_only_what_the_deployer_names_is_bad_or_good() {
    for level in [Level::Strict, Level::Signature] {
        let mut world = World::good();
        world.level(level);
        world.facts().binding = Bound::NoRecord;
        let good = match level {
            Level::Strict => Verdict::Unknown(Cause::NotBindable),
            _ => Verdict::Trusted(Basis::ArchiveVerified),
        };
        let here = deployed(world.clone(), vec![from(SOURCE, "web")]);
        let elsewhere = deployed(world.clone(), vec![from(MIRROR, "web")]);
        assert_eq!([here.verdict(), elsewhere.verdict()], [good, ELSEWHERE]);
        world.revoke("alice", RevocationReason::Compromised);
        let here = deployed(world.clone(), vec![from(SOURCE, "web")]);
        let elsewhere = deployed(world, vec![from(MIRROR, "web")]);
        let bad = Verdict::Untrusted(Reason::KeyCompromised);
        assert_eq!([here.verdict(), elsewhere.verdict()], [bad, ELSEWHERE]);
    }
}

/// The source that the deployer names has nothing any more, and another has what a stolen key has signed.
#[test]
fn without_a_record_a_source_that_nobody_names_proves_nothing_bad() {
    let mut world = World::good();
    world.level(Level::Signature);
    world.facts().binding = Bound::NoRecord;
    world.rule().sources.push(source(MIRROR));
    let answer = world.evidence.answers.remove(SOURCE).unwrap();
    world.answer(MIRROR, answer);
    world.answer(SOURCE, Answer::NotFound);
    world.revoke("alice", RevocationReason::Compromised);
    let world = deployed(world, vec![from(SOURCE, "web")]);
    assert_eq!(world.verdict(), Verdict::Untrusted(Reason::ChartNotFound));
}
