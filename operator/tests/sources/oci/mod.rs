//! Charts in registries that answer as real ones do, and as they should not.

mod answers;
mod blobs;
mod deployed;
mod hostile;
mod logins;
mod manifests;
mod quirks;
mod realms;
mod referrers;
mod registries;
mod sigstore;
mod thieves;
mod verify;
