//! Charts in real registries: pushed and installed by both Helms, Flux, Argo CD and k3s, judged by the operator and by
//! `charttrust verify`. `make registry` runs this.

mod agreement;
mod argo;
mod changes;
mod charts;
mod conformance;
mod deployers;
mod logins;
mod pipelines;
mod publishing;
mod referrers;
mod setup;
