//! `charttrust verify` of an address: the real binary, asking with the logins that Helm and Docker keep.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use charttrust_verify::digest::Sha256Digest;
use serde_json::json;
use tempfile::TempDir;

use crate::court::{KEY, OTHER_CHART, REPOSITORY, SIGNED_CHART, STATEMENT, VERSION};
use crate::registry::*;
use crate::server::has_secret;

/// A user whose home is a folder of its own.
struct User(TempDir);

impl User {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("key.gpg"), KEY).unwrap();
        Self(home)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn keep(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    async fn verify(&self, chart: &str, more: &[&str], set: &[(&str, &Path)]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_charttrust"));
        command.env_clear().env("HOME", self.0.path());
        command.envs(set.iter().copied());
        command.args(["verify", chart, "--key"]);
        command.arg(self.path("key.gpg")).args(more);
        command.args(["--allow-host", "127.0.0.1"]);
        let output = tokio::task::spawn_blocking(move || command.output());
        Said::of(&output.await.unwrap().unwrap())
    }
}

struct Said {
    code: i32,
    text: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = [output.stdout.as_slice(), &output.stderr].concat();
        let said = Self {
            code: output.status.code().unwrap(),
            text: String::from_utf8(text).unwrap(),
        };
        let secret = BASE64_STANDARD.encode("ada:canary");
        for secret in ["canary", &secret] {
            assert!(!said.text.contains(secret), "{}", said.text);
        }
        said
    }

    #[track_caller]
    fn is(self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}", self.text);
        for part in parts {
            assert!(self.text.contains(part), "{part:?} is not in {}", self.text);
        }
    }
}

/// A registry with a chart that Helm has signed, which shows it to `ada` alone.
async fn private() -> (Registry, String) {
    let registry = Registry::named(REPOSITORY, |_, _| None).await;
    registry.push(VERSION, &[(ARCHIVE, SIGNED_CHART), (PROVENANCE, STATEMENT)]);
    let login = format!("Basic {}", BASE64_STANDARD.encode("ada:canary"));
    registry.log_in(&login, "Basic realm=x");
    let chart = format!("{}/hashtest:{VERSION}", registry.url());
    (registry, chart)
}

/// A file of logins; each entry is a path below the registry, and who logs in there.
fn logins(registry: &Registry, entries: &[(&str, &str)]) -> String {
    let host = registry.server.address();
    let entry = |(path, user): &(&str, &str)| {
        let pair = BASE64_STANDARD.encode(format!("{user}:canary"));
        (format!("{host}{path}"), json!({"auth": pair}))
    };
    let auths: serde_json::Map<_, _> = entries.iter().map(entry).collect();
    json!({"auths": auths}).to_string()
}

#[tokio::test]
async fn a_login_of_helm_or_docker_is_shown_to_its_registry() {
    let (registry, chart) = private().await;
    let without = User::new().verify(&chart, &[], &[]).await;
    without.is(3, &["unknown/SourceUnavailable", "asked without a login"]);
    let user = User::new();
    let ada = logins(&registry, &[("", "ada")]);
    for (place, variable) in [
        (".docker/config.json", None),
        ("docker/config.json", Some(("DOCKER_CONFIG", "docker"))),
        (
            "xdg/helm/registry/config.json",
            Some(("XDG_CONFIG_HOME", "xdg")),
        ),
        (
            "helm/registry/config.json",
            Some(("HELM_CONFIG_HOME", "helm")),
        ),
        ("logins.json", Some(("HELM_REGISTRY_CONFIG", "logins.json"))),
    ] {
        user.keep(place, &ada);
        let set = variable.map(|(name, path)| (name, user.path(path)));
        let set: Vec<_> = set
            .iter()
            .map(|(name, path)| (*name, path.as_path()))
            .collect();
        let said = user.verify(&chart, &[], &set).await;
        said.is(0, &["trusted/ArchiveVerified"]);
        std::fs::remove_file(user.path(place)).unwrap();
    }
}

