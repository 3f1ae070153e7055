//! `charttrust key status`: which releases rest on a key, and who must sign anew before it ends. Reads only.

use clap::Args;
use jiff::Timestamp;
use kube::{Api, Client, ResourceExt};
use serde::Serialize;

use crate::api::trusted_key::KeyState;
use crate::api::{ReleaseTrust, TrustedKey};
use crate::cli::asking::Asking;
use crate::cli::cluster::{self, Failure, all};
use crate::cli::leading::checked;
use crate::cli::screen::{Table, plain, say};
use crate::cli::{SCHEMA_VERSION, TRUSTED, UNTRUSTED};
use crate::cli::{signers, status};

/// Tells which releases rest on a key, and must be signed anew before it ends.
///
/// Exit code 0: nothing has to be signed anew; 1: the key ends or has ended, and a release rests on it alone;
/// 2: there is no such key; 3: nobody keeps the verdicts up to date, or the cluster does not answer.
#[derive(Args, Clone, Debug)]
pub struct Status {
    /// Name of the TrustedKey.
    #[arg(value_name = "NAME")]
    pub key: String,
    /// How to ask, and how to print.
    #[command(flatten)]
    pub asking: Asking,
}

/// Runs the command and gives its exit code.
///
/// # Errors
/// If the cluster cannot be asked, or there is no such key.
pub(super) async fn run(arguments: &Status) -> Result<u8, Failure> {
    let client: Client = arguments.asking.connection.client().await?;
    let key = cluster::key(&client, &arguments.key).await?;
    let keys = all(&Api::<TrustedKey>::all(client.clone()), "TrustedKeys").await?;
    let trusts = all(&Api::<ReleaseTrust>::all(client.clone()), "ReleaseTrusts").await?;
    let resting = Resting::of(&key, &keys, &trusts);
    say(&match arguments.asking.output {
        Some(format) => format.write(&resting)?,
        None => resting.text(),
    })?;
    Ok(checked(&client, &arguments.asking.operator, resting.code()).await)
}

/// What rests on a key.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resting {
    schema_version: u32,
    key: String,
    fingerprint: String,
    /// As the operator has found it; absent if it has not read it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<KeyState>,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    successor: Option<String>,
    releases: Vec<Signed>,
}

/// A release with a good signature by the key.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Signed {
    namespace: String,
    release: String,
    chart: String,
    /// Other keys with a good signature of it that may vouch: it need not be signed anew.
    others: Vec<String>,
}

impl Resting {
    /// The releases that a key has signed, and the other keys that vouch for them.
    pub(super) fn of(key: &TrustedKey, keys: &[TrustedKey], trusts: &[ReleaseTrust]) -> Self {
        let signed = trusts
            .iter()
            .filter(|trust| signers(trust).any(|one| is_by(one, key)));
        let releases = signed.map(|trust| {
            let others = keys.iter().filter(|other| {
                !is_by(&other.spec.fingerprint, key)
                    && may_vouch(other)
                    && signers(trust).any(|one| is_by(one, other))
            });
            Signed {
                namespace: trust.namespace().unwrap_or_default(),
                release: trust.name_any(),
                chart: status::chart(trust),
                others: others.map(ResourceExt::name_any).collect(),
            }
        });
        let status = key.status.as_ref();
        Self {
            schema_version: SCHEMA_VERSION,
            key: key.name_any(),
            fingerprint: key.spec.fingerprint.to_ascii_uppercase(),
            state: status.and_then(|status| status.state),
            expires: status
                .and_then(|status| status.expires.as_ref())
                .map(|end| end.0),
            successor: key.spec.successor.clone(),
            releases: releases.collect(),
        }
    }

    /// Those that rest on the key alone.
    pub(super) fn left(&self) -> impl Iterator<Item = &Signed> {
        self.releases.iter().filter(|one| one.others.is_empty())
    }

    /// Whether the key's life ends soon, by somebody's word or by itself.
    fn ends(&self) -> bool {
        match self.state {
            Some(KeyState::Active) | None => false,
            Some(
                KeyState::Compromised
                | KeyState::Expired
                | KeyState::Expiring
                | KeyState::Invalid
                | KeyState::Retiring
                | KeyState::Revoked,
            ) => true,
        }
    }

    fn code(&self) -> u8 {
        if self.ends() && self.left().next().is_some() {
            UNTRUSTED
        } else {
            TRUSTED
        }
    }

