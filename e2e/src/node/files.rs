//! The files of a node's programs, and with what each is started.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use serde_json::{Value, json};

use super::{ADDRESS, CHARTS, REGISTRY, REGISTRY_PORT, Result, at};
use crate::plane::{flags, random_token, signing_key};

/// The address of the name server's Service.
pub(super) const NAMES: &str = "10.96.0.10";
const SERVICES: &str = "10.96.0.0/16";
const PODS: &str = "10.244.0.0/24";
const SOCKET: &str = "/run/node/containerd.sock";
/// Who asks the API server; a user's name, and its group if it has one.
const USERS: [(&str, &str, &str); 7] = [
    ("admin", "admin", "system:masters"),
    ("controllers", "system:kube-controller-manager", ""),
    ("scheduler", "system:kube-scheduler", ""),
    ("kubelet", "system:node:node", "system:nodes"),
    ("proxy", "system:kube-proxy", ""),
    ("netpol", "netpol", ""),
    ("coredns", "coredns", ""),
];

/// The folder of a node.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    pub(super) fn write(folder: &Path, group: &str) -> Result<Self> {
        let files = Self {
            folder: folder.to_owned(),
        };
        std::fs::create_dir_all(files.path("log"))?;
        files.tokens()?;
        files.keys()?;
        files.put("kubelet.json", &files.kubelet_config(group).to_string())?;
        files.put("proxy.json", &files.proxy_config().to_string())?;
        files.put("containerd.toml", &files.containerd_config())?;
        files.put("cni/10-node.conflist", &network().to_string())?;
        files.put("Corefile", &files.names_config())?;
        files.put("resolv.conf", "")?;
        let server = format!("http://{}", at(REGISTRY_PORT));
        let hosts = format!(
            "server = \"{server}\"\n[host.\"{server}\"]\ncapabilities = [\"pull\", \"resolve\"]\n"
        );
        files.put(&format!("registries/{REGISTRY}/hosts.toml"), &hosts)?;
        Ok(files)
    }

    /// The kubeconfig of a user.
    pub(super) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.folder.join(format!("{user}.kubeconfig"))
    }

    pub(super) fn etcd(&self) -> Vec<String> {
        flags(&[
            ("--data-dir", &self.path("etcd")),
            ("--unsafe-no-fsync", "true"),
            ("--log-level", "warn"),
        ])
    }

    pub(super) fn apiserver(&self) -> Vec<String> {
        flags(&[
            ("--etcd-servers", "http://127.0.0.1:2379"),
            ("--bind-address", "0.0.0.0"),
            ("--advertise-address", &ADDRESS.to_string()),
            ("--secure-port", "6443"),
            ("--cert-dir", &self.folder.to_string_lossy()),
            ("--token-auth-file", &self.path("tokens.csv")),
            ("--authorization-mode", "Node,RBAC"),
            ("--enable-admission-plugins", "NodeRestriction"),
            ("--service-cluster-ip-range", SERVICES),
            ("--service-account-issuer", "https://kubernetes.default.svc"),
            ("--service-account-key-file", &self.path("accounts.pub")),
            (
                "--service-account-signing-key-file",
                &self.path("accounts.pem"),
            ),
            (
                "--kubelet-client-certificate",
                &self.path("kubelet-client.crt"),
            ),
            ("--kubelet-client-key", &self.path("kubelet-client.key")),
            ("--kubelet-preferred-address-types", "InternalIP"),
        ])
    }

    pub(super) fn controllers(&self) -> Vec<String> {
        let own = flags(&[
            (
                "--service-account-private-key-file",
                &self.path("accounts.pem"),
            ),
            ("--root-ca-file", &self.path("apiserver.crt")),
            ("--use-service-account-credentials", "true"),
            ("--controllers", "*,-nodeipam"),
        ]);
        [self.component("controllers"), own].concat()
    }

    pub(super) fn scheduler(&self) -> Vec<String> {
        self.component("scheduler")
    }

    fn component(&self, name: &str) -> Vec<String> {
        let kubeconfig = self.path(&format!("{name}.kubeconfig"));
        flags(&[
            ("--kubeconfig", &kubeconfig),
            ("--authentication-kubeconfig", &kubeconfig),
            ("--authorization-kubeconfig", &kubeconfig),
            ("--leader-elect", "false"),
            ("--bind-address", "127.0.0.1"),
            ("--cert-dir", &self.path(name)),
        ])
    }

    pub(super) fn containerd(&self) -> Vec<String> {
        vec!["--config".to_owned(), self.path("containerd.toml")]
    }

    pub(super) fn kubelet(&self) -> Vec<String> {
        flags(&[
            ("--config", &self.path("kubelet.json")),
            ("--kubeconfig", &self.path("kubelet.kubeconfig")),
            ("--hostname-override", "node"),
            ("--node-ip", &ADDRESS.to_string()),
            ("--root-dir", &self.path("kubelet")),
            ("--cert-dir", &self.path("kubelet-keys")),
        ])
    }

    pub(super) fn proxy(&self) -> Vec<String> {
        flags(&[("--config", &self.path("proxy.json"))])
    }

    pub(super) fn names(&self) -> Vec<String> {
        vec!["-conf".to_owned(), self.path("Corefile")]
    }

    pub(super) fn policies(&self) -> Vec<String> {
        vec![self.path("netpol.kubeconfig")]
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    fn put(&self, name: &str, text: &str) -> Result {
        let file = self.folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap_or(&self.folder))?;
        Ok(std::fs::write(file, text)?)
    }

    /// A token and a kubeconfig for each user.
    fn tokens(&self) -> Result {
        let mut tokens = Vec::new();
        for (name, user, group) in USERS {
            let token = random_token()?;
            tokens.push(format!("{token},{user},{name},\"{group}\"\n"));
            let cluster = json!({
                "server": format!("https://{}", at(6443)),
                "certificate-authority": self.path("apiserver.crt"),
            });
            let config = json!({
                "apiVersion": "v1", "kind": "Config", "current-context": "node",
                "clusters": [{"name": "node", "cluster": cluster}],
                "users": [{"name": name, "user": {"token": token}}],
                "contexts": [{"name": "node", "context": {"cluster": "node", "user": name}}],
            });
            self.put(&format!("{name}.kubeconfig"), &config.to_string())?;
        }
        self.put("tokens.csv", &tokens.concat())
    }

    /// What signs tokens of service accounts, and what the API server shows to the kubelet for logs and exec. What it
    /// shows to everybody else it makes itself.
    fn keys(&self) -> Result {
        let [private, public] = signing_key()?;
        self.put("accounts.pem", &private)?;
        self.put("accounts.pub", &public)?;
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority
            .distinguished_name
            .push(DnType::CommonName, "node");
        self.put(
            "authority.crt",
            &authority.self_signed(&authority_key)?.pem(),
        )?;
        let key = KeyPair::generate()?;
        let mut client = CertificateParams::default();
        let name = &mut client.distinguished_name;
        name.push(DnType::OrganizationName, "system:masters");
        name.push(DnType::CommonName, "kube-apiserver");
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let issuer = Issuer::new(authority, authority_key);
        self.put(
            "kubelet-client.crt",
            &client.signed_by(&key, &issuer)?.pem(),
        )?;
        self.put("kubelet-client.key", &key.serialize_pem())
    }

    fn kubelet_config(&self, group: &str) -> Value {
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": false}, "webhook": {"enabled": true},
                "x509": {"clientCAFile": self.path("authority.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
            "clusterDNS": [NAMES], "clusterDomain": "cluster.local", "resolvConf": self.path("resolv.conf"),
            "podLogsDir": self.path("pod-logs"), "volumePluginDir": self.path("volume-plugins"),
            "cgroupDriver": "cgroupfs", "cgroupRoot": format!("/{group}"), "failCgroupV1": false,
            "enforceNodeAllocatable": ["pods"],
            // It compares with what it is shown of the kernel, and writes nothing.
            "protectKernelDefaults": true,
            "makeIPTablesUtilChains": false, "failSwapOn": false, "localStorageCapacityIsolation": false,
            // What a container in a machine may often not lower.
            "oomScoreAdj": 0,
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "0%"},
            "syncFrequency": "10s", "nodeStatusUpdateFrequency": "5s",
        })
    }

    fn proxy_config(&self) -> Value {
        json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
            "mode": "nftables", "clusterCIDR": PODS, "hostnameOverride": "node", "oomScoreAdj": 0,
            "healthzBindAddress": "127.0.0.1:10256", "metricsBindAddress": "127.0.0.1:10249",
            "clientConnection": {"kubeconfig": self.path("proxy.kubeconfig")},
            // These belong to the whole machine.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        })
    }

    fn containerd_config(&self) -> String {
        CONTAINERD
            .replace("FOLDER", &self.folder.to_string_lossy())
            .replace("SOCKET", SOCKET)
            .replace("SANDBOX", super::POD)
    }

    fn names_config(&self) -> String {
        let kubeconfig = self.path("coredns.kubeconfig");
        format!(
            ".:53 {{\n  errors\n  hosts {{\n    {ADDRESS} {CHARTS}\n    fallthrough\n  }}\n  \
             kubernetes cluster.local {{\n    kubeconfig {kubeconfig} node\n  }}\n}}\n"
        )
    }
}

fn network() -> Value {
    let bridge = json!({
        "type": "bridge", "bridge": "pods0", "isDefaultGateway": true, "hairpinMode": true,
        "ipam": {"type": "host-local", "dataDir": "/run/node/addresses", "ranges": [[{"subnet": PODS}]]},
    });
    json!({"cniVersion": "0.4.0", "name": "node", "plugins": [bridge]})
}

const CONTAINERD: &str = r#"version = 2
root = "FOLDER/containerd"
state = "/run/node/containerd"
[grpc]
address = "SOCKET"
[plugins."io.containerd.internal.v1.opt"]
path = "FOLDER/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "SANDBOX"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "FOLDER/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "FOLDER/registries"
"#;
