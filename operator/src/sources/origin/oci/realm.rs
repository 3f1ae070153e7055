//! Whom a registry may send us to for a token.

use reqwest::Url;

use super::name::DOCKER_HUB;
use crate::sources::error::FetchError;
use crate::sources::guard::{AuthHost, Guard, Load, Refused};
use crate::sources::text::redacted;

/// Whether a token may be asked for there, with what would be sent along.
///
/// Without credentials any token service will do that the guard lets us ask. Credentials go to the registry's
/// own origin, and elsewhere only if an administrator has said that it belongs to this registry: the
/// registry's word for it is the word of whoever answers for the registry.
pub(super) fn check(
    guard: &Guard,
    registry: &Url,
    realm: &Url,
    load: Load,
) -> Result<(), FetchError> {
    let refused = |refused| FetchError::Refused {
        url: redacted(realm),
        refused,
    };
    if registry.scheme() == "https" && realm.scheme() == "http" {
        return Err(refused(Refused::Downgrade));
    }
    guard.check(registry, realm, load).map_err(refused)?;
    if load == Load::Nothing || is_paired(realm, registry, guard.auth_hosts()) {
        return Ok(());
    }
    Err(FetchError::Realm {
        realm: redacted(realm),
        url: redacted(registry),
    })
}

fn is_paired(realm: &Url, registry: &Url, named: &[AuthHost]) -> bool {
    let hub = format!("https://{DOCKER_HUB}");
    let origin = |url: &Url| url.origin().ascii_serialization();
    let is_of_docker_hub = origin(registry) == hub && origin(realm) == DOCKER_HUB_TOKENS;
    let is_named = named.iter().any(|pair| pair.covers(registry, realm));
    realm.origin() == registry.origin() || is_of_docker_hub || is_named
}

const DOCKER_HUB_TOKENS: &str = "https://auth.docker.io";

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(registry: &str, realm: &str, load: Load) -> Result<(), String> {
        let named = ["127.0.0.1", "plain.example"].map(|host| host.parse().unwrap());
        let pairs = [
            "registry.example=auth.example",
            "other.example:8443=auth.example:444",
        ];
        let pairs = pairs.map(|pair| pair.parse().unwrap());
        let guard = Guard::new(named.to_vec()).with_auth_hosts(pairs.to_vec());
        let (registry, realm) = (Url::parse(registry).unwrap(), Url::parse(realm).unwrap());
        check(&guard, &registry, &realm, load).map_err(|error| error.to_string())
    }

    const HUB: &str = "https://registry-1.docker.io/";
    const REGISTRY: &str = "https://registry.example/";

    #[test]
    fn credentials_go_to_the_registrys_own_token_service() {
        for (registry, realm) in [
            (REGISTRY, "https://registry.example/any/path/v2/token?x=y"),
            (REGISTRY, "https://REGISTRY.example:443/token"),
            ("https://a.example:8443/", "https://a.example:8443/token"),
            (HUB, "https://auth.docker.io/token"),
            (REGISTRY, "https://auth.example/token"),
            (REGISTRY, "https://auth.example:8443/token"),
            (
                "https://other.example:8443/",
                "https://auth.example:444/token",
            ),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5000/token"),
        ] {
            assert_eq!(
                checked(registry, realm, Load::Credentials),
                Ok(()),
                "{registry} {realm}"
            );
        }
    }

    #[test]
    fn credentials_go_to_no_other() {
        for (registry, realm) in [
            (REGISTRY, "https://evil.example/token"),
            (REGISTRY, "https://registry.example:8443/token"),
            (REGISTRY, "https://registry.example.evil.example/token"),
            (REGISTRY, "https://sub.registry.example/token"),
            (REGISTRY, "https://auth.docker.io/token"),
            (REGISTRY, "https://auth.example.evil.example/"),
            ("https://other.example/", "https://auth.example:444/token"),
            ("https://other.example:8443/", "https://auth.example/token"),
            (HUB, "https://auth.docker.io:8443/token"),
            (HUB, "https://auth.docker.io.evil.example/token"),
            (HUB, "https://index.docker.io/token"),
            ("https://index.docker.io/", "https://auth.docker.io/token"),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5001/token"),
        ] {
            let refused = checked(registry, realm, Load::Credentials).unwrap_err();
            assert!(
                refused.contains("--auth-host"),
                "{registry} {realm}: {refused}"
            );
            assert_eq!(
                checked(registry, realm, Load::Nothing),
                Ok(()),
                "{registry} {realm}"
            );
        }
    }

    #[test]
    fn nothing_is_asked_where_nobody_may_be_asked() {
        for (registry, realm) in [
            (REGISTRY, "http://registry.example/token"),
            (REGISTRY, "http://127.0.0.1/token"),
            ("https://plain.example/", "http://plain.example/token"),
            ("http://127.0.0.1:5000/", "http://plain.example.com/token"),
            (REGISTRY, "https://169.254.169.254/latest/meta-data"),
            (REGISTRY, "https://[fd00:ec2::254]/"),
            (REGISTRY, "https://10.0.0.1/token"),
            (REGISTRY, "https://me:canary@registry.example/token"),
            (REGISTRY, "https://registry.example@evil.example/token"),
            (REGISTRY, "file:///etc/passwd"),
        ] {
            for load in [Load::Credentials, Load::Nothing] {
                let refused = checked(registry, realm, load).unwrap_err();
                assert!(!refused.contains("canary"), "{refused}");
                assert!(!refused.contains("--auth-host"), "{realm}: {refused}");
            }
        }
    }
}
