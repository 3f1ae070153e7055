//! The page about audits, typed as it stands there, on an API server that logs what its audit policy says: who has
//! changed what is trusted, nothing secret, and nothing each minute.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::gpg::{Algorithm, Keyring};
use charttrust_e2e::lasting;
use charttrust_e2e::operator::binary;
use charttrust_e2e::page::{Desk, Step, steps};
use charttrust_e2e::plane::ADMIN;
use charttrust_e2e::stage::{
    OPERATOR_NAMESPACE, Opening, Power, SOON, Scene, Setting, Stage, apply, path,
};
use charttrust_e2e::within;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

const PAGE: &str = "docs/audit.md";
const BACKUP: &str = "\n## What to back up\n";
/// Must never stand in the log.
const CANARY: &str = "a-canary-in-a-coal-mine";

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_tells_who_has_changed_what_is_trusted() {
    let page = std::fs::read_to_string(path(PAGE)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    std::fs::write(&policy, audit_policy(&page)).unwrap();
    let cluster = Cluster::audited(env!("CARGO_BIN_EXE_testbed"), &policy);
    // Ends with this process, as a shared one does.
    let cluster: &'static Cluster = Box::leak(Box::new(cluster.unwrap()));
    // It renews its Lease, as it is installed.
    let setting = Setting {
        more: Vec::new(),
        ..Setting::new(binary(), Power::Contains)
    };
    let stage = Stage::set(cluster, setting).await;
    let scene = Opening::of_every_kind("audit").trusted(cluster).await;
    change_everything(&scene, cluster).await;

    let keyring = Keyring::new().unwrap();
    keyring.key("auditor", Algorithm::Ed25519).unwrap();
    let desk = Desk::new(cluster.kubeconfig(), &binary());
    desk.lays_gpg();
    let log = cluster.audit_log().unwrap();
    symlink(log, desk.folder().join("audit.log")).unwrap();
    symlink(keyring.home(), desk.folder().join(".gnupg")).unwrap();
    let (before, _) = page.split_once(BACKUP).unwrap();
    let steps = steps(before);
    assert!(steps.len() >= 5, "{steps:?}");
    desk.types_all(PAGE, &steps).await;

    quarterly(&page, &desk).await;
    tells_who(log, stage.identity.user());
    rests(log).await;
    // Whoever forges a verdict is found by the same line.
    let forged = Patch::Merge(json!({"status": {"signer": "somebody"}}));
    let (trusts, params) = (scene.trusts(), PatchParams::default());
    let patched = trusts.patch_status("web", &params, &forged).await;
    drop(scene.done("forge a verdict", patched));
    let finds: Vec<&Step> = steps
        .iter()
        .filter(|step| step.command.contains("grep -c"))
        .collect();
    let [finds] = finds[..] else {
        panic!("one line finds who has forged: {finds:?}");
    };
    assert_eq!(desk.types(finds).await.trim(), "1");
}

/// The quarterly review: its files are made as the page says, and have each place in which it says to look.
async fn quarterly(page: &str, desk: &Desk) {
    let (_, chapter) = page.split_once("\n## Each quarter\n").unwrap();
    let typed = steps(chapter);
    assert!(typed.len() >= 5, "{typed:?}");
    desk.types_all(PAGE, &typed).await;
    let mut looked_at = 0;
    for row in chapter.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.split(" | ").collect();
        let Some((file, places)) = cells[1].split_once("`: ") else {
            continue;
        };
        let file = desk.folder().join(file.trim_start_matches('`'));
        let file: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        for place in places.split('`').filter(|part| part.starts_with('.')) {
            assert!(is_there(&file, place), "{place} of the page: {row}");
            looked_at += 1;
        }
    }
    assert!(looked_at >= 15, "{looked_at} places");
    let altered = desk.folder().join("report.json");
    std::fs::write(&altered, "{}").unwrap();
    let last = desk.types(typed.last().unwrap()).await;
    assert!(!last.contains("unaltered"), "{last}");
}

