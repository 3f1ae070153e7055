//! Restarts: what was learned is kept, what others forged is not believed.

use charttrust::api::conditions::{self, KeyCondition};
use charttrust::api::trusted_key::KeyState;
use charttrust::api::{ReleaseTrust, TrustedKey};
use charttrust::controllers::key::learned;
use charttrust_e2e::audit::Mark;
use charttrust_e2e::charts::Source;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::eventually;
use charttrust_e2e::gpg::Revocation;
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::{Operator, binary};
use charttrust_e2e::repository::Repository;
use charttrust_e2e::stage::{
    OPERATOR_NAMESPACE, Opening, Power, SOON, Scene, Setting, Stage, Story, StoryKey, kubectl,
    path, verdict,
};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

/// The operator of this file is restarted, so one story has it at a time.
async fn stage() -> MutexGuard<'static, Stage> {
    static STAGE: OnceCell<Mutex<Stage>> = OnceCell::const_new();
    let set = async || {
        let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
        Mutex::new(Stage::set(cluster, Setting::new(binary(), Power::Reports)).await)
    };
    STAGE.get_or_init(set).await.lock().await
}

/// A release `web` of a signed chart, trusted, with nothing left to write.
async fn trusted_release(stage: &Stage, prefix: &str) -> (Story, StoryKey) {
    let trusted = Opening::new(prefix).trusted(stage.cluster).await;
    let Scene {
        story, key, policy, ..
    } = trusted;
    story.settled("web").await;
    story.counted(&key, &policy, |counts| counts.trusted).await;
    (story, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_downloads_nothing_and_writes_nothing() {
    let stage = stage().await;
    let (story, _) = trusted_release(&stage, "again").await;
    stage.judged(&story.namespace, "SignatureVerified").await;
    stage.at_rest(&story.namespace).await;
    let asked = story.repository.requests().len();
    stage.operator(Operator::kill);
    let mark = stage.cluster.mark();
    stage.restart().await;
    stage.judged(&story.namespace, "SignatureVerified").await;
    let writes = stage.written_since(mark, &story.namespace);
    assert!(writes.is_empty(), "{writes:?}");
    assert_eq!(story.repository.requests().len(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_judged_from_evidence_with_the_repository_down() {
    let stage = stage().await;
    let (mut story, key) = trusted_release(&stage, "kept").await;
    stage.operator(Operator::kill);
    story.repository.stop();
    stage.restart().await;
    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&key.name, revoke).await;
    story.expect("web", "KeyCompromised").await;
    let withdraw = json!({"spec": {"revocation": null}});
    story.patch::<TrustedKey>(&key.name, withdraw).await;
    story.expect("web", "SignatureVerified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_evidence_is_never_believed() {
    let stage = stage().await;
    let mut story = Story::begin(stage.cluster, "forged", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let stranger = story.make_key("stranger");
    let chart = story
        .publish(&Source::new("web", "1.0.0"), Some(&stranger))
        .await;
    story.policy("policy", &[&key], json!({})).await;
    story.install("web", &chart).await;
    story.expect("web", "SignerNotTrusted").await;
    story.settled("web").await;

    stage.operator(Operator::kill);
    story.repository.stop();
    let mark = stage.cluster.mark();
    forge(&story, &key).await;
    stage.restart().await;
    story.expect("web", "SourceUnavailable").await;
    let ours = stage.written_since(mark, &story.namespace);
    let ours = ours.of("releasetrusts");
    assert!(!ours.is_empty());
    for event in ours.iter() {
        let written: ReleaseTrust = serde_json::from_value(event.request.clone().unwrap()).unwrap();
        assert_ne!(verdict(&written), "SignatureVerified");
    }
    let rejected = rejections(&story).await;
    assert_eq!(rejected, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learned_revocation_outlives_a_restart_with_its_publisher_down() {
    let stage = stage().await;
    let (story, key) = trusted_release(&stage, "learned").await;
    let mut publisher = Repository::start_with_tls().unwrap();
    let url = format!("{}/platform.asc", publisher.url());
    let refresh = json!({"spec": {"refresh": {"interval": "1s", "url": url}}});
    revoke_at(&story, &key, &publisher);
    story.patch::<TrustedKey>(&key.name, refresh).await;
    story.expect("web", "KeyCompromised").await;
    kept(&story, &key).await;

    stage.operator(Operator::kill);
    publisher.stop();
    let mark = stage.cluster.mark();
    stage.restart().await;
    stage.judged(&story.namespace, "KeyCompromised").await;
    let keys = story.keys();
    story
        .expect_condition(&keys, &key.name, "Refreshed=False/RefreshFailed")
        .await;
    story.expect("web", "KeyCompromised").await;
    story
        .expect_condition(&keys, &key.name, "Revoked=True/Compromised")
        .await;
    never_trusted_since(&stage, mark, &story);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_deleted_while_the_operator_is_down_is_known_when_it_comes_back() {
    let stage = stage().await;
    let (story, key) = trusted_release(&stage, "recreated").await;
    let word = story.keyring.revocation(&key.key, Revocation::Compromised);
    let change = json!({"spec": {"revocationCertificates": [word.unwrap()]}});
    story.patch::<TrustedKey>(&key.name, change).await;
    story.expect("web", "KeyCompromised").await;
    kept(&story, &key).await;

    stage.operator(Operator::kill);
    story.delete::<TrustedKey>(&key.name).await;
    story.declare(&key, json!({})).await;
    let mark = stage.cluster.mark();
    stage.restart().await;
    stage.judged(&story.namespace, "KeyCompromised").await;
    story
        .expect_condition(&story.keys(), &key.name, "Revoked=True/Compromised")
        .await;
    never_trusted_since(&stage, mark, &story);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_not_trusted_while_what_was_learned_against_it_cannot_be_read() {
    let stage = stage().await;
    let (story, key) = trusted_release(&stage, "garbage").await;
    let maps = Api::<ConfigMap>::namespaced(story.client.clone(), OPERATOR_NAMESPACE);
    let name = learned::name_of(&key.key.fingerprint.parse().unwrap());
    stage.operator(Operator::kill);
    let garbage = json!({"metadata": {"name": name}, "data": {learned::ENTRY: "canary"}});
    let garbage = serde_json::from_value(garbage).unwrap();
    maps.create(&PostParams::default(), &garbage).await.unwrap();
    stage.restart().await;
    let unreadable = "Stalled=True/LearnedUnreadable";
    let message = story
        .expect_condition(&story.keys(), &key.name, unreadable)
        .await;
    assert!(
        message.contains(&name) && !message.contains("canary"),
        "{message}"
    );
    story.expect("web", "SignerNotTrusted").await;
    let found = maps.get(&name).await.unwrap();
    assert_eq!(
        found.data.unwrap()[learned::ENTRY],
        "canary",
        "it is not ours to lose"
    );

    maps.delete(&name, &DeleteParams::default()).await.unwrap();
    story.expect("web", "SignatureVerified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_counts_nevertheless_and_is_told() {
    let stage = stage().await;
    let (story, key) = trusted_release(&stage, "unkept").await;
    let roles = Api::<Role>::namespaced(story.client.clone(), OPERATOR_NAMESPACE);
    let before = roles.get("charttrust").await.unwrap();
    let is_of_maps = |rule: &PolicyRule| {
        let resources = rule.resources.iter().flatten();
        resources
            .into_iter()
            .any(|resource| resource == "configmaps")
    };
    let mut without = before.rules.clone().unwrap_or_default();
    without.retain(|rule| !is_of_maps(rule));
    let allow = async |rules: &[PolicyRule]| {
        let change = Patch::Merge(json!({"rules": rules}));
        let params = PatchParams::default();
        roles.patch("charttrust", &params, &change).await.unwrap();
    };
    allow(&without).await;
    let word = story.keyring.revocation(&key.key, Revocation::Compromised);
    let change = json!({"spec": {"revocationCertificates": [word.unwrap()]}});
    story.patch::<TrustedKey>(&key.name, change).await;
    story.expect("web", "KeyCompromised").await;
    let unkept = "Reconciling=True/ProgressingWithRetry";
    let message = story
        .expect_condition(&story.keys(), &key.name, unkept)
        .await;
    allow(&before.rules.unwrap_or_default()).await;
    let map = learned::name_of(&key.key.fingerprint.parse().unwrap());
    assert!(message.contains(&map), "{message}");
    kept(&story, &key).await;
    eventually(SOON, "nothing is open any more", async || {
        let key = story.keys().get_status(&key.name).await;
        let status = key.map_err(|error| error.to_string())?.status;
        let conditions = status.unwrap_or_default().conditions;
        match conditions::find(&conditions, KeyCondition::Reconciling) {
            None => Ok(()),
            Some(open) => Err(open.message.clone()),
        }
    })
    .await;
}

/// Not even for a moment: the operator reads what was learned before it judges.
fn never_trusted_since(stage: &Stage, mark: Mark, story: &Story) {
    let ours = |resource| stage.written_since(mark, &story.namespace).of(resource);
    for event in ours("releasetrusts").iter() {
        let written: ReleaseTrust = serde_json::from_value(event.request.clone().unwrap()).unwrap();
        assert_ne!(verdict(&written), "SignatureVerified");
    }
    for event in ours("trustedkeys").iter() {
        let written: TrustedKey = serde_json::from_value(event.request.clone().unwrap()).unwrap();
        let state = written.status.and_then(|status| status.state);
        assert_eq!(state, Some(KeyState::Compromised));
    }
}

/// Publishes the key with a revocation in it.
fn revoke_at(story: &Story, key: &StoryKey, publisher: &Repository) {
    let word = story.keyring.revocation(&key.key, Revocation::Compromised);
    story.keyring.import(&word.unwrap()).unwrap();
    let copy = story.keyring.public_armored(&key.key).unwrap();
    publisher.put("platform.asc", copy).unwrap();
}

/// Waits until what was learned against a key is stored.
async fn kept(story: &Story, key: &StoryKey) {
    let maps = Api::<ConfigMap>::namespaced(story.client.clone(), OPERATOR_NAMESPACE);
    let name = learned::name_of(&key.key.fingerprint.parse().unwrap());
    eventually(SOON, "what was learned is stored", async || {
        maps.get(&name).await.map(drop)
    })
    .await;
}

/// As a tenant with rights on these objects would: a verified signature of the listed key.
async fn forge(story: &Story, key: &StoryKey) {
    let trusts = story.trusts();
    let trust = trusts.get("web").await.unwrap();
    let mut status = trust.status.unwrap();
    status.signers[0]
        .fingerprint
        .clone_from(&key.key.fingerprint);
    status.signers[0].verified = true;
    let change = Patch::Merge(json!({"status": status}));
    trusts
        .patch_status("web", &PatchParams::default(), &change)
        .await
        .unwrap();
}

async fn rejections(story: &Story) -> usize {
    let events = Api::<k8s_openapi::api::events::v1::Event>::namespaced(
        story.client.clone(),
        &story.namespace,
    );
    let all = events
        .list(&kube::api::ListParams::default())
        .await
        .unwrap();
    all.items
        .iter()
        .filter(|e| e.reason.as_deref() == Some("EvidenceRejected"))
        .count()
}

/// The verdict is about the failed upgrade, which is worse, and so is what its object tells.
#[tokio::test(flavor = "multi_thread")]
async fn what_runs_beside_a_failed_upgrade_was_verified_before_a_restart() {
    let stage = stage().await;
    let (story, key) = trusted_release(&stage, "witnessed").await;
    let refused = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Not_A_Name}\n";
    let source = Source::new("web", "1.1.0").with_file("templates/refused.yaml", refused);
    let unsigned = story.publish(&source, None).await;
    story.try_upgrade("web", &unsigned).await.unwrap_err();
    story.expect("web", "Unsigned").await;
    other_revision(&story, "Trusted/SignatureVerified").await;
    story.settled("web").await;

    // Whole seconds are written.
    let since = charttrust::clock::now() + SignedDuration::from_secs(2);
    eventually(SOON, "what was verified is older", async || {
        if charttrust::clock::now() > since {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    stage.operator(Operator::kill);
    let asked = story.repository.requests().len();
    stage.restart().await;
    eventually(SOON, "the archive is looked at anew", async || match story
        .repository
        .requests()
        .len()
    {
        count if count > asked => Ok(()),
        _ => Err("not yet"),
    })
    .await;
    story.settled("web").await;
    let word = json!({
        "reason": "Compromised", "grandfather": "Witnessed",
        "since": since.strftime("%FT%TZ").to_string(),
    });
    let change = json!({"spec": {"revocation": word}});
    story.patch::<TrustedKey>(&key.name, change).await;
    other_revision(&story, "Trusted/Grandfathered").await;
    story.expect("web", "Unsigned").await;
}

/// Waits until the first revision is said to be this.
async fn other_revision(story: &Story, verdict: &str) {
    let wanted = format!("revision 1 (Secret) is {verdict}");
    eventually(SOON, &wanted, async || {
        let trust = story.expect_finding("web", "OtherRevision").await;
        let findings = trust.status.unwrap().findings;
        if findings.iter().any(|finding| finding.message == wanted) {
            Ok(())
        } else {
            Err(format!("{findings:?}"))
        }
    })
    .await;
}

/// Whether the operator runs while others do something, or finds it when it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Running,
    Stopped,
}

const KINDS: [&str; 5] = [
    "charttrustpolicies",
    "quarantines",
    "releasetrusts",
    "trustedidentities",
    "trustedkeys",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_others_delete_edit_or_define_anew_comes_back_and_is_told() {
    let stage = stage().await;
    for meanwhile in [Meanwhile::Running, Meanwhile::Stopped] {
        let (story, key) = trusted_release(&stage, "anew").await;
        let trusts = story.trusts();
        others(&stage, meanwhile, async || {
            let deleted = trusts.delete("web", &DeleteParams::default()).await;
            story.done("delete the ReleaseTrust", deleted);
        })
        .await;
        story.expect("web", "SignatureVerified").await;
        if meanwhile == Meanwhile::Running {
            // It is written first, and told then.
            eventually(SOON, "it is told", async || {
                let words = told(&story).await;
                let is_told = words == ["ReleaseTrustDeleted"];
                is_told.then_some(()).ok_or(format!("{words:?}"))
            })
            .await;
        }
        others(&stage, meanwhile, async || {
            let empty = Patch::Merge(json!({"status": {"conditions": [], "findings": []}}));
            let edited = trusts
                .patch_status("web", &PatchParams::default(), &empty)
                .await;
            story.done("edit the ReleaseTrust", edited);
        })
        .await;
        story.expect("web", "SignatureVerified").await;
        others(&stage, meanwhile, async || {
            define_anew(&stage, &story, &key).await;
        })
        .await;
        story.expect("web", "SignatureVerified").await;
        let policy = format!("{}-policy", story.namespace);
        story.counted(&key, &policy, |counts| counts.trusted).await;
        // Neither the policy and the key that were gone for a moment, nor what came back by halves.
        let words = told(&story).await;
        assert!(
            words.iter().all(|word| word == "ReleaseTrustDeleted"),
            "{words:?}"
        );
        assert!(words.len() <= 2, "{words:?}");
    }
}

async fn others(stage: &Stage, meanwhile: Meanwhile, act: impl AsyncFnOnce()) {
    if meanwhile == Meanwhile::Stopped {
        stage.operator(Operator::kill);
    }
    act().await;
    if meanwhile == Meanwhile::Stopped {
        stage.restart().await;
    }
}

/// The definitions go, with every object of theirs, and come back with what people have declared.
async fn define_anew(stage: &Stage, story: &Story, key: &StoryKey) {
    let kubeconfig = stage.cluster.kubeconfig();
    let files = KINDS.map(|kind| path(&format!("crds/{kind}.yaml")));
    let files: Vec<_> = files.iter().flat_map(|file| ["-f", file]).collect();
    for (verb, more) in [
        ("delete", &["--wait=true"][..]),
        ("create", &[]),
        ("wait", &["--for=condition=Established", "--timeout=30s"]),
    ] {
        let done = kubectl(kubeconfig, &[&[verb], &files[..], more].concat()).await;
        story.done(&format!("{verb} the definitions"), done);
    }
    story.declare(key, json!({})).await;
    story.policy("policy", &[key], json!({})).await;
}

/// The reasons of all events about the release, in any order.
async fn told(story: &Story) -> Vec<String> {
    let api = Api::<k8s_openapi::api::events::v1::Event>::namespaced(
        story.client.clone(),
        &story.namespace,
    );
    let all = api.list(&kube::api::ListParams::default()).await;
    let all = story.done("list the events", all).items.into_iter();
    let ours = all
        .filter(|event| event.reporting_controller.as_deref() == Some("charttrust.io/charttrust"));
    ours.filter_map(|event| event.reason).collect()
}
