//! Where the fence is tried: a release that nobody judges, and the operator's service account beside it.

use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::stage::{
    OPERATOR, OPERATOR_NAMESPACE, SOON, Story, apply, install_chart, workloads::chart,
};
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Group, version, kind and plural.
pub(crate) type Kind = (&'static str, &'static str, &'static str, &'static str);

pub(crate) const APPLICATION: Kind = ("argoproj.io", "v1alpha1", "Application", "applications");
pub(crate) const CRON_JOB: Kind = ("batch", "v1", "CronJob", "cronjobs");
pub(crate) const DAEMON_SET: Kind = ("apps", "v1", "DaemonSet", "daemonsets");
pub(crate) const DEPLOYMENT: Kind = ("apps", "v1", "Deployment", "deployments");
pub(crate) const HELM_CHART: Kind = ("helm.cattle.io", "v1", "HelmChart", "helmcharts");
pub(crate) const HELM_RELEASE: Kind = (
    "helm.toolkit.fluxcd.io",
    "v2",
    "HelmRelease",
    "helmreleases",
);
pub(crate) const POLICY: Kind = (
    "networking.k8s.io",
    "v1",
    "NetworkPolicy",
    "networkpolicies",
);
pub(crate) const POLICY_REPORT: Kind = (
    "wgpolicyk8s.io",
    "v1alpha2",
    "PolicyReport",
    "policyreports",
);
pub(crate) const REPORT: Kind = ("openreports.io", "v1alpha1", "Report", "reports");
pub(crate) const QUARANTINE: Kind = ("charttrust.io", "v1alpha1", "Quarantine", "quarantines");
pub(crate) const REPLICA_SET: Kind = ("apps", "v1", "ReplicaSet", "replicasets");
pub(crate) const STATEFUL_SET: Kind = ("apps", "v1", "StatefulSet", "statefulsets");
pub(crate) const CONFIG_MAP: Kind = ("", "v1", "ConfigMap", "configmaps");
pub(crate) const SECRET: Kind = ("", "v1", "Secret", "secrets");
pub(crate) const LEASE: Kind = ("coordination.k8s.io", "v1", "Lease", "leases");

static FENCED: OnceCell<()> = OnceCell::const_new();

/// A release that nobody judges, and the operator's service account beside it.
pub(crate) struct Yard {
    pub(crate) story: Story,
    pub(crate) operator: Client,
}

impl Yard {
    pub(crate) async fn enter(prefix: &str) -> Self {
        let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
        FENCED.get_or_init(|| fence(cluster)).await;
        let story = Story::begin(cluster, prefix, Version::V4).await;
        let chart = story.package(&chart("1.0.0"), None).await;
        story.install("web", &chart).await;
        let identity = cluster.identity(OPERATOR_NAMESPACE, OPERATOR).await;
        let operator = story.done("take the operator's token", identity);
        let operator = operator.client().await;
        let yard = Self {
            operator: story.done("act as the operator", operator),
            story,
        };
        yard.stands().await;
        yard
    }

    /// The server takes a moment to learn of a policy.
    pub(crate) async fn stands(&self) {
        eventually(SOON, "the fence stands", async || {
            let label = json!([{"op": "add", "path": "/metadata/labels/a", "value": "b"}]);
            let answer = self.patch(DEPLOYMENT, "web", label).await;
            answer.err().map(drop).ok_or("not yet")
        })
        .await;
    }

