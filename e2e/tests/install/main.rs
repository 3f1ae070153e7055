//! How the operator is installed: its chart with real Helm 3 and 4, its permissions, and which of
//! several replicas leads.

mod chart;
mod leader;
mod lifecycle;
mod permissions;
mod rendered;
mod uninstall;
