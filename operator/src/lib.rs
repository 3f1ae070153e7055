//! charttrust: continuous trust for Helm charts on Kubernetes.
//!
//! The rooms, and who may call whom:
//!
//! ```text
//! main → cli ─┬→ door         answers whoever installs a release, before Helm makes anything of it
//!             ├→ controllers ─┬→ inventory   which releases exist, what their records say
//!             │               ├→ quarantine  contains a release and restores it; the only writer to others
//!             │               ├→ evidence ──→ sources   what is said of a chart; fetched within limits
//!             │               ├→ watch       follows objects on the API server
//!             │               ├→ leader ────→ api    which replica may write, under our name
//!             │               └→ parse ─┬→ api                 what people write
//!             └→ serve, metrics         └→ charttrust_verify   the pure engine
//! controllers, quarantine → names → api                        names that are made of others
//! ```
//!
//! Of the engine `api` knows the words of verdicts (`charttrust_verify::verdict`) and the schemes of addresses
//! (`scheme`) alone; the engine does not know `api`: `parse` translates inwards, the status functions of the
//! controllers outwards. A test guards these arrows.

pub mod api;
#[cfg(test)]
#[path = "../tests/commands/archive.rs"]
mod archive;
pub mod certificates;
pub mod cli;
pub mod clock;
pub mod controllers;
#[cfg(test)]
mod cost;
#[cfg(test)]
#[allow(dead_code, reason = "shared with the tests of the engine")]
#[path = "../verify/tests/sigstore/der.rs"]
mod der;
pub mod door;
pub mod evidence;
#[cfg(test)]
mod fake_chart;
#[cfg(test)]
mod fake_cluster;
#[cfg(test)]
#[allow(dead_code, reason = "shared with the tests of the engine")]
#[path = "../verify/tests/sigstore/forge.rs"]
mod forge;
pub mod inventory;
pub mod leader;
pub mod metrics;
pub mod names;
pub mod parse;
pub mod quarantine;
pub mod serve;
#[allow(
    clippy::disallowed_methods,
    reason = "how old an answer may be, and how long one may take, is measured where it is fetched"
)]
pub mod sources;
pub mod watch;
