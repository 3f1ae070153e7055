//! What the rendered roles allow, rule by rule.

use std::collections::BTreeSet;

use charttrust_e2e::helm::Version;
use serde_json::Value;

use crate::rendered::{of_kind, render, texts};

/// One permission: `verb group/resource`, with the namespace if it holds in one only.
type Permissions = BTreeSet<String>;

/// Everything that roles with names for which `of` is true allow.
fn permissions(objects: &[Value], of: impl Fn(&str) -> bool) -> Permissions {
    let mut all = Permissions::new();
    for role in [of_kind(objects, "ClusterRole"), of_kind(objects, "Role")].concat() {
        let metadata = &role["metadata"];
        if !of(metadata["name"].as_str().unwrap()) {
            continue;
        }
        let place = match metadata["namespace"].as_str() {
            Some(namespace) => format!(" in {namespace}"),
            None => String::new(),
        };
        for rule in role["rules"].as_array().unwrap() {
            all.extend(of_rule(rule).into_iter().map(|one| one + &place));
        }
    }
    all
}

fn of_rule(rule: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for group in texts(&rule["apiGroups"]) {
        for resource in texts(&rule["resources"]) {
            for verb in texts(&rule["verbs"]) {
                let name = texts(&rule["resourceNames"]).concat();
                let name = if name.is_empty() {
                    String::new()
                } else {
                    format!("={name}")
                };
                all.push(format!("{verb} {group}/{resource}{name}"));
            }
        }
    }
    all
}

fn is_read(permission: &str) -> bool {
    ["get ", "list ", "watch "]
        .iter()
        .any(|verb| permission.starts_with(verb))
}

fn writes(permissions: &Permissions) -> Vec<&str> {
    let writes = permissions.iter().filter(|one| !is_read(one));
    writes.map(String::as_str).collect()
}

const OPERATORS: [&str; 2] = ["charttrust", "charttrust-quarantine"];

fn of_operator(name: &str) -> bool {
    OPERATORS.contains(&name)
}

#[tokio::test]
async fn a_report_only_install_may_write_nothing_of_others() {
    let objects = render(Version::V4, &[]).await;
    let all = permissions(&objects, of_operator);
    assert!(!all.iter().any(|one| one.contains('*')), "{all:?}");
    let of_others: Vec<_> = writes(&all)
        .into_iter()
        .filter(|one| !one.contains(" charttrust.io/") && !one.ends_with(" in charttrust-system"))
        .collect();
    assert_eq!(of_others, ["create events.k8s.io/events"]);
    let keys_and_policies = writes(&all).into_iter().filter(|one| {
        let kinds = ["/trustedkeys", "/trustedidentities", "/charttrustpolicies"];
        kinds.iter().any(|kind| one.ends_with(kind))
    });
    assert_eq!(keys_and_policies.count(), 0, "people write these");
}

#[tokio::test]
async fn the_lease_is_the_only_one_it_may_touch() {
    let objects = render(Version::V4, &[]).await;
    let all = permissions(&objects, of_operator);
    let leases: Vec<_> = all.iter().filter(|one| one.contains("/leases")).collect();
    assert_eq!(
        leases,
        [
            "create coordination.k8s.io/leases in charttrust-system",
            "get coordination.k8s.io/leases=charttrust in charttrust-system",
            "update coordination.k8s.io/leases=charttrust in charttrust-system",
        ]
    );
}

/// RBAC cannot select Secrets by type, so at least single ones cannot be picked by name.
#[tokio::test]
async fn secrets_are_listed_and_never_got() {
    for set in ["quarantine.enabled=false", "quarantine.enabled=true"] {
        let objects = render(Version::V4, &["--set", set]).await;
        let all = permissions(&objects, |_| true);
        assert!(all.contains("list /secrets"));
        assert!(!all.iter().any(|one| one.starts_with("get /secrets")));
    }
}

/// Only who asks for logins of Flux gives the right, and that is all it gives.
#[tokio::test]
async fn logins_of_flux_are_read_with_a_right_and_a_flag_of_their_own() {
    let set = "sources.readDeployerSecrets=true";
    let flag = "--read-deployer-secrets";
    let (with, without) = (
        render(Version::V4, &["--set", set]).await,
        render(Version::V4, &[]).await,
    );
    let has_flag = |objects: &[Value]| objects.iter().any(|one| one.to_string().contains(flag));
    assert!(has_flag(&with) && !has_flag(&without));
    let all = permissions(&with, |_| true);
    let before = permissions(&without, |_| true);
    let added: Vec<_> = all.difference(&before).collect();
    assert_eq!(added, ["get /secrets"]);
    let limited = format!("{set},discovery.namespaces={{bank,shop}}");
    let all = permissions(&render(Version::V4, &["--set", &limited]).await, |_| true);
    let got: Vec<_> = all
        .iter()
        .filter(|one| one.starts_with("get /secrets"))
        .collect();
    assert_eq!(got, ["get /secrets in bank", "get /secrets in shop"]);
}

