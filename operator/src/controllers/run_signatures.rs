//! Sigstore signatures from the question to the verdict: with the real workers, and a repository that counts what it
//! is asked.

use std::sync::Arc;
use std::time::Duration;

use charttrust_verify::check::{self, Case};
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::Evidence;
use charttrust_verify::key::RevocationReason;
use charttrust_verify::policy::{Demands, Level, ReleaseRef, Rule, Source};
use charttrust_verify::sigstore::{
    IdentityRevocation, KnownIdentity, PublicKey, Root, TrustedRoot, Window,
};
use charttrust_verify::verdict::{Basis, Cause, Reason, Verdict};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::context::Context;
use super::store::signers::LoadedIdentity;
use super::store::{Content, LoadedKey, Reading, Revision};
use super::testing::{POLICY, Scene, id};
use crate::api::TrustedKey;
use crate::clock::Moment;
use crate::forge::{ISSUER, Key, SUBJECT, Shape, World, noon};
use crate::inventory::{Claim, Mark, RecordId, ReleaseId};
use crate::leader::Leadership;
use crate::parse;

const CHART: &[u8] = include_bytes!("../../verify/tests/data/hashtest-1.2.3.tgz");
const STATEMENT: &[u8] =
    include_bytes!("../../verify/tests/openpgp/vectors/helm-hashtest-1.2.3.tgz.prov");
const SIGNER: &[u8] = include_bytes!("../../verify/tests/openpgp/vectors/helm-test-key.pub");
/// The same key as a public key.
const TWIN: &str = include_str!("../../verify/tests/openpgp/vectors/helm-test-key.pem");
const INDEX: &str = "apiVersion: v1\nentries:\n  hashtest:\n  - name: hashtest\n    version: 1.2.3\n    urls: \
                     [hashtest-1.2.3.tgz]\n";
const BUNDLE: &str = "/hashtest-1.2.3.tgz.sigstore.json";
const TRUSTED: Verdict = Verdict::Trusted(Basis::ArchiveVerified);
/// An Application: nothing is compared, so that no record has to be read.
const RECORD: RecordId = RecordId::Application {
    claim: Claim::First,
    revision: 1,
};

/// A repository, a policy about its chart, and a release of it.
struct Stage {
    context: Arc<Context>,
    release: ReleaseId,
    server: MockServer,
    sigstore: World,
}

fn bytes(bytes: impl Into<Vec<u8>>) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_bytes(bytes)
}

impl Stage {
    /// With this answer for the bundle, and changes to the rule.
    async fn with(bundle: impl Fn(&World) -> ResponseTemplate, rule: impl Fn(&mut Rule)) -> Self {
        let (server, sigstore) = (MockServer::start().await, World::called("ours"));
        let answers = [
            ("/index.yaml", bytes(INDEX)),
            ("/hashtest-1.2.3.tgz", bytes(CHART)),
            (BUNDLE, bundle(&sigstore)),
        ];
        Self::answering(server, sigstore, answers.into(), rule).await
    }

    async fn answering(
        server: MockServer,
        sigstore: World,
        answers: Vec<(&str, ResponseTemplate)>,
        rule: impl Fn(&mut Rule),
    ) -> Self {
        for (place, answer) in answers {
            let mock = Mock::given(path(place)).respond_with(answer);
            mock.mount(&server).await;
        }
        let loopback = vec!["127.0.0.1".parse().unwrap()];
        let scene = Scene::reaching(loopback, None, Leadership::Alone).await;
        let context = Arc::new(scene.context);
        let stage = Self {
            context,
            release: id("shop", "argocd.web"),
            server,
            sigstore,
        };
        stage.declare(rule);
        stage.read();
        tokio::spawn(Arc::clone(&stage.context).poll_for_ever());
        stage
    }

    /// With a good signature, by a rule that lists whom it is by.
    async fn signed() -> Self {
        Self::with(good, lists).await
    }

