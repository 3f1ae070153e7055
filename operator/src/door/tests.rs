//! The whole door, over a repository on loopback: which record is let in, in which words, and at what cost.

use std::io::Write as _;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use charttrust_verify::check::{self, Case};
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{Bound, Claimed, Evidence};
use charttrust_verify::later::JudgedBy;
use charttrust_verify::policy::Level;
use charttrust_verify::seal::PublicSeal;
use kube::{Client, Config};
use serde_json::{Value, json};
use wiremock::matchers::{any, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::callers::Callers;
use super::*;
use crate::api::TrustedKey;
use crate::evidence::{Forms, Gathered, gather};
use crate::fake_chart::{packed, recorded, stored};
use crate::forge::{Key, Shape, World};
use crate::sources::{Asked as When, Limits, Source};

/// A repository with charts of one file, and a door that may ask it.
struct Scene {
    door: Door,
    repository: MockServer,
}

impl Scene {
    async fn with(policies: &[Value]) -> Self {
        let repository = MockServer::start().await;
        let nowhere = Config::new("http://127.0.0.1:1".parse().unwrap());
        let settings = Settings {
            namespace: "charttrust-system".to_owned(),
            exempt: ["kube-system".to_owned()].into(),
            sources: SourceSettings {
                allowed_hosts: vec!["127.0.0.1".parse().unwrap()],
                auth_hosts: Vec::new(),
                limits: Limits::default(),
                user_agent: "test".to_owned(),
            },
        };
        let door = Door::new(Client::try_from(nowhere).unwrap(), settings);
        let scene = Self { door, repository };
        scene.declare(policies);
        scene
    }

    fn declare(&self, policies: &[Value]) {
        self.declare_with(policies, &[]);
    }

    fn declare_with(&self, policies: &[Value], keys: &[TrustedKey]) {
        let url = self.repository.uri();
        let policies = policies.iter().enumerate().map(|(index, change)| {
            let mut policy = json!({
                "apiVersion": "charttrust.io/v1alpha1",
                "kind": "ChartTrustPolicy",
                "metadata": {"name": format!("p{index}")},
                "spec": {"mode": "Enforce", "rules": [{
                    "name": "all", "charts": ["*"], "sources": [{"url": url}], "verify": {"level": "Signature"},
                }]},
            });
            json_patch::merge(&mut policy, change);
            serde_json::from_value(policy).unwrap()
        });
        self.door.known.suppose(policies.collect(), keys);
    }

    /// Publishes a version, and gives the digest of its archive.
    async fn publish(&self, version: &str) -> Sha256Digest {
        self.repository.reset().await;
        publish(version, &self.repository).await
    }

    /// Beside what is published.
    async fn add(&self, at: &str, body: Vec<u8>) {
        let answer = ResponseTemplate::new(200).set_body_bytes(body);
        let mock = Mock::given(path(at)).respond_with(answer);
        mock.mount(&self.repository).await;
    }

    /// What becomes of an Application that asks for this.
    async fn apply(&self, spec: Value) -> String {
        let object = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": spec});
        let review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "u", "kind": {"group": "argoproj.io", "version": "v1alpha1", "kind": "Application"},
                "namespace": "shop", "operation": "UPDATE", "object": object,
            },
        });
        let review = Review::read(&serde_json::to_vec(&review).unwrap()).unwrap();
        let place = place().await;
        let answer = self
            .door
            .answer((review.subject, place), Moment::now())
            .await;
        told(answer.unwrap())
    }

    async fn asked(&self) -> usize {
        self.repository.received_requests().await.unwrap().len()
    }

    /// What becomes of a record: nothing, or its refusal and its warnings, line by line. The repository has longer
    /// than whoever installs waits: a machine that is busy is no source that is silent.
    async fn install(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut moment = Moment::now();
        moment.tick += Duration::from_secs(60);
        let answer = self.door.answer(submitted(change).await, moment).await;
        told(answer.unwrap())
    }
}

