//! `charttrust verify` with identities and public keys: bundles made in memory, by exit code and reason.

use std::process::{Command, Output};

use jiff::SignedDuration;
use serde_json::Value;

use crate::Case;
use crate::forge::{Content, ISSUER, Key, Log, SUBJECT, Shape, World};

const IDENTITY: [&str; 4] = ["--identity", "identity.yaml", "--trusted-root", "root.json"];

/// An identity as YAML, with more of its spec.
fn identity(more: &str) -> String {
    format!(
        "apiVersion: charttrust.io/v1alpha1\nkind: TrustedIdentity\nmetadata:\n  name: release\nspec:\n  \
         issuer: {ISSUER}\n  subject: {{exact: \"{SUBJECT}\"}}\n{more}"
    )
}

/// Helm's signed chart without its `.prov`, and a bundle in place of that.
fn signed<'a>(world: &'a World, change: impl FnOnce(Shape<'a>) -> Shape<'a>) -> Case {
    let case = Case::new().remove("hashtest-1.2.3.tgz.prov");
    let artifact = std::fs::read(case.path("hashtest-1.2.3.tgz")).unwrap();
    let good = Shape {
        artifact,
        ..world.good()
    };
    let bundle = change(good).bundle().to_string();
    case.write("bundle.json", bundle)
        .write("root.json", world.root_json().to_string())
        .write("identity.yaml", identity(""))
}

/// A packaged chart with nothing in it but its Chart.yaml.
fn packaged(name: &str, version: &str) -> Vec<u8> {
    use std::io::Write as _;
    let content = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
    let mut block = vec![0_u8; 1024 + 1024];
    let mut put =
        |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, &format!("{name}/Chart.yaml"));
    put(100, "0000644");
    put(124, &format!("{:011o}", content.len()));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    put(512, &content);
    let sum: u32 = block[..512].iter().map(|byte| u32::from(*byte)).sum();
    block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    block[154] = 0;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(&block).unwrap();
    packed.finish().unwrap()
}

