//! Pure verification engine.

pub mod binding;
pub mod chart;
pub mod digest;
pub mod limits;
pub mod provenance;
pub mod release;
pub mod version;

mod values;
mod yaml;