async fn publish(version: &str, repository: &MockServer) -> Sha256Digest {
    let archive = packed(version);
    let digest = Sha256Digest::of(&archive);
    let index = format!(
        "apiVersion: v1\nentries:\n  web:\n  - version: {version}\n    urls: [web-{version}.tgz]\n"
    );
    let answers = [
        ("/index.yaml".to_owned(), index.into_bytes()),
        (format!("/web-{version}.tgz"), archive),
    ];
    for (at, body) in answers {
        let answer = ResponseTemplate::new(200).set_body_bytes(body);
        let mock = Mock::given(path(at)).respond_with(answer);
        mock.mount(repository).await;
    }
    digest
}

fn told(answer: Answer) -> String {
    let refusal = answer.refusal.map(|told| format!("refused: {told}"));
    let all: Vec<_> = refusal.into_iter().chain(answer.warnings).collect();
    all.join("\n")
}

/// What is asked about a record, after a change of the object or, below `record`, of what it holds.
async fn submitted(change: impl FnOnce(&mut Value)) -> (Subject, Place) {
    let review = Review::read(&body(change)).unwrap();
    (review.subject, place().await)
}

/// The review of that record as an API server sends it.
fn body(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut object = json!({
        "namespace": "shop",
        "record": recorded("web", "1.0.0", "pending-install"),
        "metadata": {"name": "sh.helm.release.v1.web.v1", "labels": {"status": "pending-install"}},
        "type": "helm.sh/release.v1",
    });
    change(&mut object);
    let namespace = object["namespace"].take();
    if object["data"].is_null() {
        object["data"] = stored(&object["record"].take());
    }
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u", "kind": {"group": "", "version": "v1", "kind": "Secret"},
            "namespace": namespace, "operation": "CREATE", "object": object,
        },
    });
    serde_json::to_vec(&review).unwrap()
}

async fn place() -> Place {
    let callers = Arc::new(Callers::default());
    let admitted = callers.admit([10, 0, 0, 1].into()).unwrap();
    admitted.place().await.unwrap()
}

fn mode(mode: &str) -> Value {
    json!({"spec": {"mode": mode}})
}

fn pinned(digest: Sha256Digest, url: &str) -> Value {
    let pin = json!({"chart": "web", "version": "1.0.0", "digest": digest.to_string()});
    json!({"spec": {"rules": [{
        "name": "all", "charts": ["*"], "sources": [{"url": url}], "verify": {"level": "Signature"}, "digests": [pin],
    }]}})
}

#[tokio::test]
async fn each_policy_does_what_its_mode_says() {
    let scene = Scene::with(&[mode("Audit"), mode("Warn"), mode("Enforce")]).await;
    scene.publish("1.0.0").await;
    let told = scene.install(|_| {}).await;
    let lines: Vec<_> = told.lines().collect();
    assert!(
        lines[0].starts_with(
            "refused: release shop/web (chart web 1.0.0): Unsigned by policy p2, rule all: "
        ),
        "{told}"
    );
    assert_eq!(
        lines[1..],
        ["charttrust: is not trusted: Unsigned (policy p1): release shop/web"]
    );

    scene.declare(&[mode("Warn")]);
    assert!(
        scene
            .install(|_| {})
            .await
            .starts_with("charttrust: is not trusted: Unsigned")
    );
    for policies in [
        &[][..],
        &[mode("Audit")],
        &[json!({"spec": {"suspend": true}})],
    ] {
        scene.declare(policies);
        assert_eq!(scene.install(|_| {}).await, "");
    }
}

#[tokio::test]
async fn what_is_known_is_let_in_without_asking_anybody() {
    let scene = Scene::with(&[]).await;
    let digest = scene.publish("1.0.0").await;
    scene.declare(&[pinned(digest, &scene.repository.uri())]);
    assert_eq!(scene.install(|_| {}).await, "");
    let asked = scene.asked().await;
    assert!(asked > 0);
    for _ in 0..3 {
        assert_eq!(scene.install(|_| {}).await, "");
    }
    assert_eq!(scene.asked().await, asked);
}

