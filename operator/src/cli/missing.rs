//! Keys that signatures name and nobody has declared: what is to be asked for, and who wants it. Touches
//! nothing.

use std::collections::BTreeMap;

use kube::ResourceExt as _;

use super::program;
use super::screen::Table;
use crate::api::release_trust::{ReleaseTrustStatus, Signer};
use crate::api::{ReleaseTrust, TrustedKey};

/// The releases that each missing key is said to have signed, by its fingerprint or key ID.
pub(super) fn missing<'a>(
    trusts: &'a [ReleaseTrust],
    keys: &[TrustedKey],
) -> BTreeMap<&'a str, Vec<String>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for trust in trusts {
        let release = format!(
            "{}/{}",
            trust.namespace().unwrap_or_default(),
            trust.name_any()
        );
        for key in trust.status.iter().flat_map(of_release) {
            if !keys.iter().any(|known| is_named(known, key)) {
                all.entry(key).or_default().push(release.clone());
            }
        }
    }
    for releases in all.values_mut() {
        releases.dedup();
    }
    all
}

/// The missing keys of one release. What a signature says of its maker is a claim.
pub(super) fn of_release(status: &ReleaseTrustStatus) -> impl Iterator<Item = &str> {
    let unknown = |one: &&Signer| !one.verified && one.fault.is_none();
    let signers = status.signers.iter().filter(unknown);
    let names = signers.map(|signer| signer.fingerprint.as_str());
    names.filter(|name| !name.is_empty())
}

/// Whether a declared key is the one that is named; one that cannot be used is told by its object.
fn is_named(key: &TrustedKey, named: &str) -> bool {
    let (own, named) = (key.spec.fingerprint.to_uppercase(), named.to_uppercase());
    let by_id = |digits: &str| named.len() == 16 && digits == named;
    let (start, end) = (own.get(..16), own.get(own.len().saturating_sub(16)..));
    own == named || [start, end].into_iter().flatten().any(by_id)
}

/// What is told below a list of verdicts; nothing if no key is missing.
pub(super) fn told(trusts: &[ReleaseTrust], keys: &[TrustedKey]) -> String {
    let all = missing(trusts, keys);
    if all.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["MISSING KEY", "RELEASES THAT IT IS SAID TO HAVE SIGNED"]);
    for (key, releases) in all {
        let shown: Vec<_> = releases.iter().take(SHOWN).cloned().collect();
        let shown = match releases.len().saturating_sub(SHOWN) {
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        };
        table.add([key, &shown]);
    }
    format!("\n{table}{}", advice())
}

/// Most releases that are named for a key.
const SHOWN: usize = 5;

fn advice() -> String {
    format!(
        "Get it from its owner, compare the fingerprint with what the owner says, and declare it:\n\
         {} key import FILE --fingerprint FPR\n",
        program()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trust(name: &str, signers: &[(&str, bool, Option<&str>)]) -> ReleaseTrust {
        let signer = |(key, verified, fault): &(&str, bool, Option<&str>)| {
            let mut signer = json!({"fingerprint": key, "algorithm": "RSA", "verified": verified});
            if let Some(fault) = fault {
                signer["fault"] = json!(fault);
            }
            signer
        };
        let signers: Vec<_> = signers.iter().map(signer).collect();
        serde_json::from_value(json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust",
            "metadata": {"namespace": "shop", "name": name}, "spec": {},
            "status": {"signers": signers},
        }))
        .unwrap()
    }

    fn key(fingerprint: &str) -> TrustedKey {
        serde_json::from_value(json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey", "metadata": {"name": "a"},
            "spec": {"fingerprint": fingerprint, "publicKey": {"inline": "x"}},
        }))
        .unwrap()
    }

    const LONG: &str = "1111222233334444555566667777888899990000";

    #[test]
    fn only_what_nobody_has_declared_is_missing() {
        let trusts = [
            trust("good", &[("AAAA", true, None)]),
            trust("weak", &[("BBBB", false, Some("WeakHash"))]),
            trust("nobody", &[("", false, None)]),
            trust("web", &[("CCCC", false, None), ("CCCC", false, None)]),
            trust("api", &[("CCCC", false, None), (LONG, false, None)]),
        ];
        let all = missing(&trusts, &[]);
        let names: Vec<_> = all.keys().copied().collect();
        assert_eq!(names, [LONG, "CCCC"]);
        assert_eq!(all["CCCC"], ["shop/web", "shop/api"]);
        assert_eq!(missing(&trusts, &[key(LONG)]).len(), 1);
    }

    /// Old signatures name their maker by the key ID: the end of a fingerprint of version 4, the begin of
    /// one of version 6.
    #[test]
    fn a_key_is_known_by_its_key_id() {
        let (end, start) = ("7777888899990000", "1111222233334444");
        for (fingerprint, named, is_known) in [
            (LONG, LONG, true),
            (&LONG.to_lowercase(), LONG, true),
            (LONG, end, true),
            (LONG, start, true),
            (LONG, "99990000", false),
            (LONG, "0000111122223333", false),
        ] {
            assert_eq!(is_named(&key(fingerprint), named), is_known, "{named}");
        }
    }

    #[test]
    fn the_way_on_is_told() {
        let many: Vec<_> = (0..7)
            .map(|n| trust(&format!("r{n}"), &[("CCCC", false, None)]))
            .collect();
        let text = told(&many, &[]);
        for part in [
            "CCCC",
            "shop/r4 and 2 more",
            "key import FILE --fingerprint",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(told(&[trust("good", &[("AAAA", true, None)])], &[]), "");
    }
}
