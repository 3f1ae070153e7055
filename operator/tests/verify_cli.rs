//! `charttrust verify`: Helm's own signed chart, one change at a time, by exit code and reason.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const FINGERPRINT: &str = "5E615389B53CA37F0EE60BD3843BBF981FC18762";

/// Helm's signed test chart in a folder of its own.
struct Case {
    dir: TempDir,
    arguments: Vec<String>,
}

impl Case {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("verify/tests");
        let copy = |from: &str, to: &str| {
            std::fs::copy(vectors.join(from), dir.path().join(to)).unwrap();
        };
        copy("data/hashtest-1.2.3.tgz", "hashtest-1.2.3.tgz");
        copy(
            "openpgp/vectors/helm-hashtest-1.2.3.tgz.prov",
            "hashtest-1.2.3.tgz.prov",
        );
        copy("openpgp/vectors/helm-test-key.pub", "key.gpg");
        copy("openpgp/vectors/ed25519.asc", "other.asc");
        Self {
            dir,
            arguments: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.path(name), content).unwrap();
        self
    }

    fn remove(self, name: &str) -> Self {
        std::fs::remove_file(self.path(name)).unwrap();
        self
    }

    fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(ToString::to_string));
        self
    }

    fn run(&self, key: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_charttrust"))
            .current_dir(self.dir.path())
            .args(["verify", "hashtest-1.2.3.tgz", "--key", key])
            .args(&self.arguments)
            .output()
            .unwrap()
    }

    #[track_caller]
    fn gives(self, key: &str, code: i32, word: &str) {
        let output = self.with(&["-o", "json"]).run_checked(key, code);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["reason"], word, "{report}");
    }

    #[track_caller]
    fn run_checked(&self, key: &str, code: i32) -> Output {
        let output = self.run(key);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        output
    }
}

fn trusted_key() -> String {
    let armored = include_str!("../verify/tests/openpgp/vectors/ed25519.asc");
    let indented = armored.replace('\n', "\n      ");
    format!(
        "apiVersion: charttrust.io/v1alpha1\nkind: TrustedKey\nmetadata:\n  name: other\nspec:\n  \
         fingerprint: \"{}\"\n  publicKey:\n    inline: |\n      {indented}",
        fingerprint_of_other()
    )
}

/// As GnuPG says; the recipe of the vectors makes the key.
fn fingerprint_of_other() -> String {
    let bytes = include_bytes!("../verify/tests/openpgp/vectors/ed25519.asc");
    let all = charttrust_verify::openpgp::load_all(bytes).unwrap();
    all[0].fingerprint().to_string()
}

fn policy(extra: &str) -> String {
    format!(
        "apiVersion: charttrust.io/v1alpha1\nkind: ChartTrustPolicy\nmetadata:\n  name: p\nspec:\n  \
         rules:\n    - name: all\n      charts: [\"*\"]\n      sources: [{{url: \"https://charts.example.com\"}}]\n{extra}"
    )
}

#[test]
fn a_chart_that_helm_signed_is_trusted() {
    Case::new().gives("key.gpg", 0, "ArchiveVerified");
}

#[test]
fn the_text_names_chart_verdict_and_signer() {
    let output = Case::new().run_checked("key.gpg", 0);
    let text = String::from_utf8(output.stdout).unwrap();
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with("hashtest 1.2.3   trusted/ArchiveVerified"),
        "{text}"
    );
    assert!(first.contains(FINGERPRINT), "{text}");
    assert!(text.contains("NotChecked: release content"), "{text}");
    assert!(text.contains("NotChecked: source"), "{text}");
}

#[test]
fn a_folder_of_keys_is_read() {
    Case::new()
        .remove("other.asc")
        .with(&["--level", "signature"])
        .gives("key.gpg", 0, "ArchiveVerified");
}

#[test]
fn another_key_does_not_vouch() {
    Case::new().gives("other.asc", 1, "SignerNotTrusted");
}

#[test]
fn without_provenance_it_is_unsigned() {
    Case::new()
        .remove("hashtest-1.2.3.tgz.prov")
        .gives("key.gpg", 1, "Unsigned");
}

#[test]
fn an_archive_with_one_more_byte_is_another_archive() {
    let case = Case::new();
    let mut bytes = std::fs::read(case.path("hashtest-1.2.3.tgz")).unwrap();
    bytes.push(0);
    case.write("hashtest-1.2.3.tgz", bytes)
        .gives("key.gpg", 1, "DigestMismatch");
}

#[test]
fn changed_signed_text_is_no_longer_signed() {
    let case = Case::new();
    let text = std::fs::read_to_string(case.path("hashtest-1.2.3.tgz.prov")).unwrap();
    let changed = text.replace("Test chart", "Best chart");
    assert_ne!(changed, text);
    case.write("hashtest-1.2.3.tgz.prov", changed)
        .gives("key.gpg", 1, "SignatureInvalid");
}