    fn declare(&self, change: impl Fn(&mut Rule)) {
        let object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
            "metadata": {"name": POLICY, "generation": 1},
            "spec": {"rules": [{
                "name": "all", "charts": ["*"], "sources": [{"url": self.server.uri()}],
                "verify": {"level": "Signature", "signers": {"keys": ["platform"]}},
            }]},
        });
        let mut loaded = parse::policy(&serde_json::from_value(object).unwrap());
        assert_eq!(loaded.problems, []);
        let Demands::Rules(rules) = &mut loaded.policy.demands else {
            panic!("rules")
        };
        change(&mut rules[0]);
        let store = &self.context.store;
        store.set_policy(POLICY, Some((reading(), loaded)));
    }

    /// The Application was read.
    fn read(&self) {
        let content = Content {
            chart: "hashtest".to_owned(),
            version: "1.2.3".to_owned(),
            manifest: None,
            recorded: None,
            digest: Sha256Digest::of(b"content"),
            evidence: Evidence::default(),
        };
        let revision = Revision {
            resource_version: "1".to_owned(),
            content: Ok(content),
            mark: Mark::None,
        };
        self.context.store.update(&self.release, |known| {
            known.revisions = [(RECORD, revision)].into_iter().collect();
        });
    }

    fn identity(&self) -> KnownIdentity {
        let object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedIdentity",
            "metadata": {"name": "release"},
            "spec": {"issuer": ISSUER, "subject": {"exact": SUBJECT}},
        });
        let object = serde_json::from_value(object).unwrap();
        parse::identity(&object, Root::Known(Arc::new(self.sigstore.root()))).unwrap()
    }

    /// Takes in what objects of this kind were read as.
    fn know(&self, identities: Vec<KnownIdentity>) {
        for known in identities {
            let name = known.identity.name.clone();
            let loaded = LoadedIdentity {
                reading: reading(),
                known: Some(known),
                problem: None,
                waits_for_root: false,
                is_caller_told: true,
            };
            self.context.store.set_identity(&name, Some(loaded));
        }
    }

    /// Takes in a key of PGP.
    fn know_key(&self, name: &str, material: &[u8]) {
        let certificate = charttrust_verify::openpgp::load_all(material).unwrap();
        let fingerprint = certificate[0].fingerprint().to_string();
        let object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey",
            "metadata": {"name": name, "generation": 1},
            "spec": {"fingerprint": fingerprint, "publicKey": {"inline": "as given"}},
        });
        let object: TrustedKey = serde_json::from_value(object).unwrap();
        let key = parse::key(&object, material);
        assert!(key.is_ok(), "{key:?}");
        let loaded = LoadedKey {
            reading: reading(),
            fingerprint: object.spec.fingerprint.parse().ok(),
            revocation: None,
            refresh: None,
            key,
            remains: parse::Remains::default(),
        };
        self.context.store.set_key(name, Some(loaded));
    }

    /// What is said of the release by what is known, without asking.
    fn verdict(&self) -> Verdict {
        let trust = self.context.store.trust();
        let release = self.context.store.release(&self.release).unwrap();
        let content = release.contents().next().unwrap();
        let case = Case {
            release: ReleaseRef {
                namespace: "shop",
                namespace_labels: None,
                name: "argocd.web",
            },
            chart: &content.chart,
            version: &content.version,
            deployers: &[],
            evidence: &content.evidence,
        };
        check::judge(&case, &trust.judged_by, trust.known(), crate::clock::now()).verdict
    }

    /// How often looks came to nothing, after another one.
    async fn looked(&self) -> u32 {
        let before = self.looks();
        super::release::poll::plan(&self.context, &self.release, crate::clock::tick());
        let waiting = async {
            while self.looks() == before {
                tokio::task::yield_now().await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        ended.expect("a look");
        let release = self.context.store.release(&self.release).unwrap();
        release
            .asked
            .values()
            .map(|look| look.failures)
            .max()
            .unwrap()
    }

    /// The same at once, whatever the interval.
    async fn looked_again(&self) -> u32 {
        let source = Source::at(self.server.uri());
        super::release::poll::ask_again(&self.context, &[source]);
        self.looked().await
    }

    fn looks(&self) -> Option<tokio::time::Instant> {
        let release = self.context.store.release(&self.release).unwrap();
        release.asked.values().map(|look| look.last_asked).max()
    }

    async fn asked(&self, place: &str) -> usize {
        let requests = self.server.received_requests().await.unwrap();
        requests.iter().filter(|it| it.url.path() == place).count()
    }
}

/// The pipeline's signature and that of somebody with a key of PGP, of which two are needed: with each in turn missing.
#[tokio::test(flavor = "multi_thread")]
async fn pgp_and_an_identity_are_both_needed() {
    let too_few = Verdict::Untrusted(Reason::SignerNotTrusted);
    for (is_stated, is_bundled, expected) in [
        (true, true, TRUSTED),
        (true, false, too_few),
        (false, true, too_few),
        (false, false, Verdict::Untrusted(Reason::Unsigned)),
    ] {
        let (server, sigstore) = (MockServer::start().await, World::called("ours"));
        let mut answers = vec![
            ("/index.yaml", bytes(INDEX)),
            ("/hashtest-1.2.3.tgz", bytes(CHART)),
        ];
        answers.extend(is_stated.then(|| ("/hashtest-1.2.3.tgz.prov", bytes(STATEMENT))));
        answers.extend(is_bundled.then(|| (BUNDLE, good(&sigstore))));
        let both = |rule: &mut Rule| {
            lists(rule);
            rule.verify.signers.threshold = std::num::NonZeroU32::new(2).unwrap();
        };
        let stage = Stage::answering(server, sigstore, answers, both).await;
        stage.know(vec![stage.identity()]);
        stage.know_key("platform", SIGNER);
        stage.looked().await;
        assert_eq!(stage.verdict(), expected, "{is_stated} {is_bundled}");
        // From what is kept, with the source gone.
        stage.server.reset().await;
        stage.context.store.learn(&stage.release, Moment::now());
        assert_eq!(stage.verdict(), expected, "{is_stated} {is_bundled}");
    }
}

fn reading() -> Reading {
    Reading {
        generation: 1,
        details: String::new(),
        at: Timestamp::UNIX_EPOCH,
    }
}

fn good(world: &World) -> ResponseTemplate {
    let shape = Shape {
        artifact: CHART.to_vec(),
        ..world.good()
    };
    bytes(shape.bundle().to_string())
}

fn lists(rule: &mut Rule) {
    rule.verify.signers.identities.insert("release".to_owned());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lists_nobody_of_sigstore_asks_for_no_signature() {
    let unmanaged = |rule: &mut Rule| {
        lists(rule);
        rule.verify.level = Level::None;
    };
    let stage = Stage::with(good, |_| ()).await;
    stage.know(vec![stage.identity()]);
    assert_eq!(stage.looked().await, 0);
    assert_eq!(stage.verdict(), Verdict::Untrusted(Reason::Unsigned));
    stage.declare(unmanaged);
    assert_eq!(stage.asked(BUNDLE).await, 0);
    // Whoever lists somebody has it asked for at once, though the source has answered.
    stage.declare(lists);
    assert_eq!(stage.verdict(), Verdict::Unknown(Cause::Pending));
    assert_eq!(stage.looked().await, 0);
    assert_eq!((stage.asked(BUNDLE).await, stage.verdict()), (1, TRUSTED));
}

fn window(stage: &Stage, hours: i64) -> KnownIdentity {
    let from = noon() + SignedDuration::from_hours(hours);
    let window = Window::new(from, Some(from + SignedDuration::from_hours(2))).unwrap();
    let mut identity = stage.identity();
    let revoked = IdentityRevocation::new(
        RevocationReason::Compromised,
        vec![window],
        std::collections::BTreeSet::new(),
    );
    identity.identity.revocation = Some(revoked.unwrap());
    identity
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_judged_from_what_is_kept() {
    let stage = Stage::signed().await;
    stage.know(vec![stage.identity()]);
    assert_eq!(stage.looked().await, 0);
    assert_eq!(stage.verdict(), TRUSTED);
    stage.server.reset().await;
    for (hours, expected) in [
        (-1, Verdict::Untrusted(Reason::KeyCompromised)),
        (2, TRUSTED),
        (-4, TRUSTED),
    ] {
        stage.know(vec![window(&stage, hours)]);
        stage.context.store.learn(&stage.release, Moment::now());
        assert_eq!(stage.verdict(), expected, "{hours}");
    }
    assert_eq!(stage.server.received_requests().await.unwrap().len(), 0);
}

/// Never trusted without proof, never untrusted by silence; and that there is none is an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_tell_its_signatures_is_silent_about_these_alone() {
    for (code, failures, expected) in [
        (404, 0, Verdict::Untrusted(Reason::Unsigned)),
        (403, 1, Verdict::Unknown(Cause::SourceUnavailable)),
        (503, 1, Verdict::Unknown(Cause::SourceUnavailable)),
    ] {
        let stage = Stage::with(|_| ResponseTemplate::new(code), lists).await;
        stage.know(vec![stage.identity()]);
        assert_eq!(stage.looked().await, failures, "{code}");
        assert_eq!(stage.verdict(), expected, "{code}");
        let release = stage.context.store.release(&stage.release).unwrap();
        let content = release.contents().next().unwrap();
        assert_eq!(content.evidence.archives().count(), 1, "it has the archive");
    }
    let large = |_: &World| bytes(vec![b' '; (1 << 20) + 1]);
    let stage = Stage::with(large, lists).await;
    stage.know(vec![stage.identity()]);
    assert_eq!(
        stage.looked().await,
        0,
        "it has answered, and is asked again after the interval"
    );
    assert_eq!(stage.verdict(), Verdict::Unknown(Cause::LimitExceeded));
}

/// What is trusted by something else stays so, and its source has answered.
#[tokio::test(flavor = "multi_thread")]
async fn silence_about_signatures_takes_no_trust_that_something_else_gives() {
    let pinned = |rule: &mut Rule| {
        lists(rule);
        rule.pins.push(charttrust_verify::policy::Pin {
            chart: "hashtest".to_owned(),
            version: "1.2.3".to_owned(),
            digest: Sha256Digest::of(CHART),
        });
    };
    let stage = Stage::with(|_| ResponseTemplate::new(503), pinned).await;
    assert_eq!(stage.looked().await, 0);
    assert_eq!(stage.verdict(), Verdict::Trusted(Basis::DigestPinned));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_declared_after_the_look_is_tried_without_another() {
    let stage = Stage::signed().await;
    assert_eq!(stage.looked().await, 0);
    assert_eq!(
        stage.verdict(),
        Verdict::Untrusted(Reason::SignerNotTrusted)
    );
    let release = stage.context.store.release(&stage.release).unwrap();
    let mut evidence = release.contents().next().unwrap().evidence.clone();
    assert!(
        evidence.take_bundles().is_empty(),
        "the bytes are kept once, elsewhere"
    );
    stage.know(vec![stage.identity()]);
    stage.context.store.learn(&stage.release, Moment::now());
    assert_eq!((stage.asked(BUNDLE).await, stage.verdict()), (1, TRUSTED));
    let is_open = |release: &super::store::Release| release.requests.are_open();
    let asks = |stage: &Stage| {
        let store = &stage.context.store;
        store.inspect(&stage.release, |release| release.is_some_and(is_open))
    };
    assert!(!asks(&stage));

    // With the bytes gone there is nothing to try: a look is asked for.
    let stage = Stage::signed().await;
    stage.looked().await;
    stage.context.store.texts.forget_all();
    stage.know(vec![stage.identity()]);
    stage.context.store.learn(&stage.release, Moment::now());
    assert!(asks(&stage));
}

/// A rule that lists its name believed nobody of Sigstore until then.
#[tokio::test(flavor = "multi_thread")]
async fn a_public_key_that_is_declared_later_has_signatures_asked_for() {
    let stage = Stage::with(good, |_| ()).await;
    assert_eq!(stage.looked().await, 0);
    assert_eq!(stage.verdict(), Verdict::Untrusted(Reason::Unsigned));
    let queues = &stage.context.queues;
    for (name, is_asked) in [("other", false), ("platform", true)] {
        let pem = Key::new().public_pem();
        let fingerprint = PublicKey::parse(pem.as_bytes()).unwrap().fingerprint();
        let object = serde_json::from_value(json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey",
            "metadata": {"name": name, "generation": 1},
            "spec": {"type": "PublicKey", "fingerprint": fingerprint.to_string(), "publicKey": {"inline": pem}},
        }));
        let object: TrustedKey = object.unwrap();
        let keys = &stage.context.cache.keys;
        keys.set(name.to_owned(), Some(Ok(object)));
        super::key::reconcile(&stage.context, name, Moment::now()).await;
        let due = queues.records.due_at(&stage.release);
        assert_eq!(due.is_some(), is_asked, "{name}");
    }
    assert_eq!(stage.verdict(), Verdict::Unknown(Cause::Pending));
    assert_eq!(stage.looked().await, 0);
    assert_eq!(stage.asked(BUNDLE).await, 1);
}

/// The secret of a key of PGP signs as a public key too: stolen in one form, it is stolen in both, at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_in_its_other_form_is_revoked_at_once() {
    let (server, sigstore) = (MockServer::start().await, World::called("ours"));
    let answers = vec![
        ("/index.yaml", bytes(INDEX)),
        ("/hashtest-1.2.3.tgz", bytes(CHART)),
        ("/hashtest-1.2.3.tgz.prov", bytes(STATEMENT)),
    ];
    let stage = Stage::answering(server, sigstore, answers, |_| ()).await;
    stage.know_key("platform", SIGNER);
    stage.looked().await;
    assert_eq!(stage.verdict(), TRUSTED);
    let (context, queues) = (&stage.context, &stage.context.queues);
    let declare = |generation: usize, pem: &str, revocation: serde_json::Value| {
        let fingerprint = PublicKey::parse(pem.as_bytes()).unwrap().fingerprint();
        let mut object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey",
            "metadata": {"name": "pem", "generation": generation},
            "spec": {"type": "PublicKey", "fingerprint": fingerprint.to_string(), "publicKey": {"inline": pem}},
        });
        if !revocation.is_null() {
            object["spec"]["revocation"] = revocation;
        }
        let object: TrustedKey = serde_json::from_value(object).unwrap();
        context.cache.keys.set("pem".to_owned(), Some(Ok(object)));
    };
    let stolen = || json!({"reason": "Compromised"});
    let compromised = Verdict::Untrusted(Reason::KeyCompromised);
    let other = Key::new().public_pem();
    let rows = [
        (other.as_str(), stolen(), false, TRUSTED),
        (TWIN, json!(null), true, TRUSTED),
        (TWIN, stolen(), true, compromised),
        // Taken back, and of another key again: what it was counts no more.
        (TWIN, json!(null), true, TRUSTED),
        (TWIN, stolen(), true, compromised),
        (&other, stolen(), true, TRUSTED),
        (&other, json!(null), false, TRUSTED),
    ];
    for (generation, (pem, revocation, is_asked, expected)) in rows.into_iter().enumerate() {
        queues.records.forget(&stage.release);
        declare(generation, pem, revocation.clone());
        super::key::reconcile(context, "pem", Moment::now()).await;
        assert_eq!(stage.verdict(), expected, "{revocation}");
        let due = queues.records.due_at(&stage.release);
        assert_eq!(due.is_some(), is_asked, "{revocation}");
    }
}

