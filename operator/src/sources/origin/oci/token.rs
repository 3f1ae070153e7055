//! Tokens, which a registry's token service hands out for one scope.
//!
//! <https://distribution.github.io/distribution/spec/auth/token/> and, for identity tokens, `/oauth/` beside it.

use std::time::Duration;

use reqwest::{StatusCode, Url};
use serde::Deserialize;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::challenge::Bearer;
use super::scope::Scope;
use crate::sources::credentials::{Credentials, Fingerprint, fingerprint};
use crate::sources::error::{FetchError, Part};
use crate::sources::http::{Ask, How, Web};
use crate::sources::singleflight::{Cache, NotBefore};
use crate::sources::site::Site;

/// Tokens by registry, identity and exact scope.
pub(super) struct Tokens {
    kept: Cache<Token>,
    since: Instant,
}

#[derive(Clone)]
struct Token {
    ends: Instant,
    text: Zeroizing<String>,
}

/// What is exchanged for a token, where, and for what.
pub(super) struct Exchange<'a> {
    pub(super) bearer: &'a Bearer,
    pub(super) scope: &'a Scope,
    /// The source, with its credentials.
    pub(super) site: &'a Site,
    pub(super) web: &'a Web,
}

/// How old a token may be.
#[derive(Clone, Copy)]
pub(super) enum Age {
    /// Any that has not ended.
    Any,
    /// Newer than this: the registry has refused an older one.
    After(Instant),
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self {
            kept: Cache::new(MOST_TOKENS, MOST_TOKEN_BYTES),
            since: Instant::now(),
        }
    }

    /// A token for a scope. Whoever asks for the same meanwhile shares it.
    ///
    /// # Caveats
    /// The credentials are sent: that the token service may have them is for the caller to see to.
    pub(super) async fn token(
        &self,
        exchange: &Exchange<'_>,
        age: Age,
    ) -> Result<Credentials, FetchError> {
        let key = exchange.key();
        let entry = self.kept.entry(key);
        let now = Instant::now();
        let not_before = NotBefore {
            answer: match age {
                Age::Any => self.since,
                Age::After(asked) => asked,
            },
            ..NotBefore::both(now)
        };
        let mut token = entry.fetch(not_before, |_| exchange.ask()).await?.value;
        if token.ends <= now {
            let fresh = entry.fetch(NotBefore::both(now), |_| exchange.ask());
            token = fresh.await?.value;
        }
        self.kept.set_cost(key, token.text.len());
        Ok(Credentials::Bearer(token.text))
    }
}

impl Exchange<'_> {
    fn key(&self) -> Fingerprint {
        let service = self.bearer.service.as_deref().unwrap_or_default();
        fingerprint(&[
            &self.site.key,
            self.bearer.realm.as_str().as_bytes(),
            service.as_bytes(),
            self.scope.as_str().as_bytes(),
        ])
    }

    async fn ask(&self) -> Result<Token, FetchError> {
        let asked = Instant::now();
        let (credentials, form) = match self.site.credentials() {
            Some(Credentials::Identity(token)) => (None, Some(self.form(token))),
            Some(own @ (Credentials::Basic { .. } | Credentials::Renewed { .. })) => {
                (Some(own.clone()), None)
            }
            _ => (None, None),
        };
        let (url, how) = match &form {
            Some(form) => (self.bearer.realm.clone(), How::Form(form)),
            None => (with_query(self.bearer, self.scope), How::Unmoved),
        };
        let site = self.site.beside(self.bearer.realm.clone(), credentials);
        let ask = Ask {
            part: Part::Token,
            site: &site,
            url: &url,
            validator: None,
            how,
        };
        let head = self.web.send(&ask).await?;
        match head.status() {
            StatusCode::OK => {}
            code @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(denied(&url, code, self.site));
            }
            _ => return Err(self.web.failure(&head)),
        }
        let body = Zeroizing::new(head.into_body().read(TOKEN_BYTES).await?);
        let answer = serde_json::from_slice::<Answer>(&body).ok();
        let unusable = || FetchError::unusable(Part::Token, &url, "it holds no token");
        answer
            .and_then(|answer| answer.token(asked))
            .ok_or_else(unusable)
    }

    fn form(&self, token: &str) -> Zeroizing<String> {
        let mut url = self.bearer.realm.clone();
        url.set_query(None);
        let service = self.bearer.service.as_deref().unwrap_or_default();
        url.query_pairs_mut()
            .append_pair("grant_type", "refresh_token")
            .append_pair("service", service)
            .append_pair("client_id", "charttrust")
            .append_pair("scope", self.scope.as_str())
            .append_pair("refresh_token", token);
        Zeroizing::new(url.query().unwrap_or_default().to_owned())
    }
}

