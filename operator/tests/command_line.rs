//! What the program says of itself, without a cluster.

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
            "quarantine",
            "restore",
            "revoke",
            "run",
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
