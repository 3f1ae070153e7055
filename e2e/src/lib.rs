//! Test bed and user stories: a real control plane, real Helm, real keys.
//!
//! Everything lies in temporary folders and ends with its owner; only the built programs stay, in
//! the user's cache folder.

pub mod argo;
pub mod audit;
pub mod auditor;
pub mod charts;
pub mod clock;
pub mod cluster;
mod command;
pub mod door;
mod eventually;

pub mod flux;
pub mod gpg;
pub mod helm;
pub mod k3s;
pub mod kstatus;
pub mod manifests;
pub mod node;
pub mod operator;
pub mod page;
pub mod plane;
mod ports;
pub mod process;
pub mod program;
pub mod prometheus;
pub mod proxy;
pub mod reader;
pub mod record;
pub mod registry;
pub mod release;
pub mod reports;
pub mod repository;
mod server;
pub mod shards;
pub mod signing;
pub mod sigstore;
pub mod soak;
pub mod stage;
pub mod tls;
pub mod tools;

pub use command::CommandError;
pub use eventually::{eventually, lasting, within};
