//! `charttrust sign`: what is refused before gpg is asked, what is refused of what gpg gives, and that nothing is
//! left half done.

use std::path::Path;

use charttrust_verify::openpgp::{Certificate, load_all};
use serde_json::Value;

use crate::world::{Ends, Said, World};

const CHART: &str = "hashtest-1.2.3.tgz";
const KEY: &str = "5E615389B53CA37F0EE60BD3843BBF981FC18762";

async fn sign(world: &World, line: &str) -> Said {
    let line = format!("sign --gpg ./gpg {line}");
    let arguments: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    world.run(&arguments, Ends::Open).await
}

async fn world() -> World {
    let world = World::new().await;
    world.lay_gpg();
    world
}

fn read(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.folder.path().join(name)).unwrap_or_default()
}

fn vector(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("verify/tests/openpgp/vectors");
    std::fs::read(folder.join(name)).unwrap()
}

/// gpg has this key in place of Helm's.
fn has_key(world: &World, name: &str) -> Certificate {
    std::fs::write(world.folder.path().join("key.gpg"), vector(name)).unwrap();
    load_all(&vector(name)).unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn gpg_signs_what_helm_signs_and_it_is_told() {
    let world = world().await;
    let said = sign(&world, &format!("{CHART} --key {KEY}!")).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let told = format!("{CHART}.prov: hashtest 1.2.3, signed by {KEY} (RSA-");
    assert!(said.text.starts_with(&told), "{said:?}");
    assert!(said.errors.is_empty() && world.is_signed(), "{said:?}");
    // Helm has signed that very text.
    let signed = read(&world, "signed.asc");
    assert_eq!(read(&world, &format!("{CHART}.prov")), signed);
    let (_, body) = signed.split_once("SHA512\n\n").unwrap();
    let (body, _) = body.split_once("-----BEGIN PGP SIGNATURE").unwrap();
    assert_eq!(read(&world, "asked.txt").trim_end(), body.trim_end());
    let log = read(&world, "gpg.log");
    assert!(log.contains(&format!("--local-user {KEY}! --digest-algo SHA512")));
    for secret in ["passphrase", "loopback", "pin"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }

    let json = sign(&world, &format!("{CHART} --key {KEY} --force -o json")).await;
    let told: Value = serde_json::from_str(&json.text).unwrap();
    assert_eq!(told["schemaVersion"], 1);
    assert_eq!(told["signed"][0]["signer"], KEY);
    assert_eq!(told["signed"][0]["provenance"], format!("{CHART}.prov"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_of_gpg_before_every_file_can_be_signed() {
    let world = world().await;
    let here = |name: &str| world.folder.path().join(name);
    std::fs::copy(here(CHART), here("hashtest-1.2.4.tgz")).unwrap();
    std::fs::write(here("page-1.0.0.tgz"), "<html>").unwrap();
    std::fs::write(
        here("torn-1.0.0.tgz"),
        &std::fs::read(here(CHART)).unwrap()[..200],
    )
    .unwrap();
    std::fs::create_dir(here("folder")).unwrap();
    std::fs::create_dir(here("signed")).unwrap();
    std::fs::copy(here(CHART), here("signed").join(CHART)).unwrap();
    std::fs::write(here("signed").join(format!("{CHART}.prov")), "theirs").unwrap();
    for (file, part) in [
        (
            "hashtest-1.2.4.tgz",
            "holds hashtest 1.2.3: name it hashtest-1.2.3.tgz",
        ),
        ("page-1.0.0.tgz", "no chart archive"),
        ("torn-1.0.0.tgz", "the archive cannot be read"),
        ("folder", "a folder: package it with helm package"),
        ("typo-1.0.0.tgz", "No such file"),
        (
            "signed/hashtest-1.2.3.tgz",
            "is there already: --force replaces it",
        ),
    ] {
        let said = sign(&world, &format!("{CHART} {file} --key {KEY}")).await;
        assert_eq!(said.code, Some(2), "{file}: {said:?}");
        assert!(
            said.errors.contains(part) && said.errors.contains(file),
            "{said:?}"
        );
        assert!(
            !world.is_signed() && read(&world, "gpg.log").is_empty(),
            "{file}"
        );
    }
    assert_eq!(read(&world, "signed/hashtest-1.2.3.tgz.prov"), "theirs");
    let replaced = sign(&world, &format!("signed/{CHART} --key {KEY} --force")).await;
    assert_eq!(replaced.code, Some(0), "{replaced:?}");
    assert_eq!(
        read(&world, &format!("signed/{CHART}.prov")),
        read(&world, "signed.asc")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_nobody_would_believe_is_refused_before_it_signs() {
    let world = world().await;
    for (name, word) in [
        ("revoked-compromised.asc", "RevokedHard: The key is revoked"),
        ("revoked-retired.asc", "RevokedSoft"),
        (
            "rsa1024.asc",
            "WeakKey: RSA of less than 2048 bits. Make a new key.",
        ),
        (
            "short.asc",
            "Expired: The key, or the subkey that signed, has ended.",
        ),
        ("dsa2048.asc", "UnsupportedAlgorithm"),
    ] {
        let key = has_key(&world, name).fingerprint().clone();
        let said = sign(&world, &format!("{CHART} --key {key}")).await;
        assert_eq!(said.code, Some(1), "{name}: {said:?}");
        assert!(said.errors.contains(word), "{name}: {said:?}");
    }
    // A primary key that may only certify, and subkeys of each kind.
    let split = has_key(&world, "split.asc");
    let keys: Vec<_> = split.key_fingerprints().map(ToString::to_string).collect();
    let now = "2026-11-30T00:00:00Z".parse().unwrap();
    let signing = split.summary(now).signing_keys;
    let signing: Vec<_> = signing
        .iter()
        .map(|key| key.fingerprint.to_string())
        .collect();
    assert_eq!((keys.len(), signing.len()), (4, 1));
    for key in keys.iter().filter(|key| !signing.contains(key)) {
        let said = sign(&world, &format!("{CHART} --key {key}")).await;
        assert_eq!(said.code, Some(1), "{key}: {said:?}");
        let told = format!(" Sign with --key {} (Ed25519).", signing[0]);
        assert!(said.errors.contains(&told), "{said:?}");
    }
    let retired = has_key(&world, "split-subkey-superseded.asc");
    assert_eq!(retired.fingerprint(), split.fingerprint());
    let said = sign(&world, &format!("{CHART} --key {}", signing[0])).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.errors.contains("RevokedSoft"), "{said:?}");

    assert!(!read(&world, "gpg.log").contains("clearsign") && !world.is_signed());
    for (key, part) in [
        ("843BBF981FC18762", "can be forged"),
        ("platform", "hexadecimal"),
    ] {
        let said = sign(&world, &format!("{CHART} --key {key}")).await;
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.errors.contains(part), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gpg_gives_is_written_only_if_it_would_be_believed() {
    let world = world().await;
    let good = read(&world, "signed.asc");
    let other = vector("rsa2048.prov");
    for (given, part) in [
        (
            good.replace("versioning", "Versioning"),
            "it is another text",
        ),
        (good.replace("hashtest-1", "other-1"), "it is another text"),
        (String::from_utf8(other).unwrap(), "it is another text"),
        (String::new(), "does not begin with"),
        (
            good.replace("-----END", "\n-----END").replacen(
                "\nwsBcBAEBCgAQBQJ",
                "\nwsBcBAEBCgAQBQI",
                1,
            ),
            "what ./gpg has signed is not written",
        ),
    ] {
        assert_ne!(given, good);
        std::fs::write(world.folder.path().join("signed.asc"), &given).unwrap();
        let said = sign(&world, &format!("{CHART} --key {KEY}")).await;
        assert_eq!(said.code, Some(1), "{part}: {said:?}");
        assert!(said.errors.contains(part), "{part}: {said:?}");
        assert!(!world.is_signed(), "{part}");
    }
    std::fs::write(world.folder.path().join("signed.asc"), &good).unwrap();
    let weaker = sign(&world, &format!("{CHART} --key {KEY} --digest sha256")).await;
    assert_eq!(weaker.code, Some(1), "{weaker:?}");
    assert!(weaker.errors.contains("it is signed by"), "{weaker:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gpg_that_fails_is_quoted() {
    let world = world().await;
    let failing = "#!/bin/sh\ncase \"$*\" in *--export*) cat key.gpg; exit;; esac\n\
                   echo 'gpg: signing failed: No secret key' >&2\nexit 2\n";
    world.lay_program("gpg", failing);
    let said = sign(&world, &format!("{CHART} --key {KEY}")).await;
    assert_eq!(said.code, Some(3), "{said:?}");
    assert_eq!(said.errors, "error: ./gpg: signing failed: No secret key\n");
    world.lay_program(
        "gpg",
        &failing.replace("No secret key", "Inappropriate ioctl for device"),
    );
    let said = sign(&world, &format!("{CHART} --key {KEY}")).await;
    assert!(said.errors.contains("export GPG_TTY=$(tty)"), "{said:?}");
    world.lay_program("gpg", "#!/bin/sh\nkill -9 $$\n");
    let said = sign(&world, &format!("{CHART} --key {KEY}")).await;
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(
        said.errors.contains("failed without a word (signal: 9"),
        "{said:?}"
    );
    std::fs::remove_file(world.folder.path().join("gpg")).unwrap();
    let said = sign(&world, &format!("{CHART} --key {KEY}")).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.errors.contains("cannot be run: install GnuPG"),
        "{said:?}"
    );
    assert!(!world.is_signed());
}