/// What an answer for an archive costs that is known, from the body of the request to that of the answer. The record
/// is decoded by another thread, of which nothing is counted here.
#[test]
fn cost() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let scene = runtime.block_on(async {
        let scene = Scene::with(&[]).await;
        let digest = scene.publish("1.0.0").await;
        scene.declare(&[pinned(digest, &scene.repository.uri())]);
        assert_eq!(scene.install(|_| {}).await, "");
        scene
    });
    let (asked, moment) = (runtime.block_on(scene.asked()), Moment::now());
    let (body, callers) = (body(|_| {}), Arc::new(Callers::default()));
    crate::cost::measure(|| {
        let review = Review::read(&body).unwrap();
        let uid = review.uid().to_owned();
        let answer = runtime.block_on(async {
            let admitted = callers.admit([10, 0, 0, 1].into()).unwrap();
            let place = admitted.place().await.unwrap();
            scene.door.answer((review.subject, place), moment).await
        });
        assert_eq!(answer.unwrap(), Answer::default());
        assert!(!Review::answered(&uid, &Answer::default()).is_empty());
    });
    assert_eq!(runtime.block_on(scene.asked()), asked);
}

#[tokio::test]
async fn what_is_trusted_by_memory_is_let_in_without_asking_the_api_server_either() {
    let mut scene = Scene::with(&[]).await;
    let server = MockServer::start().await;
    let config = Config::new(server.uri().parse().unwrap());
    scene.door.client = Client::try_from(config).unwrap();
    let digest = scene.publish("1.0.0").await;
    let mut strict = pinned(digest, &scene.repository.uri());
    strict["spec"]["rules"][0]["verify"]["level"] = json!("Strict");
    scene.declare(&[strict]);
    scene.door.known.suppose_seal(PublicSeal::new(&[0; 32]));
    let asked = async || {
        let of_server = server.received_requests().await.unwrap().len();
        (scene.asked().await, of_server)
    };
    assert_eq!(scene.install(|_| {}).await, "");
    let first = asked().await;
    assert!(
        first.0 > 0 && first.1 == 1,
        "what the operator knows: {first:?}"
    );
    for _ in 0..3 {
        assert_eq!(scene.install(|_| {}).await, "");
    }
    assert_eq!(asked().await, first);
    let changed = |review: &mut Value| {
        review["record"]["chart"]["metadata"]["description"] = json!("changed");
    };
    assert!(scene.install(changed).await.contains("ContentMismatch"));
    assert_eq!(asked().await.1, 2, "he may know better");
}

#[tokio::test]
async fn what_is_remembered_takes_no_trust_before_it_was_asked_for_again() {
    let scene = Scene::with(&[mode("Enforce")]).await;
    scene.publish("1.0.0").await;
    assert!(scene.install(|_| {}).await.contains("Unsigned"));
    let asked = scene.asked().await;
    assert!(scene.install(|_| {}).await.contains("Unsigned"));
    assert!(
        scene.asked().await > asked,
        "the publisher may have signed it since"
    );
}

/// What the source itself has shown stands while it is silent: a mirror can give trust, and takes nothing.
#[tokio::test]
async fn a_mirror_changes_nothing_of_what_a_silent_source_has_shown() {
    let scene = Scene::with(&[]).await;
    let mirror = MockServer::start().await;
    let source = json!({"url": scene.repository.uri(), "mirrors": [mirror.uri()]});
    let rule = json!({"name": "all", "charts": ["*"], "sources": [source], "verify": {"level": "Signature"}});
    scene.declare(&[json!({"spec": {"rules": [rule]}})]);
    scene.publish("1.0.0").await;
    assert!(scene.install(|_| {}).await.contains("refused: "));
    publish("1.0.0", &mirror).await;
    scene.repository.reset().await;
    let silent = Mock::given(any()).respond_with(ResponseTemplate::new(503));
    silent.mount(&scene.repository).await;
    let told = scene.install(|_| {}).await;
    assert!(!mirror.received_requests().await.unwrap().is_empty());
    assert!(
        told.starts_with("refused: ") && told.contains("Unsigned"),
        "{told}"
    );
}

