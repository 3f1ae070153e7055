//! Cleartext signatures beside GnuPG: what we find good, `gpgv` finds good, over the same text.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use charttrust_targets::mutation::Mutations;
use charttrust_targets::named;
use charttrust_verify::openpgp::{Certificate, load_all, parse_cleartext, verify};

use crate::{Tally, times};

const NAMES: [&str; 7] = [
    "ed25519", "nistp256", "nistp384", "nistp521", "rsa2048", "rsa3072", "rsa4096",
];

fn vector(name: &str) -> Vec<u8> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../operator/verify/tests/openpgp/vectors");
    std::fs::read(folder.join(name)).unwrap()
}

#[test]
fn whatever_we_find_good_gnupg_finds_good_over_the_same_text() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ring, mut keys) = (Vec::new(), Vec::new());
    for name in NAMES {
        let armored = vector(&format!("{name}.asc"));
        keys.extend(load_all(&armored).unwrap());
        ring.extend(dearmored(folder.path(), &armored));
    }
    std::fs::write(folder.path().join("ring.gpg"), ring).unwrap();
    let seeds: Vec<_> = NAMES
        .iter()
        .map(|name| vector(&format!("{name}.prov")))
        .collect();
    let (mut tally, mut asked) = (Tally::default(), BTreeSet::new());
    for bytes in Mutations::new(&seeds, 4096, 5).take(times(60_000)) {
        match good(&bytes, &keys) {
            None => tally.count("not good to us"),
            Some(text) => {
                tally.count("good to us");
                if asked.insert(bytes.clone()) {
                    let theirs = verified(folder.path(), &bytes);
                    let told = String::from_utf8_lossy(&bytes);
                    assert_eq!(theirs, Some(text), "{told}");
                }
            }
        }
    }
    println!("{tally}{:>9}  asked of gpgv", asked.len());
    assert!(asked.len() > 200, "only {} were asked", asked.len());
}

fn dearmored(folder: &Path, armored: &[u8]) -> Vec<u8> {
    let file = folder.join("key.asc");
    std::fs::write(&file, armored).unwrap();
    let output = Command::new("gpg")
        .args(["--batch", "--homedir"])
        .arg(folder)
        .arg("--dearmor")
        .arg("--output")
        .arg("-")
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// The text, if any key has signed it.
fn good(bytes: &[u8], keys: &[Certificate]) -> Option<String> {
    let message = parse_cleartext(bytes).ok()?;
    let mut all = message.signatures().iter();
    let is_good = all.any(|one| keys.iter().any(|key| verify(&message, one, key).is_ok()));
    is_good.then(|| message.text().to_owned())
}

/// The text that `gpgv` has verified, as ours is written: without blanks at the ends of lines.
fn verified(folder: &Path, bytes: &[u8]) -> Option<String> {
    let file = folder.join("message.asc");
    std::fs::write(&file, bytes).unwrap();
    let output = Command::new("gpgv")
        .arg("--homedir")
        .arg(folder)
        .arg("--keyring")
        .arg(folder.join("ring.gpg"))
        .args(["--output", "-"])
        .arg(&file)
        .output()
        .unwrap();
    if !output.status.success() {
        println!("{}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let lines: Vec<_> = text
        .split('\n')
        .map(|line| line.trim_end_matches([' ', '\t']))
        .collect();
    Some(lines.join("\n"))
}
