//! Which `HelmRelease` of Flux a manifest is of, by what helm-controller writes into every object that it
//! renders, over whatever the chart has there (`internal/postrender/common_renderer.go`).

use crate::limits::YamlLimits;
use crate::yaml::{self, Reading};

use super::field::{get, text};

/// A `HelmRelease`, as a record names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelmReleaseName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

const NAME: &str = "helm.toolkit.fluxcd.io/name";
const NAMESPACE: &str = "helm.toolkit.fluxcd.io/namespace";

/// What Kubernetes allows as a value of a label.
const LONGEST: usize = 63;

/// The mark of a document, if its object has one.
pub(super) fn of(document: &str, limits: &YamlLimits) -> Option<HelmReleaseName> {
    // A glance first: most documents have nothing of it.
    if !document.contains(NAMESPACE) || !document.contains(NAME) {
        return None;
    }
    let object = yaml::document(document, Reading::AsHelm, limits).ok()?;
    let labels = get(get(&object, "metadata")?, "labels")?;
    let label = |key| {
        let value = text(labels, key)?;
        (!value.is_empty() && value.len() <= LONGEST).then(|| value.to_owned())
    };
    Some(HelmReleaseName {
        namespace: label(NAMESPACE)?,
        name: label(NAME)?,
    })
}
