//! What a policy does at the door: while a release is being installed or upgraded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a bad verdict means for new installs and upgrades.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize, clap::ValueEnum,
)]
#[value(rename_all = "PascalCase")]
pub enum Mode {
    /// Report, block nothing.
    #[default]
    Audit,
    /// Refuse the record of a release that is not trusted, before Helm makes anything of it.
    Enforce,
    /// Let it in, and warn whoever installs it.
    Warn,
}

/// What the webhook does where it cannot tell.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Admission {
    /// What becomes of a release of which it cannot be told in time whether it is trusted: Allow lets it in
    /// with a warning, Deny refuses it in mode Enforce. Default Allow.
    #[serde(default)]
    pub on_unknown: OnUnknown,

    /// Whether the webhook may ask sources about a chart that it does not know yet. It has no credentials, and
    /// waits for 2.5 seconds at most. Default Fetch.
    #[serde(default)]
    pub lookup: Lookup,
}

/// What becomes of a release of which it cannot be told whether it is trusted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum OnUnknown {
    /// It is let in, with a warning.
    #[default]
    Allow,
    /// It is refused where the mode is Enforce.
    Deny,
}

/// Whether sources are asked while an installation waits.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Lookup {
    /// Sources without credentials are asked about what is not known yet.
    #[default]
    Fetch,
    /// Nobody is asked: what is not known yet cannot be told.
    Memory,
}
