//! `charttrust key status`: which releases rest on a key or an identity, and who must sign anew before it ends. Reads
//! only.

use clap::Args;
use jiff::Timestamp;
use kube::{Api, Client, ResourceExt};
use serde::Serialize;

use crate::api::trusted_key::{KeyState, KeyType};
use crate::api::{ReleaseTrust, TrustedKey};
use crate::cli::asking::Asking;
use crate::cli::cluster::{self, Failure, all};
use crate::cli::leading::checked;
use crate::cli::revoke;
use crate::cli::screen::{Table, plain, say};
use crate::cli::sigstore::{self, Declared, Signature};
use crate::cli::{SCHEMA_VERSION, TRUSTED, UNTRUSTED};
use crate::cli::{signers, status};
use crate::clock;
use crate::controllers::stated;

/// Tells which releases rest on a key or an identity, and must be signed anew before it ends.
///
/// Exit code 0: nothing has to be signed anew; 1: it ends or has ended, or a signature by it is void, and a release
/// rests on it alone; 2: there is no such key or identity; 3: nobody keeps the verdicts up to date, or the cluster
/// does not answer.
#[derive(Args, Clone, Debug)]
pub struct Status {
    /// Name of the TrustedKey, or its fingerprint.
    #[arg(value_name = "NAME", required_unless_present = "identity")]
    pub key: Option<String>,
    /// A TrustedIdentity instead.
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    pub identity: Option<String>,
    /// How to ask, and how to print.
    #[command(flatten)]
    pub asking: Asking,
}

/// Runs the command and gives its exit code.
///
/// # Errors
/// If the cluster cannot be asked, or there is no such key or identity.
pub(super) async fn run(arguments: &Status) -> Result<u8, Failure> {
    let client: Client = arguments.asking.connection.client().await?;
    let named = match (&arguments.identity, &arguments.key) {
        (Some(identity), _) => {
            Named::Identity(cluster::identity(&client, identity).await?.name_any())
        }
        (None, key) => {
            let key = cluster::key_of(&client, key.as_deref().unwrap_or_default()).await?;
            Named::Key(Box::new(key))
        }
    };
    let known = Known::read(&client, &arguments.asking.operator.operator_namespace).await?;
    let trusts = all(&Api::<ReleaseTrust>::all(client.clone()), "ReleaseTrusts").await?;
    let who = match &named {
        Named::Key(key) => Who::Key(key),
        Named::Identity(name) => known.identity(name)?,
    };
    let resting = Resting::of(who, &known, &trusts, clock::now());
    say(&match arguments.asking.output {
        Some(format) => format.write(&resting)?,
        None => resting.text(),
    })?;
    Ok(checked(&client, &arguments.asking.operator, resting.code()).await)
}

/// Whom somebody asks about.
enum Named {
    Identity(String),
    Key(Box<TrustedKey>),
}

/// Everybody who may vouch.
#[derive(Debug, Default)]
pub(in crate::cli) struct Known {
    pub(in crate::cli) keys: Vec<TrustedKey>,
    pub(in crate::cli) identities: Vec<Declared>,
}

impl Known {
    /// Reads them.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub(super) async fn read(client: &Client, namespace: &str) -> Result<Self, Failure> {
        Ok(Self {
            keys: all(&Api::<TrustedKey>::all(client.clone()), "TrustedKeys").await?,
            identities: sigstore::identities(client, namespace).await?,
        })
    }

    fn identity(&self, name: &str) -> Result<Who<'_>, Failure> {
        let mut all = self.identities.iter();
        let found = all.find(|one| one.name() == name).map(Who::Identity);
        found.ok_or_else(|| Failure::Asked(format!("TrustedIdentity {name} was deleted meanwhile")))
    }

    /// Each of them.
    pub(in crate::cli) fn all(&self) -> impl Iterator<Item = Who<'_>> {
        let keys = self.keys.iter().map(Who::Key);
        keys.chain(self.identities.iter().map(Who::Identity))
    }
}

