//! Which `HelmRelease` of Flux a manifest is of, by what helm-controller writes into every object that it
//! renders, over whatever the chart has there (`internal/postrender/common_renderer.go`).

use crate::limits::YamlLimits;
use crate::yaml::{self, Reading, Value};

use super::field::{get, text};

/// A `HelmRelease`, as a record names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelmReleaseName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What a record, or one document of it, says of a `HelmRelease`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HelmReleaseMark {
    /// It is of none.
    #[default]
    None,
    /// It is of this one.
    Of(HelmReleaseName),
    /// It speaks of one in what is too deep or too large to be read: whoever writes the chart can make it so.
    Unclear,
}

impl HelmReleaseMark {
    /// This one, or that of the hooks if there is none: what is in hooks a chart may have said itself, because
    /// Helm 3 post-renders none.
    pub(super) fn before(self, hooks: Self) -> Self {
        match self {
            Self::None => hooks,
            Self::Of(_) | Self::Unclear => self,
        }
    }

    /// What documents say together: Flux gives all of them the same.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (this @ Self::Of(_), _) => this,
            (_, that @ Self::Of(_)) => that,
            (Self::Unclear, _) | (_, Self::Unclear) => Self::Unclear,
            (Self::None, Self::None) => Self::None,
        }
    }
}

const NAME: &str = "helm.toolkit.fluxcd.io/name";
const NAMESPACE: &str = "helm.toolkit.fluxcd.io/namespace";

/// What Kubernetes allows as a value of a label.
const LONGEST: usize = 63;

/// The mark of a document.
pub(super) fn of(document: &str, limits: &YamlLimits) -> HelmReleaseMark {
    // A glance first: most documents have nothing of it.
    if !document.contains(NAMESPACE) || !document.contains(NAME) {
        return HelmReleaseMark::None;
    }
    match yaml::document(document, Reading::AsHelm, limits) {
        Ok(object) => named(&object).map_or(HelmReleaseMark::None, HelmReleaseMark::Of),
        Err(_) => HelmReleaseMark::Unclear,
    }
}

fn named(object: &Value) -> Option<HelmReleaseName> {
    let labels = get(get(object, "metadata")?, "labels")?;
    let label = |key| {
        let value = text(labels, key)?;
        (!value.is_empty() && value.len() <= LONGEST).then(|| value.to_owned())
    };
    Some(HelmReleaseName {
        namespace: label(NAMESPACE)?,
        name: label(NAME)?,
    })
}
