//! The test bed itself: what the user stories rely on.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::eventually;
use charttrust_e2e::gpg::{Algorithm, Keyring, Signer};
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::plane::ADMIN;
use charttrust_e2e::repository::Repository;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};

#[tokio::test]
async fn helm_3_installs_a_signed_chart() {
    installs_a_signed_chart(Version::V3).await;
}

#[tokio::test]
async fn helm_4_installs_a_signed_chart() {
    installs_a_signed_chart(Version::V4).await;
}

/// From the key to the release: every part of the test bed once.
async fn installs_a_signed_chart(version: Version) {
    let namespace = cluster().namespace("install").await.unwrap();
    let helm = Helm::new(version).unwrap().on(cluster().kubeconfig());
    let keyring = Keyring::new().unwrap();
    let signer = signer(&keyring, Algorithm::Rsa2048);
    let repository = Repository::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let chart = package(&helm, folder.path(), "1.0.0", &signer).await;
    repository.publish(&helm, &chart).await.unwrap();

    helm.repo_add("shop", &repository.url()).await.unwrap();
    let public = keyring.public_keyring().unwrap();
    let verify = ["--verify", "--keyring", &public.to_string_lossy()];
    helm.install(&namespace, "web", "shop/web", &verify)
        .await
        .unwrap();
    assert_eq!(
        repository.count("/web-1.0.0.tgz.prov"),
        1,
        "{:?}",
        repository.requests()
    );
    assert_eq!(
        release_secrets(&namespace).await,
        ["sh.helm.release.v1.web.v1"]
    );

    helm.upgrade(&namespace, "web", "shop/web", &["--set", "replicas=2"])
        .await
        .unwrap();
    helm.rollback(&namespace, "web", 1).await.unwrap();
    assert_eq!(release_secrets(&namespace).await.len(), 3);
    helm.uninstall(&namespace, "web").await.unwrap();
    assert!(release_secrets(&namespace).await.is_empty());
}

#[tokio::test]
async fn helm_refuses_an_archive_that_was_changed_after_signing() {
    let namespace = cluster().namespace("tampered").await.unwrap();
    let helm = Helm::new(Version::V4).unwrap().on(cluster().kubeconfig());
    let keyring = Keyring::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let signer = signer(&keyring, Algorithm::Ed25519);
    let chart = package(&helm, folder.path(), "1.0.0", &signer).await;
    chart.tamper().unwrap();

    let public = keyring.public_keyring().unwrap();
    let (public, archive) = (public.to_string_lossy(), chart.archive.to_string_lossy());
    let verify = ["--verify", "--keyring", &public];
    let error = helm
        .install(&namespace, "web", &archive, &verify)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("sha256 sum does not match"),
        "{error}"
    );
    // Without the check it is a chart like any other.
    helm.install(&namespace, "web", &archive, &[])
        .await
        .unwrap();
}

#[tokio::test]
async fn every_algorithm_signs_for_both_helms() {
    let keyring = Keyring::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for version in [Version::V3, Version::V4] {
        let helm = Helm::new(version).unwrap();
        for algorithm in [Algorithm::Ed25519, Algorithm::Rsa2048, Algorithm::Rsa4096] {
            let key = keyring
                .key(&format!("{algorithm:?}-{version:?}"), algorithm)
                .unwrap();
            let signer = keyring.signer(&key).unwrap();
            let chart = package(&helm, folder.path(), "1.0.0", &signer).await;
            let public = keyring.public_keyring().unwrap();
            let (public, archive) = (public.to_string_lossy(), chart.archive.to_string_lossy());
            let said = helm
                .run(&["verify", &archive, "--keyring", &public])
                .await
                .unwrap();
            assert!(
                said.contains(&key.fingerprint),
                "{algorithm:?} {version:?}: {said}"
            );
        }
    }
}

#[tokio::test]
async fn controllers_work() {
    let namespace = cluster().namespace("controllers").await.unwrap();
    let helm = Helm::new(Version::V4).unwrap().on(cluster().kubeconfig());
    let keyring = Keyring::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let chart = package(
        &helm,
        folder.path(),
        "1.0.0",
        &signer(&keyring, Algorithm::Ed25519),
    )
    .await;
    helm.install(&namespace, "web", &chart.archive.to_string_lossy(), &[])
        .await
        .unwrap();

    let client = cluster().client().await.unwrap();
    let deployments = Api::<Deployment>::namespaced(client.clone(), &namespace);
    let sets = Api::<ReplicaSet>::namespaced(client, &namespace);
    eventually(SOON, "the Deployment has a ReplicaSet", async || {
        let count = sets.list(&ListParams::default()).await.unwrap().items.len();
        if count == 1 {
            Ok(())
        } else {
            Err(format!("{count} ReplicaSets"))
        }
    })
    .await;
    deployments
        .delete("web", &DeleteParams::background())
        .await
        .unwrap();
    eventually(SOON, "its ReplicaSet is collected", async || {
        let count = sets.list(&ListParams::default()).await.unwrap().items.len();
        if count == 0 {
            Ok(())
        } else {
            Err(format!("{count} ReplicaSets"))
        }
    })
    .await;
}