/// A signer.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) enum Who<'a> {
    Identity(&'a Declared),
    Key(&'a TrustedKey),
}

impl Who<'_> {
    /// The name of its object.
    pub(in crate::cli) fn name(self) -> String {
        match self {
            Self::Identity(one) => one.name(),
            Self::Key(key) => key.name_any(),
        }
    }

    /// As the operator has found it; `None` if it has not read it yet.
    pub(in crate::cli) fn state(self) -> Option<KeyState> {
        match self {
            Self::Identity(one) => one.object.status.as_ref()?.state,
            Self::Key(key) => key.status.as_ref()?.state,
        }
    }

    /// When it ends; `None` is never.
    pub(in crate::cli) fn expires(self) -> Option<Timestamp> {
        let end = match self {
            Self::Identity(one) => one.object.status.as_ref()?.expires.as_ref(),
            Self::Key(key) => key.status.as_ref()?.expires.as_ref(),
        };
        end.map(|end| end.0)
    }

    /// Whether both are one signer for thresholds.
    fn is(self, other: Who<'_>) -> bool {
        match (self, other) {
            (Self::Identity(one), Who::Identity(other)) => one.name() == other.name(),
            (Self::Key(one), Who::Key(other)) => is_by(&one.spec.fingerprint, other),
            (Self::Identity(_), Who::Key(_)) | (Self::Key(_), Who::Identity(_)) => false,
        }
    }

    /// Whether it lives on: one that ends too is nothing to rest on.
    fn may_vouch(self) -> bool {
        let is_revoked = match self {
            // Of an identity each signature shows whether it is void.
            Self::Identity(_) => false,
            Self::Key(key) => key.spec.revocation.is_some(),
        };
        self.state() == Some(KeyState::Active) && !is_revoked
    }

    /// Whether its signatures are those of Sigstore, whose time somebody proves.
    fn is_of_sigstore(self) -> bool {
        match self {
            Self::Identity(_) => true,
            Self::Key(key) => key.spec.key_type == KeyType::PublicKey,
        }
    }
}

/// A signature by somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Made {
    /// When it is proven to have existed, of Sigstore.
    proven: Option<Timestamp>,
    /// Who it is by, as its certificate says.
    subject: Option<String>,
    /// Why it is void.
    void: Option<String>,
}

/// The signatures of one release by one signer that hold and are about its archive.
fn made(trust: &ReleaseTrust, by: Who<'_>, now: Timestamp) -> Vec<Made> {
    if let Who::Key(key) = by
        && key.spec.key_type == KeyType::OpenPGP
    {
        let own = signers::of_archive(trust).filter(|one| is_by(&one.fingerprint, key));
        return own.map(|_| Made::default()).collect();
    }
    if !has_bundles(trust) {
        return Vec::new();
    }
    let content = trust.status.as_ref().and_then(stated);
    let signatures = content.iter().flat_map(sigstore::signatures);
    let is_own = |one: &Signature<'_>| match by {
        Who::Identity(identity) => identity.has_made(one.verified),
        Who::Key(key) => one.is_by_key(&key.spec.fingerprint),
    };
    let own = signatures.filter(is_own).map(|one| Made {
        proven: one.verified.proven(),
        subject: one.verified.identity().map(|it| it.subject.clone()),
        void: match by {
            Who::Identity(identity) => identity.voids(&one, now).map(|why| why.to_string()),
            Who::Key(_) => None,
        },
    });
    own.collect()
}

/// Whether anybody has looked for Sigstore signatures of a release: reading evidence takes time.
fn has_bundles(trust: &ReleaseTrust) -> bool {
    let evidence = trust.status.iter().flat_map(|status| &status.evidence);
    let mut sources = evidence.flat_map(|evidence| &evidence.sources);
    sources.any(|source| source.bundles.is_some())
}

/// What rests on a key or an identity.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Resting {
    schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// Who it has to be, exactly or as a glob.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// As the operator has found it; absent if it has not read it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<KeyState>,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    successor: Option<String>,
    /// What of an identity is void, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    void: Option<String>,
    releases: Vec<Signed>,
    #[serde(skip)]
    is_of_sigstore: bool,
}

/// A release with a good signature by it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Signed {
    pub(in crate::cli) namespace: String,
    pub(in crate::cli) release: String,
    chart: String,
    /// When a signature is proven to have existed, of Sigstore.
    #[serde(skip_serializing_if = "Option::is_none")]
    proven: Option<Timestamp>,
    /// Who it is by, as its certificate says.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// Why every signature by it is void.
    #[serde(skip_serializing_if = "Option::is_none")]
    void: Option<String>,
    /// Others with a good signature of it that may vouch: it need not be signed anew.
    pub(in crate::cli) others: Vec<String>,
}

impl Signed {
    /// The signatures of a release by somebody, and who else vouches for it; `None` if there is none.
    pub(in crate::cli) fn of(
        trust: &ReleaseTrust,
        who: Who<'_>,
        known: &Known,
        now: Timestamp,
    ) -> Option<Self> {
        let own = made(trust, who, now);
        // One that counts stands for all.
        let best = own
            .iter()
            .find(|one| one.void.is_none())
            .or(own.first())?
            .clone();
        let others = known.all().filter(|other| {
            let counts = || {
                made(trust, *other, now)
                    .iter()
                    .any(|one| one.void.is_none())
            };
            !other.is(who) && other.may_vouch() && counts()
        });
        Some(Self {
            namespace: trust.namespace().unwrap_or_default(),
            release: trust.name_any(),
            chart: status::chart(trust),
            proven: best.proven,
            subject: best.subject,
            void: best.void,
            others: others.map(Who::name).collect(),
        })
    }
}