#[test]
fn text_that_is_no_provenance_is_malformed() {
    Case::new().write("hashtest-1.2.3.tgz.prov", "hello").gives(
        "key.gpg",
        1,
        "ProvenanceMalformed",
    );
}

#[test]
fn a_damaged_archive_is_unknown() {
    Case::new()
        .write("hashtest-1.2.3.tgz", b"\x1f\x8b\x08 cut off")
        .gives("key.gpg", 3, "SourceUnavailable");
}

#[test]
fn a_time_before_the_signature_does_not_trust_it() {
    Case::new()
        .with(&["--at", "2015-01-01T00:00:00Z"])
        .gives("key.gpg", 1, "SignerNotTrusted");
}

#[test]
fn with_a_policy_only_trusted_keys_count() {
    let policy = policy("      verify: {signers: {keys: [other]}}\n");
    Case::new()
        .write("policy.yaml", policy)
        .write("key.yaml", trusted_key())
        .with(&["--policy", "policy.yaml", "--key", "key.gpg"])
        .gives("key.yaml", 1, "SignerNotTrusted");
}

#[test]
fn a_source_that_the_rule_does_not_name_is_unknown() {
    let policy = policy("      verify: {signers: {keys: [other]}}\n");
    let case = Case::new()
        .write("policy.yaml", policy)
        .write("key.yaml", trusted_key())
        .with(&[
            "--policy",
            "policy.yaml",
            "--source",
            "https://elsewhere.example.com",
        ]);
    let said = String::from_utf8(case.run_checked("key.yaml", 3).stdout).unwrap();
    let why = "https://elsewhere.example.com is none of the sources that the rule names";
    assert!(
        said.contains("unknown/SourceUnknown") && said.contains(why),
        "{said}"
    );
}

#[test]
fn a_field_that_nobody_knows_is_an_error_and_not_passed_over() {
    for (file, text, path) in [
        (
            "key.yaml",
            format!("{}\n  revokation: {{reason: Compromised}}\n", trusted_key()),
            "spec.revokation",
        ),
        (
            "policy.yaml",
            policy("      verify: {signers: {keys: [other], threshhold: 2}}\n"),
            "spec.rules[0].verify.signers.threshhold",
        ),
    ] {
        let policy = policy("      verify: {signers: {keys: [other]}}\n");
        let case = Case::new()
            .write("policy.yaml", policy)
            .write("key.yaml", trusted_key())
            .write(file, text)
            .with(&["--policy", "policy.yaml"]);
        let output = case.run_checked("key.yaml", 2);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("{file}: {path}: ")), "{said}");
    }
}

#[test]
fn what_lies_beside_the_keys_of_a_folder_is_no_key() {
    let case = Case::new()
        .write("README.md", "hello")
        .write("LICENSE", "hello");
    case.gives(".", 0, "ArchiveVerified");
}

#[test]
fn a_pinned_digest_needs_no_signature() {
    let digest = "sha256:c6841b3a895f1444a6738b5d04564a57e860ce42f8519c3be807fb6d9bee7888";
    let pin =
        format!("      digests: [{{chart: hashtest, version: 1.2.3, digest: \"{digest}\"}}]\n");
    Case::new()
        .remove("hashtest-1.2.3.tgz.prov")
        .write("policy.yaml", policy(&pin))
        .write("key.yaml", trusted_key())
        .with(&["--policy", "policy.yaml"])
        .gives("key.yaml", 0, "DigestPinned");
}

#[test]
fn what_cannot_be_used_is_named_with_exit_code_2() {
    for (case, key, named) in [
        (
            Case::new().remove("hashtest-1.2.3.tgz"),
            "key.gpg",
            "hashtest-1.2.3.tgz",
        ),
        (
            Case::new().write("hashtest-1.2.3.tgz", "apiVersion: v1\nentries: {}\n"),
            "key.gpg",
            "hashtest-1.2.3.tgz: no chart archive: name the .tgz",
        ),
        (Case::new(), "nowhere.asc", "nowhere.asc"),
        (Case::new().write("bad.asc", "hello"), "bad.asc", "bad.asc"),
        (
            Case::new().with(&["--prov", "nowhere.prov"]),
            "key.gpg",
            "nowhere.prov",
        ),
        (
            Case::new()
                .write("policy.yaml", "kind: Other")
                .with(&["--policy", "policy.yaml"]),
            "key.gpg",
            "with --policy only the latter",
        ),
    ] {
        let output = case.run_checked(key, 2);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.starts_with("error: ") && said.contains(named),
            "{said}"
        );
    }
}
