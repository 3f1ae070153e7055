//! Charts that real Flux and k3s take from a registry.

use charttrust::api::ReleaseTrust;
use charttrust::api::release_trust::Owner;
use charttrust_e2e::charts::Source;
use charttrust_e2e::flux::Flux;
use charttrust_e2e::helm::Version;
use charttrust_e2e::k3s::K3s;
use charttrust_e2e::registry::Kind;
use charttrust_e2e::stage::{apply, verdict};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::setup::{Published, cluster};

async fn with_flux() {
    static FLUX: OnceCell<Flux> = OnceCell::const_new();
    let start = async || Flux::start(cluster().await).await.unwrap();
    FLUX.get_or_init(start).await;
}

async fn with_k3s() {
    static K3S: OnceCell<K3s> = OnceCell::const_new();
    let start = async || K3s::start(cluster().await).await.unwrap();
    K3S.get_or_init(start).await;
}

async fn declare(published: &Published, objects: &[Value]) {
    let made = apply(cluster().await.kubeconfig(), objects).await;
    published.story.done("declare what deploys", made);
}

/// An object of source-controller, which is asked every second.
fn source(published: &Published, kind: &str, name: &str, mut spec: Value) -> Value {
    spec["interval"] = "1s".into();
    spec["insecure"] = true.into();
    json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": kind,
        "metadata": {"name": name, "namespace": published.story.namespace}, "spec": spec,
    })
}

/// Below which charts lie, or somewhere else in the same registry.
fn helm_repository(published: &Published, url: &str) -> Value {
    let spec = json!({"type": "oci", "url": url});
    source(published, "HelmRepository", "charts", spec)
}

/// The repository of `web` alone.
fn oci_repository(published: &Published, tag: &str) -> Value {
    let spec = json!({
        "url": format!("{}/web", published.registry.url()), "ref": {"tag": tag},
        "layerSelector": {
            "mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "operation": "copy",
        },
    });
    source(published, "OCIRepository", "web", spec)
}

/// The release `web`, whose chart is named so.
fn helm_release(published: &Published, chart: &Value) -> Value {
    let mut spec = json!({
        "interval": "1m", "releaseName": "web",
        "install": {"disableWait": true}, "upgrade": {"disableWait": true},
    });
    for (field, value) in chart.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
        "metadata": {"name": "web", "namespace": published.story.namespace}, "spec": spec,
    })
}

fn by_repository() -> Value {
    json!({"chart": {"spec": {
        "chart": "web", "version": "1.0.0", "interval": "1s",
        "sourceRef": {"kind": "HelmRepository", "name": "charts"},
    }}})
}

fn by_ref() -> Value {
    json!({"chartRef": {"kind": "OCIRepository", "name": "web"}})
}

fn owner(trust: &ReleaseTrust) -> Owner {
    trust
        .status
        .as_ref()
        .unwrap()
        .release
        .as_ref()
        .unwrap()
        .owner
}

fn version(trust: &ReleaseTrust) -> &str {
    &trust
        .status
        .as_ref()
        .unwrap()
        .release
        .as_ref()
        .unwrap()
        .version
}

async fn signed(prefix: &str) -> Published {
    let published = Published::begin(prefix, Version::V4, Kind::Distribution).await;
    published.policy(&json!({})).await;
    published
}

