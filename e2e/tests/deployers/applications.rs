//! Applications of real Argo CD are judged, and contained by their policy. Its definitions are installed
//! after the operator has started.

use charttrust::api::ChartTrustPolicy;
use charttrust::api::ReleaseTrust;
use charttrust::api::release_trust::{Binding, Driver, Owner};
use charttrust_e2e::argo::NAMESPACE;
use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::eventually;
use charttrust_e2e::operator::binary;
use charttrust_e2e::stage::{SOON, verdict};
use kube::Api;
use serde_json::{Value, json};

use crate::argo::{APPLICATION, argo_puts_back, essence, is_synced, sync_policy, with_argo};
use crate::setup::{DEPLOYMENT, Deployed, stage};

/// A story with a signed chart `web` of three replicas, and a policy of this level for its Application.
async fn begin(prefix: &str, level: &str) -> (Deployed, Chart) {
    with_argo().await;
    let mut scene = Deployed::begin(prefix).await;
    NAMESPACE.clone_into(&mut scene.quarantine_namespace);
    ask_for(&scene, level).await;
    let chart = Source::new("web", "1.0.0").with_file("values.yaml", "replicas: 3\n");
    let chart = scene.publish(&chart, Some(&scene.key)).await;
    (scene, chart)
}

async fn ask_for(scene: &Deployed, level: &str) {
    let verify = json!({"verify": {"level": level, "signers": {"keys": [scene.key.name]}}});
    let rules = [scene.rule("*", &[&scene.key], verify)];
    let releases = ["", ".*"].map(|more| format!("{NAMESPACE}/argocd.{}{more}", scene.namespace));
    let change =
        json!({"spec": {"rules": rules, "interval": "1s", "match": {"releases": releases}}});
    scene.patch::<ChartTrustPolicy>(&scene.policy, change).await;
}

async fn deploy(scene: &Deployed, more: Value) {
    let mut spec = sync_policy();
    for (name, value) in more.as_object().into_iter().flatten() {
        spec[name] = value.clone();
    }
    let (cluster, argo) = (stage().await.cluster, with_argo().await);
    let done = argo.deploy(cluster, scene, "1.0.0", spec).await;
    done.unwrap();
}

fn release(scene: &Deployed) -> String {
    format!("argocd.{}", scene.namespace)
}

/// Waits until a release in Argo CD's namespace has this word as verdict.
async fn expect(scene: &Deployed, name: &str, word: &str) -> ReleaseTrust {
    let trusts = Api::<ReleaseTrust>::namespaced(scene.client.clone(), NAMESPACE);
    eventually(SOON, &format!("{name} is {word}"), async || {
        let found = trusts.get_opt(name).await;
        let found = found.map_err(|error| error.to_string())?;
        let found = found.ok_or("there is no ReleaseTrust")?;
        if verdict(&found) == word {
            Ok(found)
        } else {
            Err(format!("{:?}", found.status))
        }
    })
    .await
}

