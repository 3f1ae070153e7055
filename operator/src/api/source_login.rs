//! What a source of charts is asked with, and where its statements are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds;

/// An object in the operator's namespace.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NameRef {
    /// Name of the object. Example: `charts-login`.
    #[schemars(length(min = 1, max = bounds::NAME), regex(pattern = bounds::NAME_PATTERN))]
    pub name: String,
}

/// A token of the operator's own ServiceAccount.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesToken {
    /// For whom the token is: whoever else is shown it refuses it. Never an audience of the API server.
    /// Example: `ghcr.example.com`.
    #[schemars(length(min = 1, max = bounds::NAME))]
    pub audience: String,
}

/// A folder of `.prov` files.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvenanceSource {
    /// The folder of `<chart>-<version>.tgz.prov`, over HTTP. Key scopes look at the url of the source.
    /// Example: `https://charts.example.com/prov`.
    #[schemars(length(max = bounds::URL), regex(pattern = bounds::FOLDER_PATTERN))]
    pub url: String,

    /// Secret in the operator's namespace, as that of the source. Omitted: asked without credentials; those of
    /// the source do not go there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<NameRef>,
}
