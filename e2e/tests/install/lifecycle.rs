//! Install, upgrade and uninstall on a real control plane, with both Helms in turn.

use std::path::Path;
use std::process::Output;

use charttrust::api::{ReleaseTrust, TrustedKey};
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Helm;
use charttrust_e2e::operator::binary;
use charttrust_e2e::stage::{OPERATOR, OPERATOR_NAMESPACE, SOON, install_chart, kubectl, path};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::rendered::HELMS;

/// One installation on a plane of its own.
pub(crate) struct Installation<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) helm: Helm,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chart_comes_changes_and_goes_with_both_helms() {
    let cluster = Cluster::start(env!("CARGO_BIN_EXE_testbed")).unwrap();
    let kubeconfig = cluster.kubeconfig();
    // Pods that are not restricted are refused from here on.
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    kubectl(kubeconfig, &["create", "namespace", OPERATOR_NAMESPACE])
        .await
        .unwrap();
    kubectl(
        kubeconfig,
        &["label", "namespace", OPERATOR_NAMESPACE, restricted],
    )
    .await
    .unwrap();
    for version in HELMS {
        let installation = Installation {
            cluster: &cluster,
            helm: Helm::new(version).unwrap().on(kubeconfig),
        };
        installation.reports_only().await;
        installation.contains_after_an_upgrade().await;
        installation
            .does_not_go_while_releases_are_contained()
            .await;
        installation.restores_before_it_goes_if_told_to().await;
        installation.leaves_what_people_declared().await;
    }
}

async fn apply(kubeconfig: &Path, object: &Value) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("object.json");
    std::fs::write(&file, object.to_string()).unwrap();
    let file = file.to_string_lossy();
    kubectl(kubeconfig, &["apply", "--server-side", "-f", &file])
        .await
        .unwrap();
}