/// What stands in a page between the first of these marks after a heading, and the next of them.
fn shown(page: &str, heading: &str, mark: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let text = std::fs::read_to_string(path.join(page)).unwrap();
    let chapter = text.split(heading).nth(1).unwrap();
    let block = chapter.split(mark).nth(1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

/// The identity of one page and the command of the other, as they stand there; the root is ours.
#[test]
fn the_pages_show_what_is_printed() {
    let world = World::new();
    let archive = packaged("payments", "2.4.1");
    let subject = SUBJECT.replace("v1.2.3", "v2.4.1");
    let bundle = Shape {
        artifact: archive.clone(),
        names: vec![(0x86, subject)],
        ..world.good()
    };
    let identity = shown("signing.md", "\n## With Sigstore\n", "```yaml\n");
    let case = Case::new()
        .write("payments-2.4.1.tgz", archive)
        .write(
            "payments-2.4.1.tgz.sigstore.json",
            bundle.bundle().to_string(),
        )
        .write("release.yaml", identity)
        .write("root.json", world.root_json().to_string())
        .of("payments-2.4.1.tgz");
    let heading = "\n### Charts that are signed with Sigstore\n";
    let told = shown("cli.md", heading, "```console\n$ charttrust verify ");
    let (line, expected) = told.split_once('\n').unwrap();
    let more = line.strip_prefix("payments-2.4.1.tgz ").unwrap();
    let arguments: Vec<_> = more
        .split(' ')
        .chain(["--trusted-root", "root.json"])
        .collect();
    let output = run(&case, &arguments);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    assert_eq!(output.status.code(), Some(0));
}

/// Runs without a key of OpenPGP.
fn run(case: &Case, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_charttrust"))
        .current_dir(case.dir.path())
        .args(["verify", &case.chart])
        .args(arguments)
        .output()
        .unwrap()
}

#[track_caller]
fn gives(case: &Case, arguments: &[&[&str]], code: i32, word: &str) -> Value {
    let json: &[&str] = &["-o", "json"];
    let arguments = [&arguments.concat()[..], json].concat();
    let output = run(case, &arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["reason"], word, "{report}");
    report
}

#[track_caller]
fn refused(case: &Case, arguments: &[&[&str]], told: &str) {
    let output = run(case, &arguments.concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(told), "{told}: {said}");
}

const BUNDLE: [&str; 2] = ["--bundle", "bundle.json"];

#[test]
fn a_bundle_by_an_identity_is_trusted_and_tells_who_signed_and_when() {
    let world = World::new();
    for content in [Content::Message, Content::Statement(crate::forge::SIGN)] {
        let case = signed(&world, |good| Shape { content, ..good });
        let report = gives(&case, &[&IDENTITY, &BUNDLE], 0, "ArchiveVerified");
        let signer = &report["signers"][0];
        assert_eq!(signer["identity"], "release", "{report}");
        assert_eq!(
            (&signer["issuer"], &signer["subject"]),
            (&ISSUER.into(), &SUBJECT.into())
        );
        assert_eq!(signer["signedAt"], "2026-11-01T12:00:05Z", "{report}");
        assert_eq!(signer["verified"], true, "{report}");
    }
    let case = signed(&world, |good| good);
    let output = run(&case, &[&IDENTITY[..], &BUNDLE].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains(&format!("signer release ({SUBJECT})")),
        "{text}"
    );
    let junit = run(&case, &[&IDENTITY[..], &BUNDLE, &["-o", "junit"]].concat());
    let junit = String::from_utf8(junit.stdout).unwrap();
    assert!(junit.contains(r#"failures="0" errors="0""#), "{junit}");
}

#[test]
fn a_bundle_beside_the_archive_is_found() {
    let world = World::new();
    let case = signed(&world, |good| good);
    let bundle = std::fs::read(case.path("bundle.json")).unwrap();
    let case = case.write("hashtest-1.2.3.tgz.sigstore.json", bundle);
    gives(&case, &[&IDENTITY], 0, "ArchiveVerified");
}

#[test]
fn a_public_key_vouches_with_a_log_and_without_one() {
    let (world, key) = (World::new(), Key::new());
    for log in [Log::None, Log::V1] {
        let case = signed(&world, |good| Shape {
            key: Some(&key),
            log,
            ..good
        });
        let case = case.write("cosign.pub", key.public_pem());
        let by_key: &[&str] = &["--key", "cosign.pub", "--trusted-root", "root.json"];
        let report = gives(&case, &[by_key, &BUNDLE], 0, "ArchiveVerified");
        let name = report["signers"][0]["key"].as_str().unwrap();
        assert!(name.starts_with("sha256:"), "{report}");
        let other = case.write("other.pub", Key::new().public_pem());
        gives(
            &other,
            &[&["--key", "other.pub"], &BUNDLE],
            1,
            "SignerNotTrusted",
        );
    }
}

#[test]
fn what_does_not_count_has_its_word_and_exit_code() {
    let world = World::new();
    let window = |from: &str, until: &str| {
        format!(
            "  revocation: {{reason: Compromised, windows: [{{from: \"{from}\", until: \"{until}\"}}]}}\n"
        )
    };
    let rows = [
        (
            window("2026-11-01T11:00:00Z", "2026-11-01T13:00:00Z"),
            "KeyCompromised",
        ),
        (
            window("2026-11-01T13:00:00Z", "2026-11-01T14:00:00Z"),
            "ArchiveVerified",
        ),
        (
            "  notAfter: 2026-10-01T00:00:00Z\n".to_owned(),
            "KeyExpired",
        ),
        ("  scope: {charts: [other]}\n".to_owned(), "KeyOutOfScope"),
        (
            "  claims: {runnerEnvironment: self-hosted}\n".to_owned(),
            "SignerNotTrusted",
        ),
    ];
    for (more, word) in rows {
        let case = signed(&world, |good| good).write("identity.yaml", identity(&more));
        let code = i32::from(word != "ArchiveVerified");
        gives(&case, &[&IDENTITY, &BUNDLE], code, word);
    }
}

#[test]
fn what_is_signed_otherwise_has_its_word_and_exit_code() {
    let world = World::new();
    let case = signed(&world, |good| good);
    gives(&case, &[&IDENTITY], 1, "Unsigned");
    // The root that is compiled in does not have our authorities.
    let report = gives(&case, &[&IDENTITY[..2], &BUNDLE], 1, "SignerNotTrusted");
    assert!(
        report.to_string().contains("the trusted root of "),
        "{report}"
    );
    let reference = "  trustedRootRef: {configMap: {name: roots, key: root.json}}\n";
    let case = case.write("identity.yaml", identity(reference));
    let report = gives(&case, &[&IDENTITY[..2], &BUNDLE], 3, "TrustRootUnknown");
    assert!(report.to_string().contains("--trusted-root"), "{report}");
    gives(&case, &[&IDENTITY, &BUNDLE], 0, "ArchiveVerified");
    let sbom = Content::Statement("https://spdx.dev/Document");
    let case = signed(&world, |good| Shape {
        content: sbom,
        ..good
    });
    let report = gives(&case, &[&IDENTITY, &BUNDLE], 1, "Unsigned");
    assert!(report.to_string().contains("NotASignature"), "{report}");
    let other = signed(&world, |good| Shape {
        artifact: b"another".to_vec(),
        ..good
    });
    gives(&other, &[&IDENTITY, &BUNDLE], 1, "DigestMismatch");
    let late = signed(&world, |good| Shape {
        logged_at: good.at + SignedDuration::from_hours(1),
        ..good
    });
    gives(&late, &[&IDENTITY, &BUNDLE], 1, "SignerNotTrusted");
}

#[test]
fn what_cannot_be_used_is_named_with_its_next_step() {
    let world = World::new();
    let case = signed(&world, |good| good)
        .write(
            "wide.yaml",
            identity("")
                .replace("exact: ", "glob: ")
                .replace(SUBJECT, "https://github.com/*"),
        )
        .write("typo.yaml", identity("  clams: {}\n"))
        .write("nobody.yaml", "kind: ConfigMap\n")
        .write(
            "private.pem",
            "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n",
        );
    let of = |file| vec!["--identity", file];
    let with = |more: [&'static str; 2]| [of("identity.yaml"), more.to_vec()].concat();
    for (arguments, told) in [
        (
            of("wide.yaml"),
            "wide.yaml: spec.subject.glob: scheme, host and first path segment",
        ),
        (
            of("typo.yaml"),
            "typo.yaml: spec.clams: TrustedIdentity has no such field",
        ),
        (of("nobody.yaml"), "--identity takes YAML"),
        (of("absent.yaml"), "absent.yaml: cannot be read"),
        (
            vec!["--key", "private.pem"],
            "private.pem: this contains a PRIVATE key",
        ),
        (
            vec!["--key", "key.gpg", "--bundle", "bundle.json"],
            "--bundle needs somebody to believe",
        ),
        (
            with(["--trusted-root", "bundle.json"]),
            "bundle.json: this is no trusted root",
        ),
        (
            with(["--bundle", "https://example.com/x.json"]),
            "only files are read here: download the bundle",
        ),
    ] {
        refused(&case, &[&arguments], told);
    }
    let fetched = case.of("oci://registry.example.com/charts/hashtest:1.2.3");
    refused(&fetched, &[&IDENTITY, &BUNDLE], "--bundle is about a file");
}

#[test]
fn openpgp_and_sigstore_go_together() {
    let world = World::new();
    let by_nobody = signed(&world, |good| Shape {
        names: vec![(0x86, "https://github.com/example/other".to_owned())],
        ..good
    });
    gives(
        &by_nobody,
        &[&IDENTITY, &BUNDLE, &["--key", "key.gpg"]],
        1,
        "SignerNotTrusted",
    );
    let vectors =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("verify/tests/openpgp/vectors");
    let statement = std::fs::read(vectors.join("helm-hashtest-1.2.3.tgz.prov")).unwrap();
    let both = by_nobody.write("hashtest-1.2.3.tgz.prov", statement);
    let report = gives(
        &both,
        &[&IDENTITY, &BUNDLE, &["--key", "key.gpg"]],
        0,
        "ArchiveVerified",
    );
    assert!(
        report
            .to_string()
            .contains("https://github.com/example/other"),
        "{report}"
    );
}
