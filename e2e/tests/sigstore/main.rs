//! Charts that real cosign signs by a Sigstore on loopback: pushed by real Helm, found in real registries, and judged
//! beside `cosign verify`. `make sigstore` runs this.

mod elsewhere;
mod forms;
mod kinds;
mod negatives;
mod operator;
mod ours;
mod setup;
mod vectors;