#[tokio::test]
async fn what_runs_no_more_is_judged_only_where_somebody_asks_what_would_have_been() {
    let scene = Scene::with(&[mode("Enforce")]).await;
    scene.publish("1.0.0").await;
    let superseded = |object: &mut Value| {
        object["metadata"]["labels"]["status"] = json!("superseded");
        object["record"]["info"]["status"] = json!("superseded");
    };
    assert_eq!(scene.install(superseded).await, "");
    let (Subject::Record(record), _) = submitted(superseded).await else {
        panic!("no record");
    };
    let trusting = scene.door.known.trusting().unwrap();
    let judging = scene
        .door
        .judge((*record, Comes::Stored), &trusting, Moment::now());
    let told = told(Box::pin(judging).await);
    assert!(
        told.starts_with("refused: ") && told.contains("Unsigned"),
        "{told}"
    );
}

#[tokio::test]
async fn with_lookup_memory_nobody_is_asked() {
    let memory = json!({"spec": {"admission": {"lookup": "Memory"}}});
    let scene = Scene::with(&[memory]).await;
    scene.publish("1.0.0").await;
    let told = scene.install(|_| {}).await;
    assert_eq!(
        told,
        "charttrust: was not checked: SourceUnavailable (policy p0): release shop/web"
    );
    assert_eq!(scene.asked().await, 0);
    // Where one policy lets the source be asked, the other need not.
    let memory = json!({"spec": {"admission": {"lookup": "Memory"}}});
    scene.declare(&[mode("Warn"), memory]);
    let told = scene.install(|_| {}).await;
    assert!(
        !told.contains("SourceUnavailable") && scene.asked().await > 0,
        "{told}"
    );
}

#[tokio::test]
async fn a_source_with_credentials_is_not_asked_without_them() {
    let scene = Scene::with(&[]).await;
    scene.publish("1.0.0").await;
    let source = json!({"url": scene.repository.uri(), "credentialsSecretRef": {"name": "login"}});
    let rule = json!({"name": "all", "charts": ["*"], "sources": [source], "verify": {"level": "Signature"}});
    let deny = json!({"onUnknown": "Deny"});
    scene.declare(&[json!({"spec": {"rules": [rule], "admission": deny}})]);
    let told = scene.install(|_| {}).await;
    assert!(
        told.starts_with("refused: ")
            && told.contains("needs credentials, which the webhook does not have"),
        "{told}"
    );
    assert_eq!(scene.asked().await, 0);
}

#[tokio::test]
async fn what_is_not_to_be_judged_is_let_in() {
    let scene = Scene::with(&[mode("Enforce")]).await;
    for namespace in ["kube-system", "charttrust-system"] {
        assert_eq!(
            scene
                .install(|review| review["namespace"] = json!(namespace))
                .await,
            ""
        );
    }
    for status in ["superseded", "uninstalled"] {
        let past = |review: &mut Value| {
            review["record"]["info"]["status"] = json!(status);
            review["metadata"]["labels"]["status"] = json!(status);
        };
        assert_eq!(scene.install(past).await, "", "{status}");
    }
    let elsewhere = json!({"spec": {"match": {"releases": ["other/*"]}}});
    scene.declare(&[elsewhere]);
    // Of which chart it is, no policy that selects it would ask.
    assert_eq!(
        scene
            .install(|review| review["data"] = json!({"release": "junk"}))
            .await,
        ""
    );
    assert_eq!(scene.asked().await, 0);
}

type Change<'a> = Box<dyn FnOnce(&mut Value) + 'a>;

#[tokio::test]
async fn a_record_that_cannot_be_believed_to_be_one_is_unreadable() {
    let scene = Scene::with(&[json!({"spec": {"admission": {"onUnknown": "Deny"}}})]).await;
    let bomb = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let zeros = vec![b' '; 1 << 20];
        (0..64).for_each(|_| encoder.write_all(&zeros).unwrap());
        BASE64_STANDARD.encode(BASE64_STANDARD.encode(encoder.finish().unwrap()))
    };
    let changes: [(&str, Change<'_>); 7] = [
        ("no data", Box::new(|review| review["data"] = json!({}))),
        (
            "no record",
            Box::new(|review| review["data"] = json!({"release": "c2VjcmV0"})),
        ),
        (
            "a bomb",
            Box::new(|review| review["data"] = json!({"release": bomb})),
        ),
        (
            "another name",
            Box::new(|review| review["record"]["name"] = json!("other")),
        ),
        (
            "another revision",
            Box::new(|review| review["record"]["version"] = json!(2)),
        ),
        (
            "another status",
            Box::new(|review| review["record"]["info"]["status"] = json!("superseded")),
        ),
        (
            "of a chart",
            Box::new(|review| review["metadata"]["annotations"] = json!({"helm.sh/hook": "x"})),
        ),
    ];
    for (what, change) in changes {
        let told = scene.install(change).await;
        assert!(
            told.starts_with("refused: release shop/web: ReleaseUnreadable by policy p0"),
            "{what}: {told}"
        );
        assert!(!told.contains("secret"), "{told}");
    }
}