impl Installation<'_> {
    async fn reports_only(&self) {
        self.upgrade("replicas=2,networkPolicy.enabled=true").await;
        let pods = self.pods("operator", 2).await;
        let security = pods[0].spec.as_ref().unwrap().containers[0]
            .security_context
            .as_ref();
        assert_eq!(security.unwrap().read_only_root_filesystem, Some(true));
        for (may, what) in [
            (true, "list secrets -A"),
            (false, "get secrets -A"),
            (
                true,
                "create leases.coordination.k8s.io -n charttrust-system",
            ),
            (
                true,
                "update leases.coordination.k8s.io/charttrust -n charttrust-system",
            ),
            (
                false,
                "update leases.coordination.k8s.io/other -n charttrust-system",
            ),
            (false, "create leases.coordination.k8s.io -n default"),
            (
                true,
                "update releasetrusts.charttrust.io --subresource=status -n default",
            ),
            (false, "update trustedkeys.charttrust.io"),
            (false, "patch deployments.apps -n default"),
            (false, "create networkpolicies.networking.k8s.io -n default"),
        ] {
            assert_eq!(self.may(what).await, may, "{what}");
        }
        let key = path("examples/trusted-key.yaml");
        self.kubectl(&["apply", "--server-side", "-f", &key]).await;
    }

    async fn contains_after_an_upgrade(&self) {
        self.upgrade("replicas=1,quarantine.enabled=true").await;
        for (may, what) in [
            (true, "patch deployments.apps -n default"),
            (true, "delete networkpolicies.networking.k8s.io -n default"),
            (false, "delete deployments.apps -n default"),
            (false, "create pods -n default"),
            (false, "update trustedkeys.charttrust.io"),
        ] {
            assert_eq!(self.may(what).await, may, "{what}");
        }
    }

    async fn does_not_go_while_releases_are_contained(&self) {
        self.contain().await;
        let (removed, hook) = tokio::join!(self.uninstall(), self.play_kubelet());
        let said = String::from_utf8_lossy(&hook.stderr);
        assert_eq!(hook.status.code(), Some(1), "{said}");
        assert!(said.contains("\n  default/search\n"), "{said}");
        assert!(said.contains("charttrust restore --all"), "{said}");
        removed.expect_err("Helm heeds the hook");
        let client = self.cluster.client().await.unwrap();
        let deployments = Api::<Deployment>::namespaced(client, OPERATOR_NAMESPACE);
        deployments.get(OPERATOR).await.unwrap();

        self.kubectl(&["delete", "quarantine", "--all", "--all-namespaces"])
            .await;
        self.goes().await;
    }

    async fn restores_before_it_goes_if_told_to(&self) {
        self.upgrade("quarantine.enabled=true,quarantine.onUninstall=Restore")
            .await;
        self.contain().await;
        self.goes().await;
    }

    /// Is uninstalled, and no Quarantine is left.
    pub(crate) async fn goes(&self) {
        let (removed, hook) = tokio::join!(self.uninstall(), self.play_kubelet());
        let said = String::from_utf8_lossy(&hook.stderr);
        assert_eq!(hook.status.code(), Some(0), "{said}");
        removed.unwrap();
        let left = ["get", "quarantine", "--all-namespaces", "-o", "name"];
        assert_eq!(self.kubectl(&left).await, "");
    }

    async fn leaves_what_people_declared(&self) {
        let client = self.cluster.client().await.unwrap();
        let keys = Api::<TrustedKey>::all(client.clone());
        assert_eq!(
            keys.list(&ListParams::default()).await.unwrap().items.len(),
            1
        );
        let trusts = Api::<ReleaseTrust>::all(client);
        trusts.list(&ListParams::default()).await.unwrap();
        assert!(!self.may("list secrets -A").await, "its rights are gone");
        let left = [
            "get",
            "deployment,service,serviceaccount,job",
            "-n",
            OPERATOR_NAMESPACE,
        ];
        let left = self.kubectl(&[&left[..], &["-o", "name"]].concat()).await;
        assert_eq!(left, "serviceaccount/default\n");
    }

    async fn upgrade(&self, set: &str) {
        install_chart(&self.helm, self.cluster.kubeconfig(), &["--set", set])
            .await
            .unwrap();
    }

    /// Runs `helm uninstall`, which waits for the hook.
    pub(crate) async fn uninstall(&self) -> Result<String, String> {
        let arguments = ["uninstall", OPERATOR, "--namespace", OPERATOR_NAMESPACE];
        let arguments = [&arguments[..], &["--timeout", "60s"]].concat();
        let removed = self.helm.run(&arguments).await;
        removed.map_err(|error| error.to_string())
    }

    /// A Quarantine as the operator would make it.
    async fn contain(&self) {
        let quarantine = json!({
            "apiVersion": "charttrust.io/v1alpha1",
            "kind": "Quarantine",
            "metadata": {"name": "search", "namespace": "default"},
            "spec": {"actions": ["ScaleToZero"], "reason": "signed after key theft"},
        });
        apply(self.cluster.kubeconfig(), &quarantine).await;
    }

    /// The test bed has no nodes: runs what the hook's Pod would run, as whom it would run, and
    /// tells the API server how it ended.
    pub(crate) async fn play_kubelet(&self) -> Output {
        let pod = self.pods("before-uninstall", 1).await.remove(0);
        let spec = pod.spec.unwrap();
        let account = spec.service_account_name.unwrap();
        let identity = self
            .cluster
            .identity(OPERATOR_NAMESPACE, &account)
            .await
            .unwrap();
        let mut command = tokio::process::Command::new(binary());
        command.args(spec.containers[0].args.clone().unwrap());
        let output = command.env("KUBECONFIG", identity.kubeconfig()).output();
        let output = output.await.unwrap();
        let phase = if output.status.success() {
            "Succeeded"
        } else {
            "Failed"
        };
        let pods = Api::<Pod>::namespaced(self.cluster.client().await.unwrap(), OPERATOR_NAMESPACE);
        let ended = Patch::Merge(json!({"status": {"phase": phase}}));
        let name = pod.metadata.name.unwrap();
        pods.patch_status(&name, &PatchParams::default(), &ended)
            .await
            .unwrap();
        output
    }

    /// Waits for the Pods of a component, none of which has ended.
    async fn pods(&self, component: &str, count: usize) -> Vec<Pod> {
        let pods = Api::<Pod>::namespaced(self.cluster.client().await.unwrap(), OPERATOR_NAMESPACE);
        let component = format!("app.kubernetes.io/component={component}");
        let wanted = ListParams::default().labels(&component);
        eventually(
            SOON,
            &format!("{count} Pods with {component}"),
            async || {
                let found = pods
                    .list(&wanted)
                    .await
                    .map_err(|error| error.to_string())?;
                let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone());
                let mut items = found.items;
                items.retain(|pod| pod.metadata.deletion_timestamp.is_none());
                items.retain(|pod| phase(pod).as_deref() == Some("Pending"));
                if items.len() == count {
                    Ok(items)
                } else {
                    Err(format!("{} Pods", items.len()))
                }
            },
        )
        .await
    }

    /// Whether the operator's service account may.
    async fn may(&self, what: &str) -> bool {
        let user = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR}");
        let mut arguments = vec!["auth", "can-i", "--quiet", "--as", &user];
        arguments.extend(what.split(' '));
        kubectl(self.cluster.kubeconfig(), &arguments).await.is_ok()
    }

    async fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(self.cluster.kubeconfig(), arguments).await.unwrap()
    }
}
