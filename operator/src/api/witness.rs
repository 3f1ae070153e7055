//! What earlier versions have written of first verifications; read, and written no more.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{bounds, schema};

/// That an archive was verified.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Witness {
    /// sha256 of the archive.
    #[schemars(length(max = bounds::DIGEST))]
    pub archive: String,

    /// sha256 of the provenance.
    #[schemars(length(max = bounds::DIGEST))]
    pub provenance: String,

    /// When this operator first verified a signature of this very archive by a known key.
    #[schemars(schema_with = "schema::time")]
    pub first_verified: Time,
}