#[tokio::test]
async fn helms_login_comes_before_dockers_and_the_longest_path_before_a_shorter() {
    let (registry, chart) = private().await;
    let user = User::new();
    let helms = "helm/registry/config.json";
    let verify = async || {
        let helm = user.path("helm");
        user.verify(&chart, &[], &[("HELM_CONFIG_HOME", &helm)])
            .await
    };
    user.keep(".docker/config.json", &logins(&registry, &[("", "bob")]));
    verify().await.is(3, &["the credentials are refused"]);
    user.keep(helms, &logins(&registry, &[("", "ada")]));
    verify().await.is(0, &[]);
    let longer = [("", "bob"), ("/charts", "ada"), ("/charts/other", "eve")];
    user.keep(helms, &logins(&registry, &longer));
    verify().await.is(0, &[]);
    // What Helm does not know, Docker may.
    user.keep(helms, r#"{"auths": {"other.example": {"auth": "YTpi"}}}"#);
    user.keep(".docker/config.json", &logins(&registry, &[("", "ada")]));
    verify().await.is(0, &[]);
}

#[tokio::test]
async fn a_file_of_logins_that_cannot_be_used_ends_with_2_and_only_if_a_registry_is_asked() {
    let (registry, chart) = private().await;
    let user = User::new();
    user.keep(".docker/config.json", "{\"auths\": \"canary");
    let said = user.verify(&chart, &[], &[]).await;
    said.is(2, &[".docker/config.json", "it cannot be parsed"]);
    assert!(registry.asked().await.is_empty());
    user.keep(".docker/config.json", &" ".repeat(1024 * 1024 + 1));
    let said = user.verify(&chart, &[], &[]).await;
    said.is(2, &[".docker/config.json: larger than"]);
    std::fs::write(user.path("hashtest-1.2.3.tgz"), SIGNED_CHART).unwrap();
    std::fs::write(user.path("hashtest-1.2.3.tgz.prov"), STATEMENT).unwrap();
    let file = user.path("hashtest-1.2.3.tgz").display().to_string();
    user.verify(&file, &[], &[]).await.is(0, &[]);
}

#[tokio::test]
async fn a_login_that_a_helper_program_keeps_is_told_and_not_used() {
    let (registry, chart) = private().await;
    let user = User::new();
    let host = registry.server.address().to_string();
    for config in [
        json!({"auths": {&host: {}}, "credsStore": "desktop"}),
        json!({"credHelpers": {&host: "pass"}}),
    ] {
        user.keep(".docker/config.json", &config.to_string());
        let said = user.verify(&chart, &[], &[]).await;
        let helper = "the helper program that it names is not run";
        said.is(3, &[helper, "helm pull --prov", "asked without a login"]);
    }
}

#[tokio::test]
async fn a_login_goes_to_no_token_service_but_the_registrys_own_and_the_named_one() {
    let (registry, chart) = private().await;
    let service = token_service().await;
    let token = "Bearer token-of-repository:charts/hashtest:pull";
    registry.log_in(token, &format!(r#"Bearer realm="{}/token""#, service.uri()));
    let user = User::new();
    user.keep(".docker/config.json", &logins(&registry, &[("", "ada")]));
    let said = user.verify(&chart, &[], &[]).await;
    said.is(3, &["--auth-host"]);
    assert!(service.received_requests().await.unwrap().is_empty());
    let pair = format!("{}={}", registry.server.address(), service.address());
    let said = user.verify(&chart, &["--auth-host", &pair], &[]).await;
    said.is(0, &["trusted/ArchiveVerified"]);
    let requests = service.received_requests().await.unwrap();
    assert!(requests.iter().all(has_secret) && requests.len() == 1);
}

/// As a policy says with `repository`.
#[tokio::test]
async fn a_repository_may_have_another_name_than_its_chart() {
    let registry = Registry::named("team/helm-hashtest", |_, _| None).await;
    registry.push(VERSION, &[(ARCHIVE, SIGNED_CHART), (PROVENANCE, STATEMENT)]);
    let chart = format!(
        "oci://{}/team/helm-hashtest:{VERSION}",
        registry.server.address()
    );
    let at = ["--at", "2026-01-01T00:00:00Z"];
    let named = ["--chart", "hashtest", "--version", VERSION];
    let said = User::new()
        .verify(&chart, &[&at[..], &named].concat(), &[])
        .await;
    said.is(0, &["hashtest 1.2.3", "trusted/ArchiveVerified"]);
    let without = User::new().verify(&chart, &at, &[]).await;
    without.is(1, &["untrusted/MetadataMismatch"]);
    let other = ["--chart", "other", "--version", VERSION];
    let other = User::new()
        .verify(&chart, &[&at[..], &other].concat(), &[])
        .await;
    other.is(1, &["untrusted/MetadataMismatch"]);
}

/// As the operator, which asks for both tags of the version that the chart says.
#[tokio::test]
async fn a_tag_may_have_a_v_before_the_version_of_its_chart() {
    let registry = Registry::named(REPOSITORY, |_, _| None).await;
    let layers = [(ARCHIVE, SIGNED_CHART), (PROVENANCE, STATEMENT)];
    for tag in ["v1.2.3", "v1.2.4", "latest"] {
        registry.push(tag, &layers);
    }
    let chart = |tag: &str| format!("{}/hashtest:{tag}", registry.url());
    let verify = async |tag: &str, more: &[&str]| {
        let at = ["--at", "2026-01-01T00:00:00Z"];
        User::new()
            .verify(&chart(tag), &[&at, more].concat(), &[])
            .await
    };
    verify("v1.2.3", &[])
        .await
        .is(0, &["trusted/ArchiveVerified"]);
    let said = ["--chart", "hashtest", "--version", "1.2.3"];
    verify("v1.2.3", &said)
        .await
        .is(0, &["trusted/ArchiveVerified"]);
    for (tag, more) in [
        ("v1.2.4", &[][..]),
        ("latest", &[]),
        ("v1.2.3", &["--chart", "hashtest", "--version", "1.2.4"]),
    ] {
        verify(tag, more)
            .await
            .is(1, &["untrusted/MetadataMismatch"]);
    }
}

const AT: [&str; 2] = ["--at", "2026-01-01T00:00:00Z"];

/// A registry whose tag stands for another chart than at first, and the digest of what it stood for.
async fn moved() -> (Registry, Sha256Digest) {
    let registry = Registry::named(REPOSITORY, |_, _| None).await;
    let layers = [(ARCHIVE, SIGNED_CHART), (PROVENANCE, STATEMENT)];
    let signed = registry.push(VERSION, &layers);
    registry.push(VERSION, &[(ARCHIVE, OTHER_CHART)]);
    (registry, signed)
}

#[tokio::test]
async fn a_manifest_that_is_named_by_its_digest_is_judged_and_no_tag_is_asked() {
    let (registry, signed) = moved().await;
    let chart = |last: &str| format!("{}/hashtest{last}", registry.url());
    for last in [format!("@{signed}"), format!(":{VERSION}@{signed}")] {
        let said = User::new().verify(&chart(&last), &AT, &[]).await;
        said.is(0, &["hashtest 1.2.3", "trusted/ArchiveVerified"]);
    }
    let asked = registry.asked().await;
    let is_of_tag = |line: &String| line.contains("/manifests/") && !line.contains("sha256:");
    assert!(!asked.iter().any(is_of_tag), "{asked:?}");
    assert_eq!(asked.len(), 6, "{asked:?}");
    let by_tag = chart(&format!(":{VERSION}"));
    let said = User::new().verify(&by_tag, &AT, &[]).await;
    said.is(1, &["untrusted/"]);
}

/// The tag beside a digest says which version is expected, and so do the options.
#[tokio::test]
async fn a_digest_is_judged_as_the_version_that_is_named_beside_it() {
    let (registry, signed) = moved().await;
    let chart = |last: &str| format!("{}/hashtest{last}", registry.url());
    let (bare, other) = (format!("@{signed}"), format!(":9.9.9@{signed}"));
    let named = |version| ["--chart", "hashtest", "--version", version];
    for (last, more, code) in [
        (&bare, &named(VERSION)[..], 0),
        (&bare, &named("9.9.9"), 1),
        (&other, &[], 1),
        (&other, &named(VERSION), 1),
    ] {
        let more = [&AT[..], more].concat();
        let said = User::new().verify(&chart(last), &more, &[]).await;
        let word = match code {
            0 => "trusted/ArchiveVerified",
            _ => "untrusted/MetadataMismatch",
        };
        said.is(code, &[word]);
    }
}

#[tokio::test]
async fn a_digest_that_is_none_or_that_the_registry_does_not_have_is_told() {
    let (registry, signed) = moved().await;
    let chart = |last: &str| format!("{}/hashtest{last}", registry.url());
    let short = signed.to_string()[..20].to_owned();
    for last in [
        "@sha256:00".to_owned(),
        format!(":1.2.3@{short}"),
        format!("@{}", signed.to_string().to_uppercase()),
        "@".to_owned(),
    ] {
        let said = User::new().verify(&chart(&last), &AT, &[]).await;
        said.is(2, &[&last, "64 hexadecimal digits"]);
    }
    assert!(registry.asked().await.is_empty());
    let absent = format!("@{}", Sha256Digest::of(b"absent"));
    let said = User::new().verify(&chart(&absent), &AT, &[]).await;
    said.is(
        3,
        &["unknown/SourceUnavailable", "the registry does not have it"],
    );
    let elsewhere = format!("{}/other@{signed}", registry.url());
    let said = User::new().verify(&elsewhere, &AT, &[]).await;
    said.is(3, &["unknown/SourceUnavailable", "asked without a login"]);
}

#[tokio::test]
async fn a_registry_with_other_bytes_at_a_digest_is_told() {
    let wanted = Sha256Digest::of(b"what is wanted");
    let registry = Registry::named(REPOSITORY, move |request, content| {
        let path = request.url.path();
        let is_wanted = path.ends_with(&wanted.to_string());
        is_wanted.then(|| content.tagged(VERSION))
    });
    let registry = registry.await;
    registry.push(VERSION, &[(ARCHIVE, SIGNED_CHART), (PROVENANCE, STATEMENT)]);
    let chart = format!("{}/hashtest@{wanted}", registry.url());
    let said = User::new().verify(&chart, &AT, &[]).await;
    said.is(3, &["unknown/SourceUnavailable", "its digest is another"]);
}