    pub(crate) fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        of(&self.operator, kind, namespace)
    }

    pub(crate) async fn patch(
        &self,
        kind: Kind,
        name: &str,
        patch: Value,
    ) -> kube::Result<DynamicObject> {
        self.patch_in(&self.story.namespace, kind, name, patch)
            .await
    }

    pub(crate) async fn patch_in(
        &self,
        namespace: &str,
        kind: Kind,
        name: &str,
        patch: Value,
    ) -> kube::Result<DynamicObject> {
        let params = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        let patch = serde_json::from_value(patch).unwrap();
        let patch = Patch::<()>::Json(patch);
        self.api(kind, namespace).patch(name, &params, &patch).await
    }

    /// Each of these patches passes, or is refused with these words.
    pub(crate) async fn answers(
        &self,
        kind: Kind,
        name: &str,
        tries: &[(&str, Option<&str>, Value)],
    ) {
        for (what, refused, patch) in tries {
            let answer = self.patch(kind, name, patch.clone()).await;
            judge(&format!("{name}: {what}"), *refused, answer);
        }
    }

    pub(crate) async fn creates(
        &self,
        namespace: &str,
        kind: Kind,
        tries: &[(&str, Option<&str>, Value)],
    ) {
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        for (what, refused, object) in tries {
            let mut object = object.clone();
            let (group, version, name, _) = kind;
            let separator = if group.is_empty() { "" } else { "/" };
            object["apiVersion"] = json!(format!("{group}{separator}{version}"));
            object["kind"] = json!(name);
            let object = serde_json::from_value(object).unwrap();
            let answer = self.api(kind, namespace).create(&params, &object).await;
            judge(what, *refused, answer);
        }
    }

    pub(crate) async fn deletes(&self, kind: Kind, name: &str, refused: Option<&str>) {
        let params = DeleteParams::default().dry_run();
        let api = self.api(kind, &self.story.namespace);
        judge(name, refused, api.delete(name, &params).await);
    }

    /// The operation that puts the annotation on an object.
    pub(crate) async fn mark(&self, kind: Kind, name: &str, saved: &str) -> Value {
        let api = of(&self.story.client, kind, &self.story.namespace);
        let object = self.story.done("read an object", api.get(name).await);
        let uid = object.metadata.uid.unwrap_or_default();
        marked(annotation(&uid, saved))
    }

    /// Changes an object as an administrator does.
    pub(crate) async fn change(&self, kind: Kind, name: &str, patch: Value) {
        let api = of(&self.story.client, kind, &self.story.namespace);
        let patch = Patch::<()>::Json(serde_json::from_value(patch).unwrap());
        let changed = api.patch(name, &PatchParams::default(), &patch).await;
        self.story.done("change an object", changed);
    }

    /// Makes an object as an administrator does.
    pub(crate) async fn make(&self, object: Value) {
        let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
        let made = apply(cluster.kubeconfig(), &[object]).await;
        self.story.done("make an object", made);
    }
}

/// Installs the operator's chart with quarantine, and kinds of deployers.
pub(crate) async fn fence(cluster: &Cluster) {
    let helm = Helm::new(Version::V4).unwrap().on(cluster.kubeconfig());
    let contain = [
        "--set",
        "quarantine.enabled=true,reports=auto,vsa.enabled=true",
    ];
    let installed = install_chart(&helm, cluster.kubeconfig(), &contain).await;
    installed.unwrap();
    let kinds = [APPLICATION, HELM_CHART, HELM_RELEASE, POLICY_REPORT, REPORT];
    let kinds = kinds.map(definition);
    apply(cluster.kubeconfig(), &kinds).await.unwrap();
}

pub(crate) fn definition((group, version, kind, plural): Kind) -> Value {
    let anything = json!({"openAPIV3Schema": {
        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
    }});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural,
                "singular": kind.to_lowercase()},
            "versions": [{"name": version, "served": true, "storage": true, "schema": anything}],
        },
    })
}

pub(crate) fn of(
    client: &Client,
    (group, version, kind, plural): Kind,
    namespace: &str,
) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk(group, version, kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
    Api::namespaced_with(client.clone(), namespace, &resource)
}

pub(crate) fn judge<T: std::fmt::Debug>(
    what: &str,
    refused: Option<&str>,
    answer: kube::Result<T>,
) {
    match (refused, answer) {
        (None, Ok(_)) => {}
        (Some(words), Err(kube::Error::Api(status))) => {
            let by_fence = status
                .message
                .contains("ValidatingAdmissionPolicy 'charttrust-fence-");
            assert!(
                by_fence && status.message.contains(words),
                "{what}: {status:?}"
            );
        }
        (_, answer) => panic!("{what}: {answer:?}"),
    }
}

pub(crate) fn set(path: &str, value: Value) -> Value {
    let mut operation = json!({"op": "add", "path": path});
    operation["value"] = value;
    operation
}

/// The operation that sets the annotation to this text.
pub(crate) fn marked(text: Value) -> Value {
    set("/metadata/annotations/charttrust.io~1quarantine", text)
}

/// What takes the annotation away.
pub(crate) fn unmark() -> Value {
    json!({"op": "remove", "path": "/metadata/annotations/charttrust.io~1quarantine"})
}

/// The annotation as the operator writes it; `saved` is what it says that the object was.
pub(crate) fn annotation(uid: &str, saved: &str) -> Value {
    let time = "2026-11-18T00:00:00Z";
    let text = format!(
        r#"{{"incident":"manual/1","quarantine":"1","uid":"{uid}","revision":1,"time":"{time}"{saved}}}"#
    );
    json!(text)
}

pub(crate) const FIELDS: Option<&str> = Some("the operator changes only spec.");
pub(crate) const TOGETHER: Option<&str> =
    Some("together with its annotation charttrust.io/quarantine");
pub(crate) const TRULY: Option<&str> = Some("says truly what the object was");
pub(crate) const BACK: Option<&str> = Some("puts an object back to what its annotation");