#[tokio::test]
async fn a_broken_glass_lets_everything_in() {
    let scene = Scene::with(&[mode("Enforce")]).await;
    scene.publish("1.0.0").await;
    let now = Moment::now().date;
    let until = |hours| (now + jiff::SignedDuration::from_hours(hours)).to_string();
    scene.door.known.suppose_glass(Some(until(1)));
    assert!(
        scene
            .install(|_| {})
            .await
            .starts_with("charttrust: nothing is checked until")
    );
    assert!(scene.door.broken_until(now).is_some());
    for closed in [Some(until(25)), Some(until(-1)), None] {
        scene.door.known.suppose_glass(closed);
        assert!(scene.install(|_| {}).await.contains("Unsigned"));
        assert!(scene.door.broken_until(now).is_none());
    }
}

#[tokio::test]
async fn nothing_is_answered_before_everything_was_read() {
    let scene = Scene::with(&[]).await;
    scene.door.known.forget();
    assert!(!scene.door.is_ready());
    let answer = scene
        .door
        .answer(submitted(|_| {}).await, Moment::now())
        .await;
    assert!(answer.is_err());
}

/// Flux replaces the build of a version; that is not what the publisher calls it.
#[tokio::test]
async fn the_mark_of_flux_in_a_version_hides_no_chart() {
    let scene = Scene::with(&[]).await;
    let digest = scene.publish("1.0.0").await;
    scene.declare(&[pinned(digest, &scene.repository.uri())]);
    let marked = |manifest: &'static str| {
        move |review: &mut Value| {
            review["record"]["chart"]["metadata"]["version"] = json!("1.0.0+0123456789ab");
            review["record"]["manifest"] = json!(manifest);
        }
    };
    let of_flux = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels:\n    helm.toolkit.fluxcd.io/name: web\n    \
        helm.toolkit.fluxcd.io/namespace: shop\n";
    assert_eq!(scene.install(marked(of_flux)).await, "");
    let bare = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n";
    assert!(scene.install(marked(bare)).await.contains("ChartNotFound"));
    // What a source has under that very name is what is meant.
    let scene = Scene::with(&[]).await;
    let index = "apiVersion: v1\nentries:\n  web:\n  - version: 1.0.0\n    urls: [web-1.0.0.tgz]\n  \
        - version: 1.0.0+0123456789ab\n    urls: [marked.tgz]\n";
    scene.add("/index.yaml", index.into()).await;
    scene.add("/web-1.0.0.tgz", packed("1.0.0")).await;
    scene.add("/marked.tgz", packed("1.0.0+0123456789ab")).await;
    scene.declare(&[pinned(digest, &scene.repository.uri())]);
    let told = scene.install(marked(of_flux)).await;
    assert!(told.contains("Unsigned"), "{told}");
}

/// The key of somebody who signs with cosign, as it is declared.
fn public_key(key: &Key) -> TrustedKey {
    let parsed = charttrust_verify::sigstore::PublicKey::parse(key.public_pem().as_bytes());
    serde_json::from_value(json!({
        "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey", "metadata": {"name": "board"},
        "spec": {"type": "PublicKey", "fingerprint": parsed.unwrap().fingerprint().to_string(),
            "publicKey": {"inline": key.public_pem()}},
    }))
    .unwrap()
}

