//! Logins as `docker login` and `kubectl create secret docker-registry` write them.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Url;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::name::Address;
use crate::sources::credentials::Credentials;

/// What a `.dockerconfigjson` holds for the address of a source: the entry with the longest path that
/// begins it. Helper programs that it names are not run.
///
/// # Errors
/// A sentence that holds nothing of it.
pub fn docker_login(config: &[u8], source: &str) -> Result<Credentials, NoLogin> {
    let config: Config = serde_json::from_slice(config).map_err(|_| NoLogin::Unreadable)?;
    let wanted = address(source).ok_or(NoLogin::NoRegistry)?;
    let helper = config.helper(&wanted);
    let auths = config.auths.ok_or(NoLogin::NoEntries(helper))?;
    let covering = auths.into_iter().filter_map(|(key, login)| {
        let path = address(&key)?.path_if_covers(&wanted)?;
        Some((path.len(), login))
    });
    let longest = covering.max_by_key(|(length, _)| *length);
    let (_, login) = longest.ok_or_else(|| {
        let place = wanted.registry.host_str().unwrap_or_default().to_owned();
        NoLogin::NoEntry { helper, place }
    })?;
    login.credentials().ok_or(NoLogin::Empty(helper))
}

/// Why a file of logins has none for a source: what follows the name of the file in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoLogin {
    /// An entry with nothing in it.
    #[error("has an entry without a login{0}")]
    Empty(Helper),
    /// No list of entries.
    #[error("has no auths{0}")]
    NoEntries(Helper),
    /// No entry whose host is the source's.
    #[error("has no entry for {place}{helper}")]
    NoEntry {
        /// What may have it instead.
        helper: Helper,
        /// The host.
        place: String,
    },
    /// The source is something else.
    #[error("is for registries, which the source is not")]
    NoRegistry,
    /// It is no such file.
    #[error("cannot be parsed")]
    Unreadable,
}

/// Whether a file names a program that may have a login. Nobody here runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    /// It does.
    Named,
    /// It does not.
    None,
}

impl fmt::Display for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Named => ", and the helper program that it names is not run",
            Self::None => "",
        })
    }
}

impl Address {
    /// The path, if it is all of another's or stands before it.
    fn path_if_covers(self, wanted: &Self) -> Option<String> {
        let rest = wanted.path.strip_prefix(&self.path);
        let is_border =
            |rest: &str| self.path.is_empty() || rest.is_empty() || rest.starts_with('/');
        let covers =
            self.registry.origin() == wanted.registry.origin() && rest.is_some_and(is_border);
        covers.then_some(self.path)
    }
}

/// Keys are written with and without a scheme; Docker adds the version of its API.
fn address(text: &str) -> Option<Address> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let mut address = Address::parse(&Url::parse(&format!("oci://{rest}")).ok()?)?;
    if matches!(address.path.as_str(), "v1" | "v2") {
        address.path.clear();
    }
    Some(address)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    auths: Option<BTreeMap<String, Login>>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

impl Config {
    fn helper(&self, wanted: &Address) -> Helper {
        let is_wanted = |key: &String| {
            address(key).is_some_and(|one| one.registry.origin() == wanted.registry.origin())
        };
        if self.creds_store.is_some() || self.cred_helpers.keys().any(is_wanted) {
            Helper::Named
        } else {
            Helper::None
        }
    }
}

#[derive(Deserialize)]
struct Login {
    auth: Option<String>,
    identitytoken: Option<String>,
    password: Option<String>,
    registrytoken: Option<String>,
    username: Option<String>,
}

impl Login {
    /// An identity token stands for the password that `auth` leaves out then.
    fn credentials(self) -> Option<Credentials> {
        let secret =
            |text: Option<String>| text.map(Zeroizing::new).filter(|text| !text.is_empty());
        let pair = secret(self.username).zip(secret(self.password));
        if let Some(token) = secret(self.identitytoken) {
            return Some(Credentials::Identity(token));
        }
        if let Some(token) = secret(self.registrytoken) {
            return Some(Credentials::Bearer(token));
        }
        let (username, password) = pair.or_else(|| decoded(&secret(self.auth)?))?;
        Some(Credentials::Basic { username, password })
    }
}

type Pair = (Zeroizing<String>, Zeroizing<String>);

