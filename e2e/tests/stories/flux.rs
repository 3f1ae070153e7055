//! Releases that real Flux installs.

use charttrust_e2e::charts::Source;
use charttrust_e2e::flux::Flux;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{Story, kubectl};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::setup::{stage, story};

/// One Flux for all stories of the cluster.
async fn flux() -> &'static Flux {
    static FLUX: OnceCell<Flux> = OnceCell::const_new();
    let start = async || Flux::start(stage().await.cluster).await.unwrap();
    FLUX.get_or_init(start).await
}

/// What a user of Flux commits: a repository and a release `web`.
async fn deploy(story: &Story, version: &str) {
    let namespace = &story.namespace;
    let manifest = json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository",
            "metadata": {"name": "charts", "namespace": namespace},
            "spec": {"interval": "1s", "url": story.repository.url()},
        },
        {
            "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {
                "interval": "1m", "releaseName": "web",
                "install": {"disableWait": true}, "upgrade": {"disableWait": true},
                "chart": {"spec": {
                    "chart": "web", "version": version, "interval": "1s",
                    "sourceRef": {"kind": "HelmRepository", "name": "charts"},
                }},
            },
        },
    ]});
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), manifest.to_string()).unwrap();
    let kubeconfig = stage().await.cluster.kubeconfig();
    let path = file.path().to_string_lossy().into_owned();
    kubectl(kubeconfig, &["apply", "--server-side", "-f", &path])
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_flux_is_judged_and_judged_again_after_its_upgrade() {
    flux().await;
    let story = story("flux", Version::V4).await;
    let key = story.trusted_key("platform").await.unwrap();
    story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await
        .unwrap();
    story.policy("policy", &[&key], json!({})).await.unwrap();
    deploy(&story, "1.0.0").await;
    story.expect("web", "SignatureVerified").await;

    story
        .publish(&Source::new("web", "1.1.0"), None)
        .await
        .unwrap();
    deploy(&story, "1.1.0").await;
    let trust = story.expect("web", "Unsigned").await;
    let release = trust.status.unwrap().release.unwrap();
    assert_eq!((release.version.as_str(), release.revision), ("1.1.0", 2));
}
