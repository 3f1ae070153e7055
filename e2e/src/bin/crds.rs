//! Writes `crds/` from the types, and removes what is no kind any more.

use charttrust_e2e::stage::root;

fn main() -> std::io::Result<()> {
    let folder = root().join("crds");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir(&folder)?;
    for (name, document) in charttrust::cli::crds::files() {
        std::fs::write(folder.join(name), document)?;
    }
    Ok(())
}
