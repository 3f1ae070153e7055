//! What a revocation of an identity or of a public key does to releases that it signed: from evidence alone.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use charttrust_verify::bundles::{BundleFacts, BundleOutcome, Bundles};
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{Answer, ArchiveFacts, Evidence, ProvenanceFacts};
use charttrust_verify::seal::Attestation;
use charttrust_verify::sigstore::{
    Authority, AuthorityKind, BundleRecord, ClaimedSigner, Claims, IdentityRecord, Kind,
    ProvenTime, SignerRecord, TimeSource, TrustedRoot, VerifiedBundle,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::testing::{OPERATOR_NAMESPACE, POLICY, ROOT, Scene, id, quarantine_of, web};
use crate::api::TrustedIdentity;
use crate::clock::Moment;
use crate::controllers::cache::{OwnObject, Partly as _};
use crate::controllers::store::{Content, Revision};
use crate::controllers::task::Task;
use crate::controllers::{identity, key, quarantine, release};
use crate::inventory::helm::Driver;
use crate::inventory::{Mark, RecordId, ReleaseId};
use crate::quarantine::incident::RevocationId;

const ISSUER: &str = "https://issuer.example.com";
const SUBJECT: &str = "release@example.com";
const NAME: &str = "charts-release";
const PATH: &str = "/apis/charttrust.io/v1alpha1/trustedidentities/charts-release";
const SOURCE: &str = "https://charts.example.com";
const DATE: &str = "2026-11-20T00:00:00Z";

fn hour(hours: i64) -> Timestamp {
    let start: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
    start
        .checked_add(SignedDuration::from_hours(hours))
        .unwrap()
}

fn by_identity(at: Timestamp) -> SignerRecord {
    SignerRecord::Identity(Box::new(IdentityRecord {
        issuer: ISSUER.to_owned(),
        subject: SUBJECT.to_owned(),
        claims: Claims::default(),
        not_before: at,
        not_after: at.checked_add(SignedDuration::from_mins(10)).unwrap(),
        certificate: Sha256Digest::of(at.to_string().as_bytes()),
    }))
}

/// The root that is compiled in asks for a stamp of its log of certificates.
static STAMPING: LazyLock<Vec<Authority>> = LazyLock::new(|| {
    let all = TrustedRoot::public_good().unwrap().authorities();
    let mut logs = all.into_iter();
    let log = logs.find(|one| one.kind == AuthorityKind::CertificateLog);
    vec![log.unwrap()]
});

/// A revision of a chart whose archive was signed then, as is proven.
fn signed(signer: SignerRecord, at: Timestamp) -> Revision {
    made(signer, at, Kind::Artifact)
}

fn made(signer: SignerRecord, at: Timestamp, kind: Kind) -> Revision {
    let digest = Sha256Digest::of(at.to_string().as_bytes());
    let is_key = matches!(signer, SignerRecord::Key(_));
    let record = BundleRecord {
        signer,
        kind,
        artifact: digest,
        times: vec![ProvenTime {
            at,
            by: TimeSource::TimestampAuthority,
        }],
        logs: Vec::new(),
        authorities: if is_key { Vec::new() } else { STAMPING.clone() },
        root: None,
        not_proven: Vec::new(),
    };
    let claimed = if is_key {
        ClaimedSigner::Key
    } else {
        ClaimedSigner::Identity {
            issuer: ISSUER.to_owned(),
            subject: SUBJECT.to_owned(),
        }
    };
    let verified = VerifiedBundle::restore(record, Attestation::supposed());
    let bundle = BundleFacts {
        digest,
        manifest: None,
        claimed: Some(claimed),
        outcome: BundleOutcome::Verified(Box::new(verified)),
        first_verified: None,
        bundle: None,
    };
    let facts = ArchiveFacts {
        bundles: Some(Box::new(Bundles::beside(vec![bundle]))),
        ..ArchiveFacts::plain(digest, ("web", "1.0.0"), ProvenanceFacts::Missing)
    };
    let mut evidence = Evidence::default();
    let answer = Answer::Archive(Box::new(facts));
    evidence.answers.insert(SOURCE.to_owned(), answer);
    Revision {
        mark: Mark::None,
        resource_version: "1".into(),
        content: Ok(Content {
            chart: "web".into(),
            version: "1.0.0".into(),
            manifest: None,
            recorded: None,
            digest: Sha256Digest::of(b"content"),
            evidence,
        }),
    }
}

const RECORD: RecordId = RecordId::Helm {
    driver: Driver::Secret,
    revision: 1,
};

fn install(scene: &Scene, release: &ReleaseId, revision: Revision) {
    scene.install(release, Driver::Secret);
    let store = &scene.context.store;
    store.update(release, |known| known.revisions.insert(RECORD, revision));
}

pub(in crate::controllers) fn declare(scene: &Scene, spec: &Value) {
    let mut whole = json!({"issuer": ISSUER, "subject": {"exact": SUBJECT}});
    json_patch::merge(&mut whole, spec);
    let before = scene.cluster.find(PATH).unwrap_or_default();
    let generation = before["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
    let object = json!({
        "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedIdentity",
        "metadata": {"name": NAME, "generation": generation, "uid": "a"},
        "spec": whole, "status": before["status"],
    });
    scene.cluster.put(PATH, object);
}

pub(in crate::controllers) fn moment() -> Moment {
    after(Duration::ZERO)
}

fn after(wait: Duration) -> Moment {
    Moment {
        date: DATE.parse().unwrap(),
        tick: crate::clock::tick() + wait,
    }
}

/// The watch shows the identity as it is on the server; it is read, and its status is written.
#[expect(clippy::result_large_err, reason = "as the cache keeps it")]
pub(in crate::controllers) async fn seen(scene: &Scene) {
    let object = scene.cluster.find(PATH);
    let read = |object: Value| {
        let read = serde_json::from_value(object.clone());
        let remains =
            |error: serde_json::Error| TrustedIdentity::remains(&object, error.to_string());
        read.map_err(remains)
    };
    let identities = &scene.context.cache.identities;
    identities.set(NAME.to_owned(), object.map(read));
    identity::reconcile(&scene.context, NAME, moment()).await;
    let written = identity::write_status(&scene.context, NAME, moment()).await;
    written.unwrap();
}

/// The releases that wait to be judged are judged; their names.
pub(in crate::controllers) async fn judged(scene: &Scene) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for release in scene.context.store.release_ids() {
        let task = Task::Release(release.clone());
        if scene.context.queues.tasks.due_at(&task).is_some() {
            names.insert(release.name.clone());
            // What is applied in the same second may overtake it: it is judged again later.
            for wait in [Duration::ZERO, Duration::from_secs(60)] {
                let done = release::reconcile(&scene.context, &release, after(wait)).await;
                done.unwrap();
            }
            scene.context.queues.tasks.forget(&task);
        }
    }
    names
}

fn verdict(scene: &Scene, release: &ReleaseId) -> &'static str {
    let known = scene.context.store.release(release).unwrap();
    known
        .judgement
        .map_or("", |judgement| judgement.verdict.word())
}

