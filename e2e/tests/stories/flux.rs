//! Releases that real Flux installs.

use std::time::Duration;

use charttrust::api::release_trust::Owner;
use charttrust::api::{ChartTrustPolicy, ReleaseTrust};
use charttrust_e2e::charts::Source;
use charttrust_e2e::flux::{self, Flux};
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, Story, apply, kubectl};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::commands::charttrust;
use crate::setup::{stage, story};

/// One Flux for all stories of the cluster.
async fn with_flux() -> &'static Flux {
    static FLUX: OnceCell<Flux> = OnceCell::const_new();
    let start = async || Flux::start(stage().await.cluster).await.unwrap();
    FLUX.get_or_init(start).await
}

async fn deploy(story: &Story, version: &str) {
    let cluster = stage().await.cluster;
    flux::deploy(cluster, story, version, json!({}))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_flux_is_judged_and_judged_again_after_its_upgrade() {
    with_flux().await;
    let story = story("flux", Version::V4).await;
    let key = story.trusted_key("platform").await;
    story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.policy("policy", &[&key], json!({})).await;
    deploy(&story, "1.0.0").await;
    let trust = story.expect("web", "SignatureVerified").await;
    assert_eq!(owner(&trust), Some(Owner::Flux));

    story.publish(&Source::new("web", "1.1.0"), None).await;
    deploy(&story, "1.1.0").await;
    let trust = story.expect("web", "Unsigned").await;
    let release = trust.status.unwrap().release.unwrap();
    assert_eq!((release.version.as_str(), release.revision), ("1.1.0", 2));
}

fn owner(trust: &ReleaseTrust) -> Option<Owner> {
    Some(trust.status.as_ref()?.release.as_ref()?.owner)
}

fn said(trust: &ReleaseTrust) -> String {
    format!("{:?}", trust.status.as_ref().unwrap().conditions)
}

/// Helm records no source, and Flux knows it; its login lies where the operator does not read it.
#[tokio::test(flavor = "multi_thread")]
async fn a_draft_has_the_sources_that_flux_deploys_from() {
    with_flux().await;
    let story = story("flux-draft", Version::V4).await;
    // A version that no other story pins.
    story.publish(&Source::new("web", "7.0.0"), None).await;
    deploy(&story, "7.0.0").await;
    story.expect("web", "NoPolicy").await;
    let namespace = story.namespace.as_str();
    let init = ["policy", "init", "-n", namespace, "--name", namespace];
    let draft = charttrust(&init).await;
    let draft = draft.with(0, &["name: unproven", &story.repository.url()]);
    assert!(
        !draft.text.contains("credentialsSecretRef"),
        "{}",
        draft.text
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, &draft.text).unwrap();
    let kubeconfig = stage().await.cluster.kubeconfig();
    let apply = ["apply", "--server-side", "-f", &file.to_string_lossy()];
    kubectl(kubeconfig, &apply).await.unwrap();
    story.expect("web", "Unsigned").await;
    kubectl(kubeconfig, &["delete", "ctp", namespace])
        .await
        .unwrap();

    let patch = r#"{"spec": {"secretRef": {"name": "charts-login"}}}"#;
    let patch = [
        "patch",
        "helmrepository",
        "charts",
        "-n",
        namespace,
        "--type=merge",
        "-p",
        patch,
    ];
    kubectl(kubeconfig, &patch).await.unwrap();
    let copy = format!("{namespace}.charts-login");
    let secret = format!(
        "Secret {namespace}/charts-login: copy it to namespace charttrust-system as {copy}"
    );
    charttrust(&init)
        .await
        .with(0, &[&format!("name: {copy}"), &secret]);

    forge(&story).await;
    let both = "both say that they deploy it, and name different places";
    let draft = charttrust(&init).await.with(0, &[both]);
    assert!(!draft.text.contains(EVIL), "{}", draft.text);
    for kind in ["helmrelease", "helmrepository"] {
        let delete = ["delete", kind, namespace, "-n", "default"];
        kubectl(kubeconfig, &delete).await.unwrap();
    }
}

/// A mark of Flux that none can have, where no server ever sees it.
const ODD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web-test
  annotations: {helm.sh/hook: test}
  labels: {helm.toolkit.fluxcd.io/name: a b, helm.toolkit.fluxcd.io/namespace: flux}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_no_object_can_have_hides_no_release() {
    with_flux().await;
    let story = story("flux-odd", Version::V4).await;
    let key = story.trusted_key("platform").await;
    story.policy("policy", &[&key], json!({})).await;
    let odd = Source::new("web", "1.0.0").with_file("templates/test.yaml", ODD);
    let chart = story.publish(&odd, None).await;
    story.install("web", &chart).await;
    story.expect("web", "Unsigned").await;
}

const EVIL: &str = "https://evil.example.com";

/// What a tenant may write in his own namespace: that he has deployed the release of a story, from his own server.
async fn forge(story: &Story) {
    let kubeconfig = stage().await.cluster.kubeconfig();
    let name = story.namespace.as_str();
    let metadata = json!({"name": name, "namespace": "default"});
    let objects = [
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository", "metadata": metadata,
            "spec": {"url": EVIL, "interval": "1h", "suspend": true, "secretRef": {"name": "charts-login"}},
        }),
        json!({
            "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": metadata,
            "spec": {"interval": "1h", "suspend": true, "storageNamespace": name, "chart": {"spec": {
                "chart": "web", "sourceRef": {"kind": "HelmRepository", "name": name},
            }}},
        }),
    ];
    story.done("forge a HelmRelease", apply(kubeconfig, &objects).await);
    let web = json!({
        "name": "web", "namespace": name, "version": 1, "status": "deployed", "chartName": "web",
        "chartVersion": "7.0.0", "configDigest": "", "digest": "sha256:00", "firstDeployed": "2026-11-18T10:00:00Z",
        "lastDeployed": "2026-11-18T10:00:00Z",
    });
    let status = json!({"status": {"storageNamespace": name, "history": [web]}}).to_string();
    let patch = [
        "patch",
        "helmrelease",
        name,
        "-n",
        "default",
        "--subresource=status",
        "--type=merge",
        "-p",
        &status,
    ];
    kubectl(kubeconfig, &patch).await.unwrap();
}