impl Scene {
    /// Puts a signature beside version 1.0.0, by a new key.
    async fn sign(&self) -> Key {
        let (world, key) = (World::new(), Key::new());
        let signed = Shape {
            artifact: packed("1.0.0"),
            ..world.keyed(&key)
        };
        let bundle = signed.bundle().to_string().into_bytes();
        self.add("/web-1.0.0.tgz.sigstore.json", bundle).await;
        key
    }
}

#[tokio::test]
async fn signatures_of_sigstore_are_remembered_and_judged_by_the_keys_of_now() {
    let scene = Scene::with(&[]).await;
    scene.publish("1.0.0").await;
    let key = scene.sign().await;
    let rule = json!({"name": "all", "charts": ["*"], "sources": [{"url": scene.repository.uri()}],
        "verify": {"level": "Signature", "signers": {"keys": ["board"]}}});
    let strict = json!({"spec": {"rules": [rule]}});
    scene.declare_with(std::slice::from_ref(&strict), &[public_key(&key)]);
    assert_eq!(scene.install(|_| {}).await, "");
    let asked = scene.asked().await;
    for _ in 0..3 {
        assert_eq!(scene.install(|_| {}).await, "");
    }
    assert_eq!(scene.asked().await, asked, "nobody is asked again");
    scene.declare_with(&[strict], &[public_key(&Key::new())]);
    let told = scene.install(|_| {}).await;
    assert!(told.contains("SignerNotTrusted"), "{told}");
    assert!(
        scene.asked().await > asked,
        "somebody may have signed it since"
    );
}

#[tokio::test]
async fn an_application_is_judged_by_the_charts_that_it_asks_for() {
    let scene = Scene::with(&[]).await;
    let digest = scene.publish("1.0.0").await;
    let uri = scene.repository.uri();
    let source = |chart: &str, version: &str| json!({"repoURL": uri.clone(), "chart": chart, "targetRevision": version});
    let one = |version: &str| json!({"source": source("web", version)});
    scene.declare(&[pinned(digest, &uri)]);
    assert_eq!(scene.apply(one("1.0.0")).await, "");
    let asked = scene.asked().await;
    assert_eq!(scene.apply(one("1.0.0")).await, "");
    assert_eq!(scene.asked().await, asked, "what is known is not asked for");
    assert_eq!(scene.apply(one("1.x")).await, "");
    assert_eq!(
        scene
            .apply(json!({"source": {"repoURL": "https://git.example", "path": "a"}}))
            .await,
        ""
    );
    // The second of several does not go in, so that nothing does.
    let several = json!({"sources": [source("web", "1.0.0"), source("bare", "1.0.0")]});
    let told = scene.apply(several).await;
    assert!(
        told.starts_with("refused: release shop/argocd.web.2 (chart bare 1.0.0): ChartNotFound"),
        "{told}"
    );

    scene.declare(&[mode("Enforce")]);
    let told = scene.apply(one("1.x")).await;
    let shown =
        "(chart web 1.0.0, the highest of 1.x now; later ones are not asked about): Unsigned";
    assert!(
        told.starts_with(&format!("refused: release shop/argocd.web {shown}")),
        "{told}"
    );
    scene.declare(&[mode("Warn")]);
    let told = scene.apply(one("1.0.0")).await;
    assert_eq!(
        told,
        "charttrust: is not trusted: Unsigned (policy p0): release shop/argocd.web"
    );
    // Of another place nothing is known, and a range of which nobody tells a version is not guessed.
    let deny = json!({"spec": {"admission": {"onUnknown": "Deny"}}});
    scene.declare(&[deny]);
    let elsewhere = json!({"source": {"repoURL": "https://other.example", "chart": "web", "targetRevision": "1.0.0"}});
    assert!(scene.apply(elsewhere).await.contains("SourceUnknown"));
    let told = scene.apply(one(">=7")).await;
    assert!(told.contains("no source tells which version"), "{told}");
    // What is not looked at is not let in unseen.
    let many =
        json!({"sources": vec![json!({"repoURL": "https://git.example", "path": "a"}); 1000]});
    let told = scene.apply(many).await;
    assert!(told.contains("LimitExceeded"), "{told}");
    let nameless = json!({"source": {"repoURL": uri, "chart": "/", "targetRevision": "1.0.0"}});
    assert!(scene.apply(nameless).await.contains("ReleaseUnreadable"));
    let elsewhere = json!({"spec": {"match": {"releases": ["other/*"]}}});
    scene.declare(&[elsewhere]);
    assert_eq!(scene.apply(one("9.9.9")).await, "");
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())].clone()
    }
}