/// Those that are bad.
pub(in crate::controllers) fn bad(scene: &Scene) -> Vec<String> {
    let ids = scene.context.store.release_ids().into_iter();
    let bad = ids.filter(|id| verdict(scene, id) == "KeyCompromised");
    bad.map(|id| id.name).collect()
}

fn status(scene: &Scene) -> Value {
    scene.cluster.find(PATH).unwrap()["status"].clone()
}

fn condition(scene: &Scene, type_: &str) -> Option<String> {
    let conditions = status(scene)["conditions"].clone();
    let mut all = conditions
        .as_array()
        .cloned()
        .unwrap_or_default()
        .into_iter();
    let found = all.find(|one| one["type"] == type_)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some(format!("{}/{}", text("status"), text("reason")))
}

fn events(scene: &Scene) -> Vec<String> {
    let all = scene.cluster.writes().into_iter();
    let of_identity = all.filter(|write| {
        write.path.ends_with("/events") && write.body["regarding"]["kind"] == "TrustedIdentity"
    });
    of_identity
        .map(|write| write.body["reason"].as_str().unwrap().to_owned())
        .collect()
}

/// The identity is gone from the server.
pub(in crate::controllers) fn remove(scene: &Scene) {
    scene.cluster.remove(PATH);
}

/// The archive that was signed in this hour.
pub(in crate::controllers) fn archive_of(number: i64) -> String {
    Sha256Digest::of(hour(number).to_string().as_bytes()).to_string()
}