/// What is known of it names who has deployed it, from where, and which archive that is.
fn names(trust: &ReleaseTrust, url: &str, chart: &Chart) {
    let status = trust.status.as_ref().unwrap();
    let release = status.release.as_ref().unwrap();
    assert_eq!(
        (release.owner, release.driver),
        (Owner::ArgoCD, Driver::Application)
    );
    let said = (release.chart.as_str(), release.version.as_str());
    assert_eq!(said, (chart.name.as_str(), chart.version.as_str()));
    let origin = &status.evidence.as_ref().unwrap().sources[0];
    assert_eq!(origin.url, url);
    assert_eq!(origin.archive, Some(chart.digest().unwrap()));
    assert_eq!(origin.binding, Some(Binding::NoRecord));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_of_a_repository_names_owner_origin_and_digest() {
    let (scene, chart) = begin("argo-judged", "Signature").await;
    deploy(&scene, json!({})).await;
    let trust = expect(&scene, &release(&scene), "ArchiveVerified").await;
    names(&trust, &scene.repository.url(), &chart);
    let draft = charttrust(&["policy", "init", "-n", NAMESPACE]).await;
    assert!(draft.contains(&scene.repository.url()), "{draft}");
    ask_for(&scene, "Strict").await;
    let trust = expect(&scene, &release(&scene), "NotBindable").await;
    names(&trust, &scene.repository.url(), &chart);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_an_application_set_has_made_is_judged_as_any_other() {
    let (scene, chart) = begin("argo-set", "Signature").await;
    let (cluster, argo) = (stage().await.cluster, with_argo().await);
    let done = argo
        .deploy_by_set(cluster, &scene, "1.0.0", sync_policy())
        .await;
    done.unwrap();
    let trust = expect(&scene, &release(&scene), "ArchiveVerified").await;
    names(&trust, &scene.repository.url(), &chart);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_chart_of_several_sources_is_judged_on_its_own() {
    let (scene, chart) = begin("argo-several", "Signature").await;
    let other = scene.publish(&Source::new("api", "0.3.0"), None).await;
    let source = |chart: &Chart| {
        json!({"repoURL": scene.repository.url(), "chart": chart.name, "targetRevision": chart.version,
            "helm": {"releaseName": chart.name}})
    };
    let sources = json!({"source": null, "sources": [source(&chart), source(&other)]});
    deploy(&scene, sources).await;
    let trust = expect(&scene, &release(&scene), "ArchiveVerified").await;
    names(&trust, &scene.repository.url(), &chart);
    let further = format!("{}.2", release(&scene));
    let trust = expect(&scene, &further, "Unsigned").await;
    names(&trust, &scene.repository.url(), &other);
}

/// The very same chart, signed by the very same key.
#[tokio::test(flavor = "multi_thread")]
async fn a_chart_of_the_same_name_from_elsewhere_is_never_trusted() {
    let (scene, chart) = begin("argo-elsewhere", "Signature").await;
    let elsewhere = Deployed::begin("argo-other").await;
    elsewhere.offer(&chart).await;
    let source = json!({"repoURL": elsewhere.repository.url(), "chart": "web", "targetRevision": "1.0.0",
        "helm": {"releaseName": "web"}});
    deploy(&scene, json!({"source": source})).await;
    let trust = expect(&scene, &release(&scene), "SourceUnknown").await;
    let told = format!("{:?}", trust.status.unwrap().findings);
    assert!(told.contains(&elsewhere.repository.url()), "{told}");
    // Were it taken from the rule's source, it would be good. Argo CD deploys nothing where another source makes
    // the same objects.
    let other = json!({"helm": {"parameters": [{"name": "replicas", "value": "2"}]}});
    deploy(&scene, json!({"source": other})).await;
    expect(&scene, &release(&scene), "ArchiveVerified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_application_is_contained_by_its_policy_and_comes_back_as_it_was() {
    let (scene, _) = begin("argo-bad", "Signature").await;
    deploy(&scene, json!({})).await;
    let application = scene.object_in(NAMESPACE, APPLICATION, &scene.namespace);
    application.until("is synced", is_synced).await;
    let workload = scene.object(DEPLOYMENT, "web");
    workload.has_replicas(3).await;
    let release = release(&scene);
    expect(&scene, &release, "ArchiveVerified").await;
    let before = [essence(&application).await, workload.essence().await];

    scene.revoke().await;
    let status = scene.contained(&release).await.status.unwrap();
    let kinds: Vec<_> = status.objects.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(kinds, ["Application", "NetworkPolicy", "Deployment"]);
    workload.has_replicas(0).await;
    application
        .until("is out of sync", |object| !is_synced(object))
        .await;
    workload.has_replicas(0).await;
    expect(&scene, &release, "KeyCompromised").await;

    scene.withdraw().await;
    scene.no_quarantine(&release).await;
    assert_eq!(
        [essence(&application).await, workload.essence().await],
        before
    );
    expect(&scene, &release, "ArchiveVerified").await;
    application.until("is synced again", is_synced).await;
    argo_puts_back(&workload).await;
}

/// It deploys no chart, so nothing of it is judged: it is counted and listed.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_of_a_git_chart_is_counted_as_unaccounted() {
    with_argo().await;
    let scene = Deployed::begin("argo-git").await;
    let cluster = stage().await.cluster;
    // Of what other stories deploy it asks nothing.
    let nothing = json!([{"name": "nothing", "charts": ["*"], "verify": {"level": "None"}}]);
    let all = json!({"releases": [format!("{NAMESPACE}/*")]});
    let change = json!({"spec": {"match": all, "rules": nothing}});
    scene.patch::<ChartTrustPolicy>(&scene.policy, change).await;
    let git = json!({"source": null, "sources": [{
        "repoURL": "https://git.example.com/shop.git", "path": "charts/web", "targetRevision": "main",
    }]});
    let argo = with_argo().await;
    let made = argo.deploy(cluster, &scene, "1.0.0", git).await;
    scene.done("declare the Application", made);
    eventually(SOON, "the policy counts the Application", async || {
        let found = scene.policies().get_status(&scene.policy).await;
        let found = found.map_err(|error| error.to_string())?;
        let counted = found.status.unwrap_or_default().releases;
        if counted.unaccounted > 0 {
            Ok(())
        } else {
            Err(format!("{counted:?}"))
        }
    })
    .await;
    let listed = unaccounted().await;
    let line = listed.lines().find(|line| line.contains(&scene.namespace));
    let line = line.unwrap_or_else(|| panic!("{listed}"));
    assert!(line.contains("Application"), "{line}");
    let application = scene.object_in(NAMESPACE, APPLICATION, &scene.namespace);
    application.delete().await;
    let listed = unaccounted().await;
    assert!(!listed.contains(&scene.namespace), "{listed}");
}

/// What `charttrust status --unaccounted` lists in Argo CD's namespace.
async fn unaccounted() -> String {
    charttrust(&["status", "--unaccounted", "-n", NAMESPACE]).await
}

/// What a command prints that asks the cluster.
async fn charttrust(arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(binary());
    command
        .args(arguments)
        .env("KUBECONFIG", stage().await.cluster.kubeconfig());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    String::from_utf8(output.await.unwrap().stdout).unwrap()
}
