//! The verification engine: bytes and values in, verdicts out.
//!
//! Nothing here reads a clock, a file, a network or a cluster. Time is an argument; foreign
//! bytes come with a limit.

pub mod binding;
pub mod chart;
pub mod check;
pub mod digest;
pub mod evidence;
pub mod finding;
pub mod key;
mod life;
pub mod limits;
mod look;
pub mod openpgp;
mod opinion;
mod origin;
pub mod policy;
pub mod provenance;
pub mod release;
mod signers;
mod values;
pub mod verdict;
pub mod version;
mod yaml;
