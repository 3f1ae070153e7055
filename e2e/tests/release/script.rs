//! `make release-twice` as a script, with stand-ins for cargo and what it builds.

use std::process::Command;

use charttrust_e2e::stage::path;

/// It once took the folder of the toolchain for its own, and removed it.
#[test]
fn what_is_removed_is_the_folder_that_was_made_and_no_other() {
    let place = tempfile::tempdir().unwrap();
    let [toolchain, temporary] = ["toolchain", "temporary"].map(|name| place.path().join(name));
    for folder in [&toolchain, &temporary] {
        std::fs::create_dir(folder).unwrap();
    }
    std::fs::write(toolchain.join("rustc"), "").unwrap();
    // All but what goes to the root, looks for changes and begins.
    let script = std::fs::read_to_string(path("e2e/release.sh")).unwrap();
    let left_out = [
        "cd \"$(dirname",
        "[ -z \"$(git status",
        "  stop \"the sources",
        "\"${1:-once}\"",
    ];
    let functions = script
        .lines()
        .filter(|line| left_out.iter().all(|start| !line.starts_with(start)));
    let functions = functions.collect::<Vec<_>>().join("\n");
    let told = format!("{functions}\n{STAND_INS}\ntwice\n");
    let run = Command::new("bash")
        .args(["-c", &told])
        .current_dir(path(""))
        .env("TMPDIR", &temporary)
        .env("TOOLCHAIN", &toolchain)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}{errors}");
    assert!(said.contains("the same, byte for byte"), "{said}{errors}");
    assert!(toolchain.join("rustc").exists(), "the toolchain is there");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
}

const STAND_INS: &str = r#"
sysroot=$TOOLCHAIN
program() { echo "$2/charttrust"; }
cargo() {
  while [ "$1" != --out ]; do shift; done
  mkdir -p "$2" && echo sums > "$2/SHA256SUMS"
}
"#;
