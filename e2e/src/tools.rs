//! The foreign programs of the test bed, built from Go modules and kept in a cache.
//!
//! Writes only below the user's cache folder. A binary is built under another name and renamed
//! when complete, behind a file lock, so neither an interruption nor a second process harms it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};

use crate::command::{CommandError, run};

/// A program the test bed can build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Argo CD: all of its programs in one.
    ArgoCd,
    /// The conformance suite of the OCI distribution specification.
    Conformance,
    /// The name server of a cluster.
    Coredns,
    /// cosign, which writes bundles.
    Cosign,
    /// cosign before, which writes `.sig` tags.
    Cosign2,
    /// The store behind the API server.
    Etcd,
    /// Flux's helm-controller.
    FluxHelm,
    /// Flux's source-controller.
    FluxSource,
    /// The certificate authority of Sigstore.
    Fulcio,
    /// Helm 3.
    Helm3,
    /// Helm 4.
    Helm4,
    /// Helm's own package, which measures itself.
    HelmFloor,
    /// The helm-controller of k3s.
    K3s,
    /// The Kubernetes API server.
    KubeApiserver,
    /// The Kubernetes controllers: `ReplicaSets`, Jobs, garbage collection, namespaces.
    KubeControllerManager,
    /// What a node translates Services by.
    KubeProxy,
    /// The Kubernetes scheduler, for Pods that become Ready.
    KubeScheduler,
    /// What runs Pods on a node.
    Kubelet,
    /// What `kstatus` makes of objects: whether Flux, Argo CD's health checks and `kubectl` wait for them.
    Kstatus,
    /// The Kubernetes command line.
    Kubectl,
    /// Makes Pods on a pretended node Ready.
    Kwok,
    /// What makes a node obey network policies.
    Netpol,
    /// Copies what lies in registries, with what refers to it.
    Oras,
    /// What runs in Pods of our own: it waits, serves, or asks.
    Pod,
    /// Prometheus, which scrapes and answers queries.
    Prometheus,
    /// Evaluates the alert rules of Prometheus.
    Promtool,
    /// What Helm 3 records of charts.
    Reader3,
    /// What Helm 4 reads of bytes.
    Reader4,
    /// A redis that lives in memory, for Argo CD.
    Redis,
    /// An OCI registry in memory that knows the Referrers API.
    Referrers,
    /// An OCI registry: that of the distribution project.
    Registry,
    /// The transparency log of Sigstore, of the second kind.
    Rekor,
    /// Verifies a bundle by sigstore-go, again and again.
    SigstoreGo,
    /// The timestamp authority of Sigstore.
    TimestampServer,
}

