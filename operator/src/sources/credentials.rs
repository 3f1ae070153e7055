//! What a source asks for before it answers.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use super::error::FetchError;

/// Credentials of one source, sent to the origin of its configured URL and nowhere else.
///
/// `Debug` shows the kind only. Memory is zeroized on drop.
#[derive(Clone)]
pub enum Credentials {
    /// HTTP Basic, sent at once.
    Basic {
        /// User name.
        username: Zeroizing<String>,
        /// Password.
        password: Zeroizing<String>,
    },
    /// A bearer token, sent at once.
    Bearer(Zeroizing<String>),
    /// What a login to a registry has left: its token service takes it, and nobody else is shown it.
    Identity(Zeroizing<String>),
    /// A bearer token of our own that is renewed now and then, sent at once.
    Renewed {
        /// For whom it is: what was answered for an earlier one is answered for this one.
        audience: String,
        /// The present one.
        token: Zeroizing<String>,
    },
    /// A client certificate, shown to servers that ask for one.
    Tls {
        /// Certificate chain, PEM.
        cert: Vec<u8>,
        /// Private key, PEM.
        key: Zeroizing<Vec<u8>>,
    },
}

impl Credentials {
    /// The `Authorization` header; `None` for a client certificate.
    pub(super) fn header(&self) -> Result<Option<HeaderValue>, FetchError> {
        let text = match self {
            Self::Basic { username, password } => {
                let pair = Zeroizing::new(format!("{}:{}", username.as_str(), password.as_str()));
                Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes())))
            }
            Self::Bearer(token) | Self::Renewed { token, .. } => {
                Zeroizing::new(format!("Bearer {}", token.as_str()))
            }
            Self::Identity(_) => return Err(FetchError::Credentials("identity token")),
            Self::Tls { .. } => return Ok(None),
        };
        let mut header =
            HeaderValue::from_str(&text).map_err(|_| FetchError::Credentials("credentials"))?;
        // Kept out of the index of HTTP/2's header compression and of debug output.
        header.set_sensitive(true);
        Ok(Some(header))
    }

    /// Certificate chain and key in one PEM text; `None` for the other kinds.
    pub(super) fn identity(&self) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Tls { cert, key } => Some(Zeroizing::new([key.as_slice(), b"\n", cert].concat())),
            Self::Basic { .. } | Self::Bearer(_) | Self::Identity(_) | Self::Renewed { .. } => None,
        }
    }

    /// The secret parts, for a fingerprint.
    fn parts(&self) -> [&[u8]; 3] {
        match self {
            Self::Basic { username, password } => {
                [b"basic", username.as_bytes(), password.as_bytes()]
            }
            Self::Bearer(token) => [b"bearer", token.as_bytes(), b""],
            Self::Identity(token) => [b"identity", token.as_bytes(), b""],
            Self::Renewed { audience, .. } => [b"renewed", audience.as_bytes(), b""],
            Self::Tls { cert, key } => [b"tls", cert, key],
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(…)",
            Self::Bearer(_) => "Bearer(…)",
            Self::Identity(_) => "Identity(…)",
            Self::Renewed { .. } => "Renewed(…)",
            Self::Tls { .. } => "Tls(…)",
        })
    }
}

/// Identity of a place or of a fetch: a digest, so that no secret serves as a key of a map.
pub(super) type Fingerprint = [u8; 32];

/// Digest of a list of byte strings; unlike lists never have the same.
pub(super) fn fingerprint(parts: &[&[u8]]) -> Fingerprint {
    let mut context = Context::new(&SHA256);
    for part in parts {
        // With the length before each part, or `a` + `bc` and `ab` + `c` would be one place.
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut fingerprint = Fingerprint::default();
    fingerprint.copy_from_slice(context.finish().as_ref());
    fingerprint
}

/// The parts of optional credentials, for [`fingerprint`].
pub(super) fn parts(credentials: Option<&Credentials>) -> [&[u8]; 3] {
    credentials.map_or([b"none", b"", b""], Credentials::parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(username: &str, password: &str) -> Credentials {
        Credentials::Basic {
            username: username.to_owned().into(),
            password: password.to_owned().into(),
        }
    }

    fn bearer(token: &str) -> Credentials {
        Credentials::Bearer(token.to_owned().into())
    }

    #[test]
    fn headers_have_the_form_of_their_scheme_and_are_sensitive() {
        let header = basic("ada", "pass:word").header().unwrap().unwrap();
        assert_eq!(header, "Basic YWRhOnBhc3M6d29yZA==");
        assert!(header.is_sensitive());
        assert_eq!(bearer("token").header().unwrap().unwrap(), "Bearer token");
    }

    #[test]
    fn a_renewed_token_has_the_identity_of_the_one_before() {
        let renewed = |audience: &str, token: &str| Credentials::Renewed {
            audience: audience.to_owned(),
            token: token.to_owned().into(),
        };
        let (one, next) = (renewed("a", "canary-1"), renewed("a", "canary-2"));
        assert_eq!(one.header().unwrap().unwrap(), "Bearer canary-1");
        assert_eq!(parts(Some(&one)), parts(Some(&next)));
        assert_ne!(parts(Some(&one)), parts(Some(&renewed("b", "canary-1"))));
        assert_ne!(parts(Some(&one)), parts(Some(&bearer("a"))));
        assert_eq!(format!("{one:?}"), "Renewed(…)");
    }

    #[test]
    fn a_token_that_is_no_header_value_is_refused_without_showing_it() {
        let error = bearer("canary\r\nX: y").header().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the credentials of the source cannot be used"
        );
    }

    #[test]
    fn debug_shows_the_kind_only() {
        let tls = Credentials::Tls {
            cert: b"canary".to_vec(),
            key: b"canary".to_vec().into(),
        };
        let shown = format!(
            "{:?} {:?} {:?}",
            basic("canary", "canary"),
            bearer("canary"),
            tls
        );
        assert_eq!(shown, "Basic(…) Bearer(…) Tls(…)");
    }

    #[test]
    fn fingerprints_tell_lists_apart_that_join_alike() {
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
        assert_ne!(fingerprint(&[b"ab"]), fingerprint(&[b"ab", b""]));
        assert_eq!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"ab", b"c"]));
    }
}
