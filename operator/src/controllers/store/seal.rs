//! The seal of the evidence that lies where tenants may have rights.

pub use charttrust_verify::seal::Seal;

/// The Secret in the operator's namespace that holds the key.
pub const SECRET: &str = "charttrust-evidence";

/// The `ConfigMap` in the operator's namespace by which others check what is signed.
pub const PUBLIC_SEAL: &str = "charttrust-seal";
/// Its entry: the public half in base64.
pub const PUBLIC_SEAL_ENTRY: &str = "ed25519";
