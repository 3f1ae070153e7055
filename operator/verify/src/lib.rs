//! The verification engine: bytes and values in, verdicts out.
//!
//! Nothing here reads a clock, a file, a network or a cluster. Time is an argument; foreign
//! bytes come with a limit.

pub mod check;
pub mod evidence;
pub mod finding;
pub mod key;
pub mod openpgp;
pub mod policy;
mod signers;
pub mod verdict;
