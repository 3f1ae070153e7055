//! Charts that `charttrust sign` signs: by real gpg with a real agent that asks for a passphrase, with keys of each
//! kind, believed by both Helms, by gpg and by us; and what is signed, byte for byte what Helm signs.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use charttrust_e2e::charts::Source;
use charttrust_e2e::gpg::{Algorithm, Keyring};
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::operator::binary;
use charttrust_e2e::page::{Desk, Step, steps};
use charttrust_e2e::signing::Bench;
use charttrust_e2e::stage::path;
use charttrust_verify::limits::ArchiveLimits;
use charttrust_verify::openpgp::parse_cleartext;
use charttrust_verify::statement;

const PASSPHRASE: &str = "correct horse battery staple";

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_signs_is_believed_by_everybody() {
    let bench = Bench::new(Keyring::guarded(PASSPHRASE).unwrap());
    for (name, algorithm) in [
        ("rsa", Algorithm::Rsa2048),
        ("ed25519", Algorithm::Ed25519),
        ("nistp256", Algorithm::NistP256),
        ("nistp384", Algorithm::NistP384),
        ("nistp521", Algorithm::NistP521),
    ] {
        let alone = bench.keyring.key(name, algorithm).unwrap();
        let below = format!("{name}-sub");
        let (primary, subkey) = bench.keyring.key_with_subkey(&below, algorithm).unwrap();
        for (chart, key, signer) in [
            (name, &alone, &alone.fingerprint),
            (&*below, &primary, &subkey),
        ] {
            let archive = bench.package(chart).await;
            bench.declare(key).await;

            let asked = bench.keyring.asked();
            let output = bench
                .charttrust(&format!("sign {archive} --key {signer}"))
                .await;
            let said = format!("{output:?}");
            assert_eq!(output.status.code(), Some(0), "{chart}: {said}");
            assert!(said.contains(&format!("signed by {signer}")), "{said}");
            assert!(!said.contains(PASSPHRASE), "{said}");
            for version in [Version::V3, Version::V4] {
                let by_helm = bench.as_helm_signs(version, chart).await;
                assert_eq!(bench.unsigned_part(&archive), by_helm, "{version:?}");
            }
            assert_eq!(
                bench.keyring.asked(),
                asked + 1,
                "the agent has asked for it"
            );
            bench.is_believed(&archive).await;
        }
    }
    // Of a key that may only certify its subkey is named.
    let (primary, subkey) = bench
        .keyring
        .key_with_subkey("certifies", Algorithm::Ed25519)
        .unwrap();
    let refused = format!("sign rsa-1.0.0.tgz --force --key {}", primary.fingerprint);
    let refused = bench.charttrust(&refused).await;
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains(&format!("Sign with --key {subkey}")),
        "{said}"
    );
}