/// Whether a value has a place, such as `.releases[].reason`: in one of the items where it is of a list.
fn is_there(value: &Value, place: &str) -> bool {
    let Some(rest) = place.strip_prefix('.') else {
        return true;
    };
    let (name, rest) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
    let found = &value[name];
    match rest.strip_prefix("[]") {
        Some(rest) => found
            .as_array()
            .is_some_and(|all| all.iter().any(|one| is_there(one, rest))),
        None => !found.is_null() && is_there(found, rest),
    }
}

/// The policy of the page.
fn audit_policy(page: &str) -> &str {
    let blocks = page.split("```yaml\n").skip(1);
    let mut blocks = blocks.filter_map(|rest| rest.split("```").next());
    let policy = blocks.find(|block| block.contains("audit.k8s.io"));
    policy.expect("the audit policy of the page")
}

/// A person changes each of what the log has to tell.
async fn change_everything(scene: &Scene, cluster: &Cluster) {
    scene.contain("web", &["ScaleToZero"]).await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    scene.delete_quarantine("web").await;
    scene.no_quarantine("web").await;
    scene.revoke().await;
    scene.expect("web", "KeyCompromised").await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "charts-login", "namespace": OPERATOR_NAMESPACE},
        "stringData": {"password": CANARY},
    });
    let grant = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "who-writes-keys"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "charttrust-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}],
    });
    let applied = apply(cluster.kubeconfig(), &[secret, grant]).await;
    scene.done("write a Secret and a binding", applied);
}

/// Every line of the log.
fn events(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap();
    assert!(!text.contains(CANARY) && !text.contains("YS1jYW5hcnktaW4tYS1jb2FsLW1pbmU"));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn tells_who(log: &Path, operator: &str) {
    let events = events(log);
    let of = |resource: &str| -> Vec<&Value> {
        let is_it = |event: &&Value| event["objectRef"]["resource"] == resource;
        events.iter().filter(is_it).collect()
    };
    for (resource, part) in [
        ("trustedkeys", "Compromised"),
        ("charttrustpolicies", "rules"),
        ("quarantines", "ScaleToZero"),
        ("clusterrolebindings", "mallory"),
    ] {
        let told = of(resource).into_iter().find(|event| {
            event["user"]["username"] == ADMIN && event["requestObject"].to_string().contains(part)
        });
        let told = told.unwrap_or_else(|| panic!("nobody has written {part} into {resource}"));
        assert!(told["sourceIPs"][0].is_string() && told["stageTimestamp"].is_string());
        assert!(told["responseObject"].is_object(), "{told}");
    }
    let is_deletion =
        |event: &&Value| event["verb"] == "delete" && event["user"]["username"] == ADMIN;
    assert!(of("quarantines").iter().any(is_deletion));
    // Of the operator that it has written, and not what.
    let written = of("releasetrusts");
    assert!(
        written
            .iter()
            .any(|event| event["user"]["username"] == operator)
    );
    for event in written.iter().chain(&of("secrets")) {
        assert!(
            event["requestObject"].is_null() && event["responseObject"].is_null(),
            "{event}"
        );
    }
    assert!(
        of("secrets")
            .iter()
            .any(|event| event["objectRef"]["name"] == "charts-login")
    );
    assert!(of("leases").is_empty() && of("events").is_empty());
    let is_list = |event: &Value| event["verb"] == "list" || event["verb"] == "watch";
    assert!(!events.iter().any(is_list));
}

/// Where nothing changes nothing is logged, though the operator renews its Lease and looks at its sources.
async fn rests(log: &Path) {
    let lines = || std::fs::read_to_string(log).unwrap().lines().count();
    let rested = within(SOON, async || {
        let before = lines();
        lasting(STILL, async || match lines() {
            now if now == before => Ok(()),
            now => Err(now - before),
        })
        .await
    });
    rested.await.expect("a log that rests");
}

/// Longer than a Lease goes without being renewed.
const STILL: Duration = Duration::from_secs(5);
