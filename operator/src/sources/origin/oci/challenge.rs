//! What a registry asks for with a 401: `WWW-Authenticate`, RFC 9110.

use http_auth::parser::ChallengeParser;
use http_auth::{ChallengeRef, ParamValue};
use reqwest::Url;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// The ways of logging in that a registry offers, as far as they are known here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Challenges {
    /// User name and password with every request.
    pub(super) basic: Option<Basic>,
    /// A token, which a service hands out.
    pub(super) bearer: Option<Bearer>,
}

/// That user name and password are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Basic;

/// Where tokens are handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    /// The token service. A registry names whom it likes: whoever sends something there checks it first.
    pub(super) realm: Url,
    /// What the registry calls itself there.
    pub(super) service: Option<String>,
}

impl Challenges {
    /// The first of each kind. What cannot be parsed ends its line, and what stands before it counts.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for line in headers.get_all(WWW_AUTHENTICATE) {
            let Some(line) = line.to_str().ok().filter(|line| line.len() <= LONGEST) else {
                continue;
            };
            for challenge in ChallengeParser::new(line).map_while(Result::ok) {
                found.take(&challenge);
            }
        }
        found
    }

    fn take(&mut self, challenge: &ChallengeRef<'_>) {
        if challenge.scheme.eq_ignore_ascii_case("basic") {
            self.basic.get_or_insert(Basic);
        } else if challenge.scheme.eq_ignore_ascii_case("bearer") {
            let bearer = Bearer::of(&challenge.params);
            self.bearer = self.bearer.take().or(bearer);
        }
    }
}

impl Bearer {
    fn of(parameters: &[(&str, ParamValue<'_>)]) -> Option<Self> {
        let value = |wanted: &str| {
            let mut all = parameters.iter();
            let found = all.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.to_unescaped())
        };
        Some(Self {
            realm: Url::parse(&value("realm")?).ok()?,
            service: value("service").filter(|service| !service.is_empty()),
        })
    }
}

/// Bytes of one header line that are read; real ones have less than 500.
const LONGEST: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    fn challenges(lines: &[&str]) -> Challenges {
        let pair = |line: &&str| (WWW_AUTHENTICATE, line.parse().unwrap());
        Challenges::of(&lines.iter().map(pair).collect())
    }

    fn bearer(lines: &[&str]) -> Option<(String, Option<String>)> {
        let bearer = challenges(lines).bearer?;
        Some((bearer.realm.to_string(), bearer.service))
    }

    /// Header lines as registries send them, the realm and the service.
    const TABLE: &[(&[&str], &str, Option<&str>)] = &[
        // Docker Hub.
        (
            &[
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull""#,
            ],
            "https://auth.docker.io/token",
            Some("registry.docker.io"),
        ),
        // Scope with a quoted comma, before the service.
        (
            &[
                r#"Bearer realm="https://ghcr.io/token",scope="repository:a/b:pull,push",service="ghcr.io""#,
            ],
            "https://ghcr.io/token",
            Some("ghcr.io"),
        ),
        // Without service, without scope, in another case.
        (
            &[r#"bearer Realm="https://a.example/v2/token""#],
            "https://a.example/v2/token",
            None,
        ),
        (
            &[r#"Bearer realm="https://a.example/token",service="""#],
            "https://a.example/token",
            None,
        ),
        // Artifactory: a path of its own.
        (
            &[
                r#"Bearer realm="https://a.example/artifactory/api/docker/helm/v2/token",service="a.example""#,
            ],
            "https://a.example/artifactory/api/docker/helm/v2/token",
            Some("a.example"),
        ),
        // Two kinds in one line, and in two.
        (
            &[r#"Basic realm="a, b", Bearer realm="https://a.example/t",service=x"#],
            "https://a.example/t",
            Some("x"),
        ),
        (
            &[
                "Negotiate",
                r#"Basic realm="x""#,
                r#"Bearer realm="https://a.example/t""#,
            ],
            "https://a.example/t",
            None,
        ),
        // Escaped quotes.
        (
            &[r#"Bearer realm="https://a.example/t",service="a\"b""#],
            "https://a.example/t",
            Some("a\"b"),
        ),
        // The first counts; what follows the break of a line does not matter.
        (
            &[r#"Bearer realm="https://a.example/t", Bearer realm="https://evil.example/t""#],
            "https://a.example/t",
            None,
        ),
        (
            &[r#"Bearer realm="https://a.example/t", Basic realm="unfinished"#],
            "https://a.example/t",
            None,
        ),
    ];

    #[test]
    fn challenges_of_real_registries_are_read() {
        for (lines, realm, service) in TABLE {
            let expected = ((*realm).to_owned(), service.map(str::to_owned));
            assert_eq!(bearer(lines), Some(expected), "{lines:?}");
        }
    }

    #[test]
    fn what_names_no_token_service_is_no_challenge() {
        for line in [
            "",
            "Bearer",
            r#"Bearer service="x""#,
            r#"Bearer realm="""#,
            r#"Bearer realm="no URL""#,
            r#"Bearer realm="/token""#,
            r#"Digest realm="https://a.example/t""#,
            "\u{b5}",
        ] {
            assert_eq!(bearer(&[line]), None, "{line}");
        }
        let long = format!(
            r#"Bearer realm="https://a.example/{}""#,
            "x".repeat(LONGEST)
        );
        assert_eq!(bearer(&[&long]), None);
    }

    #[test]
    fn user_name_and_password_are_asked_for_in_any_case() {
        for (line, expected) in [
            (
                r#"Basic realm="https://1.dkr.ecr.eu-west-1.amazonaws.com/""#,
                true,
            ),
            (r#"BASIC realm="x", charset="UTF-8""#, true),
            ("Basic", true),
            (r#"Bearer realm="https://a.example/basic""#, false),
        ] {
            assert_eq!(challenges(&[line]).basic.is_some(), expected, "{line}");
        }
    }
}