#[tokio::test]
async fn identity_may_do_only_what_it_was_granted() {
    let namespace = cluster().namespace("identity").await.unwrap();
    let somebody = cluster().identity(&namespace, "somebody").await.unwrap();
    let maps = Api::<ConfigMap>::namespaced(somebody.client().await.unwrap(), &namespace);
    let kube::Error::Api(status) = maps.list(&ListParams::default()).await.unwrap_err() else {
        panic!("the API server gave no answer");
    };
    assert!(
        status.is_forbidden() && status.message.contains(somebody.user()),
        "{status:?}"
    );

    grant_reading_config_maps(&namespace, "somebody").await;
    let list = async || maps.list(&ListParams::default()).await;
    eventually(SOON, "the grant counts", list).await;
    maps.create(&PostParams::default(), &config_map("mine"))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn audit_log_tells_who_wrote() {
    if Cluster::existing().is_some_and(|cluster| cluster.audit().is_err()) {
        return;
    }
    let namespace = cluster().namespace("audit").await.unwrap();
    let somebody = cluster().identity(&namespace, "somebody").await.unwrap();
    let audit = cluster().audit().unwrap();
    let mark = audit.mark().unwrap();
    let create = async |client: kube::Client, name| {
        let maps = Api::<ConfigMap>::namespaced(client, &namespace);
        maps.create(&PostParams::default(), &config_map(name)).await
    };
    create(cluster().client().await.unwrap(), "granted")
        .await
        .unwrap();
    create(somebody.client().await.unwrap(), "refused")
        .await
        .unwrap_err();

    let writes = |user| audit.since(mark).unwrap().by(user).writes();
    let ours = writes(ADMIN).only(|event| event.namespace == namespace);
    assert_eq!(
        (ours.len(), ours[0].name.as_str(), ours[0].code),
        (1, "granted", 201)
    );
    let theirs = writes(somebody.user());
    assert_eq!(
        (theirs.len(), theirs[0].resource.as_str(), theirs[0].code),
        (1, "configmaps", 403)
    );
    assert!(
        audit
            .since(audit.mark().unwrap())
            .unwrap()
            .by(somebody.user())
            .is_empty()
    );
}

#[tokio::test]
async fn nothing_is_left_when_a_cluster_is_dropped() {
    let cluster = Cluster::start(TESTBED).unwrap();
    let folder = cluster.kubeconfig().parent().unwrap().to_owned();
    let running = processes_of(&folder);
    assert_eq!(running.len(), 3, "{running:?}");
    drop(cluster);
    assert_eq!(processes_of(&folder), BTreeSet::new());
    assert!(!folder.exists());
}

#[tokio::test]
async fn nothing_runs_on_when_the_owner_of_a_plane_is_killed() {
    let mut owner = Command::new(TESTBED)
        .arg("up")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(owner.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let kubeconfig = line.trim().strip_prefix("export KUBECONFIG=").unwrap();
    let folder = Path::new(kubeconfig).parent().unwrap();
    assert_eq!(processes_of(folder).len(), 3);
    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually(SOON, "the processes end", async || {
        let running = processes_of(folder);
        if running.is_empty() {
            Ok(())
        } else {
            Err(format!("{running:?}"))
        }
    })
    .await;
    // Nobody was left to do this.
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn command_is_run_with_a_plane_that_ends_with_it() {
    let script = "test -s \"$E2E_AUDIT_LOG\" && echo \"$E2E_KUBECONFIG\" && exit 3";
    let output = Command::new(TESTBED)
        .args(["exec", "--", "sh", "-c", script])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let kubeconfig = String::from_utf8(output.stdout).unwrap();
    let folder = Path::new(kubeconfig.trim()).parent().unwrap();
    assert!(folder.is_absolute() && !folder.exists(), "{folder:?}");
    assert_eq!(processes_of(folder), BTreeSet::new());
}

fn cluster() -> &'static Cluster {
    Cluster::shared(TESTBED)
}

fn signer(keyring: &Keyring, algorithm: Algorithm) -> Signer {
    let key = keyring.key("platform", algorithm).unwrap();
    keyring.signer(&key).unwrap()
}

async fn package(helm: &Helm, folder: &Path, version: &str, signer: &Signer) -> Chart {
    Source::new("web", version)
        .package(helm, folder, Some(signer))
        .await
        .unwrap()
}

async fn release_secrets(namespace: &str) -> Vec<String> {
    let secrets = Api::<Secret>::namespaced(cluster().client().await.unwrap(), namespace);
    let of_helm = ListParams::default().fields("type=helm.sh/release.v1");
    let list = secrets.list(&of_helm).await.unwrap();
    list.items
        .into_iter()
        .filter_map(|secret| secret.metadata.name)
        .collect()
}

fn config_map(name: &str) -> ConfigMap {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    ConfigMap {
        metadata,
        ..ConfigMap::default()
    }
}

async fn grant_reading_config_maps(namespace: &str, account: &str) {
    use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
    let role: Role = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}],
    }))
    .unwrap();
    let binding: RoleBinding = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }))
    .unwrap();
    let client = cluster().client().await.unwrap();
    let roles = Api::<Role>::namespaced(client.clone(), namespace);
    roles.create(&PostParams::default(), &role).await.unwrap();
    let bindings = Api::<RoleBinding>::namespaced(client, namespace);
    bindings
        .create(&PostParams::default(), &binding)
        .await
        .unwrap();
}

/// The ids of all processes that name `folder` on their command line.
fn processes_of(folder: &Path) -> BTreeSet<String> {
    let folder = folder.to_string_lossy();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter(|process| {
            let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(&*folder)
        })
        .map(|process| process.file_name().to_string_lossy().into_owned())
        .collect()
}

const TESTBED: &str = env!("CARGO_BIN_EXE_testbed");
const SOON: Duration = Duration::from_secs(30);
