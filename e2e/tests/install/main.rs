//! How the operator is installed: its chart with real Helm 3 and 4, its permissions, and which of
//! several replicas leads.

mod chart;
mod leader;
mod lifecycle;
mod permissions;
mod rendered;
#[path = "../scene/mod.rs"]
mod scene;
mod uninstall;

/// The operator; `make` builds it first and says where.
fn operator_binary() -> std::path::PathBuf {
    std::env::var_os("CHARTTRUST_BINARY")
        .expect("CHARTTRUST_BINARY names the operator; run make test")
        .into()
}