impl Tool {
    /// Every tool, in the order in which tests need them.
    pub const ALL: [Self; 34] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::Kubectl,
        Self::Helm3,
        Self::Helm4,
        Self::Reader3,
        Self::Reader4,
        Self::Promtool,
        Self::Prometheus,
        Self::Kstatus,
        Self::KubeScheduler,
        Self::Kwok,
        Self::FluxSource,
        Self::FluxHelm,
        Self::Registry,
        Self::Referrers,
        Self::Conformance,
        Self::K3s,
        Self::Redis,
        Self::ArgoCd,
        Self::SigstoreGo,
        Self::Rekor,
        Self::TimestampServer,
        Self::Fulcio,
        Self::Cosign,
        Self::Oras,
        Self::Cosign2,
        Self::HelmFloor,
        Self::Kubelet,
        Self::KubeProxy,
        Self::Pod,
        Self::Netpol,
        Self::Coredns,
    ];

    /// The name of the binary, which is also its name on the command line.
    pub fn name(self) -> &'static str {
        self.recipe().binary
    }

    /// The tool of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    fn recipe(self) -> Recipe {
        let (family, binary, module, package, flags) = match self {
            Self::ArgoCd => ("argo", "argocd", ARGO, "/cmd", ""),
            Self::Conformance => ("conformance", "conformance", CONFORMANCE, "", ""),
            Self::Coredns => ("dns", "coredns", COREDNS, "./coredns", ""),
            Self::Cosign => ("sigstore", "cosign", COSIGN, "/cmd/cosign", ""),
            Self::Cosign2 => ("cosign2", "cosign2", COSIGN2, "/cmd/cosign", ""),
            Self::Etcd => ("etcd", "etcd", ETCD, "", ""),
            Self::FluxHelm => ("flux-helm", "helm-controller", FLUX_HELM, "", ""),
            Self::FluxSource => ("flux-source", "source-controller", FLUX_SOURCE, "", ""),
            Self::Fulcio => ("sigstore", "fulcio", FULCIO, "", ""),
            Self::Helm3 => ("helm3", "helm3", HELM3, "/cmd/helm", HELM3_FLAGS),
            Self::Helm4 => ("helm4", "helm4", HELM4, "/cmd/helm", HELM4_FLAGS),
            Self::HelmFloor => ("helm4", "helm-floor", HELM4, "./floor", ""),
            Self::K3s => ("k3s", "k3s-helm-controller", K3S, "", ""),
            Self::KubeApiserver => kube("kube-apiserver", "/cmd/kube-apiserver"),
            Self::KubeControllerManager => {
                kube("kube-controller-manager", "/cmd/kube-controller-manager")
            }
            Self::KubeProxy => node("kube-proxy", "/cmd/kube-proxy"),
            Self::KubeScheduler => kube("kube-scheduler", "/cmd/kube-scheduler"),
            Self::Kstatus => ("kstatus", "kstatus", KSTATUS, "./kstatus", ""),
            Self::Kubectl => kube("kubectl", "/cmd/kubectl"),
            Self::Kubelet => node("kubelet", "/cmd/kubelet"),
            Self::Kwok => ("kwok", "kwok", KWOK, "/cmd/kwok", KWOK_FLAGS),
            Self::Netpol => ("netpol", "netpol", KUBE_ROUTER, "./netpol", ""),
            Self::Oras => ("sigstore", "oras", ORAS, "/cmd/oras", ""),
            Self::Pod => node("pod", "./pod"),
            Self::Prometheus => (
                "prometheus",
                "prometheus",
                PROMETHEUS,
                "/cmd/prometheus",
                "",
            ),
            Self::Promtool => ("prometheus", "promtool", PROMETHEUS, "/cmd/promtool", ""),
            Self::Reader3 => ("helm3", "reader3", HELM3, "./reader3", ""),
            Self::Reader4 => ("helm4", "reader4", HELM4, "./reader4", ""),
            Self::Redis => ("argo", "redis", REDIS, "./redis", ""),
            Self::Referrers => ("referrers", "referrers", REFERRERS, "./referrers", ""),
            Self::Registry => ("registry", "registry", REGISTRY, "/cmd/registry", ""),
            Self::Rekor => ("sigstore", "rekor", REKOR, "/cmd/rekor-server/posix", ""),
            Self::SigstoreGo => ("sigstore", "sigstore-go", SIGSTORE_GO, "./sigstore-go", ""),
            Self::TimestampServer => {
                let package = "/cmd/timestamp-server";
                ("sigstore", "timestamp-server", TIMESTAMPS, package, "")
            }
        };
        Recipe {
            family,
            binary,
            module,
            package,
            flags,
        }
    }
}

/// The path of `tool`, built first if it is missing.
pub fn path(tool: Tool) -> Result<PathBuf, ToolError> {
    ensure(&[tool])?;
    tool.recipe().target()
}

/// The path of `tool`, if it was built before.
pub fn present(tool: Tool) -> Result<Option<PathBuf>, ToolError> {
    let target = tool.recipe().target()?;
    Ok(target.exists().then_some(target))
}

/// Builds those of `tools` that are missing, and tells on standard error how far it is.
pub fn ensure(tools: &[Tool]) -> Result<(), ToolError> {
    let mut missing = Vec::new();
    for tool in tools {
        let target = tool.recipe().target()?;
        if !target.exists() {
            missing.push((tool.recipe(), target));
        }
    }
    let count = missing.len();
    for (i, (recipe, target)) in missing.iter().enumerate() {
        build(recipe, target, &format!("[{}/{count}]", i + 1))?;
    }
    Ok(())
}

/// The folder that holds the sources of `module`, for what it ships beside code (CRDs, stages).
pub fn module_dir(tool: Tool) -> Result<PathBuf, ToolError> {
    let recipe = tool.recipe();
    if let Some(dir) = downloaded(&recipe)? {
        return Ok(dir);
    }
    // What was built outlasts Go's own cache, which anybody may empty (`go clean -modcache`).
    run(go(&recipe).args(["mod", "download", recipe.module]))?;
    let module = recipe.module;
    downloaded(&recipe)?.ok_or(ToolError::NoSource { module })
}

fn downloaded(recipe: &Recipe) -> Result<Option<PathBuf>, ToolError> {
    let list = ["list", "-m", "-f", "{{.Dir}}", recipe.module];
    let dir = run(go(recipe).args(list))?;
    let dir = String::from_utf8_lossy(&dir).trim().to_owned();
    Ok((!dir.is_empty()).then(|| PathBuf::from(dir)))
}