/// A story whose chart is signed, and the address of the same files that is no source of its policy.
async fn signed(prefix: &str) -> (Story, String) {
    with_flux().await;
    let story = story(prefix, Version::V4).await;
    let key = story.trusted_key("platform").await;
    story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.policy("policy", &[&key], json!({})).await;
    let elsewhere = story.repository.url().replace("127.0.0.1", "localhost");
    assert_ne!(elsewhere, story.repository.url());
    (story, elsewhere)
}

/// Has Flux deploy the chart from an address that is no source of the policy, and waits until it is not trusted
/// for that.
async fn deployed_from(story: &Story, elsewhere: &str, mut spec: Value) {
    let cluster = stage().await.cluster;
    let made = flux::repository(cluster, story, "elsewhere", elsewhere).await;
    story.done("declare the repository", made);
    spec["chart"] = json!({"spec": {"sourceRef": {"name": "elsewhere"}}});
    let made = flux::deploy(cluster, story, "1.0.0", spec).await;
    story.done("declare the release", made);
    let trust = story.expect("web", "SourceUnknown").await;
    assert_eq!(owner(&trust), Some(Owner::Flux));
}

/// The very archive, but the repository is none of the policy: whoever runs it could serve another any time.
#[tokio::test(flavor = "multi_thread")]
async fn a_chart_from_elsewhere_is_not_trusted_until_it_comes_from_a_source() {
    let (story, elsewhere) = signed("flux-elsewhere").await;
    deployed_from(&story, &elsewhere, json!({})).await;
    // Until the kinds of Flux have been read, all that is said is that they have not.
    let deployer = format!("HelmRelease {}/web", story.namespace);
    let what = format!("{deployer} takes web from {elsewhere}");
    let is_told = |trust: &ReleaseTrust| {
        let said = said(trust);
        said.contains(&deployer) && said.contains(&elsewhere)
    };
    story.until("web", &what, is_told).await;

    deploy(&story, "1.0.0").await;
    story.expect("web", "SignatureVerified").await;
}