fn with_query(bearer: &Bearer, scope: &Scope) -> Url {
    let mut url = bearer.realm.clone();
    let service = bearer
        .service
        .iter()
        .map(|service| ("service", service.as_str()));
    let scope = ("scope", scope.as_str());
    url.query_pairs_mut().extend_pairs(service.chain([scope]));
    url
}

/// Why nothing is shown, as far as can be told.
pub(super) fn denied(url: &Url, code: StatusCode, site: &Site) -> FetchError {
    FetchError::Denied {
        code: code.as_u16(),
        url: crate::sources::text::redacted(url),
        step: match site.credentials() {
            Some(_) => {
                "the credentials are refused, may not read this repository, or it does not exist"
            }
            None => "the repository asks for credentials (credentialsSecretRef), or does not exist",
        },
    }
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Answer {
    /// A service may call it either way, or both ways at once.
    fn token(self, asked: Instant) -> Option<Token> {
        let texts = [self.token, self.access_token].map(|text| text.map(Zeroizing::new));
        let text = texts.into_iter().flatten().find(|text| !text.is_empty())?;
        let seconds = self.expires_in.unwrap_or(LEAST_LIFE).min(LONGEST_LIFE);
        let life = Duration::from_secs(seconds.saturating_sub(MARGIN));
        Some(Token {
            ends: asked + life,
            text,
        })
    }
}

/// Seconds that a token lives of which nothing is said, by the specification.
const LEAST_LIFE: u64 = 60;
/// Seconds for which a token is used at most, whatever is said of it.
const LONGEST_LIFE: u64 = 3600;
/// Seconds before its end from which on a token is not used any more: requests take their time.
const MARGIN: u64 = 10;
/// Bytes of an answer that are read; tokens have a few thousand.
const TOKEN_BYTES: u64 = 256 * 1024;
/// Tokens kept, one for each repository and identity.
const MOST_TOKENS: usize = 4096;
/// Bytes of all tokens kept. One that is forgotten is asked for again.
const MOST_TOKEN_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Option<(String, u64)> {
        let asked = Instant::now();
        let token = serde_json::from_str::<Answer>(text).ok()?.token(asked)?;
        let life = token.ends - asked;
        Some((token.text.to_string(), life.as_secs()))
    }

    #[test]
    fn answers_of_token_services_are_read() {
        for (text, expected) in [
            (r#"{"token":"a"}"#, Some(("a", 50))),
            (r#"{"access_token":"a","expires_in":300}"#, Some(("a", 290))),
            (
                r#"{"token":"a","access_token":"b","expires_in":5}"#,
                Some(("a", 0)),
            ),
            (
                r#"{"token":"","access_token":"b","issued_at":"x"}"#,
                Some(("b", 50)),
            ),
            (
                r#"{"token":null,"access_token":"b","expires_in":null}"#,
                Some(("b", 50)),
            ),
            (
                r#"{"token":"a","expires_in":99999999999}"#,
                Some(("a", 3590)),
            ),
            (r#"{"token":"a","expires_in":-1}"#, None),
            (r#"{"token":""}"#, None),
            ("{}", None),
            ("a", None),
        ] {
            let expected = expected.map(|(text, life)| (text.to_owned(), life));
            assert_eq!(token(text), expected, "{text}");
        }
    }

    #[test]
    fn a_token_is_asked_for_with_service_and_scope_beside_what_the_realm_has() {
        for (realm, service, expected) in [
            (
                "https://a.example/token",
                Some("a & b"),
                "https://a.example/token?service=a+%26+b&scope=repository%3Ax%2Fy%3Apull",
            ),
            (
                "https://a.example/token?account=z",
                None,
                "https://a.example/token?account=z&scope=repository%3Ax%2Fy%3Apull",
            ),
        ] {
            let bearer = Bearer {
                realm: Url::parse(realm).unwrap(),
                service: service.map(str::to_owned),
            };
            let scope = Scope::pull("x/y");
            assert_eq!(with_query(&bearer, &scope).as_str(), expected);
        }
    }
}
