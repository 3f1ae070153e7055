//! The judging rooms: evidence, keys and policies in, verdicts out.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy.toml allows these in test functions, not in the helpers of tests"
)]

#[allow(dead_code, reason = "shared with the tests of the OpenPGP room")]
#[path = "../openpgp/forge.rs"]
mod forge;
#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "shared with the tests of the Sigstore room")]
#[path = "../sigstore/der.rs"]
mod der;
#[allow(dead_code, reason = "shared with the tests of the Sigstore room")]
#[path = "../sigstore/forge.rs"]
mod sigstore;

mod bits;
mod bundles;
mod dependencies;
mod deployers;
mod exceptions;
mod forms;
mod held;
mod levels;
mod looks;
mod origins;
mod places;
mod policies;
mod properties;
mod revocations;
mod signers;
mod stamps;
mod thieves;
mod times;
mod united;
mod words;
mod world;