/// Twenty releases that the identity signed an hour apart, one by somebody else, and the identity.
pub(in crate::controllers) async fn twenty() -> Scene {
    let scene = Scene::automatic().await;
    let rules = json!({"rules": [{
        "name": "all", "charts": ["*"], "sources": [{"url": SOURCE}],
        "verify": {"level": "Signature", "signers": {"identities": [NAME]}},
    }]});
    let quarantine = json!({
        "onReasons": ["KeyCompromised"], "approval": "Automatic", "after": "0s",
        "actions": ["ScaleToZero"], "limit": {"maxReleases": 5, "maxPercent": 100, "maxPerNamespace": 5},
    });
    let mut spec = rules;
    spec["quarantine"] = quarantine;
    scene.declare_spec(&spec);
    scene.uninstall(&web());
    scene.context.store.forget(&web());
    for number in 0..20 {
        let at = hour(number);
        install(
            &scene,
            &id("shop", &format!("r{number:02}")),
            signed(by_identity(at), at),
        );
    }
    let other = signed(SignerRecord::Key(Sha256Digest::of(b"key")), hour(5));
    install(&scene, &id("shop", "other"), other);
    declare(&scene, &json!({}));
    seen(&scene).await;
    for release in scene.context.store.release_ids() {
        scene.context.judge_again(&release);
    }
    judged(&scene).await;
    scene
}

pub(in crate::controllers) fn window(from: i64, until: Option<i64>) -> Value {
    let until = until.map(|until| hour(until).to_string());
    json!({"revocation": {"reason": "Compromised",
        "windows": [{"from": hour(from).to_string(), "until": until}]}})
}

#[tokio::test]
async fn a_window_makes_exactly_those_bad_that_were_signed_in_it_and_gives_them_back() {
    let scene = Box::pin(twenty()).await;
    assert_eq!(verdict(&scene, &id("shop", "r05")), "ArchiveVerified");
    assert_eq!(verdict(&scene, &id("shop", "other")), "SignerNotTrusted");
    seen(&scene).await;
    assert_eq!(judged(&scene).await, BTreeSet::new(), "nothing has changed");
    declare(&scene, &window(5, Some(8)));
    seen(&scene).await;
    let concerned = judged(&scene).await;
    assert_eq!(concerned.len(), 20);
    assert!(!concerned.contains("other"), "it is somebody else's");
    assert_eq!(bad(&scene), ["r05", "r06", "r07"]);
    declare(&scene, &json!({}));
    seen(&scene).await;
    judged(&scene).await;
    assert_eq!(bad(&scene), Vec::<String>::new());
    assert_eq!(verdict(&scene, &id("shop", "r05")), "ArchiveVerified");
    assert_eq!(events(&scene), ["Compromised", "RevocationWithdrawn"]);
}

#[tokio::test]
async fn what_lies_in_a_window_is_contained_and_the_incident_ends_with_it() {
    let scene = Box::pin(twenty()).await;
    declare(&scene, &window(5, Some(8)));
    seen(&scene).await;
    judged(&scene).await;
    let context = &scene.context;
    context.store.present.get_or_init(BTreeSet::new);
    quarantine::start::reconcile(context, POLICY, moment())
        .await
        .unwrap();
    let made =
        ["r05", "r06", "r07"].map(|name| scene.cluster.find(&quarantine_of(&id("shop", name))));
    assert!(made.iter().all(Option::is_some), "{made:?}");
    assert_eq!(scene.of_quarantines().len(), 3);
}

/// An attestation by an identity is no signature of his, wherever signatures are told.
#[tokio::test]
async fn who_attests_is_no_signer_and_nothing_rests_on_him() {
    let scene = Box::pin(twenty()).await;
    let release = id("shop", "attested");
    let attested = Kind::Statement("https://spdx.dev/Document".to_owned());
    install(
        &scene,
        &release,
        made(by_identity(hour(5)), hour(5), attested),
    );
    scene.context.judge_again(&release);
    seen(&scene).await;
    judged(&scene).await;
    assert_eq!(verdict(&scene, &release), "Unsigned");
    let path = "/apis/charttrust.io/v1alpha1/namespaces/shop/releasetrusts/attested";
    let told = scene.cluster.find(path).unwrap()["status"].clone();
    assert_eq!(told["signer"], Value::Null, "{told}");
    let signer = &told["signers"][0];
    assert_eq!(
        (&signer["verified"], &signer["fault"]),
        (&json!(false), &json!("NotASignature"))
    );
    assert_eq!(status(&scene)["releases"], 20, "as before");
    // What he attests is told of him nevertheless, so that it is judged again with him.
    declare(&scene, &window(5, Some(6)));
    seen(&scene).await;
    assert!(judged(&scene).await.contains("attested"));
    assert_eq!(verdict(&scene, &release), "Unsigned", "and no badness");
}