impl Resting {
    /// The releases that somebody has signed, and the others who vouch for them.
    pub(super) fn of(who: Who<'_>, known: &Known, trusts: &[ReleaseTrust], now: Timestamp) -> Self {
        let releases = trusts
            .iter()
            .filter_map(|trust| Signed::of(trust, who, known, now));
        let about = Self {
            schema_version: SCHEMA_VERSION,
            key: None,
            fingerprint: None,
            identity: None,
            issuer: None,
            subject: None,
            state: who.state(),
            expires: who.expires(),
            successor: None,
            void: None,
            releases: releases.collect(),
            is_of_sigstore: who.is_of_sigstore(),
        };
        match who {
            Who::Key(key) => Self {
                key: Some(key.name_any()),
                fingerprint: Some(shown(&key.spec.fingerprint)),
                successor: key.spec.successor.clone(),
                ..about
            },
            Who::Identity(one) => Self {
                identity: Some(one.name()),
                issuer: Some(one.object.spec.issuer.clone()),
                subject: Some(revoke::identity::subject(&one.object)),
                successor: one.object.spec.successor.clone(),
                void: one
                    .object
                    .spec
                    .revocation
                    .as_ref()
                    .map(revoke::identity::limits),
                ..about
            },
        }
    }

    /// Those that rest on it alone.
    pub(super) fn left(&self) -> impl Iterator<Item = &Signed> {
        self.releases.iter().filter(|one| one.others.is_empty())
    }

    /// Whether its life ends soon, by somebody's word or by itself.
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

    /// How many releases have to be signed anew.
    fn due(&self) -> usize {
        let ends = self.ends();
        self.left().filter(|one| ends || one.void.is_some()).count()
    }

    fn code(&self) -> u8 {
        if self.due() > 0 { UNTRUSTED } else { TRUSTED }
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
        let (own, next) = match &self.identity {
            Some(_) => ("identity", "by another signer"),
            None => ("key", "with another key"),
        };
        let mut lines = self.head();
        lines.extend([
            format!("State:    {state}, ends {ends}{successor}"),
            format!(
                "Releases: {left} by this {own} only, {} by others too",
                self.releases.len() - left
            ),
        ]);
        match self.due() {
            0 => {}
            _ if self.ends() => {
                lines.push(format!(
                    "Next:     sign these anew, {next} that the policy lists"
                ));
            }
            _ => lines.push("Next:     sign anew what is void".to_owned()),
        }
        let text: String = lines.iter().map(|line| plain(line) + "\n").collect();
        if self.releases.is_empty() {
            return text;
        }
        text + &self.table().to_string()
    }

    fn head(&self) -> Vec<String> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut head = match &self.identity {
            Some(name) => vec![
                format!("Identity: {name} ({})", text(&self.subject)),
                format!("Issuer:   {}", text(&self.issuer)),
            ],
            None => vec![format!(
                "Key:      {} ({})",
                text(&self.key),
                text(&self.fingerprint)
            )],
        };
        head.extend(self.void.iter().map(|void| format!("Void:     {void}")));
        head
    }

    /// All of them, first those that rest on it alone.
    pub(super) fn table(&self) -> Table {
        let alone = self.left();
        let others = self.releases.iter().filter(|one| !one.others.is_empty());
        let rows = alone.chain(others).map(|one| {
            let also = match one.others.as_slice() {
                [] => "-".to_owned(),
                others => others.join(", "),
            };
            (one, also)
        });
        if !self.is_of_sigstore {
            let mut table = Table::new(&["NAMESPACE", "RELEASE", "CHART", "ALSO SIGNED BY"]);
            rows.for_each(|(one, also)| {
                table.add([&one.namespace, &one.release, &one.chart, &also]);
            });
            return table;
        }
        let headings = [
            "NAMESPACE",
            "RELEASE",
            "CHART",
            "PROVEN",
            "VOID",
            "ALSO SIGNED BY",
        ];
        let mut table = Table::new(&headings);
        for (one, also) in rows {
            let proven = one.proven.map_or("no".to_owned(), |at| at.to_string());
            let void = if one.void.is_some() { "yes" } else { "no" };
            table.add([
                &one.namespace,
                &one.release,
                &one.chart,
                &proven,
                void,
                &also,
            ]);
        }
        table
    }
}

/// As people write it: that of OpenPGP in capitals.
pub(in crate::cli) fn shown(fingerprint: &str) -> String {
    match fingerprint.split_once(':') {
        Some(_) => fingerprint.to_owned(),
        None => fingerprint.to_ascii_uppercase(),
    }
}

