//! Sources over HTTP, against servers on loopback that answer as real ones do, and as they should not.

#[allow(dead_code, reason = "shared with the tests of the engine")]
#[path = "../../verify/tests/sigstore/der.rs"]
mod der;
#[allow(dead_code, reason = "shared with the tests of the engine")]
#[path = "../../verify/tests/sigstore/forge.rs"]
mod forge;

mod agreement;
mod answers;
mod court;
mod credentials;
mod elsewhere;
mod faults;
mod guard;
mod hostile;
mod keys;
mod large;
mod memory;
mod mirrors;
mod oci;
mod redirects;
mod registry;
mod script;
mod server;
mod signatures;
mod tls;
mod varying;
mod vouched;