fn decoded(auth: &str) -> Option<Pair> {
    let bytes = Zeroizing::new(BASE64_STANDARD.decode(auth.trim()).ok()?);
    let text = std::str::from_utf8(&bytes).ok()?;
    let (username, password) = text.split_once(':')?;
    let own = |text: &str| Zeroizing::new(text.to_owned());
    (!username.is_empty()).then(|| (own(username), own(password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"auths": {
        "https://index.docker.io/v1/": {"auth": "aHViOmNhbmFyeQ=="},
        "ghcr.io": {"username": "ghcr", "password": "canary"},
        "ghcr.io/example": {"auth": "ZXhhbXBsZTpjYW5hcnk6eA=="},
        "https://ghcr.io/example/charts/": {"username": "charts", "password": "canary", "auth": "eDp5"},
        "azure.example": {"auth": "MDAwMDo=", "identitytoken": "canary"},
        "token.example:8443": {"registrytoken": "canary"},
        "empty.example": {},
        "broken.example": {"auth": "?"},
        "http://plain.example/v2/": {"auth": "cGxhaW46Y2FuYXJ5"}
    }, "credHelpers": {"helper.example": "pass"}}"#;

    /// What is found, in a word that is no secret.
    fn login(source: &str) -> Result<String, NoLogin> {
        docker_login(CONFIG.as_bytes(), source).map(|credentials| match credentials {
            Credentials::Basic { username, .. } => username.to_string(),
            Credentials::Bearer(_) => "a token".to_owned(),
            Credentials::Identity(_) => "an identity".to_owned(),
            Credentials::Renewed { .. } | Credentials::Tls { .. } => "a certificate".to_owned(),
        })
    }

    #[test]
    fn the_entry_with_the_longest_path_counts() {
        for (source, expected) in [
            ("oci://docker.io/bitnamicharts", "hub"),
            ("oci://registry-1.docker.io/bitnamicharts", "hub"),
            ("oci://index.docker.io", "hub"),
            ("oci://ghcr.io", "ghcr"),
            ("oci://GHCR.io:443/other", "ghcr"),
            ("oci://ghcr.io/examples", "ghcr"),
            ("oci://ghcr.io/example", "example"),
            ("oci://ghcr.io/example/other", "example"),
            ("oci://ghcr.io/example/charts", "charts"),
            ("oci://ghcr.io/example/charts/a", "charts"),
            ("oci://ghcr.io/example/charts2", "example"),
            ("oci://azure.example/a", "an identity"),
            ("oci://token.example:8443/a", "a token"),
            ("oci://plain.example/a", "plain"),
            ("https://ghcr.io/example", "example"),
        ] {
            assert_eq!(login(source).as_deref(), Ok(expected), "{source}");
        }
    }

    #[test]
    fn nothing_else_counts() {
        for (source, why) in [
            ("oci://token.example/a", "has no entry for token.example"),
            (
                "oci://ghcr.io.evil.example/a",
                "has no entry for ghcr.io.evil.example",
            ),
            (
                "oci://helper.example/a",
                "has no entry for helper.example, and the helper program that it names is not run",
            ),
            ("oci://empty.example/a", "has an entry without a login"),
            ("oci://broken.example/a", "has an entry without a login"),
            ("oci://", "is for registries, which the source is not"),
        ] {
            let told = login(source).unwrap_err().to_string();
            assert_eq!(told, why, "{source}");
        }
        for (config, why) in [
            ("", "cannot be parsed"),
            ("[]", "cannot be parsed"),
            (r#"{"auths": "canary"}"#, "cannot be parsed"),
            ("{}", "has no auths"),
        ] {
            let error = docker_login(config.as_bytes(), "oci://ghcr.io").unwrap_err();
            assert_eq!(error.to_string(), why, "{config}");
        }
    }

    /// As Docker Desktop writes it.
    #[test]
    fn a_login_that_a_helper_program_keeps_is_not_there_and_is_told() {
        for (config, why) in [
            (r#"{"credsStore": "desktop"}"#, "has no auths"),
            (
                r#"{"auths": {}, "credsStore": "desktop"}"#,
                "has no entry for ghcr.io",
            ),
            (
                r#"{"auths": {"ghcr.io": {}}, "credsStore": "desktop"}"#,
                "has an entry without a login",
            ),
            (
                r#"{"auths": {"ghcr.io": {}}, "credHelpers": {"ghcr.io": "pass"}}"#,
                "has an entry without a login",
            ),
        ] {
            let error = docker_login(config.as_bytes(), "oci://ghcr.io/a").unwrap_err();
            let told = format!("{why}, and the helper program that it names is not run");
            assert_eq!(error.to_string(), told, "{config}");
        }
        let elsewhere = r#"{"auths": {}, "credHelpers": {"gcr.io": "pass"}}"#;
        let error = docker_login(elsewhere.as_bytes(), "oci://ghcr.io/a").unwrap_err();
        assert_eq!(error.to_string(), "has no entry for ghcr.io");
    }

    #[test]
    fn a_password_may_have_colons() {
        let found = docker_login(CONFIG.as_bytes(), "oci://ghcr.io/example");
        let Ok(Credentials::Basic { password, .. }) = found else {
            panic!("no password");
        };
        assert_eq!(password.as_str(), "canary:x");
    }
}