/// Where nobody is there to be asked: the passphrase is given to the agent beforehand, or by a gpg that reads it from
/// a file. Who types a wrong one gets no signature, and no part of a file.
#[tokio::test(flavor = "multi_thread")]
async fn a_passphrase_is_preset_or_looped_back_and_a_wrong_one_signs_nothing() {
    let bench = Bench::new(Keyring::guarded(PASSPHRASE).unwrap());
    let keyring = &bench.keyring;
    let key = keyring.key("shop", Algorithm::Ed25519).unwrap();
    let archive = bench.package("web").await;
    bench.declare(&key).await;
    let sign = format!("sign {archive} --force --key {}", key.fingerprint);
    let provenance = bench.path(&format!("{archive}.prov"));

    keyring.answer("Tr0ub4dor&3").unwrap();
    let refused = bench.charttrust(&sign).await;
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("Bad passphrase"), "{said}");
    assert!(!said.contains("Tr0ub4dor"), "{said}");
    assert!(!provenance.exists() && keyring.asked() > 0);

    keyring.agent_setting("allow-preset-passphrase").unwrap();
    keyring.agent_setting("max-cache-ttl 600").unwrap();
    let grips = keyring.keygrips().unwrap();
    let [grip] = &grips[..] else {
        panic!("one key has one keygrip: {grips:?}");
    };
    let preset = format!("PRESET_PASSPHRASE {grip} -1 {}", hex::encode(PASSPHRASE));
    keyring.agent(&preset).unwrap();
    let asked = keyring.asked();
    bench.good(&sign).await;
    assert_eq!(keyring.asked(), asked, "nobody was asked");
    bench.is_believed(&archive).await;

    // Forgotten, as at the end of a pipeline: somebody is asked again.
    std::fs::remove_file(&provenance).unwrap();
    let forget = format!("CLEAR_PASSPHRASE --mode=normal {grip}");
    keyring.agent(&forget).unwrap();
    let refused = bench.charttrust(&sign).await;
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(!provenance.exists() && keyring.asked() > asked);

    let asked = keyring.asked();
    std::fs::write(bench.path("passphrase"), PASSPHRASE).unwrap();
    let gpg = "#!/bin/sh\nexec gpg --pinentry-mode loopback --passphrase-file passphrase \"$@\"\n";
    std::fs::write(bench.path("gpg"), gpg).unwrap();
    std::fs::set_permissions(bench.path("gpg"), Permissions::from_mode(0o755)).unwrap();
    bench.good(&format!("{sign} --gpg ./gpg")).await;
    assert_eq!(keyring.asked(), asked, "nobody was asked");
    bench.is_believed(&archive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_are_signed_with_each_digest_and_a_key_that_is_over_signs_none() {
    let bench = Bench::new(Keyring::new().unwrap());
    let key = bench.keyring.key("shop", Algorithm::Rsa4096).unwrap();
    let both = [bench.package("web").await, bench.package("api").await];
    bench.declare(&key).await;
    for digest in ["sha256", "sha384", "sha512"] {
        let [one, other] = &both;
        let key = &key.fingerprint;
        let line = format!("sign {one} {other} --force --digest {digest} --key {key}");
        let said = String::from_utf8(bench.good(&line).await).unwrap();
        let told = format!("(RSA-4096/{})", digest.to_uppercase());
        assert_eq!(said.matches(&told).count(), 2, "{said}");
        for archive in &both {
            bench.is_believed(archive).await;
        }
    }
    let old = bench
        .keyring
        .key_made_at("old", Algorithm::Ed25519, "1w", "20240131T120000")
        .unwrap();
    let line = format!("sign {} --force --key {}", both[0], old.fingerprint);
    let output = bench.charttrust(&line).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("Expired: The key"), "{said}");
}

/// A gpg that signs by another key of the certificate, or as of a day that has not come, gives what looks good.
#[tokio::test(flavor = "multi_thread")]
async fn what_gpg_signs_otherwise_than_it_was_asked_is_not_written() {
    let bench = Bench::new(Keyring::new().unwrap());
    let (primary, first) = bench
        .keyring
        .key_with_subkey("shop", Algorithm::Ed25519)
        .unwrap();
    let add = [
        "--quick-add-key",
        &primary.fingerprint,
        "ed25519",
        "sign",
        "never",
    ];
    bench.keyring.gpg(&add).unwrap();
    let archive = bench.package("web").await;
    let provenance = bench.path(&format!("{archive}.prov"));
    let listed = ["--with-colons", "--list-keys", &primary.fingerprint];
    let listed = String::from_utf8(bench.keyring.gpg(&listed).unwrap()).unwrap();
    let second = listed
        .lines()
        .rfind(|line| line.starts_with("fpr:"))
        .unwrap();
    let second = second.split(':').nth(9).unwrap();
    assert_ne!(second, first);
    let sign = format!("sign {archive} --gpg ./gpg --key {first}");
    let ahead = "--faked-system-time 20900101T000000";
    for (change, part) in [
        (
            format!("[ \"$a\" = {first}! ] && a={second}!"),
            format!("it is signed by {second}"),
        ),
        (
            format!("[ \"$a\" = --clearsign ] && set -- \"$@\" {ahead}"),
            "made in the future".to_owned(),
        ),
    ] {
        let gpg = format!(
            "#!/bin/sh\nfor a; do shift; {change}; set -- \"$@\" \"$a\"; done\nexec gpg \"$@\"\n"
        );
        std::fs::write(bench.path("gpg"), gpg).unwrap();
        std::fs::set_permissions(bench.path("gpg"), Permissions::from_mode(0o755)).unwrap();
        let output = bench.charttrust(&sign).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&part), "{part}: {said}");
        assert!(!provenance.exists(), "{said}");
    }
    bench.good(&format!("sign {archive} --key {first}")).await;
}

