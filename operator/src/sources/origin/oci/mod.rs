//! Charts in OCI registries: from a version to the addresses of its archive and provenance file.
//!
//! May touch: the network, through the guard, and nothing else.
//!
//! Decision: a client of our own. `oci-client` 0.18 sends credentials to whatever realm a registry names, has no
//! limit for a body, no rule for redirects and no `Retry-After`, and takes no HTTP client of ours; `oci-spec`
//! (0.10) brings builders for a dozen documents of which three fields are read here. Challenges are parsed by
//! `http-auth`: small, fuzzed, and RFC 9110's grammar is full of traps.

mod challenge;
mod client;
mod docker_config;
pub(in crate::sources) mod foreign;
mod locate;
mod manifest;
mod memory;
mod name;
mod realm;
mod referrers;
mod refusal;
mod repository;
mod scope;
mod tags;
mod token;

pub(super) use client::{Client, Question};
pub use docker_config::{Helper, NoLogin, docker_login};
pub(super) use locate::locate;
pub(in crate::sources) use memory::Registries;
pub use name::is_spelling;
pub(super) use referrers::referrers;
pub(super) use repository::Repository;
pub(super) use tags::all as every_tag;
