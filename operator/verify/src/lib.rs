//! The verification engine: bytes and values in, verdicts out.
//!
//! Nothing here reads a clock, a file, a network or a cluster. Time is an argument; foreign
//! bytes come with a limit.

#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::todo,
        clippy::unimplemented,
        clippy::unreachable,
        clippy::unwrap_used,
        reason = "whatever bytes come in, the engine answers: nothing here may panic or wrap around"
    )
)]

mod authenticity;
pub mod binding;
pub mod bundles;
mod case;
pub mod chart;
pub mod check;
mod dependencies;
pub mod deployer;
pub mod digest;
mod evaluation;
pub mod evidence;
pub mod finding;
pub mod forms;
mod glob;
mod held;
pub mod key;
mod key_validity;
pub mod later;
pub mod limits;
mod moment;
pub mod openpgp;
mod origin;
mod place;
pub mod policy;
pub mod provenance;
pub mod release;
mod rule_result;
pub mod scheme;
pub mod seal;
mod signers;
pub mod sigstore;
pub mod small_map;
pub mod statement;
mod subcharts;
mod values;
pub mod verdict;
pub mod version;
pub mod vocabulary;
mod vouching;
pub mod wiped;
pub mod witness;
mod yaml;

pub use key_validity::reason as reason_of;
