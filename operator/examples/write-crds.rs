//! `make crds`: writes `crds/`, its copy for the operator's chart and the tables of `docs/` (fields, words)
//! from the types, and removes what is no kind any more.

use std::io::{Error, Result};
use std::path::Path;

use charttrust::cli::pages;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for folder in ["crds", "operator/chart/files/crds"].map(|folder| root.join(folder)) {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        for (name, document) in charttrust::cli::crds::files() {
            std::fs::write(folder.join(name), document)?;
        }
    }
    for page in pages::all() {
        let path = root.join(&page.path);
        let text = std::fs::read_to_string(&path)?;
        let renewed = page.renewed(&text);
        let renewed = renewed.ok_or_else(|| Error::other(format!("{} lacks marks", page.path)))?;
        std::fs::write(path, renewed)?;
    }
    Ok(())
}
