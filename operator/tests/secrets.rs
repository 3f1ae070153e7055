//! What lies in files that cannot be read is told by no command: whoever names the wrong file in a pipeline has its
//! content in a log for ever.

use std::path::Path;
use std::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_charttrust");

/// Contents of files, each of which is none of ours. What is of a kind of ours holds no secret, and its misspelt words
/// are told.
fn contents() -> Vec<(&'static str, String)> {
    let key =
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\ncanary\n-----END PGP PUBLIC KEY BLOCK-----\n";
    let private = "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n";
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {password: canary}\n";
    let texts = [
        ("a password", "canary-password\n".to_owned()),
        (
            "lines of an environment",
            "USER=ada\nPASSWORD=canary\nTOKEN: canary\n".to_owned(),
        ),
        (
            "broken YAML",
            "password: canary\n\t- {canary: [\n".to_owned(),
        ),
        (
            "a tab",
            "a:\n  password: \"canary\n  token: canary\n".to_owned(),
        ),
        ("a Secret", secret.to_owned()),
        ("broken JSON", "{\"auths\": {\"a\": \"canary\"".to_owned()),
        ("a key that is none", key.to_owned()),
        ("a private key", private.to_owned()),
        (
            "a bundle that is none",
            "{\"mediaType\": \"canary\", \"messageSignature\": \"canary\"}".to_owned(),
        ),
    ];
    texts.into_iter().collect()
}

/// What names a file, with `FILE` for its path; the chart is Helm's own.
const COMMANDS: [&[&str]; 14] = [
    &["verify", "CHART", "--key", "FILE"],
    &["verify", "CHART", "--key", "FOLDER"],
    &["verify", "CHART", "--key", "FILE", "-o", "json"],
    &["verify", "CHART", "--key", "KEY", "--policy", "FILE"],
    &["verify", "CHART", "--key", "KEY", "--prov", "FILE"],
    &["verify", "CHART", "--key", "KEY", "--bundle", "FILE"],
    &["verify", "CHART", "--identity", "FILE"],
    &["verify", "CHART", "--key", "KEY", "--trusted-root", "FILE"],
    &["verify", "FILE", "--key", "KEY"],
    &["key", "show", "FILE"],
    &[
        "key",
        "import",
        "FILE",
        "--fingerprint",
        "5E615389B53CA37F0EE60BD3843BBF981FC18762",
    ],
    &["key", "export", "--helm", "-f", "FILE"],
    &["policy", "test", "-f", "FILE", "CHART"],
    &["policy", "preview", "-f", "FILE"],
];

#[test]
fn no_file_that_cannot_be_read_is_quoted() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("verify/tests");
    let chart = tests.join("data/hashtest-1.2.3.tgz");
    let key = tests.join("openpgp/vectors/helm-test-key.pub");
    let (mut told, mut spoken) = (Vec::new(), 0);
    for (what, content) in contents() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.yaml", "b.json", "c"] {
            let file = dir.path().join(name);
            std::fs::write(&file, &content).unwrap();
            for command in COMMANDS {
                let argument = |word: &&str| match *word {
                    "CHART" => chart.clone().into_os_string(),
                    "KEY" => key.clone().into_os_string(),
                    "FILE" => file.clone().into_os_string(),
                    "FOLDER" => dir.path().as_os_str().to_owned(),
                    word => word.into(),
                };
                let output = Command::new(BINARY)
                    .args(command.iter().map(argument))
                    .env("KUBECONFIG", "/dev/null")
                    .output()
                    .unwrap();
                let said = [output.stdout, output.stderr].concat();
                let said = String::from_utf8_lossy(&said);
                spoken += said.len();
                assert!(!said.contains("panicked"), "{command:?}: {said}");
                if said.contains("canary") {
                    told.push(format!("{} of {what} in {name}: {said}", command.join(" ")));
                }
            }
        }
    }
    assert!(spoken > 10_000, "{spoken} bytes were told in all");
    assert!(
        told.is_empty(),
        "{} times:\n{}",
        told.len(),
        told.join("\n")
    );
}

/// A file of logins is read by the same commands, and holds nothing but secrets.
#[test]
fn no_file_of_logins_that_cannot_be_read_is_quoted() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("verify/tests");
    for content in [
        "{\"auths\": {\"127.0.0.1:9\": canary",
        "{\"auths\": \"canary\"}",
        "{\"auths\": {\"127.0.0.1:9\": {\"auth\": \"canary\"}}}",
        "{\"auths\": {\"127.0.0.1:9\": {\"auth\": [\"canary\"]}}}",
        "{\"auths\": {\"127.0.0.1:9\": {\"username\": {\"canary\": 1}, \"password\": \"canary\"}}}",
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.json"), content).unwrap();
        let output = Command::new(BINARY)
            .args([
                "verify",
                "oci://127.0.0.1:9/charts/web:1.0.0",
                "--allow-host",
                "127.0.0.1",
                "--key",
            ])
            .arg(tests.join("openpgp/vectors/helm-test-key.pub"))
            .env("DOCKER_CONFIG", dir.path())
            .env("HOME", dir.path())
            .env_remove("HELM_REGISTRY_CONFIG")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(
            !said.is_empty() && !said.contains("canary") && !said.contains("panicked"),
            "{content}: {said}"
        );
    }
}