/// The folder with the files of a module that is used for what it ships and not built: `NAME@VERSION`, and the
/// sum that its `go.sum` would have.
///
/// # Errors
/// If it cannot be downloaded, or is not what the sum says.
pub fn shipped(module: &'static str, sum: &str) -> Result<PathBuf, ToolError> {
    let mut command = Command::new("go");
    // Outside of every module, where go asks for this one alone and not for what it requires.
    command
        .current_dir(std::env::temp_dir())
        .env("GOWORK", "off");
    let told = run(command.args(["mod", "download", "-json", module]))?;
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap_or_default();
    match told["Dir"].as_str() {
        Some(folder) if told["Sum"] == sum => Ok(PathBuf::from(folder)),
        _ => Err(ToolError::NoSource { module }),
    }
}

/// Why a tool is not there.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The Go command failed or is missing.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The cache folder cannot be used.
    #[error("failed to use the tool cache at {path}")]
    Cache {
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Neither `XDG_CACHE_HOME` nor HOME says where the cache is.
    #[error("no cache folder is known: set HOME or XDG_CACHE_HOME")]
    NoCache,
    /// Go downloaded a module and does not say where to.
    #[error(
        "go knows no folder of {module} after downloading it; run `go clean -modcache` and try again"
    )]
    NoSource {
        /// The module.
        module: &'static str,
    },
    /// The module file of a family cannot be read or does not name its module.
    #[error("{path} does not require {module}: restore it from the repository")]
    Recipe {
        /// The module file.
        path: PathBuf,
        /// What it should require.
        module: &'static str,
    },
}

/// How one binary is made.
struct Recipe {
    family: &'static str,
    binary: &'static str,
    module: &'static str,
    /// The package below the module, or, as `./NAME`, a program of our own beside `go.mod`.
    package: &'static str,
    /// Linker flags; `{version}`, `{major}` and `{minor}` are the module's.
    flags: &'static str,
}

impl Recipe {
    fn dir(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testbed")
            .join(self.family)
    }

    /// Where the binary lies, keyed by everything that decides its content.
    fn target(&self) -> Result<PathBuf, ToolError> {
        let mut key = Vec::new();
        let own = self.own_program().map(|folder| folder.join("main.go"));
        let module = ["go.mod", "go.sum"].map(|name| self.dir().join(name));
        for path in module.into_iter().chain(own) {
            key.extend(std::fs::read(&path).map_err(|source| ToolError::Cache { path, source })?);
        }
        key.extend([BUILD_FLAGS.join(" "), self.flags.into()].concat().bytes());
        let hash = hex::encode(&digest(&SHA256, &key).as_ref()[..8]);
        Ok(cache()?
            .join(format!("{}-{hash}", self.family))
            .join(self.binary))
    }

    fn own_program(&self) -> Option<PathBuf> {
        let folder = self.package.strip_prefix("./")?;
        Some(self.dir().join(folder))
    }

    /// What the Go command builds.
    fn import_path(&self) -> String {
        match self.own_program() {
            Some(_) => self.package.to_owned(),
            None => format!("{}{}", self.module, self.package),
        }
    }

    /// The version that the family's `go.mod` requires.
    fn version(&self) -> Result<String, ToolError> {
        let path = self.dir().join("go.mod");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        required_version(&text, self.module)
            .map(str::to_owned)
            .ok_or(ToolError::Recipe {
                path,
                module: self.module,
            })
    }
}

fn build(recipe: &Recipe, target: &Path, progress: &str) -> Result<(), ToolError> {
    let _lock = lock(progress)?;
    if target.exists() {
        return Ok(());
    }
    let version = recipe.version()?;
    eprintln!(
        "testbed: {progress} building {} ({} {version})",
        recipe.binary, recipe.module
    );
    let start = Instant::now();
    let partial = target.with_extension("partial");
    let mut command = go(recipe);
    command
        .arg("build")
        .args(BUILD_FLAGS)
        .arg("-ldflags")
        .arg(linker_flags(recipe.flags, &version));
    command.arg("-o").arg(&partial).arg(recipe.import_path());
    run(&mut command)?;
    std::fs::rename(&partial, target).map_err(|source| cache_error(target, source))?;
    eprintln!(
        "testbed: {progress} {} built in {} s",
        recipe.binary,
        start.elapsed().as_secs()
    );
    Ok(())
}

/// Holds every other build back: Go uses all cores by itself.
fn lock(progress: &str) -> Result<File, ToolError> {
    let path = cache()?.join("lock");
    let error = |source| cache_error(&path, source);
    std::fs::create_dir_all(cache()?).map_err(error)?;
    let file = File::create(&path).map_err(error)?;
    if file.try_lock().is_err() {
        eprintln!("testbed: {progress} waits for another process that is building");
        file.lock().map_err(error)?;
    }
    Ok(file)
}

fn go(recipe: &Recipe) -> Command {
    let mut command = Command::new("go");
    command.current_dir(recipe.dir());
    command.env("CGO_ENABLED", "0").env("GOWORK", "off");
    command
}

