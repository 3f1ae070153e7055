//! One entry of an object in the operator's namespace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds;

/// One entry of a ConfigMap or Secret in the operator's namespace.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataRef {
    /// Name of the object. Example: `signing-keys`.
    #[schemars(length(min = 1, max = bounds::NAME), regex(pattern = bounds::NAME_PATTERN))]
    pub name: String,

    /// The entry's key. Example: `platform.asc`.
    #[schemars(length(min = 1, max = bounds::NAME), regex(pattern = bounds::DATA_KEY_PATTERN))]
    pub key: String,
}
