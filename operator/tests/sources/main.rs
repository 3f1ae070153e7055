//! Sources over HTTP, against servers on loopback that answer as real ones do, and as they should not.

mod answers;
mod credentials;
mod faults;
mod guard;
mod keys;
mod memory;
mod mirrors;
mod redirects;
mod server;
mod tls;
