//! Whom Sigstore signers are believed by: where the trusted root is, and which one was read.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds;
use super::data_ref::DataRef;
use super::schema;

/// Where a trusted root is.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustedRootRef {
    /// An entry of a ConfigMap in the operator's namespace.
    pub config_map: DataRef,
}

/// Which trusted root was read.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustedRoot {
    /// Digest of its bytes.
    #[schemars(length(max = bounds::DIGEST))]
    pub digest: String,

    /// When the newest of its authorities and logs begins: the root is as new as that, or newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub date: Option<Time>,
}