/// A repository that moves takes its releases along, and back.
#[tokio::test(flavor = "multi_thread")]
async fn another_address_of_the_repository_changes_the_verdict_and_back() {
    let (story, elsewhere) = signed("flux-moves").await;
    let cluster = stage().await.cluster;
    deploy(&story, "1.0.0").await;
    story.expect("web", "SignatureVerified").await;
    for (url, word) in [
        (&elsewhere, "SourceUnknown"),
        (&story.repository.url(), "SignatureVerified"),
    ] {
        let moved = flux::repository(cluster, &story, "charts", url).await;
        story.done("move the repository", moved);
        story.expect("web", word).await;
    }
}

/// What a `HelmRelease` says of another cluster takes no word from a record that lies in this one.
#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_of_this_very_cluster_hides_no_origin() {
    let (story, elsewhere) = signed("flux-detour").await;
    let flux = with_flux().await;
    let cluster = stage().await.cluster;
    let flat = ["config", "view", "--raw", "--flatten"];
    let config = kubectl(&flux.identity.kubeconfig(), &flat).await;
    let config = story.done("read the kubeconfig", config);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "here", "namespace": story.namespace},
        "stringData": {"value": config},
    });
    let made = apply(cluster.kubeconfig(), &[secret]).await;
    story.done("keep the kubeconfig", made);
    let there = json!({"kubeConfig": {"secretRef": {"name": "here"}}});
    deployed_from(&story, &elsewhere, there).await;
}

/// Whoever writes the chart makes its only object too large to be read in full.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_too_large_to_be_read_hides_no_origin() {
    with_flux().await;
    let story = story("flux-large", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let template = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 1\n  \
                    selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    \
                    spec:\n      containers:\n      - name: web\n        image: registry.example.com/web:1\n        \
                    args:\n{{- range until 255000 }}\n        - a\n{{- end }}\n";
    let chart = Source::new("web", "1.0.0")
        .with_file("templates/deployment.yaml", template)
        .with_file("templates/config.yaml", "");
    story.publish(&chart, Some(&key)).await;
    story.policy("policy", &[&key], json!({})).await;
    let elsewhere = story.repository.url().replace("127.0.0.1", "localhost");
    deployed_from(&story, &elsewhere, json!({})).await;
}

/// Whoever may write the `HelmRepository` moves it to and fro, as fast as they can.
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_moves_without_end_costs_little() {
    let (story, elsewhere) = signed("flux-restless").await;
    let stage = stage().await;
    deploy(&story, "1.0.0").await;
    story.expect("web", "SignatureVerified").await;
    stage.at_rest(&story.namespace).await;
    let of_kind = GroupVersionKind::gvk("source.toolkit.fluxcd.io", "v1", "HelmRepository");
    let kind = ApiResource::from_gvk_with_plural(&of_kind, "helmrepositories");
    let api = Api::<DynamicObject>::namespaced_with(story.client.clone(), &story.namespace, &kind);
    let urls = [elsewhere, story.repository.url()];
    let mark = stage.cluster.mark();
    let began = std::time::Instant::now();
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    for url in urls.iter().cycle().take(1000) {
        pace.tick().await;
        let change = Patch::Merge(json!({"spec": {"url": url}}));
        let moved = api.patch("charts", &PatchParams::default(), &change).await;
        story.done("move the repository", moved);
    }
    let seconds = began.elapsed().as_secs() + 2;
    story.expect("web", "SignatureVerified").await;
    stage.at_rest(&story.namespace).await;
    let written = stage.written_since(mark, &story.namespace).len() as u64;
    assert!(written <= seconds * 6, "{written} writes in {seconds} s");
}