/// What an identity is worth: its spec, its state, and its conditions Valid and Revoked.
fn worth() -> Vec<(Value, &'static str, &'static str, Option<&'static str>)> {
    let since = json!([{"from": hour(5).to_string()}]);
    let workflow = "https://example.com/release.yml@refs/tags/v1";
    let compromised = Some("True/Compromised");
    vec![
        (window(5, Some(8)), "Active", "True/Accepted", compromised),
        (
            window(5, None),
            "Compromised",
            "False/Compromised",
            compromised,
        ),
        (
            json!({"revocation": {"reason": "Unspecified"}}),
            "Revoked",
            "False/Unspecified",
            Some("True/Unspecified"),
        ),
        (
            json!({"revocation": {"reason": "Superseded", "windows": since}}),
            "Revoked",
            "False/Superseded",
            Some("True/Superseded"),
        ),
        (
            json!({"notAfter": "2026-11-19T00:00:00Z"}),
            "Expired",
            "False/Expired",
            None,
        ),
        (
            json!({"notAfter": "2026-11-25T00:00:00Z"}),
            "Expiring",
            "True/Accepted",
            None,
        ),
        (
            json!({"successor": "next"}),
            "Retiring",
            "True/Accepted",
            None,
        ),
        (
            json!({"subject": {"exact": workflow}}),
            "Active",
            "True/CallerNotTold",
            None,
        ),
        (
            json!({"notAfter": "soon"}),
            "Invalid",
            "False/InvalidSpec",
            None,
        ),
    ]
}

#[tokio::test]
async fn the_status_says_what_the_identity_is_worth() {
    let scene = Box::pin(twenty()).await;
    assert_eq!(status(&scene)["releases"], 20);
    assert_eq!(status(&scene)["state"], "Active");
    assert!(status(&scene)["trustedRoot"]["digest"].is_string());
    assert_eq!(condition(&scene, "Ready").as_deref(), Some("True/Accepted"));
    for (spec, state, valid, revoked) in worth() {
        declare(&scene, &spec);
        seen(&scene).await;
        assert_eq!(status(&scene)["state"], state, "{spec}");
        assert_eq!(condition(&scene, "Valid").as_deref(), Some(valid), "{spec}");
        assert_eq!(condition(&scene, "Revoked").as_deref(), revoked, "{spec}");
    }
}

/// A mistake elsewhere in the object gives no trust back, be it one that the schema does not know.
#[tokio::test]
async fn a_revocation_counts_though_its_object_cannot_be_used() {
    for mistake in [json!({"notAfter": "soon"}), json!({"owner": {"team": "a"}})] {
        let scene = Box::pin(twenty()).await;
        let mut spec = window(5, Some(8));
        json_patch::merge(&mut spec, &mistake);
        declare(&scene, &spec);
        seen(&scene).await;
        judged(&scene).await;
        assert_eq!(bad(&scene), ["r05", "r06", "r07"], "{mistake}");
        assert_eq!(verdict(&scene, &id("shop", "r10")), "SignerNotTrusted");
    }
}

/// Nobody can tell who signs without a root; as soon as there is one, it is believed.
#[tokio::test]
async fn a_root_that_is_not_there_is_no_badness_and_is_told() {
    let scene = Box::pin(twenty()).await;
    let reference = json!({"trustedRootRef": {"configMap": {"name": "roots", "key": "root.json"}}});
    declare(&scene, &reference);
    seen(&scene).await;
    judged(&scene).await;
    assert_eq!(verdict(&scene, &id("shop", "r05")), "TrustRootUnknown");
    assert_eq!(
        condition(&scene, "Ready").as_deref(),
        Some("Unknown/TrustRootUnknown")
    );
    assert!(status(&scene)["trustedRoot"].is_null());
    let path = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/configmaps/roots");
    let object = OwnObject::ConfigMap("roots".to_owned());
    let change = |version: &str, text: &str| {
        let map = json!({"metadata": {"name": "roots"}, "data": {"root.json": text}});
        scene.cluster.put(&path, map);
        let maps = &scene.context.cache.own_config_maps;
        maps.set(object.clone(), Some(version.to_owned()));
    };
    change("1", "{}");
    seen(&scene).await;
    judged(&scene).await;
    assert_eq!(verdict(&scene, &id("shop", "r05")), "TrustRootUnknown");
    change("2", ROOT);
    seen(&scene).await;
    judged(&scene).await;
    assert_eq!(verdict(&scene, &id("shop", "r05")), "ArchiveVerified");
    assert_eq!(condition(&scene, "Ready").as_deref(), Some("True/Accepted"));
    assert_eq!(
        status(&scene)["trustedRoot"]["date"],
        "2021-01-12T11:53:27Z"
    );
}

