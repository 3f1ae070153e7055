//! What each of several replicas that share the work says of its releases, in the status of what is of no namespace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds;

/// What a range of the namespaces says of a signer.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignerShard {
    /// The number of the range.
    #[schemars(with = "i32", range(min = 1, max = 63))]
    pub range: u32,
    /// How many of its releases have evidence of a good signature by this signer.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub releases: u32,
    /// The first of them, each as `namespace/name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::LIST), inner(length(max = bounds::GLOB)), extend("x-kubernetes-list-type" = "atomic"))]
    pub named: Vec<String>,
}

/// A source that gave no answer.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SilentSource {
    /// Its address.
    #[schemars(length(max = bounds::URL))]
    pub url: String,
    /// What happened.
    #[serde(default)]
    #[schemars(length(max = bounds::MESSAGE))]
    pub message: String,
}

/// What counts against the limit of a policy in one range.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardQuarantine {
    /// Due later, or waiting for approval.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub waiting: u32,
    /// How many are in force and due, by the namespace of the workloads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = PLACES),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["namespace"])
    )]
    pub places: Vec<ShardPlace>,
    /// Releases that may begin now, if they fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = PLACES), extend("x-kubernetes-list-type" = "atomic"))]
    pub due: Vec<ShardDue>,
    /// Whether more is due than can be told here: nothing begins then.
    #[serde(default)]
    pub overflows: bool,
}

/// Most namespaces, and releases, that one range tells of. Four full ones take half of what etcd takes of an object.
pub const PLACES: usize = 512;

/// What counts in one namespace.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardPlace {
    /// The namespace.
    #[schemars(length(max = bounds::LABEL))]
    pub namespace: String,
    /// In force, or on their way.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub active: u32,
    /// Bad and not contained, due now or later.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub due: u32,
}

/// A release that may be contained now.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardDue {
    /// Its namespace.
    #[schemars(length(max = bounds::LABEL))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(max = bounds::NAME))]
    pub name: String,
    /// The namespace of its workloads, if that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::LABEL))]
    pub place: Option<String>,
    /// Why.
    #[schemars(length(max = bounds::WORD))]
    pub reason: String,
}