/// A policy of any kind, about what is at this address or at none.
fn any_policy(dice: &mut Dice, uri: &str) -> Value {
    let silent = format!("{uri}/silent");
    let silent = silent.as_str();
    let urls = dice.pick(&[vec![uri], vec![silent], vec![uri, silent]]);
    let sources: Vec<_> = urls.iter().map(|url| json!({"url": url})).collect();
    let right = Sha256Digest::of(&packed("1.1.0"));
    let digest = dice
        .pick(&[right, Sha256Digest::of(b"another")])
        .to_string();
    let pins = json!([{"chart": "web", "version": "1.1.0", "digest": digest}]);
    let mut rule = json!({
        "name": "all", "charts": [dice.pick(&["*", "web"])], "sources": sources,
        "verify": {"level": dice.pick(&["Strict", "Strict", "Signature", "None"]),
            "signers": {"keys": dice.pick(&[json!(["board"]), json!([])])}},
    });
    if dice.roll(2) == 0 {
        rule["digests"] = pins;
    }
    if dice.roll(4) == 0 {
        rule["versions"] = json!(">=1.1.0");
    }
    let mut policy = json!({"spec": {
        "mode": dice.pick(&["Audit", "Warn", "Enforce", "Enforce"]), "rules": [rule],
        "admission": {"onUnknown": dice.pick(&["Allow", "Deny"])},
        "match": {"releases": [dice.pick(&["*", "*", "*", "other/*"])]},
    }});
    if dice.roll(3) == 0 {
        policy["spec"]["exceptions"] = json!([{"name": "e", "releases": ["*"], "reasons": ["Unsigned"],
            "expiresAt": "2099-01-01T00:00:00Z", "justification": "a test"}]);
    }
    policy
}

fn any_record(dice: &mut Dice) -> impl FnOnce(&mut Value) + Clone + use<> {
    let name = dice.pick(&["web", "web", "web", "other"]);
    let version = dice.pick(&["1.0.0", "1.1.0", "9.9.9"]);
    let is_tampered = dice.roll(3) == 0;
    let data = dice.pick(&[None, None, None, None, None, Some("junk")]);
    move |review: &mut Value| {
        let chart = &mut review["record"]["chart"];
        chart["metadata"]["name"] = json!(name);
        chart["metadata"]["version"] = json!(version);
        if is_tampered {
            let file =
                json!({"name": "templates/more.yaml", "data": BASE64_STANDARD.encode("a: b")});
            chart["templates"] = json!([file]);
        }
        if let Some(data) = data {
            review["data"] = json!({"release": data});
        }
    }
}

/// What the operator finds out by itself, asking everybody, and what preview makes of it.
async fn foretold_by_the_loop(scene: &Scene, change: impl FnOnce(&mut Value)) -> String {
    let trusting = scene.door.known.trusting().unwrap();
    let labels = std::collections::BTreeMap::new();
    let release = ReleaseRef {
        namespace: "shop",
        namespace_labels: Some(&labels),
        name: "web",
    };
    let id = crate::inventory::ReleaseId {
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
    };
    let (Subject::Record(mut submitted), _place) = submitted(change).await else {
        panic!("no record");
    };
    let said = |chart, judgement: &Judgement| {
        let asked = Asked {
            release: &id,
            chart,
        };
        let unread = Unread::new();
        told(foretold(asked, judgement, (&trusting.trust, &unread)))
    };
    let policies = &trusting.trust.judged_by;
    let record = match read(&mut submitted).await {
        Ok(record) => record,
        Err(why) => {
            let selecting = policies.iter();
            let selecting = selecting.filter(|policy| policy.selection.selects(&release));
            let selecting: Vec<_> = selecting.collect();
            let judgement = undecided(&selecting, (Cause::ReleaseUnreadable, &why));
            return said(None, &judgement);
        }
    };
    let metadata = &record.chart.metadata;
    let (chart, version) = (metadata.name.as_str(), metadata.version.as_str());
    let by = JudgedBy {
        release,
        chart,
        version,
        deployers: &[],
        policies,
        known: trusting.trust.known(),
        now: Moment::now().date,
    };
    let evidence = everything(scene, &by, &record).await;
    let case = Case {
        release,
        chart,
        version,
        deployers: &[],
        evidence: &evidence,
    };
    let judgement = check::judge(&case, by.policies, by.known, by.now);
    said(Some((chart, version)), &judgement)
}

