//! Whom a rule of a `ChartTrustPolicy` believes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds;
use super::schema;

/// Whom a rule believes: the union of names and selectors.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signers {
    /// Names of TrustedKeys. Example: `[platform-2026, platform-2027]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = bounds::LIST),
        inner(length(min = 1, max = bounds::NAME), regex(pattern = bounds::NAME_PATTERN)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub keys: Vec<String>,

    /// Labels of TrustedKeys, in addition to keys. Example: `{matchLabels: {team: platform}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_selector")]
    pub key_selector: Option<LabelSelector>,

    /// Names of TrustedIdentities. Example: `[charts-release]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = bounds::LIST),
        inner(length(min = 1, max = bounds::NAME), regex(pattern = bounds::NAME_PATTERN)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub identities: Vec<String>,

    /// Labels of TrustedIdentities, in addition to identities. Example: `{matchLabels: {team: platform}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_selector")]
    pub identity_selector: Option<LabelSelector>,

    /// How many different signers, keys and identities together, must have signed, at least 1. Default 1. More
    /// than there are is never satisfied.
    #[serde(default = "one")]
    #[schemars(with = "i32", range(min = 1, max = bounds::LIST))]
    pub threshold: u32,
}

impl Default for Signers {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            key_selector: None,
            identities: Vec::new(),
            identity_selector: None,
            threshold: one(),
        }
    }
}

fn one() -> u32 {
    1
}