    fn text(&self) -> String {
        let state = self
            .state
            .map_or("not read yet".to_owned(), |state| format!("{state:?}"));
        let ends = self
            .expires
            .map_or("never".to_owned(), |end| end.to_string());
        let successor = match &self.successor {
            Some(successor) => format!(", successor {successor}"),
            None => String::new(),
        };
        let left = self.left().count();
        let mut lines = vec![
            format!("Key:      {} ({})", self.key, self.fingerprint),
            format!("State:    {state}, ends {ends}{successor}"),
            format!(
                "Releases: {left} by this key only, {} by others too",
                self.releases.len() - left
            ),
        ];
        if left > 0 && self.ends() {
            lines.push(
                "Next:     sign these anew, with another key that the policy lists".to_owned(),
            );
        }
        let text: String = lines.iter().map(|line| plain(line) + "\n").collect();
        if self.releases.is_empty() {
            return text;
        }
        text + &self.table().to_string()
    }

    /// All of them, first those that rest on it alone.
    pub(super) fn table(&self) -> Table {
        let mut table = Table::new(&["NAMESPACE", "RELEASE", "CHART", "ALSO SIGNED BY"]);
        let alone = self.left();
        let others = self.releases.iter().filter(|one| !one.others.is_empty());
        for one in alone.chain(others) {
            let also = match one.others.as_slice() {
                [] => "-".to_owned(),
                others => others.join(", "),
            };
            table.add([&one.namespace, &one.release, &one.chart, &also]);
        }
        table
    }
}

/// Fingerprints of the good signatures of the archive of a release.
fn signers(trust: &ReleaseTrust) -> impl Iterator<Item = &str> {
    signers::of_archive(trust).map(|signer| signer.fingerprint.as_str())
}

fn is_by(fingerprint: &str, key: &TrustedKey) -> bool {
    key.spec.fingerprint.eq_ignore_ascii_case(fingerprint)
}

/// Whether a key lives on: one that ends too is nothing to rest on.
fn may_vouch(key: &TrustedKey) -> bool {
    let state = key.status.as_ref().and_then(|status| status.state);
    state == Some(KeyState::Active) && key.spec.revocation.is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(name: &str, digit: &str, state: &str) -> TrustedKey {
        serde_json::from_value(json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey", "metadata": {"name": name},
            "spec": {"fingerprint": digit.repeat(40), "publicKey": {"inline": "x"}},
            "status": {"state": state},
        }))
        .unwrap()
    }

    fn trust(name: &str, signers: &[(&str, bool)]) -> ReleaseTrust {
        let signers: Vec<_> = signers
            .iter()
            .map(|(digit, verified)| {
                json!({"fingerprint": digit.repeat(40), "algorithm": "Ed25519/SHA512",
                    "verified": verified})
            })
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust",
            "metadata": {"namespace": "shop", "name": name}, "spec": {},
            "status": {"release": {"revision": 1, "chart": name, "version": "1.0.0", "owner": "Helm",
                "resourceVersion": "1"}, "signers": signers},
        }))
        .unwrap()
    }

    fn resting(state: &str, others: &str) -> Resting {
        let own = key("old", "a", state);
        let keys = [
            own.clone(),
            key("new", "b", others),
            key("third", "c", "Active"),
        ];
        let trusts = [
            trust("alone", &[("a", true)]),
            trust("both", &[("A", true), ("b", true)]),
            trust("claimed", &[("a", false)]),
            trust("other", &[("c", true)]),
        ];
        Resting::of(&own, &keys, &trusts)
    }

    #[test]
    fn who_rests_on_a_key_alone_must_sign_anew() {
        let retiring = resting("Retiring", "Active");
        let names: Vec<_> = retiring
            .releases
            .iter()
            .map(|one| one.release.as_str())
            .collect();
        assert_eq!(names, ["alone", "both"]);
        assert_eq!(retiring.code(), UNTRUSTED);
        let text = retiring.text();
        for part in [
            "State:    Retiring, ends never",
            "Releases: 1 by this key only, 1 by others too",
            "Next:     sign these anew",
            "shop        alone     alone-1.0.0   -",
            "shop        both      both-1.0.0    new",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn whose_other_signer_ends_too_is_not_safe() {
        let names = |one: &Resting| {
            one.left()
                .map(|one| one.release.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&resting("Retiring", "Active")), ["alone"]);
        for state in [
            "Revoked",
            "Compromised",
            "Expired",
            "Expiring",
            "Invalid",
            "Retiring",
        ] {
            assert_eq!(
                names(&resting("Retiring", state)),
                ["alone", "both"],
                "{state}"
            );
        }
    }

    #[test]
    fn a_key_that_lives_on_asks_for_nothing() {
        for (state, code) in [
            ("Active", TRUSTED),
            ("Expiring", UNTRUSTED),
            ("Expired", UNTRUSTED),
            ("Compromised", UNTRUSTED),
        ] {
            assert_eq!(resting(state, "Active").code(), code, "{state}");
        }
        let none = Resting::of(&key("old", "a", "Retiring"), &[], &[]);
        assert_eq!(none.code(), TRUSTED);
        let json = serde_json::to_value(resting("Retiring", "Active")).unwrap();
        assert_eq!(json["schemaVersion"], 1);
        assert_eq!(json["releases"][1]["others"], json!(["new"]));
    }
}
