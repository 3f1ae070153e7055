//! Charts that `charttrust sign` signs: by real gpg with a real agent that asks for a passphrase, with keys of each
//! kind, believed by both Helms, by gpg and by us; and what is signed, byte for byte what Helm signs.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;

use charttrust_e2e::charts::Source;
use charttrust_e2e::gpg::{Algorithm, Keyring};
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::operator::binary;
use charttrust_e2e::page::{Desk, steps};
use charttrust_e2e::stage::path;
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::limits::ArchiveLimits;
use charttrust_verify::openpgp::parse_cleartext;
use charttrust_verify::statement;

const PASSPHRASE: &str = "correct horse battery staple";

/// A folder with archives, a keyring, and the program.
struct Bench {
    folder: tempfile::TempDir,
    keyring: Keyring,
}

impl Bench {
    fn new(keyring: Keyring) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, keyring }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn package(&self, name: &str) -> String {
        let helm = Helm::new(Version::V4).unwrap();
        let chart = Source::new(name, "1.0.0");
        chart
            .package(&helm, self.folder.path(), None)
            .await
            .unwrap();
        format!("{name}-1.0.0.tgz")
    }

    async fn charttrust(&self, line: &str) -> Output {
        let mut command = tokio::process::Command::new(binary());
        command
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env("GNUPGHOME", self.keyring.home())
            .env_remove("GPG_TTY")
            .stdin(std::process::Stdio::null());
        command.output().await.unwrap()
    }

    /// What a command prints that ends well.
    async fn good(&self, line: &str) -> Vec<u8> {
        let output = self.charttrust(line).await;
        assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
        output.stdout
    }

    /// The file of a signature, up to that.
    fn unsigned_part(&self, archive: &str) -> String {
        let file = std::fs::read_to_string(self.path(&format!("{archive}.prov"))).unwrap();
        let (text, _) = file.split_once("-----BEGIN PGP SIGNATURE").unwrap();
        text.to_owned()
    }

    /// The same of a file that Helm has written for the same chart.
    async fn as_helm_signs(&self, name: &str) -> String {
        let helm = Helm::new(Version::V4).unwrap();
        let keyring = Keyring::new().unwrap();
        let key = keyring.key("helm", Algorithm::Rsa2048).unwrap();
        let signer = keyring.signer(&key).unwrap();
        let by_helm = tempfile::tempdir().unwrap();
        let chart = Source::new(name, "1.0.0");
        let packed = chart.package(&helm, by_helm.path(), Some(&signer)).await;
        let packed = packed.unwrap();
        let bytes = |archive: &Path| std::fs::read(archive).unwrap();
        let own = self.path(&format!("{name}-1.0.0.tgz"));
        let by_helm =
            std::fs::read_to_string(format!("{}.prov", packed.archive.display())).unwrap();
        let (text, _) = by_helm.split_once("-----BEGIN PGP SIGNATURE").unwrap();
        // Times of files are in the archive.
        let digest = |archive: &Path| Sha256Digest::of(&bytes(archive)).to_string();
        text.replace(&digest(&packed.archive), &digest(&own))
    }

    /// As both Helms, gpg and charttrust judge an archive by a keyring of the TrustedKey in a file.
    async fn is_believed(&self, archive: &str, trusted: &str) {
        let ring = self.good(&format!("key export --helm -f {trusted}")).await;
        let ring_path = self.path("ring.gpg");
        std::fs::write(&ring_path, ring).unwrap();
        for version in [Version::V3, Version::V4] {
            let helm = Helm::new(version).unwrap();
            let (archive, ring) = (self.path(archive), &ring_path);
            let said = helm
                .run(&[
                    "verify",
                    &archive.to_string_lossy(),
                    "--keyring",
                    &ring.to_string_lossy(),
                ])
                .await;
            let said = said.unwrap_or_else(|error| panic!("{version:?}: {error}"));
            assert!(said.contains("Chart Hash Verified: sha256:"), "{said}");
        }
        let provenance = self.path(&format!("{archive}.prov"));
        let verify = ["--verify", &provenance.to_string_lossy()];
        self.keyring.gpg(&verify).unwrap();
        let said = self
            .good(&format!("verify {archive} --key {trusted}"))
            .await;
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("trusted/ArchiveVerified"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_signs_is_believed_by_everybody() {
    let bench = Bench::new(Keyring::guarded(PASSPHRASE).unwrap());
    for (name, algorithm) in [
        ("rsa", Algorithm::Rsa2048),
        ("ed25519", Algorithm::Ed25519),
        ("nistp256", Algorithm::NistP256),
    ] {
        let alone = bench.keyring.key(name, algorithm).unwrap();
        let below = format!("{name}-sub");
        let (primary, subkey) = bench.keyring.key_with_subkey(&below, algorithm).unwrap();
        for (chart, key, signer) in [
            (name, &alone, &alone.fingerprint),
            (&*below, &primary, &subkey),
        ] {
            let archive = bench.package(chart).await;
            let armored = bench.keyring.public_armored(key).unwrap();
            std::fs::write(bench.path("key.asc"), armored).unwrap();
            let fingerprint = &key.fingerprint;
            let import = format!("key import key.asc --fingerprint {fingerprint}");
            let trusted = bench.good(&import).await;
            std::fs::write(bench.path("trusted.yaml"), trusted).unwrap();

            let asked = bench.keyring.asked();
            let output = bench
                .charttrust(&format!("sign {archive} --key {signer}"))
                .await;
            let said = format!("{output:?}");
            assert_eq!(output.status.code(), Some(0), "{chart}: {said}");
            assert!(said.contains(&format!("signed by {signer}")), "{said}");
            assert!(!said.contains(PASSPHRASE), "{said}");
            assert_eq!(
                bench.unsigned_part(&archive),
                bench.as_helm_signs(chart).await
            );
            assert_eq!(
                bench.keyring.asked(),
                asked + 1,
                "the agent has asked for it"
            );
            bench.is_believed(&archive, "trusted.yaml").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn several_are_signed_with_each_digest_and_a_key_that_is_over_signs_none() {
    let bench = Bench::new(Keyring::new().unwrap());
    let key = bench.keyring.key("shop", Algorithm::Rsa4096).unwrap();
    let both = [bench.package("web").await, bench.package("api").await];
    let armored = bench.keyring.public_armored(&key).unwrap();
    std::fs::write(bench.path("key.asc"), armored).unwrap();
    let import = format!("key import key.asc --fingerprint {}", key.fingerprint);
    let trusted = bench.good(&import).await;
    std::fs::write(bench.path("trusted.yaml"), trusted).unwrap();
    for digest in ["sha256", "sha384", "sha512"] {
        let [one, other] = &both;
        let key = &key.fingerprint;
        let line = format!("sign {one} {other} --force --digest {digest} --key {key}");
        let said = String::from_utf8(bench.good(&line).await).unwrap();
        let told = format!("(RSA-4096/{})", digest.to_uppercase());
        assert_eq!(said.matches(&told).count(), 2, "{said}");
        for archive in &both {
            bench.is_believed(archive, "trusted.yaml").await;
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
/// The fingerprints of the page.
const PRIMARY: &str = "272855BE2326D757EEFF53968847F310E4F26D44";
const SUBKEY: &str = "25A7B3F4F8A3B69751015A5838DBD9C2C442E92A";

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_typed_as_it_stands_there() {
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
    // There is no terminal.
    let gpg = "#!/bin/sh\nPATH=${PATH#*:}\nexec gpg --batch --no-tty \"$@\"\n";
    std::fs::write(here("bin/gpg"), gpg).unwrap();
    std::fs::set_permissions(here("bin/gpg"), Permissions::from_mode(0o755)).unwrap();

    let page = std::fs::read_to_string(path(PAGE)).unwrap();
    let steps = steps(&page);
    assert!(steps.len() > 15, "{} commands", steps.len());
    let (first, rest) = steps.split_at(1);
    desk.types_all(PAGE, first).await;
    let desk = desk.with_name(PRIMARY, &last_fingerprint(&offline));
    let (second, rest) = rest.split_at(1);
    desk.types_all(PAGE, second).await;
    let desk = desk.with_name(SUBKEY, &last_fingerprint(&offline));
    desk.types_all(PAGE, rest).await;
    assert!(signing.asked() > 2 && offline.asked() > 3);
}

fn last_fingerprint(keyring: &Keyring) -> String {
    let listed = keyring.gpg(&["--with-colons", "--list-keys"]).unwrap();
    let listed = String::from_utf8(listed).unwrap();
    let last = listed.lines().rfind(|line| line.starts_with("fpr:"));
    last.unwrap().split(':').nth(9).unwrap().to_owned()
}
