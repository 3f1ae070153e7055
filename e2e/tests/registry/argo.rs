//! An Application of real Argo CD whose chart lies in a registry.

use charttrust::api::ReleaseTrust;
use charttrust::api::release_trust::{Driver, Owner};
use charttrust_e2e::argo::{Argo, NAMESPACE};
use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::registry::Kind;
use charttrust_e2e::stage::{SOON, verdict};
use kube::Api;
use serde_json::json;

use crate::setup::{Published, stage};

/// Argo CD writes the address of a registry without a scheme.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_from_a_registry_names_owner_origin_and_digest() {
    let published = Published::begin("argo", Version::V3, Kind::Distribution).await;
    let (story, registry) = (&published.story, &published.registry);
    let release = format!("argocd.{}", story.namespace);
    let rule = story.rule(
        "*",
        &[&published.key],
        json!({"sources": [{"url": registry.url()}], "verify": {"level": "Signature"}}),
    );
    let matched = json!({"releases": [format!("{NAMESPACE}/{release}")]});
    let spec = json!({"interval": "1s", "rules": [rule], "match": matched});
    story.policy("policy", &[], spec).await;
    let chart = published
        .publish(&Source::new("web", "1.0.0"), Some(&published.key))
        .await;

    let cluster = stage().await.cluster;
    let argo = story.done("start Argo CD", Argo::start(cluster).await);
    let address = format!("{}/charts", registry.host());
    let known = argo.know_registry(cluster, &story.namespace, &address);
    story.done("name the registry", known.await);
    let source = json!({"source": {"repoURL": address}});
    let deployed = argo.deploy(cluster, story, "1.0.0", source).await;
    story.done("deploy", deployed);

    let trusts = Api::<ReleaseTrust>::namespaced(story.client.clone(), NAMESPACE);
    let trust = eventually(SOON, &format!("{release} is trusted"), async || {
        let found = trusts.get_opt(&release).await;
        let found = found.map_err(|error| error.to_string())?;
        let found = found.ok_or("there is no ReleaseTrust")?;
        match verdict(&found).as_str() {
            "ArchiveVerified" => Ok(found),
            _ => Err(format!("{:?}", found.status)),
        }
    })
    .await;
    let said = trust.status.as_ref().unwrap().release.as_ref().unwrap();
    assert_eq!(
        (said.owner, said.driver),
        (Owner::ArgoCD, Driver::Application)
    );
    assert_eq!(
        (said.chart.as_str(), said.version.as_str()),
        ("web", "1.0.0")
    );
    assert_eq!(
        published.evidence(&trust).archive,
        Some(chart.digest().unwrap())
    );
}
