//! What the program says of itself, without a cluster.

use std::path::Path;
use std::process::{Command, Stdio};

fn charttrust(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_charttrust"));
    let output = command.args(arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), said)
}

#[test]
fn the_version_is_a_command_too() {
    let expected = (0, format!("charttrust {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(charttrust(&["version"]), expected);
    assert_eq!(charttrust(&["--version"]), expected);
}

#[test]
fn completion_knows_every_command_in_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, script) = charttrust(&["completion", shell]);
        assert_eq!(code, 0, "{shell}");
        for command in [
            "completion",
            "crds",
            "doctor",
            "explain",
            "key",
            "pin",
            "policy",
            "quarantine",
            "restore",
            "revoke",
            "run",
            "sign",
            "status",
            "verify",
            "version",
            "why",
        ] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    assert_eq!(charttrust(&["completion", "tcsh"]).0, 2);
}

/// What the page shows, typed as it stands there; what is printed on either stream belongs to it.
#[test]
fn words_are_explained_as_the_page_shows_it() {
    assert!(replay("What a word means", Path::new(".")) >= 3);
}

#[test]
fn a_policy_is_tested_as_the_page_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("verify/tests/data");
    let archive = "hashtest-1.2.3.tgz";
    std::fs::copy(data.join(archive), folder.path().join(archive)).unwrap();
    let chapter = chapter("What a policy asks");
    let policy = chapter.split("```yaml\n").nth(1).unwrap();
    let policy = policy.split("```").next().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    assert!(replay("What a policy asks", folder.path()) >= 1);
}

/// Programs know by its number what they read.
#[test]
fn what_programs_read_has_a_schema_version() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("verify/tests");
    let path = |below: &str| data.join(below).to_string_lossy().into_owned();
    let (archive, key) = (
        path("data/hashtest-1.2.3.tgz"),
        path("openpgp/vectors/helm-test-key.pub"),
    );
    for line in [
        vec!["explain", "-o", "json"],
        vec!["explain", "Unsigned", "-o", "json"],
        vec!["key", "show", &key, "-o", "json"],
        vec!["verify", &archive, "--key", &key, "-o", "json"],
    ] {
        let (_, said) = charttrust(&line);
        let json: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(json["schemaVersion"], 1, "{line:?}");
    }
    let (code, said) = charttrust(&["explain", "Unsigned", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, &json["words"][0]["word"]),
        (0, &serde_json::json!("Unsigned"))
    );
    assert!(json["words"][0]["next"].is_string(), "{json}");
}

/// A chapter of the page about the command line.
fn chapter(heading: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
    let page = std::fs::read_to_string(page).unwrap();
    let chapter = page.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    chapter.split("\n## ").next().unwrap().to_owned()
}

/// Types the commands of a chapter in a folder; how many there were.
fn replay(heading: &str, folder: &Path) -> usize {
    let chapter = chapter(heading);
    let shown = chapter.split("```console\n").nth(1).unwrap();
    let shown = shown.split("```").next().unwrap();
    let steps: Vec<_> = shown.split("$ charttrust ").skip(1).collect();
    for step in &steps {
        let (line, expected) = step.split_once('\n').unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_charttrust"));
        command.args(line.split_whitespace()).current_dir(folder);
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert_eq!(String::from_utf8(said).unwrap(), expected, "{line}");
        let code = if expected.starts_with("error: ") {
            2
        } else {
            0
        };
        assert_eq!(output.status.code(), Some(code), "{line}");
    }
    steps.len()
}

/// Every word of the tables of the documents is explained, in the same words.
#[test]
fn every_word_of_the_documents_is_explained() {
    let mut number = 0;
    for page in charttrust::cli::pages::all() {
        for (name, table) in page.tables {
            if ["spec", "status"].contains(&name) {
                continue;
            }
            for row in table.lines().filter(|row| row.starts_with("| `")) {
                let cells: Vec<_> = row.split(" | ").collect();
                let word = cells[0].trim_start_matches("| `").trim_end_matches('`');
                let (code, said) = charttrust(&["explain", word]);
                assert_eq!(code, 0, "{word}");
                let meaning = match name {
                    "conditions" | "values" => cells[2].trim_end_matches(" |"),
                    "faults" | "faults of Sigstore" => cells[1].split(" `").next().unwrap(),
                    _ => cells[1],
                };
                assert!(said.contains(meaning), "{word}: {meaning}\n{said}");
                number += 1;
            }
        }
    }
    assert!(number > 180, "{number} words");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for arguments in [&["completion", "bash"][..], &["crds"], &["version"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_charttrust"));
        let mut child = command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!errors.contains("panicked"), "{arguments:?}: {errors}");
    }
}
