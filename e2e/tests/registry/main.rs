//! Charts in real registries: pushed and installed by both Helms, judged by the operator and by
//! `charttrust verify`. `make registry` runs this.

mod argo;
mod changes;
mod charts;
mod logins;
mod setup;