/// The cases of the engine, each signed by both Helms: what Helm makes of a text depends on what is in it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_is_what_helm_signs_byte_for_byte() {
    let keyring = Keyring::new().unwrap();
    let key = keyring.key("shop", Algorithm::Rsa2048).unwrap();
    let signer = keyring.signer(&key).unwrap();
    let cases = std::fs::read_dir(path("operator/verify/tests/data/statements")).unwrap();
    let cases: Vec<_> = cases.map(|entry| entry.unwrap().path()).collect();
    assert!(cases.len() >= 14);
    for version in [Version::V3, Version::V4] {
        let helm = Helm::new(version).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for case in &cases {
            let name = case.file_name().unwrap().to_string_lossy();
            let mut chart = Source::new(&name, "1.0.0");
            for file in ["Chart.yaml", "requirements.yaml"] {
                if let Ok(text) = std::fs::read_to_string(case.join(file)) {
                    chart = chart.with_file(file, &text);
                }
            }
            // Helm wants subcharts to be there that are declared.
            for vendored in ["one", "two"] {
                let below = format!("apiVersion: v2\nname: {vendored}\nversion: 1.0.0\n");
                chart = chart.with_file(&format!("charts/{vendored}/Chart.yaml"), &below);
            }
            let packed = chart.package(&helm, folder.path(), Some(&signer)).await;
            let packed = packed.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_same(&packed.archive, &format!("{version:?}: {name}"));
        }
    }
}

fn assert_same(archive: &Path, told: &str) {
    let provenance = std::fs::read(format!("{}.prov", archive.display())).unwrap();
    let signed = parse_cleartext(&provenance).unwrap();
    let bytes = std::fs::read(archive).unwrap();
    let statement = statement::of(&bytes, &ArchiveLimits::default()).unwrap();
    assert_eq!(statement.text, signed.text(), "{told}");
}

const PAGE: &str = "docs/signing.md";
const KEYS: &str = "docs/keys.md";
/// The fingerprints of the pages.
const PRIMARY: &str = "272855BE2326D757EEFF53968847F310E4F26D44";
const SUBKEY: &str = "25A7B3F4F8A3B69751015A5838DBD9C2C442E92A";

/// The keys are made, charts are signed, and then the keys rotate and end.
#[tokio::test(flavor = "multi_thread")]
async fn the_pages_are_typed_as_they_stand_there() {
    let desk = Desk::new(Path::new("/nonexistent"), &binary());
    let here = |name: &str| desk.folder().join(name);
    for (name, version) in [("payments", "2.4.1"), ("search", "2.0.0")] {
        Source::new(name, version).write(&here(name)).unwrap();
    }
    // The machine that signs, and the one without a network, each with an agent of its own.
    let signing = Keyring::guarded(PASSPHRASE).unwrap();
    let offline = Keyring::guarded(PASSPHRASE).unwrap();
    signing.key("release-board", Algorithm::Rsa2048).unwrap();
    symlink(signing.home(), here(".gnupg")).unwrap();
    symlink(offline.home(), here("offline")).unwrap();
    desk.lays_gpg();
    // Where the escrow is tried.
    offline.guards(&here("drill")).unwrap();

    let page = std::fs::read_to_string(path(KEYS)).unwrap();
    let (made, rest) = page.split_once("\n## A token or an HSM\n").unwrap();
    let (_token, ends) = rest.split_once("\n## Escrow\n").unwrap();
    let making = steps(made);
    let (first, rest) = making.split_at(1);
    desk.types_all(KEYS, first).await;
    let desk = desk.with_name(PRIMARY, &last_fingerprint(&offline));
    let (second, rest) = rest.split_at(1);
    desk.types_all(KEYS, second).await;
    let desk = desk.with_name(SUBKEY, &last_fingerprint(&offline));
    desk.types_all(KEYS, rest).await;
    let signs = typed(&desk, PAGE, &std::fs::read_to_string(path(PAGE)).unwrap()).await;
    let asked = offline.asked();
    let ends = typed(&desk, KEYS, ends).await;
    assert!(making.len() > 7 && signs > 9 && ends > 12);
    assert!(signing.asked() > 2 && asked > 3 && offline.asked() > asked);
}

/// Types what stands on a page, and tells how much that was.
async fn typed(desk: &Desk, name: &str, page: &str) -> usize {
    let steps: Vec<Step> = steps(page);
    desk.types_all(name, &steps).await;
    steps.len()
}

fn last_fingerprint(keyring: &Keyring) -> String {
    let listed = keyring.gpg(&["--with-colons", "--list-keys"]).unwrap();
    let listed = String::from_utf8(listed).unwrap();
    let last = listed.lines().rfind(|line| line.starts_with("fpr:"));
    last.unwrap().split(':').nth(9).unwrap().to_owned()
}