/// Without the flag the operator reads no Secret of others, and says which one a source of the policy needs.
#[tokio::test(flavor = "multi_thread")]
async fn the_secret_that_a_source_needs_is_named_and_copied_it_is_used() {
    with_flux().await;
    let story = story("flux-login", Version::V4).await;
    let stage = stage().await;
    let mark = stage.cluster.mark();
    let key = story.trusted_key("platform").await;
    story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.repository.require_login("ada", "canary");
    let login = ("ada", "canary");
    let made = flux::private_repository(stage.cluster, &story, "private", login).await;
    story.done("declare the repository", made);
    let policy = story.policy("policy", &[&key], json!({})).await;
    let spec = json!({"chart": {"spec": {"sourceRef": {"name": "private"}}}});
    let made = flux::deploy(stage.cluster, &story, "1.0.0", spec).await;
    story.done("declare the release", made);
    let named = format!(
        "logs in with Secret charts-login in namespace {}",
        story.namespace
    );
    let trust = story.expect_told("web", &named).await;
    assert!(
        said(&trust).contains("SourceUnavailable"),
        "{}",
        said(&trust)
    );
    assert!(said(&trust).contains(&named), "{}", said(&trust));
    let asked = stage.cluster.asked_since(mark).by(stage.identity.user());
    let got = asked.of("secrets").only(|event| event.verb == "get");
    assert!(got.is_empty(), "{got:?}");

    let copy = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": story.namespace, "namespace": OPERATOR_NAMESPACE},
        "stringData": {"username": "ada", "password": "canary"},
    });
    let made = apply(stage.cluster.kubeconfig(), &[copy]).await;
    story.done("copy the Secret", made);
    let mut rule = story.rule("*", &[&key], json!({}));
    rule["sources"][0]["credentialsSecretRef"] = json!({"name": story.namespace});
    let change = json!({"spec": {"rules": [rule]}});
    story.patch::<ChartTrustPolicy>(&policy, change).await;
    story.expect("web", "SignatureVerified").await;
}

/// Flux merges values from files of the chart, and packs it anew under a version that nobody has published.
#[tokio::test(flavor = "multi_thread")]
async fn a_chart_that_flux_packs_anew_is_judged_as_the_published_one() {
    with_flux().await;
    let story = story("flux-repacked", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let chart = Source::new("web", "1.0.0").with_file("values-prod.yaml", "replicas: 5\n");
    story.publish(&chart, Some(&key)).await;
    story.policy("policy", &[&key], json!({})).await;
    let files = json!(["values.yaml", "values-prod.yaml"]);
    let spec = json!({"chart": {"spec": {"valuesFiles": files}}});
    let made = flux::deploy(stage().await.cluster, &story, "1.0.0", spec).await;
    story.done("declare the release", made);
    let trust = story.expect("web", "SignatureVerified").await;
    let release = trust.status.unwrap().release.unwrap();
    assert_eq!(
        (release.version.as_str(), release.owner),
        ("1.0.0", Owner::Flux)
    );
    let of_record = ["get", "deployment", "web", "-n", &story.namespace];
    let of_record = [&of_record[..], &["-o", "jsonpath={.spec.replicas}"]].concat();
    let replicas = kubectl(stage().await.cluster.kubeconfig(), &of_record).await;
    assert_eq!(replicas.unwrap(), "5", "with the values of the second file");

    // What is no part of the archive under that version is none of it.
    let other = Source::new("web", "1.1.0").with_file("values-prod.yaml", "replicas: 5\n");
    story.publish(&other, None).await;
    let made = flux::deploy(
        stage().await.cluster,
        &story,
        "1.1.0",
        json!({"chart": {"spec": {"valuesFiles": files}}}),
    )
    .await;
    story.done("upgrade the release", made);
    story.expect("web", "Unsigned").await;
}