fn is_by(fingerprint: &str, key: &TrustedKey) -> bool {
    key.spec.fingerprint.eq_ignore_ascii_case(fingerprint)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::sigstore::tests::{
        ISSUER, SUBJECT, attested, by, by_key, identity, now, signed, trust as bundled, window,
    };

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
        let known = Known {
            keys: vec![
                own.clone(),
                key("new", "b", others),
                key("third", "c", "Active"),
            ],
            identities: Vec::new(),
        };
        let trusts = [
            trust("alone", &[("a", true)]),
            trust("both", &[("A", true), ("b", true)]),
            trust("claimed", &[("a", false)]),
            trust("other", &[("c", true)]),
        ];
        Resting::of(Who::Key(&own), &known, &trusts, now())
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
        let none = Resting::of(
            Who::Key(&key("old", "a", "Retiring")),
            &Known::default(),
            &[],
            now(),
        );
        assert_eq!(none.code(), TRUSTED);
        let json = serde_json::to_value(resting("Retiring", "Active")).unwrap();
        assert_eq!(json["schemaVersion"], 1);
        assert_eq!(json["releases"][1]["others"], json!(["new"]));
    }

    /// What rests on the identity `release`, which is so, with a key beside it.
    fn of_identity(changes: &serde_json::Value) -> Resting {
        let mut key = key("board", "b", "Active");
        key.spec.key_type = KeyType::PublicKey;
        let (by_board, fingerprint) = by_key("b");
        key.spec.fingerprint = fingerprint;
        let known = Known {
            keys: vec![key],
            identities: vec![identity("release", changes)],
        };
        let trusts = [
            bundled("alone", &[signed(by(SUBJECT))]),
            bundled("both", &[signed(by(SUBJECT)), signed(by_board)]),
            bundled("attested", &[attested(by(SUBJECT))]),
            bundled("other", &[signed(by("another@example.com"))]),
        ];
        let who = known.identity("release").unwrap();
        Resting::of(who, &known, &trusts, now())
    }

    #[test]
    fn what_rests_on_an_identity_is_told_as_of_a_key() {
        let active = of_identity(&json!({}));
        let names: Vec<_> = active
            .releases
            .iter()
            .map(|one| one.release.as_str())
            .collect();
        assert_eq!(names, ["alone", "both"], "an attestation is no signature");
        assert_eq!(active.code(), TRUSTED);
        let retiring =
            of_identity(&json!({"spec": {"successor": "next"}, "status": {"state": "Retiring"}}));
        assert_eq!(retiring.code(), UNTRUSTED);
        let text = retiring.text();
        for part in [
            "Identity: release (release@example.com)",
            "Issuer:   https://issuer.example.com",
            "State:    Retiring, ends never, successor next",
            "Releases: 1 by this identity only, 1 by others too",
            "Next:     sign these anew, by another signer that the policy lists",
            "shop        alone     alone-1.0.0   2026-11-02T12:00:00Z   no     -",
            "shop        both      both-1.0.0    2026-11-02T12:00:00Z   no     board",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let json = serde_json::to_value(&retiring).unwrap();
        assert_eq!(json["identity"], "release");
        assert_eq!(
            (&json["issuer"], &json["key"]),
            (&json!(ISSUER), &json!(null))
        );
        assert_eq!(json["releases"][0]["subject"], SUBJECT);
    }

    #[test]
    fn what_is_void_must_be_signed_anew_and_nobody_is_left_for_it() {
        let within = of_identity(&window(11, 13));
        assert_eq!(within.code(), UNTRUSTED);
        let text = within.text();
        for part in [
            "Void:     signed from 2026-11-02T11:00:00Z until 2026-11-02T13:00:00Z",
            "Next:     sign anew what is void",
            "2026-11-02T12:00:00Z   yes    -",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let outside = of_identity(&window(13, 14));
        assert_eq!(outside.code(), TRUSTED);
        assert!(!outside.text().contains("yes"), "{}", outside.text());
        // Whoever is void vouches for no other's.
        for (change, others) in [(window(11, 13), 0), (window(13, 14), 1)] {
            let mut board = key("board", "b", "Active");
            let (by_board, fingerprint) = by_key("b");
            (board.spec.key_type, board.spec.fingerprint) = (KeyType::PublicKey, fingerprint);
            let known = Known {
                keys: vec![board.clone()],
                identities: vec![identity("release", &change)],
            };
            let both = [bundled("both", &[signed(by(SUBJECT)), signed(by_board)])];
            let resting = Resting::of(Who::Key(&board), &known, &both, now());
            assert_eq!(resting.releases[0].others.len(), others, "{change}");
        }
    }
}
