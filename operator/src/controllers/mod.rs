//! The controllers of keys, policies, releases and quarantines, and the loop that drives them.
//!
//! Each `reconcile` is a list of steps: gather, decide, apply, write status. Only `gather` reads the
//! cluster, only `apply` and `write` write; what decides takes values.

#[cfg(test)]
mod applications;
mod backoff;
mod cache;
mod calm;
mod context;
mod contexts;
#[cfg(test)]
mod cost;
#[cfg(test)]
mod deployed;
mod error;
mod events;
mod gate;
mod identity;
pub mod key;
mod lanes;
mod life;
#[cfg(test)]
mod limited;
#[cfg(test)]
mod logins;
mod looked;
#[cfg(test)]
mod made_again;
mod numbers;
mod own;
mod policy;
mod quarantine;
pub mod queue;
pub mod release;
mod reports;
mod root;
mod run;
#[cfg(test)]
mod run_cold;
#[cfg(test)]
mod run_signatures;
#[cfg(test)]
mod run_sources;
mod shares;
pub(crate) mod shown;
mod signer_events;
mod sigstore;
pub mod statements;
pub mod store;
mod task;
#[cfg(test)]
mod testing;
mod tokens;
#[cfg(test)]
mod told;
mod triggers;
mod unaccounted;
#[cfg(test)]
mod unreadable;
pub mod webhook;
#[cfg(test)]
mod windows;

pub(crate) use cache::{Ours, ReadIdentity, ReadKey, keep_named, keep_sent};
pub use context::{
    Certificates, Context, DeployerSecrets, QuarantineSettings, Reports, Settings, WebhookSettings,
    fetcher_of,
};
pub use contexts::Contexts;
pub(crate) use identity::{parse as identity_of, readable as readable_identity};
pub use release::evidence::readers::{signed, stated};
pub use run::Ended;
