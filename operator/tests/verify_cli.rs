//! `charttrust verify`: Helm's own signed chart, one change at a time, by exit code and reason.

#[allow(dead_code, reason = "shared with the tests of the engine")]
#[path = "../verify/tests/sigstore/der.rs"]
mod der;
#[allow(
    dead_code,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "shared with the tests of the engine"
)]
#[path = "../verify/tests/sigstore/forge.rs"]
mod forge;
#[path = "verify_cli/sigstore.rs"]
mod sigstore;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const FINGERPRINT: &str = "5E615389B53CA37F0EE60BD3843BBF981FC18762";

/// Helm's signed test chart in a folder of its own.
struct Case {
    dir: TempDir,
    chart: String,
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
            chart: "hashtest-1.2.3.tgz".to_owned(),
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

    /// Archive and provenance under another name.
    fn renamed(mut self, name: &str) -> Self {
        for suffix in ["", ".prov"] {
            let (from, to) = (format!("{}{suffix}", self.chart), format!("{name}{suffix}"));
            std::fs::rename(self.path(&from), self.path(&to)).unwrap();
        }
        name.clone_into(&mut self.chart);
        self
    }

    fn of(mut self, chart: &str) -> Self {
        chart.clone_into(&mut self.chart);
        self
    }

    fn run(&self, key: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_charttrust"))
            .current_dir(self.dir.path())
            .args(["verify", &self.chart, "--key", key])
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

/// An archive can be called anything.
#[test]
fn what_an_archive_is_called_cannot_move_the_cursor() {
    let name = "x\u{1b}[2J-1.0.0.tgz";
    let case = Case::new().renamed(name);
    let said = case.run("key.gpg");
    assert!(!said.stdout.contains(&0x1b) && !said.stderr.contains(&0x1b));
}

#[test]
fn yaml_says_the_same_as_json() {
    let said = |output: &str| {
        let case = Case::new().with(&["-o", output]);
        String::from_utf8(case.run_checked("key.gpg", 0).stdout).unwrap()
    };
    let yaml: Value = serde_saphyr::from_str(&said("yaml")).unwrap();
    assert_eq!(yaml, serde_json::from_str::<Value>(&said("json")).unwrap());
    assert!(
        said("yaml").starts_with("chart: hashtest\n"),
        "{}",
        said("yaml")
    );
}

/// As in the cluster: what a server answers for whatever it lacks proves nothing, saved or not.
#[test]
fn what_a_server_answers_instead_is_no_malformed_provenance() {
    let long = format!("<html>{}", " ".repeat(64 * 1024));
    for body in [
        "<html><body>not found</body></html>",
        "\u{feff}\n <!DOCTYPE html>",
        long.as_str(),
        "{\"errors\": []}",
        "[]",
        "apiVersion: v1\nentries:\n  hashtest: []\n",
    ] {
        let case = Case::new().write("hashtest-1.2.3.tgz.prov", body);
        case.gives("key.gpg", 3, "SourceUnavailable");
    }
    for empty in ["", " \n"] {
        let case = Case::new().write("hashtest-1.2.3.tgz.prov", empty);
        case.gives("key.gpg", 1, "ProvenanceMalformed");
    }
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

/// `helm verify` refuses both: the provenance has no digest for a file of that name.
#[test]
fn an_old_archive_under_another_name_is_not_what_was_asked_for() {
    for name in [
        "hashtest-1.2.4.tgz",
        "ledger-3.0.0.tgz",
        "hashtest-1.2.3.tar.gz",
        "hashtest.tgz",
        "chart",
    ] {
        for level in ["signature", "strict"] {
            let case = Case::new().renamed(name).with(&["--level", level]);
            let said = String::from_utf8(case.run_checked("key.gpg", 1).stdout).unwrap();
            let step = "helm package names hashtest-1.2.3.tgz: rename it, or say what is expected";
            assert!(
                said.contains("untrusted/MetadataMismatch") && said.contains(step),
                "{said}"
            );
        }
    }
}

#[test]
fn what_is_expected_can_be_said_and_then_the_name_of_the_file_does_not_matter() {
    for (version, code, reason) in [
        ("1.2.3", 0, "ArchiveVerified"),
        ("1.2.4", 1, "MetadataMismatch"),
    ] {
        for level in ["signature", "strict"] {
            Case::new()
                .renamed("download")
                .with(&["--level", level, "--chart", "hashtest"])
                .with(&["--version", version])
                .gives("key.gpg", code, reason);
        }
    }
    Case::new()
        .with(&["--chart", "ledger", "--version", "1.2.3"])
        .gives("key.gpg", 1, "MetadataMismatch");
}

#[test]
fn what_is_no_file_is_named_with_the_way_on() {
    let (oci, https) = (
        "oci://ghcr.io/example/hashtest",
        "https://example.com/hashtest-1.2.3.zip",
    );
    let whole = "oci://ghcr.io/example/hashtest:1.2.3";
    let url = "https://example.com/key.asc";
    for (case, key, said) in [
        (Case::new().of(oci), "key.gpg", "name chart and version"),
        (
            Case::new().of(whole).with(&["--prov", "x.prov"]),
            "key.gpg",
            "leave out --source and --prov",
        ),
        (
            Case::new().of(https),
            "key.gpg",
            "name the .tgz that the repository lists",
        ),
        (
            Case::new().with(&["--chart", "hashtest"]),
            "key.gpg",
            "--chart and --version go together",
        ),
        (Case::new().of("."), "key.gpg", ".: a folder: fetch it with"),
        (Case::new(), url, "download the key"),
        (
            Case::new().with(&["--prov", "https://example.com/x.prov"]),
            "key.gpg",
            "download the .prov",
        ),
        (
            Case::new()
                .write("key.yaml", trusted_key())
                .with(&["--policy", url]),
            "key.yaml",
            "write the ChartTrustPolicy to a file",
        ),
    ] {
        let output = case.run_checked(key, 2);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(said), "{error}");
        assert!(!error.contains("os error"), "{error}");
    }
}

/// As for sources of the operator.
#[test]
fn what_is_larger_than_is_read_could_not_be_found_out() {
    for (size, code, reason) in [
        (64 * 1024, 1, "ProvenanceMalformed"),
        (64 * 1024 + 1, 3, "LimitExceeded"),
    ] {
        Case::new()
            .write("hashtest-1.2.3.tgz.prov", vec![b'x'; size])
            .gives("key.gpg", code, reason);
    }
    Case::new()
        .write("hashtest-1.2.3.tgz", vec![0x1f; 20 * 1024 * 1024 + 1])
        .gives("key.gpg", 3, "LimitExceeded");
}

#[test]
fn several_archives_end_with_the_worst_of_them() {
    let case = Case::new();
    std::fs::create_dir(case.path("other")).unwrap();
    for name in ["hashtest-1.2.3.tgz", "hashtest-1.2.3.tgz.prov"] {
        let to = case.path("other").join(name);
        std::fs::copy(case.path(name), to).unwrap();
    }
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_charttrust"));
        command.current_dir(case.dir.path());
        command.args(["verify", "hashtest-1.2.3.tgz", "--key", "key.gpg"]);
        let output = command
            .args(["--level", "signature"])
            .args(more)
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (code, text) = run(&["other/hashtest-1.2.3.tgz"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(text.matches("trusted/ArchiveVerified").count(), 2, "{text}");
    let (code, json) = run(&["other/hashtest-1.2.3.tgz", "-o", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, json.as_array().unwrap().len()), (0, 2));

    std::fs::remove_file(case.path("other/hashtest-1.2.3.tgz.prov")).unwrap();
    let (code, text) = run(&["other/hashtest-1.2.3.tgz"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("untrusted/Unsigned"), "{text}");
    assert_eq!(run(&["missing.tgz", "other/hashtest-1.2.3.tgz"]).0, 2);
    assert_eq!(run(&["other/hashtest-1.2.3.tgz", "--prov", "key.gpg"]).0, 2);
}
