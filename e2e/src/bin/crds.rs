//! Writes `crds/`, its copy for the operator's chart and the README's tables of fields from the types,
//! and removes what is no kind any more.

use std::io::{Error, Result};

use charttrust::api::fields;
use charttrust_e2e::stage::root;

fn main() -> Result<()> {
    for folder in ["crds", "operator/chart/files/crds"].map(|folder| root().join(folder)) {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        for (name, document) in charttrust::cli::crds::files() {
            std::fs::write(folder.join(name), document)?;
        }
    }
    let readme = root().join("README.md");
    let text = std::fs::read_to_string(&readme)?;
    let renewed = fields::renewed(&text);
    let renewed = renewed.ok_or(Error::other("README.md has no marks for the fields"))?;
    std::fs::write(readme, renewed)
}