/// Owner, origin and digest of what was deployed, as the verdict names them.
async fn is_trusted(published: &Published, of: Owner, digest: &str) -> ReleaseTrust {
    let trust = published.story.expect("web", "SignatureVerified").await;
    assert_eq!(owner(&trust), of);
    assert_eq!(published.evidence(&trust).archive.as_deref(), Some(digest));
    trust
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_takes_a_chart_from_a_repository_in_a_registry() {
    with_flux().await;
    let published = signed("flux-oci").await;
    let key = published.key.clone();
    let chart = published
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let url = published.registry.url();
    let objects = [
        helm_repository(&published, &url),
        helm_release(&published, &by_repository()),
    ];
    declare(&published, &objects).await;
    is_trusted(&published, Owner::Flux, &chart.digest().unwrap()).await;

    // The very chart, from a place that is no source of the policy.
    published.done_copying(&chart, "elsewhere/web").await;
    let elsewhere = url.replace("/charts", "/elsewhere");
    declare(&published, &[helm_repository(&published, &elsewhere)]).await;
    let trust = published.story.expect("web", "SourceUnknown").await;
    assert_eq!(owner(&trust), Owner::Flux);
    declare(&published, &[helm_repository(&published, &url)]).await;
    published.story.expect("web", "SignatureVerified").await;
}

/// The record says `1.0.0+<digits of the manifest>`, which nobody has published.
#[tokio::test(flavor = "multi_thread")]
async fn a_chart_of_an_oci_repository_is_the_one_that_was_published() {
    with_flux().await;
    for (prefix, tag, version) in [
        ("flux-ref", "1.0.0", "1.0.0"),
        ("flux-build", "1.0.0_b.7", "1.0.0+b.7"),
    ] {
        let published = signed(prefix).await;
        let key = published.key.clone();
        let chart = published
            .publish(&Source::new("web", version), Some(&key))
            .await;
        let objects = [
            oci_repository(&published, tag),
            helm_release(&published, &by_ref()),
        ];
        declare(&published, &objects).await;
        let trust = is_trusted(&published, Owner::Flux, &chart.digest().unwrap()).await;
        assert_eq!(self::version(&trust), version);
        let findings = trust.status.unwrap().findings;
        assert!(
            findings
                .iter()
                .all(|finding| finding.reason != "Republished"),
            "{findings:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_chart_of_an_oci_repository_is_unsigned() {
    with_flux().await;
    let published = signed("flux-unsigned").await;
    published.publish(&Source::new("web", "1.0.0"), None).await;
    let objects = [
        oci_repository(&published, "1.0.0"),
        helm_release(&published, &by_ref()),
    ];
    declare(&published, &objects).await;
    let trust = published.story.expect("web", "Unsigned").await;
    assert_eq!(owner(&trust), Owner::Flux);
}

/// What Flux has deployed lies in the registry still, under no tag: its digest finds it.
#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_that_flux_has_deployed_is_looked_up_where_its_tag_has_moved() {
    with_flux().await;
    let published = Published::begin("flux-moved", Version::V4, Kind::Distribution).await;
    let (web, key) = (Source::new("web", "1.0.0"), published.key.clone());
    let first = published.publish(&web, Some(&key)).await;
    let objects = [
        oci_repository(&published, "1.0.0"),
        helm_release(&published, &by_ref()),
    ];
    declare(&published, &objects).await;
    let is_published =
        |trust: &ReleaseTrust| verdict(trust) == "NoPolicy" && version(trust) == "1.0.0";
    published
        .story
        .until("web", "web is the published version", is_published)
        .await;
    let mut suspended = oci_repository(&published, "1.0.0");
    suspended["spec"]["suspend"] = true.into();
    declare(&published, &[suspended]).await;
    let more = web.with_file("templates/more.yaml", "# more\n");
    published.publish(&more, Some(&key)).await;

    published.policy(&json!({})).await;
    let trust = is_trusted(&published, Owner::Flux, &first.digest().unwrap()).await;
    let findings = trust.status.unwrap().findings;
    let told = findings
        .iter()
        .find(|finding| finding.reason == "Republished");
    let told = &told.unwrap_or_else(|| panic!("{findings:?}")).message;
    assert!(told.contains("tag"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn k3s_takes_a_chart_from_a_registry() {
    with_k3s().await;
    let published = signed("k3s-oci").await;
    let key = published.key.clone();
    let chart = published
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    published.done_copying(&chart, "elsewhere/web").await;
    let namespace = &published.story.namespace;
    let helm_chart = |path: &str| {
        json!({
            "apiVersion": "helm.cattle.io/v1", "kind": "HelmChart",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {
                "chart": format!("oci://{}/{path}/web", published.registry.host()),
                "version": "1.0.0", "targetNamespace": namespace, "plainHTTP": true,
            },
        })
    };
    declare(&published, &[helm_chart("charts")]).await;
    // What its Job does, where there is a node.
    published.install("web", &chart).await;
    let is_of_k3s = |trust: &ReleaseTrust| {
        let release = trust
            .status
            .as_ref()
            .and_then(|status| status.release.as_ref());
        release.is_some_and(|release| release.owner == Owner::K3s)
    };
    published
        .story
        .until("web", "web is of k3s", is_of_k3s)
        .await;
    is_trusted(&published, Owner::K3s, &chart.digest().unwrap()).await;
    for (path, word) in [
        ("elsewhere", "SourceUnknown"),
        ("charts", "SignatureVerified"),
    ] {
        declare(&published, &[helm_chart(path)]).await;
        let trust = published.story.expect("web", word).await;
        assert_eq!(owner(&trust), Owner::K3s);
    }
}