#[tokio::test]
async fn quarantine_adds_what_containment_needs_and_nothing_else() {
    let without = permissions(&render(Version::V4, &[]).await, of_operator);
    let objects = render(Version::V4, &["--set", "quarantine.enabled=true"]).await;
    let with = permissions(&objects, of_operator);
    let added: Permissions = with.difference(&without).cloned().collect();
    assert_eq!(without.difference(&with).count(), 0);
    assert!(!added.iter().any(|one| one.contains('*')), "{added:?}");
    let of_ours = writes(&added)
        .into_iter()
        .filter(|one| one.contains(" charttrust.io/"));
    let of_ours: Vec<_> = of_ours.collect();
    assert_eq!(
        of_ours,
        [
            "create charttrust.io/quarantines",
            "delete charttrust.io/quarantines",
        ]
    );
    let of_others: Vec<_> = writes(&added)
        .into_iter()
        .filter(|one| !one.contains(" charttrust.io/") && !one.ends_with(" in charttrust-system"))
        .collect();
    assert_eq!(
        of_others,
        [
            "create networking.k8s.io/networkpolicies",
            "delete networking.k8s.io/networkpolicies",
            "patch apps/daemonsets",
            "patch apps/deployments",
            "patch apps/replicasets",
            "patch apps/statefulsets",
            "patch argoproj.io/applications",
            "patch batch/cronjobs",
            "patch batch/jobs",
            "patch helm.cattle.io/helmcharts",
            "patch helm.toolkit.fluxcd.io/helmreleases",
        ]
    );
}

#[tokio::test]
async fn who_writes_policies_adds_no_signer_and_lifts_no_quarantine() {
    let objects = render(Version::V4, &[]).await;
    let of = |name: &'static str| permissions(&objects, move |role| role == name);
    assert_eq!(writes(&of("charttrust-view")), [""; 0]);
    assert_eq!(
        writes(&of("charttrust-edit")),
        [
            "create charttrust.io/charttrustpolicies",
            "delete charttrust.io/charttrustpolicies",
            "patch charttrust.io/charttrustpolicies",
            "patch charttrust.io/releasetrusts",
            "update charttrust.io/charttrustpolicies",
        ]
    );
    let admin = of("charttrust-admin");
    assert!(admin.contains("create charttrust.io/trustedkeys"));
    assert!(admin.contains("delete charttrust.io/quarantines"));
    assert!(!admin.iter().any(|one| one.contains("/status")));
}

