//! Frozen releases: the API server refuses new records of them, without the webhook, and thaws them again.

use charttrust::api::Quarantine;
use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::stage::{SOON, Story};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::setup::{FREEZE, front, records, story, story_alone, with_both_helms};

with_both_helms! {
    a_frozen_release_stays_as_it_is_until_it_is_thawed
    without_the_policy_nothing_is_frozen_and_that_is_said
}

fn quarantine(story: &Story, name: &str, actions: &Value) -> Quarantine {
    let object = json!({
        "apiVersion": "charttrust.io/v1alpha1", "kind": "Quarantine",
        "metadata": {"name": name, "namespace": story.namespace},
        "spec": {"reason": "signed after a theft", "actions": actions},
    });
    serde_json::from_value(object).unwrap()
}

fn quarantines(story: &Story) -> Api<Quarantine> {
    Api::namespaced(story.client.clone(), &story.namespace)
}

async fn freeze(story: &Story, name: &str) {
    let object = quarantine(story, name, &json!(["PauseDeployer", "FreezeUpgrades"]));
    let created = quarantines(story)
        .create(&PostParams::default(), &object)
        .await;
    story.done("freeze the release", created);
}

async fn a_frozen_release_stays_as_it_is_until_it_is_thawed(version: Version) {
    let _freezing = front().await.freezing.lock().await;
    let (mut story, mut door) = story_alone("freeze", version).await;
    let first = story.publish(&Source::new("web", "1.0.0"), None).await;
    let newer = story.publish(&Source::new("web", "1.1.0"), None).await;
    story.install("web", &first).await;
    story.install("web-2", &first).await;
    freeze(&story, "web").await;
    // No Pod of ours is in the path.
    door.freeze();
    let said = eventually(SOON, "the API server has heard of it", async || {
        let archive = newer.archive.to_string_lossy();
        let dry = ["--dry-run=server"];
        let asked = story.helm.upgrade(&story.namespace, "web", &archive, &dry);
        asked.await.map_err(|error| error.to_string())?;
        match story.helm.rollback(&story.namespace, "web", 1).await {
            Err(error) => Ok(error.to_string()),
            Ok(()) => Err("it was rolled back".to_owned()),
        }
    })
    .await;
    let frozen = format!(
        "release {0}/web is frozen by its Quarantine: signed after a theft. To end that: charttrust restore {0}/web",
        story.namespace
    );
    assert!(said.contains(&frozen), "{said}");
    let before = records(&story, "web").await;
    let atomic = match version {
        Version::V3 => "--atomic",
        Version::V4 => "--rollback-on-failure",
    };
    let archive = newer.archive.to_string_lossy().into_owned();
    for more in [&[][..], &[atomic], &["--install"]] {
        let upgrade = story.helm.upgrade(&story.namespace, "web", &archive, more);
        let said = upgrade.await.expect_err("it is frozen").to_string();
        assert!(said.contains(&frozen), "{more:?}: {said}");
        assert_eq!(records(&story, "web").await, before, "{more:?}");
    }
    // Of this name and namespace only.
    story.upgrade("web-2", &newer).await;
    let other = Story::begin(front().await.stage.cluster, "thawed", version).await;
    let chart = other.publish(&Source::new("web", "1.0.0"), None).await;
    other.install("web", &chart).await;
    // In whichever driver.
    let helm = Helm::new(version).unwrap();
    let helm = helm.on(front().await.stage.cluster.kubeconfig());
    let usual = std::mem::replace(&mut story.helm, helm.storing_in("configmap"));
    let said = story.try_install("web", &first).await.unwrap_err();
    assert!(said.to_string().contains(&frozen), "{said}");
    story.helm = usual;
    door.thaw();

    story
        .expect_condition(&quarantines(&story), "web", "Frozen=True/UpgradesRefused")
        .await;
    story
        .expect_condition(&quarantines(&story), "web", "Active=True/Contained")
        .await;
    let gone = quarantines(&story)
        .delete("web", &DeleteParams::default())
        .await;
    story.done("thaw it", gone.map(drop));
    eventually(SOON, "it is thawed", async || {
        story
            .try_upgrade("web", &newer)
            .await
            .map_err(|error| error.to_string())
    })
    .await;

    freeze(&story, "web").await;
    eventually(SOON, "it is frozen again", async || {
        match story.try_upgrade("web", &first).await {
            Err(_) => Ok(()),
            Ok(()) => Err("it was upgraded"),
        }
    })
    .await;
    let gone = story.helm.uninstall(&story.namespace, "web").await;
    story.done("uninstall what is frozen", gone);
    assert!(records(&story, "web").await.is_empty());
}

/// Breaking this glass is taking the binding away.
async fn without_the_policy_nothing_is_frozen_and_that_is_said(version: Version) {
    let _freezing = front().await.freezing.lock().await;
    let (story, _door) = story("glassy", version).await;
    let first = story.publish(&Source::new("web", "1.0.0"), None).await;
    story.install("web", &first).await;
    freeze(&story, "web").await;
    let api = quarantines(&story);
    story
        .expect_condition(&api, "web", "Frozen=True/UpgradesRefused")
        .await;
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(story.client.clone());
    let mut binding = bindings.get(FREEZE).await.unwrap();
    bindings
        .delete(FREEZE, &DeleteParams::default())
        .await
        .unwrap();
    let said = story
        .expect_condition(&api, "web", "Frozen=False/NotInstalled")
        .await;
    assert!(said.contains(FREEZE), "{said}");
    let upgraded = eventually(SOON, "upgrades go in", async || {
        story
            .try_upgrade("web", &first)
            .await
            .map_err(|error| error.to_string())
    });
    upgraded.await;
    binding.metadata.resource_version = None;
    binding.metadata.uid = None;
    binding.metadata.managed_fields = None;
    bindings
        .create(&PostParams::default(), &binding)
        .await
        .unwrap();
    story
        .expect_condition(&api, "web", "Frozen=True/UpgradesRefused")
        .await;
    api.delete("web", &DeleteParams::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_deploys_a_frozen_release_must_be_paused() {
    let (story, _door) = story("unpaused", Version::V4).await;
    for actions in [
        json!(["FreezeUpgrades"]),
        json!(["FreezeUpgrades", "ScaleToZero"]),
    ] {
        let object = quarantine(&story, "web", &actions);
        let created = quarantines(&story)
            .create(&PostParams::default(), &object)
            .await;
        let said = created.expect_err("it is refused").to_string();
        assert!(
            said.contains("has FreezeUpgrades without PauseDeployer"),
            "{said}"
        );
    }
}
