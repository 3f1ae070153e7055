//! Bundles of Sigstore, made in memory: what is found in them, what is refused, and what it is worth.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests may stop where they fail"
)]

mod clock;
mod der;
mod facts;
mod forge;
mod incident;
mod issuers;
mod keyed;
mod limits;
mod mutations;
mod properties;
mod real;
mod roots;
mod simple;
mod standing;
mod words;