/// A tenant's `edit` or `admin` in his namespace must not reach what decides about him.
#[tokio::test]
async fn only_reading_joins_the_roles_of_the_cluster() {
    let objects = render(Version::V4, &["--set", "quarantine.enabled=true"]).await;
    let joins = |role: &&Value| {
        role["metadata"]["labels"]
            .to_string()
            .contains("aggregate-to")
    };
    let joining: Vec<_> = of_kind(&objects, "ClusterRole")
        .into_iter()
        .filter(joins)
        .map(|role| role["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(joining, ["charttrust-view"]);
}

#[tokio::test]
async fn the_uninstall_hook_reads_unless_it_is_to_restore() {
    for (choice, expected) in [
        ("Stop", &["list charttrust.io/quarantines"][..]),
        (
            "Restore",
            &[
                "delete charttrust.io/quarantines",
                "list charttrust.io/quarantines",
                "patch charttrust.io/quarantines/status",
            ],
        ),
        ("Leave", &[]),
    ] {
        let set = format!("quarantine.enabled=true,quarantine.onUninstall={choice}");
        let objects = render(Version::V4, &["--set", &set]).await;
        let all = permissions(&objects, |role| role == "charttrust-before-uninstall");
        assert_eq!(all.iter().collect::<Vec<_>>(), expected, "{choice}");
        assert_eq!(of_kind(&objects, "Job").is_empty(), expected.is_empty());
    }
    // What was contained before quarantine was switched off is guarded as well.
    for set in [
        "quarantine.onUninstall=Stop",
        "quarantine.onUninstall=Restore",
    ] {
        let objects = render(Version::V4, &["--set", set]).await;
        let all = permissions(&objects, |role| role == "charttrust-before-uninstall");
        assert_eq!(
            all.iter().collect::<Vec<_>>(),
            ["list charttrust.io/quarantines"]
        );
        let jobs = of_kind(&objects, "Job");
        assert!(!jobs[0].to_string().contains("--restore"), "{set}");
    }
}

#[tokio::test]
async fn without_rbac_no_role_is_made() {
    let set = "rbac.create=false,quarantine.enabled=true,quarantine.onUninstall=Leave";
    let objects = render(Version::V4, &["--set", set]).await;
    for kind in ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"] {
        assert!(of_kind(&objects, kind).is_empty(), "{kind}");
    }
}

/// Kinds that lie in no namespace.
const CLUSTER_WIDE: [&str; 11] = [
    "/apiservices",
    "/charttrustpolicies",
    "/charttrustpolicies/status",
    "/customresourcedefinitions",
    "/mutatingwebhookconfigurations",
    "/namespaces",
    "/trustedidentities",
    "/trustedidentities/status",
    "/trustedkeys",
    "/trustedkeys/status",
    "/validatingwebhookconfigurations",
];

fn is_cluster_wide(permission: &str) -> bool {
    let permission = permission.split('=').next().unwrap_or_default();
    CLUSTER_WIDE.iter().any(|kind| permission.ends_with(kind))
}

/// Where namespaces are named, the same may be done there as everywhere else, and nothing elsewhere.
#[tokio::test]
async fn with_namespaces_the_same_may_be_done_there_and_nothing_elsewhere() {
    for quarantine in ["quarantine.enabled=false", "quarantine.enabled=true"] {
        let everywhere = render(Version::V4, &["--set", quarantine]).await;
        let everywhere = permissions(&everywhere, of_operator);
        let set = format!("{quarantine},discovery.namespaces={{bank,shop}}");
        let objects = render(Version::V4, &["--set", &set]).await;
        let is_operators = |name: &str| {
            let for_people = ["charttrust-admin", "charttrust-edit", "charttrust-view"];
            !for_people.contains(&name)
        };
        let all = permissions(&objects, is_operators);
        for one in all.iter().filter(|one| !one.contains(" in ")) {
            assert!(is_cluster_wide(one), "{one}");
        }
        let of_all = everywhere.iter().filter(|one| !one.contains(" in "));
        let named: Permissions = of_all
            .clone()
            .filter(|one| !is_cluster_wide(one))
            .cloned()
            .collect();
        for namespace in ["bank", "shop"] {
            let place = format!(" in {namespace}");
            let there = all.iter().filter_map(|one| one.strip_suffix(&place));
            // Of the hook before an uninstallation too.
            let there: Permissions = there.map(str::to_owned).collect();
            assert!(there.is_superset(&named), "{:?}", named.difference(&there));
            let more: Vec<_> = there.difference(&named).collect();
            assert!(more.is_empty(), "{more:?}");
        }
        for one in of_all.filter(|one| is_cluster_wide(one) && !one.ends_with("/namespaces")) {
            assert!(all.contains(one), "{one}");
        }
        assert!(all.contains("watch /namespaces=bankshop"), "{all:?}");
        assert!(all.contains("list /secrets in charttrust-system"));
        let jobs = of_kind(&objects, "Job");
        let arguments = texts(&jobs[0]["spec"]["template"]["spec"]["containers"][0]["args"]);
        assert!(arguments.contains(&"--discover-namespaces=bank,shop".to_owned()));
    }
}

#[tokio::test]
async fn without_unaccounted_no_workload_may_be_read() {
    let set = "discovery.unaccounted=false";
    let objects = render(Version::V4, &["--set", set]).await;
    let all = permissions(&objects, of_operator);
    assert!(
        !all.iter()
            .any(|one| one.contains("apps/") || one.contains("batch/")),
        "{all:?}"
    );
    assert!(
        !objects
            .iter()
            .any(|one| one.to_string().contains("--discover-unaccounted"))
    );
    let objects = render(Version::V4, &[]).await;
    let all = permissions(&objects, of_operator);
    for kind in [
        "apps/deployments",
        "apps/statefulsets",
        "apps/daemonsets",
        "batch/cronjobs",
        "batch/jobs",
    ] {
        for verb in ["list", "watch"] {
            assert!(all.contains(&format!("{verb} {kind}")), "{verb} {kind}");
        }
    }
    let deployment = of_kind(&objects, "Deployment")[0].to_string();
    assert!(deployment.contains("--discover-unaccounted"));
}