#[tokio::test]
async fn an_identity_that_is_gone_is_believed_no_more_and_is_no_badness() {
    let scene = Box::pin(twenty()).await;
    declare(&scene, &window(5, Some(8)));
    seen(&scene).await;
    judged(&scene).await;
    scene.cluster.remove(PATH);
    seen(&scene).await;
    judged(&scene).await;
    assert_eq!(bad(&scene), Vec::<String>::new());
    assert_eq!(verdict(&scene, &id("shop", "r05")), "SignerNotTrusted");
}

/// An incident is the revocation of an object for a reason: a window that is corrected begins none anew.
#[tokio::test]
async fn an_incident_outlives_the_correction_of_a_window_and_ends_with_the_revocation() {
    let scene = Box::pin(twenty()).await;
    let revocation = |scene: &Scene| {
        let signers = scene.context.store.trust().sigstore;
        let hard = signers.identities[0].hard_revocation();
        hard.as_ref().and_then(RevocationId::of)
    };
    declare(&scene, &window(5, None));
    seen(&scene).await;
    let first = revocation(&scene).unwrap();
    declare(&scene, &window(4, Some(8)));
    seen(&scene).await;
    assert_eq!(revocation(&scene), Some(first.clone()));
    declare(&scene, &json!({"revocation": {"reason": "Unspecified"}}));
    seen(&scene).await;
    assert_ne!(revocation(&scene), Some(first));
    declare(
        &scene,
        &json!({"revocation": {"reason": "Retired", "windows": [{"from": DATE}]}}),
    );
    seen(&scene).await;
    assert_eq!(revocation(&scene), None, "it contains nothing");
}

const KEY: &str = include_str!("../../../examples/trusted-key-cosign.yaml");

async fn seen_key(scene: &Scene, spec: &Value) {
    let object = serde_saphyr::from_multiple::<Value>(KEY).unwrap().remove(0);
    let mut object = object;
    json_patch::merge(&mut object["spec"], spec);
    let path = "/apis/charttrust.io/v1alpha1/trustedkeys/vendor-cosign";
    let before = scene.cluster.find(path).unwrap_or_default();
    object["status"] = before["status"].clone();
    object["metadata"]["generation"] =
        json!(before["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
    object["metadata"]["uid"] = json!("k");
    let object = scene.cluster.put(path, object);
    let name = "vendor-cosign".to_owned();
    let read = serde_json::from_value(object).unwrap();
    scene.context.cache.keys.set(name.clone(), Some(Ok(read)));
    key::reconcile(&scene.context, &name, moment()).await;
    key::write_status(&scene.context, &name, moment())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_public_key_lives_and_ends_as_a_key_of_pgp_does() {
    let scene = Scene::automatic().await;
    scene.declare_spec(&json!({"rules": [{
        "name": "all", "charts": ["*"], "sources": [{"url": SOURCE}],
        "verify": {"level": "Signature", "signers": {"keys": ["vendor-cosign"]}},
    }]}));
    let fingerprint = "sha256:f5a8ae595bda431ec141b13cc60089b1677b77f797e482df17760c8856de648b";
    let signer = SignerRecord::Key(fingerprint.parse().unwrap());
    install(&scene, &web(), signed(signer, hour(5)));
    let key_status = |scene: &Scene| {
        let path = "/apis/charttrust.io/v1alpha1/trustedkeys/vendor-cosign";
        scene.cluster.find(path).unwrap()["status"].clone()
    };
    for (spec, word, state) in [
        (json!({}), "ArchiveVerified", "Active"),
        (
            json!({"revocation": {"reason": "Compromised"}}),
            "KeyCompromised",
            "Compromised",
        ),
        (
            json!({"revocation": {"reason": "Compromised"}, "notAfter": "soon"}),
            "KeyCompromised",
            "Invalid",
        ),
        (
            json!({"revocation": null, "notAfter": "soon"}),
            "SignerNotTrusted",
            "Invalid",
        ),
        (
            json!({"revocation": {"reason": "Retired", "since": hour(6).to_string()}}),
            "ArchiveVerified",
            "Revoked",
        ),
        (
            json!({"transparency": "Required"}),
            "ArchiveVerified",
            "Active",
        ),
    ] {
        seen_key(&scene, &spec).await;
        judged(&scene).await;
        assert_eq!(verdict(&scene, &web()), word, "{spec}");
        assert_eq!(key_status(&scene)["state"], state, "{spec}");
    }
    assert_eq!(key_status(&scene)["releases"], 1);
    assert_eq!(key_status(&scene)["algorithm"], "EcdsaP256");
    assert_eq!(
        key_status(&scene)["signingKeys"][0]["fingerprint"],
        fingerprint
    );
    let keys = scene.context.store.trust().loaded;
    assert!(keys.is_empty(), "it is none of PGP");
}
