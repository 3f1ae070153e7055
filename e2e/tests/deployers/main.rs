//! Quarantines of releases that others keep deploying or scaling: real Flux, real Argo CD, the real
//! autoscaler of Kubernetes. Each is stopped first, fights nobody, and goes on afterwards as before.

mod autoscaler;
mod flux;
mod setup;