/// What all sources of all rules say.
async fn everything(scene: &Scene, by: &JudgedBy<'_>, record: &Record) -> Evidence {
    let claimed = Claimed {
        chart: by.chart,
        version: by.version,
    };
    let fetcher = evidence::fetcher(scene.door.settings.sources.clone());
    let rules = by.policies.iter();
    let rules = rules.filter_map(|policy| policy.rule_for(&by.release, claimed.chart)?.ok());
    let rules = rules.filter(|rule| rule.verify.level != Level::None);
    let urls: BTreeSet<_> = rules
        .flat_map(|rule| rule.sources.iter().map(|source| source.url.clone()))
        .collect();
    let mut evidence = Evidence::default();
    for url in &urls {
        let asked = (When::now(), Forms::Every);
        let answer = match gather(&fetcher, &Source::at(url), claimed, asked).await {
            Gathered::Found(found) => {
                let binding = Bound::compare(found.chart(), record);
                found.bound(binding)
            }
            Gathered::Other(nothing) => nothing.answer,
        };
        evidence.apply(url, answer, by);
    }
    evidence.try_keys(by.known.keys, by.now);
    evidence.try_sigstore(by.known.sigstore, by.now);
    evidence
}

#[tokio::test]
async fn preview_loop_and_webhook_say_one_thing_of_500_records() {
    let scene = Scene::with(&[]).await;
    let index = "apiVersion: v1\nentries:\n  web:\n  - version: 1.0.0\n    urls: [web-1.0.0.tgz]\n  \
        - version: 1.1.0\n    urls: [web-1.1.0.tgz]\n";
    scene.add("/index.yaml", index.into()).await;
    scene.add("/web-1.0.0.tgz", packed("1.0.0")).await;
    scene.add("/web-1.1.0.tgz", packed("1.1.0")).await;
    let key = scene.sign().await;
    let mut revoked = public_key(&key);
    revoked.spec.revocation = serde_json::from_value(json!({"reason": "Compromised"})).unwrap();
    let keys = [public_key(&key), public_key(&Key::new()), revoked];
    let mut dice = Dice(2026);
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for number in 0..500 {
        let policies: Vec<_> = (0..=dice.roll(2))
            .map(|_| any_policy(&mut dice, &scene.repository.uri()))
            .collect();
        scene.declare_with(&policies, &[dice.pick(&keys)]);
        let record = any_record(&mut dice);
        let webhook = scene.install(record.clone()).await;
        let foretold = foretold_by_the_loop(&scene, record).await;
        assert_eq!(webhook, foretold, "{number}: {policies:#?}");
        let words = [
            "Unsigned",
            "ContentMismatch",
            "ChartNotFound",
            "KeyCompromised",
            "SourceUnavailable",
            "ReleaseUnreadable",
            "VersionNotAllowed",
            "DigestMismatch",
            "SignerNotTrusted",
        ];
        let of = |word: &&&str| webhook.contains(**word);
        let word = words.iter().find(of).map_or("silent", |word| *word);
        let how = if webhook.starts_with("refused") {
            "refused"
        } else {
            "let in"
        };
        *seen.entry(format!("{how} {word}")).or_default() += 1;
    }
    // That they agree about one thing only would prove little.
    for kind in [
        "let in silent",
        "let in SourceUnavailable",
        "refused SourceUnavailable",
        "refused Unsigned",
        "refused ContentMismatch",
        "refused KeyCompromised",
        "refused ReleaseUnreadable",
        "refused ChartNotFound",
        "refused VersionNotAllowed",
    ] {
        assert!(seen.contains_key(kind), "{kind}: {seen:#?}");
    }
}
