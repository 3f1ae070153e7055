//! `spec.refresh` → the addresses of copies of a key.

use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use charttrust_verify::openpgp::Fingerprint;

use super::duration;
use crate::api::TrustedKey;

/// Where copies of a key are published, and how often to look.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refresh {
    /// How often.
    pub interval: Duration,
    /// The https addresses to ask, in order, until one has the key.
    pub addresses: Vec<String>,
}

/// Where to look for revocations of a key; `None` if the object does not say, or not usably.
pub fn refresh(object: &TrustedKey) -> Option<Refresh> {
    let named = object.spec.refresh.as_ref()?;
    let interval = duration(&named.interval).ok()?;
    let addresses = match (&named.url, &named.wkd, &named.keyserver) {
        (Some(url), None, None) => vec![url.clone()],
        (None, Some(address), None) => web_key_directory(address)?,
        (None, None, Some(server)) => {
            vec![key_server(server, &object.spec.fingerprint.parse().ok()?)?]
        }
        _ => return None,
    };
    Some(Refresh {
        interval,
        addresses,
    })
}

/// The local part and the domain of a mail address.
pub(super) fn mail_address(text: &str) -> Option<(&str, &str)> {
    let (local, domain) = text.split_once('@')?;
    let is_strange = |c: char| c.is_whitespace() || c.is_control() || "@/?#\\".contains(c);
    let is_part = |part: &str| !part.is_empty() && !part.contains(is_strange);
    (is_part(local) && is_part(domain)).then_some((local, domain))
}

/// First the advanced method, then the direct one
/// (<https://datatracker.ietf.org/doc/draft-koch-openpgp-webkey-service/> section 3.1).
fn web_key_directory(address: &str) -> Option<Vec<String>> {
    let (local, domain) = mail_address(address)?;
    let domain = domain.to_ascii_lowercase();
    let name = hashed(local);
    // The hash is of the lower-case local part, the query has it as it is (section 3.1 of the
    // draft).
    let local = percent_encoded(local);
    let host = domain.split(':').next().unwrap_or_default();
    Some(vec![
        format!("https://openpgpkey.{domain}/.well-known/openpgpkey/{host}/hu/{name}?l={local}"),
        format!("https://{domain}/.well-known/openpgpkey/hu/{name}?l={local}"),
    ])
}

/// <https://datatracker.ietf.org/doc/draft-gallagher-openpgp-hkp/>
fn key_server(server: &str, fingerprint: &Fingerprint) -> Option<String> {
    let host = server.strip_prefix("hkps://")?.trim_end_matches('/');
    Some(format!(
        "https://{host}/pks/lookup?op=get&options=mr&search=0x{fingerprint}"
    ))
}

/// Only the letters A to Z are made small, as the draft says.
fn hashed(local: &str) -> String {
    let lower = local.to_ascii_lowercase();
    z_base_32(digest(&SHA1_FOR_LEGACY_USE_ONLY, lower.as_bytes()).as_ref())
}

/// RFC 6189 section 5.1.6, for whole groups of five bytes.
fn z_base_32(bytes: &[u8]) -> String {
    let groups = bytes.chunks(5).map(|group| {
        let bits = group
            .iter()
            .fold(0, |bits, byte| (bits << 8) | u64::from(*byte));
        (0..8).rev().map(move |place| letter(bits >> (5 * place)))
    });
    groups.flatten().collect()
}

/// The letter for the lowest five bits.
fn letter(bits: u64) -> char {
    // Invariant: five bits are less than the 32 letters.
    char::from(usize::try_from(bits & 31).map_or(0, |place| ALPHABET[place]))
}

const ALPHABET: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";

fn percent_encoded(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::trusted_key as api;

    const FINGERPRINT: &str = "272855be2326d757eeff53968847f310e4f26d44";

    fn addresses(change: impl FnOnce(&mut api::Refresh)) -> Option<Vec<String>> {
        let mut named = api::Refresh {
            interval: "12h".to_owned(),
            url: None,
            wkd: None,
            keyserver: None,
        };
        change(&mut named);
        let spec =
            serde_json::json!({"fingerprint": FINGERPRINT, "publicKey": {}, "refresh": named});
        let object = TrustedKey::new("platform", serde_json::from_value(spec).unwrap());
        let refresh = refresh(&object)?;
        assert_eq!(refresh.interval, Duration::from_secs(12 * 3600));
        Some(refresh.addresses)
    }

    #[test]
    fn a_url_is_asked_as_it_is() {
        let url = "https://example.com/platform.asc?token=x";
        assert_eq!(
            addresses(|named| named.url = Some(url.to_owned())),
            Some(vec![url.to_owned()])
        );
    }

    #[test]
    fn a_mail_address_is_hashed_as_the_draft_does() {
        let draft = "Joe.Doe@Example.ORG";
        let path = "hu/iy9q119eutrkn8s1mk4r39qejnbu3n5q?l=Joe.Doe";
        assert_eq!(
            addresses(|named| named.wkd = Some(draft.to_owned())),
            Some(vec![
                format!("https://openpgpkey.example.org/.well-known/openpgpkey/example.org/{path}"),
                format!("https://example.org/.well-known/openpgpkey/{path}"),
            ])
        );
    }

    #[test]
    fn a_strange_local_part_changes_nothing_but_the_query() {
        let strange = addresses(|named| named.wkd = Some("a&b=%C3é@example.org:8443".to_owned()));
        let strange = strange.unwrap();
        assert!(strange[0].starts_with(
            "https://openpgpkey.example.org:8443/.well-known/openpgpkey/example.org/hu/"
        ));
        assert!(strange[1].starts_with("https://example.org:8443/.well-known/openpgpkey/hu/"));
        assert!(
            strange
                .iter()
                .all(|url| url.ends_with("?l=a%26b%3D%25C3%C3%A9"))
        );
    }

    #[test]
    fn what_is_no_mail_address_is_not_asked() {
        for text in [
            "", "a", "@a", "a@", "a@b@c", "a b@c", "a@b/c", "a@b?c", "a@b\\c", "a@b#c",
        ] {
            assert_eq!(mail_address(text), None, "{text}");
            assert_eq!(
                addresses(|named| named.wkd = Some(text.to_owned())),
                None,
                "{text}"
            );
        }
        assert_eq!(
            mail_address("charts@example.com"),
            Some(("charts", "example.com"))
        );
    }

    #[test]
    fn a_key_server_is_asked_for_the_whole_fingerprint() {
        for server in ["hkps://keys.openpgp.org", "hkps://keys.openpgp.org/"] {
            let lookup = format!(
                "https://keys.openpgp.org/pks/lookup?op=get&options=mr&search=0x{}",
                FINGERPRINT.to_uppercase()
            );
            let asked = addresses(|named| named.keyserver = Some(server.to_owned()));
            assert_eq!(asked, Some(vec![lookup]));
        }
        assert_eq!(
            addresses(|named| named.keyserver = Some("http://keys.example.com".to_owned())),
            None
        );
    }

    #[test]
    fn none_or_several_places_are_not_asked() {
        assert_eq!(addresses(|_| {}), None);
        let several = |named: &mut api::Refresh| {
            named.wkd = Some("a@example.com".to_owned());
            named.keyserver = Some("hkps://keys.openpgp.org".to_owned());
        };
        assert_eq!(addresses(several), None);
    }
}
