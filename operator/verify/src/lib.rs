//! Pure verification engine.

pub mod openpgp;
