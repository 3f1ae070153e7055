//! charttrust: continuous trust for Helm charts on Kubernetes.
//!
//! The rooms, and who may call whom:
//!
//! ```text
//! main → cli ─┬→ controllers ─┬→ inventory   which releases exist, what their records say
//!             │               ├→ quarantine  contains a release and restores it; the only writer to others
//!             │               ├→ sources     fetch archives and provenance, within limits
//!             │               ├→ watch       follows objects on the API server
//!             │               ├→ leader      which replica may write
//!             │               └→ parse ─┬→ api                 what people write
//!             └→ serve, metrics         └→ charttrust_verify   the pure engine
//! ```
//!
//! `api` and the engine do not know each other: `parse` translates inwards, the status functions
//! of the controllers outwards. A test guards these arrows.

pub mod api;
pub mod cli;
pub mod clock;
pub mod controllers;
pub mod inventory;
pub mod leader;
pub mod metrics;
pub mod parse;
pub mod quarantine;
pub mod serve;
pub mod sources;
pub mod watch;
