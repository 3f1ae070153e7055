//! A real node of Kubernetes: kubelet, containerd, a network that obeys policies, Services, names, and a registry.
//!
//! Lives in the namespaces that `e2e/node.sh` makes, which end all of it; nothing here ends before the program does.

mod files;
mod images;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::plane::Access;
use crate::process::Process;
use crate::registry::{Kind, Registry};
use crate::stage::{SOON, apply, kubectl};
use crate::tools::{self, Tool};
use crate::within;

use self::files::Files;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Where the node answers, for its Pods too.
pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));
/// The registry of the node, as documents call it.
pub const REGISTRY: &str = "registry.example.com";
/// The chart repository of the node, as documents call it: whatever answers at port 80.
pub const CHARTS: &str = "charts.example.com";
/// The image with which Pods of a story wait, serve and ask.
pub const POD: &str = "registry.example.com/pod:1";

/// A node that is Ready, and its control plane.
#[derive(Debug)]
pub struct Node {
    cluster: Cluster,
    registry: Registry,
    _processes: Vec<Process>,
}

impl Node {
    /// Starts everything, and returns when the node is Ready.
    ///
    /// # Errors
    /// If a part of it does not start, or this process is not in namespaces of a node.
    pub async fn start() -> Result<Self> {
        let named = |name| std::env::var_os(name).ok_or("no namespaces of a node; run make node");
        let folder = PathBuf::from(named("CHARTTRUST_NODE")?);
        let group = named("CHARTTRUST_NODE_GROUP")?
            .to_string_lossy()
            .into_owned();
        tools::ensure(&TOOLS)?;
        let files = Files::write(&folder, &group)?;
        let mut start = Start {
            files: &files,
            folder: &folder,
            processes: Vec::new(),
        };
        start.server().await?;
        let kubeconfig = files.kubeconfig("admin");
        let registry = Registry::start_at(Kind::WithReferrers, at(REGISTRY_PORT)).await?;
        images::push_pod(&registry).await?;
        apply(&kubeconfig, &objects()).await?;
        start.node()?;
        let ready = [
            "wait",
            "--for=condition=Ready",
            "node/node",
            "--timeout=60s",
        ];
        within(SOON, || kubectl(&kubeconfig, &ready)).await?;
        // It asks at its start which node this is.
        start.tool(Tool::Netpol, &files.policies())?;
        start.check()?;
        let access = Access {
            kubeconfig,
            audit_log: None,
        };
        Ok(Self {
            cluster: Cluster::of(access),
            registry,
            _processes: start.processes,
        })
    }

    /// The cluster with this one node.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Has the image of an archive of an OCI layout in the registry, under a name with a tag.
    ///
    /// # Errors
    /// If it is no such archive, or the registry does not take it.
    pub async fn push(&self, name: &str, archive: &[u8]) -> Result {
        images::push(&self.registry, name, archive).await
    }
}

/// An address of the node.
pub fn at(port: u16) -> SocketAddr {
    SocketAddr::new(ADDRESS, port)
}

/// The node while it is started.
struct Start<'a> {
    files: &'a Files,
    folder: &'a Path,
    processes: Vec<Process>,
}

impl Start<'_> {
    /// The control plane, until it answers.
    async fn server(&mut self) -> Result {
        self.tool(Tool::Etcd, &self.files.etcd())?;
        self.tool(Tool::KubeApiserver, &self.files.apiserver())?;
        self.spawn(
            "containerd",
            Command::new("containerd").args(self.files.containerd()),
        )?;
        let kubeconfig = self.files.kubeconfig("admin");
        within(SOON, async || {
            self.check()?;
            answers(&kubeconfig).await
        })
        .await?;
        self.tool(Tool::KubeControllerManager, &self.files.controllers())?;
        self.tool(Tool::KubeScheduler, &self.files.scheduler())
    }

    /// What makes this a node.
    fn node(&mut self) -> Result {
        self.tool(Tool::Kubelet, &self.files.kubelet())?;
        self.tool(Tool::KubeProxy, &self.files.proxy())?;
        self.tool(Tool::Coredns, &self.files.names())
    }

    fn tool(&mut self, tool: Tool, arguments: &[String]) -> Result {
        self.spawn(
            tool.name(),
            Command::new(tools::path(tool)?).args(arguments),
        )
    }

    fn spawn(&mut self, name: &str, command: &Command) -> Result {
        let log = self.folder.join("log").join(name).with_extension("log");
        self.processes.push(Process::spawn(name, command, &log)?);
        Ok(())
    }

    fn check(&mut self) -> Result {
        for process in &mut self.processes {
            process.check()?;
        }
        Ok(())
    }
}

/// Whether the API server is ready. It makes its certificate itself, and whoever reads half of that has to read again.
async fn answers(kubeconfig: &Path) -> Result {
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig)?, &options);
    let client = Client::try_from(config.await?)?;
    let request = axum::http::Request::get("/readyz").body(Vec::new())?;
    client.request_text(request).await?;
    Ok(())
}

/// What the programs of the node may, and the name server's Service: it runs beside the Pods and not in one.
fn objects() -> Vec<Value> {
    let watch = |groups: &str, resources: Value| json!({"apiGroups": [groups], "resources": resources, "verbs": ["get", "list", "watch"]});
    let core = json!(["endpoints", "namespaces", "nodes", "pods", "services"]);
    let rules = json!([
        watch("", core),
        watch("networking.k8s.io", json!(["networkpolicies"])),
        watch("discovery.k8s.io", json!(["endpointslices"])),
    ]);
    let rbac = "rbac.authorization.k8s.io";
    let user = |name: &str| json!({"apiGroup": rbac, "kind": "User", "name": name});
    let ports = json!([{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]);
    vec![
        json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRole", "metadata": {"name": "node-network"}, "rules": rules}),
        json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "node-network"},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "node-network"},
            "subjects": [user("netpol"), user("coredns")],
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "kube-dns", "namespace": "kube-system"},
            "spec": {"clusterIP": files::NAMES, "ports": ports},
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "name": "kube-dns-node", "namespace": "kube-system", "labels": {"kubernetes.io/service-name": "kube-dns"},
            },
            "ports": ports, "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": true}}],
        }),
    ]
}

const REGISTRY_PORT: u16 = 5000;
const TOOLS: [Tool; 12] = [
    Tool::Etcd,
    Tool::KubeApiserver,
    Tool::KubeControllerManager,
    Tool::KubeScheduler,
    Tool::Kubectl,
    Tool::Helm4,
    Tool::Referrers,
    Tool::Kubelet,
    Tool::KubeProxy,
    Tool::Pod,
    Tool::Netpol,
    Tool::Coredns,
];
