//! Where the workloads of a release lie, and what shows that they are its own.

use serde_json::Value;

use super::application::Application;
use super::target::{is_annotated, is_of_release};
use crate::inventory::ReleaseId;

/// Where the workloads of a release lie.
#[derive(Clone, Debug)]
pub(super) enum Placement<'a> {
    /// In the destination of an Application, which keeps no record; they carry its tracking id.
    Application(Application),
    /// In the namespace of the record; they carry Helm's marks.
    Record(&'a ReleaseId),
}

impl Placement<'_> {
    pub(super) fn namespace(&self) -> &str {
        match self {
            Self::Application(application) => &application.destination,
            Self::Record(release) => &release.namespace,
        }
    }

    /// Whether an object is one of the release's own.
    pub(super) fn owns(&self, object: &Value) -> bool {
        match self {
            Self::Application(application) => application.owns(object),
            Self::Record(release) => is_of_release(object, release),
        }
    }

    /// Whether an object says that it is of the release, as what it has made says too: Kubernetes copies
    /// annotations from a Deployment to its `ReplicaSets`. Enough to tell of it, and not to change it.
    pub(super) fn is_marked(&self, object: &Value) -> bool {
        match self {
            Self::Application(application) => application.is_named_by(object),
            Self::Record(release) => is_annotated(object, release),
        }
    }

    /// Another cluster, as far as is known, that the workloads lie in.
    pub(super) fn other_cluster(&self) -> Option<&str> {
        match self {
            Self::Application(application) => application.other_cluster.as_deref(),
            Self::Record(_) => None,
        }
    }

    /// What an object lacks that is not its own.
    pub(super) fn missing(&self) -> &'static str {
        match self {
            Self::Application(_) => {
                "does not carry the tracking id of this Application \
                 (argocd.argoproj.io/tracking-id), so it is left alone"
            }
            Self::Record(_) => {
                "does not carry the marks of this release (meta.helm.sh annotations and label \
                 app.kubernetes.io/managed-by), so it is left alone"
            }
        }
    }
}
