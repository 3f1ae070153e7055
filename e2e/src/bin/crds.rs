//! Writes `crds/`, and the same for the operator's chart, from the types; removes what is no kind any
//! more.

use charttrust_e2e::stage::path;

fn main() -> std::io::Result<()> {
    for folder in ["crds", "operator/chart/files/crds"].map(path) {
        if std::fs::exists(&folder)? {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        for (name, document) in charttrust::cli::crds::files() {
            std::fs::write(format!("{folder}/{name}"), document)?;
        }
    }
    Ok(())
}