fn linker_flags(flags: &str, version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let mut next = || numbers.next().unwrap_or_default();
    let (major, minor) = (next(), next());
    let flags = flags.replace("{version}", version);
    format!(
        "-s -w {}",
        flags.replace("{major}", major).replace("{minor}", minor)
    )
}

/// The version in a `require` line of a module file.
fn required_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let mut words = line
            .trim()
            .trim_start_matches("require ")
            .split_whitespace();
        let found = words.next() == Some(module);
        words.next().filter(|word| found && word.starts_with('v'))
    })
}

fn cache() -> Result<PathBuf, ToolError> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    Ok(base.ok_or(ToolError::NoCache)?.join("charttrust/tools"))
}

fn cache_error(path: &Path, source: std::io::Error) -> ToolError {
    ToolError::Cache {
        path: path.to_owned(),
        source,
    }
}

type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

fn kube(binary: &'static str, package: &'static str) -> Row {
    ("kube", binary, KUBERNETES, package, KUBE_FLAGS)
}

/// A family of its own, so that nobody builds the control plane anew who adds to a node.
fn node(binary: &'static str, package: &'static str) -> Row {
    ("node", binary, KUBERNETES, package, KUBE_FLAGS)
}

const ARGO: &str = "github.com/argoproj/argo-cd/v3";
const CONFORMANCE: &str = "github.com/opencontainers/distribution-spec/conformance";
const COREDNS: &str = "github.com/coredns/coredns";
const COSIGN: &str = "github.com/sigstore/cosign/v3";
const COSIGN2: &str = "github.com/sigstore/cosign/v2";
const ETCD: &str = "go.etcd.io/etcd/server/v3";
const FLUX_HELM: &str = "github.com/fluxcd/helm-controller";
const FLUX_SOURCE: &str = "github.com/fluxcd/source-controller";
const FULCIO: &str = "github.com/sigstore/fulcio";
const HELM3: &str = "helm.sh/helm/v3";
const HELM4: &str = "helm.sh/helm/v4";
const K3S: &str = "github.com/k3s-io/helm-controller";
const KSTATUS: &str = "sigs.k8s.io/cli-utils";
const KUBERNETES: &str = "k8s.io/kubernetes";
const KUBE_ROUTER: &str = "github.com/cloudnativelabs/kube-router/v2";
const KWOK: &str = "sigs.k8s.io/kwok";
const ORAS: &str = "oras.land/oras";
const PROMETHEUS: &str = "github.com/prometheus/prometheus";
const REDIS: &str = "github.com/alicebob/miniredis/v2";
const REFERRERS: &str = "github.com/google/go-containerregistry";
const REGISTRY: &str = "github.com/distribution/distribution/v3";
const REKOR: &str = "github.com/sigstore/rekor-tiles/v2";
const SIGSTORE_GO: &str = "github.com/sigstore/sigstore-go";
const TIMESTAMPS: &str = "github.com/sigstore/timestamp-authority/v2";

const BUILD_FLAGS: [&str; 2] = ["-trimpath", "-buildvcs=false"];
const HELM3_FLAGS: &str = "-X helm.sh/helm/v3/internal/version.version={version}";
const HELM4_FLAGS: &str = "-X helm.sh/helm/v4/internal/version.version={version}";
/// Without a version, clients refuse the server ("could not parse $Format").
const KUBE_FLAGS: &str = "-X k8s.io/component-base/version.gitVersion={version} \
    -X k8s.io/component-base/version.gitMajor={major} \
    -X k8s.io/component-base/version.gitMinor={minor}";
const KWOK_FLAGS: &str = "-X sigs.k8s.io/kwok/pkg/consts.Version={version}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_is_found_by_its_name() {
        for tool in Tool::ALL {
            assert_eq!(Tool::from_name(tool.name()), Some(tool));
        }
        assert_eq!(Tool::from_name("docker"), None);
    }

    #[test]
    fn every_family_requires_its_module_at_a_version() {
        for tool in Tool::ALL {
            let version = tool.recipe().version().unwrap();
            assert!(version.starts_with('v'), "{tool:?}: {version}");
        }
    }

    #[test]
    fn no_two_binaries_lie_in_the_same_place() {
        let places = Tool::ALL.map(|tool| tool.recipe().target().unwrap());
        let distinct: std::collections::BTreeSet<_> = places.iter().collect();
        assert_eq!(distinct.len(), places.len());
    }

    #[test]
    fn linker_flags_carry_the_version() {
        let flags = linker_flags(KUBE_FLAGS, "v1.36.3");
        assert!(flags.contains("gitVersion=v1.36.3 "), "{flags}");
        assert!(flags.ends_with("gitMinor=36"), "{flags}");
    }
}
