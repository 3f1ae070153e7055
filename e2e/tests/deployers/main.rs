//! Quarantines of releases that others keep deploying or scaling: real Flux, real Argo CD, real k3s,
//! the real autoscaler of Kubernetes. Each is stopped first, fights nobody, and goes on afterwards as before.

mod applications;
mod argo;
mod autoscaler;
mod flux;
mod k3s;
mod setup;
mod thief;
