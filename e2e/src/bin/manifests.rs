//! Writes `operator/install/` from the operator's chart.

use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::manifests;
use charttrust_e2e::stage::root;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let folder = root().join("operator/install");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    for manifest in manifests::render(&Helm::new(Version::V4)?).await? {
        let file = root().join(manifest.path);
        std::fs::create_dir_all(file.parent().unwrap_or(&folder))?;
        std::fs::write(file, manifest.text)?;
    }
    Ok(())
}
