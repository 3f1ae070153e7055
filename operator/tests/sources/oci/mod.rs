//! Charts in registries that answer as real ones do, and as they should not.

mod answers;
mod blobs;
mod hostile;
mod logins;
mod manifests;
mod realms;
mod verify;