/// Whoever uses PGP alone has no Sigstore: no root is read, and nothing is asked.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_lists_and_declares_nobody_of_sigstore_needs_no_root() {
    let stage = Stage::with(good, |_| ()).await;
    for _ in 0..3 {
        assert_eq!(stage.looked_again().await, 0);
        assert_eq!(stage.verdict(), Verdict::Untrusted(Reason::Unsigned));
    }
    assert_eq!(stage.asked(BUNDLE).await, 0);
    assert!(stage.context.store.roots.are_unread());
}

/// A Sigstore that is there and would answer: authorities, logs and their addresses as the root names them.
#[tokio::test(flavor = "multi_thread")]
async fn no_host_is_asked_but_the_source_whoever_signs_and_whatever_is_revoked() {
    let stage = Stage::signed().await;
    let elsewhere = MockServer::start().await;
    let root = stage.sigstore.root_json().to_string();
    let ours = elsewhere.uri();
    let named = root.split("https://").count() - 1;
    let root = root.replace("https://", &format!("{ours}/"));
    let root = Root::Known(Arc::new(TrustedRoot::parse(root.as_bytes()).unwrap()));
    let by_it = |mut known: KnownIdentity| {
        known.root = root.clone();
        known
    };
    assert!(named > 0, "the root names places");
    stage.know(vec![by_it(stage.identity())]);
    // A start, and a steady state.
    for _ in 0..5 {
        assert_eq!(stage.looked_again().await, 0);
        assert_eq!(stage.verdict(), TRUSTED);
    }
    // Judging.
    for (hours, expected) in [
        (-1, Verdict::Untrusted(Reason::KeyCompromised)),
        (2, TRUSTED),
    ] {
        stage.know(vec![by_it(window(&stage, hours))]);
        stage.context.store.learn(&stage.release, Moment::now());
        assert_eq!(stage.verdict(), expected, "{hours}");
        assert_eq!(stage.looked_again().await, 0);
    }
    let counts = stage.context.fetcher.counts();
    let hosts: std::collections::BTreeSet<_> = counts
        .requests
        .keys()
        .map(|(host, _)| host.as_str())
        .collect();
    assert_eq!(hosts.into_iter().collect::<Vec<_>>(), ["127.0.0.1"]);
    let answered: u64 = counts.requests.values().sum();
    let received = stage.server.received_requests().await.unwrap().len();
    assert_eq!(
        usize::try_from(answered).unwrap(),
        received,
        "all of it went to the source"
    );
    assert_eq!(elsewhere.received_requests().await.unwrap().len(), 0);
}
