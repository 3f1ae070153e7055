//! Cleartext signatures beside GnuPG: what we find good, `gpgv` finds good, over the same text.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use charttrust_targets::mutation::Mutations;
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
                    tally.count(compared(folder.path(), &bytes, &text));
                }
            }
        }
    }
    println!("{tally}{:>9}  asked of gpgv", asked.len());
    assert!(asked.len() > 200, "only {} were asked", asked.len());
}

/// What gpgv says of a file that is good to us over this text. Where it says no, that is by one of three rules that
/// decide nothing by RFC 9580 (5.2.3.7, 6.1, 7.2); docs/limits-and-threats.md names them.
fn compared(folder: &Path, bytes: &[u8], text: &str) -> &'static str {
    let plain = without_header_and_checksum(bytes);
    let is_same = |theirs: String| assert_eq!(theirs, text, "gpgv has verified another text");
    match verified(folder, bytes) {
        Ok(theirs) => {
            is_same(theirs);
            return "good to gpgv";
        }
        Err(told) if is_critical(&told) => return UNSIGNED,
        Err(_) => {}
    }
    match verified(folder, plain.as_bytes()) {
        Ok(theirs) => is_same(theirs),
        Err(told) if is_critical(&told) => return UNSIGNED,
        Err(told) => panic!("gpgv does not find it good: {told}: {plain}"),
    }
    "good to gpgv without Hash: header and checksum"
}

const UNSIGNED: &str = "bad to gpgv for a critical subpacket that nobody has signed";

fn is_critical(told: &str) -> bool {
    told.contains("due to an unknown critical bit")
}

fn without_header_and_checksum(bytes: &[u8]) -> String {
    let message = parse_cleartext(bytes).unwrap();
    let hash = message.signatures()[0].claimed_hash();
    let whole = String::from_utf8_lossy(bytes);
    let block = whole
        .lines()
        .skip_while(|line| *line != "-----BEGIN PGP SIGNATURE-----");
    let block = block
        .filter(|line| !line.starts_with('='))
        .collect::<Vec<_>>()
        .join("\n");
    let escape = |line: &str| if line.starts_with('-') { "- " } else { "" };
    let text = message
        .text()
        .split('\n')
        .map(|line| format!("{}{line}\n", escape(line)));
    let text = text.collect::<Vec<_>>().concat();
    format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: {hash}\n\n{text}{block}\n")
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

/// The text that `gpgv` has verified, as ours is written: without blanks at the ends of lines. Or what it says.
fn verified(folder: &Path, bytes: &[u8]) -> Result<String, String> {
    let file = folder.join("message.asc");
    std::fs::write(&file, bytes).unwrap();
    let mut command = Command::new("gpgv");
    command.arg("--homedir").arg(folder).arg("--keyring");
    command.arg(folder.join("ring.gpg")).args(["--output", "-"]);
    let output = command.arg(&file).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let lines = text
        .split('\n')
        .map(|line| line.trim_end_matches([' ', '\t']));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
