//! Several replicas, and an upgrade of ourselves while none answers.

use charttrust_e2e::charts::Source;
use charttrust_e2e::door::{Door, NAME, point};
use charttrust_e2e::eventually;
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::operator::binary;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, SOON, install_chart};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Api;
use kube::api::DeleteParams;

use crate::setup::{VALUES, called, front, heard, mode, records, story_alone};

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_show_one_certificate_and_say_the_same() {
    let (story, door) = story_alone("replicas", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("strict", &[&key], mode("Enforce")).await;
    heard(&story, &policy).await;
    let bare = story.publish(&Source::new("bare", "1.0.0"), None).await;
    let said = story.try_install("bare", &bare).await.unwrap_err();
    let kubeconfig = front().await.identity.kubeconfig();
    let mut second = Door::start(&binary(), &kubeconfig, OPERATOR_NAMESPACE, None).unwrap();
    second.ready().await;
    point(&story.client, second.address()).await.unwrap();
    let told = eventually(SOON, "the other one is asked", async || {
        let again = story.try_install("bare", &bare).await;
        let again = again.expect_err("it is refused").to_string();
        let metrics = second.metrics().await.map_err(|error| error.to_string())?;
        let denied = r#"charttrust_admission_reviews_total{result="denied"} "#;
        if metrics.contains(denied) {
            Ok(again)
        } else {
            Err(metrics)
        }
    })
    .await;
    let words = |text: &str| text.split("denied the request").nth(1).map(str::to_owned);
    assert_eq!(words(&told), words(&said.to_string()));
    assert!(records(&story, "bare").await.is_empty());
    point(&story.client, door.address()).await.unwrap();
    called(&story).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_chart_is_upgraded_while_no_replica_answers_and_the_glass_can_be_broken() {
    let (story, mut door) = story_alone("own", Version::V4).await;
    let cluster = front().await.stage.cluster;
    let helm = Helm::new(Version::V4).unwrap().on(cluster.kubeconfig());
    let upgrade = async |more: &[&str]| {
        let values = VALUES.iter().flat_map(|value| ["--set", value]);
        let all: Vec<&str> = values.chain(more.iter().copied()).collect();
        let upgraded = install_chart(&helm, cluster.kubeconfig(), &all).await;
        story.done("upgrade the operator's chart", upgraded);
    };
    let configurations = Api::<ValidatingWebhookConfiguration>::all(story.client.clone());
    let gone = || async {
        let gone = configurations.delete(NAME, &DeleteParams::default()).await;
        gone.unwrap();
    };
    // As the chart has it: a Service with no Pod behind it.
    gone().await;
    let fail = ["--set", "admission.failurePolicy=Fail"];
    upgrade(&fail).await;
    let chart = story.publish(&Source::new("web", "1.0.0"), None).await;
    eventually(SOON, "nobody installs anything", async || {
        match story.try_install("web", &chart).await {
            Err(error) if error.to_string().contains("failed calling webhook") => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(()) => {
                let gone = story.helm.uninstall(&story.namespace, "web").await;
                Err(format!("it went in; {gone:?}"))
            }
        }
    })
    .await;
    assert!(records(&story, "web").await.is_empty());
    upgrade(&[&fail[..], &["--set", "logFormat=text"]].concat()).await;
    gone().await;
    eventually(SOON, "everything goes in", async || {
        story
            .try_install("web", &chart)
            .await
            .map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(records(&story, "web").await, ["deployed"]);
    upgrade(&[]).await;
    point(&story.client, door.address()).await.unwrap();
    door.ready().await;
    called(&story).await;
}
