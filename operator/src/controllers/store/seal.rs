//! The seal of the evidence that lies where tenants may have rights.

pub use charttrust_verify::seal::Seal;

/// The Secret in the operator's namespace that holds the key.
pub const SECRET: &str = "charttrust-evidence";
