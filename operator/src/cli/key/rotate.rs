//! `charttrust key rotate`: a TrustedKey that ends and names who takes over, and what is to be done before.
//! Reads only.

use charttrust_verify::policy::{Demands, ExpiredKeys, Rule};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use kube::{Api, Client, ResourceExt as _};

use super::rest::{Known, Resting, Who};
use crate::api::trusted_key::KeyState;
use crate::api::{ChartTrustPolicy, ReleaseTrust, TrustedKey};
use crate::cli::cluster::{self, Connection, Failure, all};
use crate::cli::leading::{Operator, checked};
use crate::cli::manifest::manifest;
use crate::cli::revoke::count;
use crate::cli::screen::{plain, say, tell};
use crate::cli::{TRUSTED, UNTRUSTED, program, signers};
use crate::{clock, parse};

/// Prints a TrustedKey with a successor and an end, for kubectl apply, and tells who must sign anew.
///
/// What it has signed until its end stays good, unless a rule says `expiredKeys: Reject`; what is signed later
/// counts no more. The successor is declared before (`key import`), and listed by the same rules.
///
/// Exit code 0: every rule that lists the key lists its successor too; 1: one does not, which is told, and the
/// TrustedKey is printed all the same; 2: the arguments cannot be used; 3: nobody keeps the verdicts up to date,
/// or the cluster does not answer.
#[derive(Args, Clone, Debug)]
pub struct Rotate {
    /// Name of the TrustedKey that ends.
    #[arg(value_name = "OLD")]
    pub old: String,
    /// Name of the TrustedKey that takes over.
    #[arg(long, value_name = "NEW")]
    pub to: String,
    /// When it ends, such as 2027-03-31T00:00Z, or the day 2027-03-31 (in UTC); default: in 90 days, or when it
    /// ends already.
    #[arg(long, value_name = "TIME", value_parser = crate::cli::instant)]
    pub not_after: Option<Timestamp>,
    /// Where the cluster is.
    #[command(flatten)]
    pub connection: Connection,
    /// Where the operator is.
    #[command(flatten)]
    pub operator: Operator,
}

/// Runs the command and gives its exit code.
///
/// # Errors
/// If the cluster cannot be asked, or one of the keys does not exist or cannot be used so.
pub(super) async fn run(arguments: &Rotate) -> Result<u8, Failure> {
    let client: Client = arguments.connection.client().await?;
    let old = cluster::key(&client, &arguments.old).await?;
    let new = cluster::key(&client, &arguments.to).await?;
    may_take_over(&old, &new)?;
    let known = Known::read(&client, &arguments.operator.operator_namespace).await?;
    let policies = Api::<ChartTrustPolicy>::all(client.clone());
    let policies = all(&policies, "ChartTrustPolicies").await?;
    let trusts = all(&Api::<ReleaseTrust>::all(client.clone()), "ReleaseTrusts").await?;
    let now = clock::now();
    let ending = ending(old, &new, arguments.not_after, now);
    say(&manifest("TrustedKey", &ending, &ending.spec))?;
    let left = Left::of(&policies, &ending, &new);
    let resting = Resting::of(Who::Key(&ending), &known, &trusts, now);
    tell(&(left.text(&ending, &new) + &unsigned(&resting, &ending)));
    Ok(checked(&client, &arguments.operator, left.code()).await)
}

/// Whether a key can take over from another.
fn may_take_over(old: &TrustedKey, new: &TrustedKey) -> Result<(), Failure> {
    let (from, to) = (old.name_any(), new.name_any());
    let refused = |why: String| Err(Failure::Asked(why));
    if old
        .spec
        .fingerprint
        .eq_ignore_ascii_case(&new.spec.fingerprint)
    {
        return refused(format!(
            "{from} and {to} are the same key: name another with --to"
        ));
    }
    if is_revoked(old) {
        return refused(format!(
            "{from} is revoked, so that nothing is handed over: sign anew with {to} what `{} key status {from}` lists",
            program()
        ));
    }
    if is_revoked(new) || state(new) == Some(KeyState::Expired) {
        return refused(format!(
            "{to} is revoked or has ended: name another with --to"
        ));
    }
    match &new.spec.successor {
        Some(next) => refused(format!(
            "{to} hands over to {next} itself: name that with --to"
        )),
        None if state(new) == Some(KeyState::Invalid) => refused(format!(
            "{to} cannot be used: kubectl describe tkey {to} tells why"
        )),
        None => Ok(()),
    }
}

fn state(key: &TrustedKey) -> Option<KeyState> {
    key.status.as_ref()?.state
}

fn is_revoked(key: &TrustedKey) -> bool {
    let states = [Some(KeyState::Compromised), Some(KeyState::Revoked)];
    key.spec.revocation.is_some() || states.contains(&state(key))
}

/// The key as it is to be. Whoever names no end extends none.
fn ending(
    mut old: TrustedKey,
    new: &TrustedKey,
    wanted: Option<Timestamp>,
    now: Timestamp,
) -> TrustedKey {
    let known = old.spec.not_after.as_deref();
    let known = known.and_then(|end| parse::timestamp(end).ok());
    let usual = midnight(now.saturating_add(NOTICE).unwrap_or(now));
    let end = wanted.unwrap_or_else(|| known.map_or(usual, |known| known.min(usual)));
    old.spec.not_after = Some(end.to_string());
    old.spec.successor = Some(new.name_any());
    old
}

/// The beginning of a day: a date that people can remember.
fn midnight(at: Timestamp) -> Timestamp {
    let seconds = at.as_second();
    let day = seconds - seconds.rem_euclid(DAY);
    Timestamp::from_second(day).unwrap_or(at)
}

const DAY: i64 = 24 * 3600;
/// From when on the operator warns of a key that ends.
const NOTICE: SignedDuration = SignedDuration::from_hours(90 * 24);

/// What is left to do in policies, by the names of policy and rule.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    /// They list the key and not its successor.
    unlisted: Vec<String>,
    /// What the key has signed is not good there after its end.
    rejecting: Vec<String>,
}

impl Left {
    fn of(policies: &[ChartTrustPolicy], old: &TrustedKey, new: &TrustedKey) -> Self {
        let mut left = Self::default();
        for policy in policies {
            let rules = match parse::policy(policy).policy.demands {
                Demands::Rules(rules) => rules,
                Demands::TrustNobody { .. } => Vec::new(),
            };
            for rule in rules.iter().filter(|rule| signers::list(rule, old)) {
                let name = format!("{}/{}", policy.name_any(), rule.name);
                if rejects(rule) {
                    left.rejecting.push(name.clone());
                }
                if !signers::list(rule, new) {
                    left.unlisted.push(name);
                }
            }
        }
        left
    }

    fn code(&self) -> u8 {
        if self.unlisted.is_empty() {
            TRUSTED
        } else {
            UNTRUSTED
        }
    }

    fn text(&self, old: &TrustedKey, new: &TrustedKey) -> String {
        let (from, to) = (old.name_any(), new.name_any());
        let end = old.spec.not_after.as_deref().unwrap_or_default();
        let first = format!(
            "{from} ends {end}, and {to} takes over: what {from} signs later counts no more"
        );
        let unlisted = self.unlisted.iter().map(|rule| {
            format!("{rule} lists {from} and not {to}: list it, or what {to} signs is SignerNotTrusted there")
        });
        let rejecting = self.rejecting.iter().map(|rule| {
            format!("{rule} has expiredKeys: Reject: what {from} has signed is KeyExpired there after its end")
        });
        let lines = std::iter::once(first).chain(unlisted).chain(rejecting);
        lines.map(|line| plain(&line) + "\n").collect()
    }
}

fn rejects(rule: &Rule) -> bool {
    rule.verify.expired_keys == ExpiredKeys::Reject
}

/// Who must sign anew.
fn unsigned(resting: &Resting, key: &TrustedKey) -> String {
    let alone = resting.left().count();
    let name = plain(&key.name_any());
    let head = match alone {
        0 => return format!("No release rests on {name} alone\n"),
        _ => format!(
            "{} on {name} alone:\n",
            count(alone, "release rests", "releases rest")
        ),
    };
    head + &resting.table().to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-11-29T12:30:00Z";

    fn key(name: &str, digit: &str, more: &Value) -> TrustedKey {
        let mut object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey",
            "metadata": {"name": name, "labels": {"team": "platform"}},
            "spec": {"fingerprint": digit.repeat(40), "publicKey": {"inline": "x"}, "owner": "Platform"},
            "status": {"state": "Active"},
        });
        json_patch::merge(&mut object, more);
        serde_json::from_value(object).unwrap()
    }

    fn old() -> TrustedKey {
        key("old", "a", &json!({}))
    }

    #[test]
    fn only_another_key_that_may_vouch_takes_over() {
        let spec = |more: Value| json!({"spec": more});
        let states = ["Compromised", "Revoked", "Expired", "Invalid"];
        let faulty = states.map(|state| json!({"status": {"state": state}}));
        let revoked = spec(json!({"revocation": {"reason": "Retired"}}));
        for change in faulty.iter().chain([
            &spec(json!({"successor": "third"})),
            &revoked,
            &spec(json!({"fingerprint": "A".repeat(40)})),
        ]) {
            let failure = may_take_over(&old(), &key("new", "b", change)).unwrap_err();
            assert_eq!(failure.code(), crate::cli::USAGE, "{change}");
        }
        let gone = key("old", "a", &revoked);
        assert!(may_take_over(&gone, &key("new", "b", &json!({}))).is_err());
        // One that the operator has not read yet, or that ends soon, may.
        for change in [
            json!({}),
            json!({"status": null}),
            json!({"status": {"state": "Expiring"}}),
        ] {
            assert!(
                may_take_over(&old(), &key("new", "b", &change)).is_ok(),
                "{change}"
            );
        }
    }

    #[test]
    fn the_key_is_printed_as_it_is_with_its_end_and_successor() {
        let now = NOW.parse().unwrap();
        let new = key("new", "b", &json!({}));
        let end = |own: &Value, wanted: Option<&str>| {
            let wanted = wanted.map(|end| end.parse().unwrap());
            let own = key("old", "a", &json!({"spec": own}));
            ending(own, &new, wanted, now).spec.not_after.unwrap()
        };
        let early = json!({"notAfter": "2026-12-24T00:00:00Z"});
        let late = json!({"notAfter": "2030-01-01T00:00:00Z"});
        let (usual, wanted) = ("2027-02-27T00:00:00Z", "2028-01-01T00:00:00Z");
        for (own, asked, expected) in [
            (&json!({}), None, usual),
            (&early, None, "2026-12-24T00:00:00Z"),
            (&late, None, usual),
            (&early, Some(wanted), wanted),
            (&late, Some(wanted), wanted),
        ] {
            assert_eq!(end(own, asked), expected, "{own} {asked:?}");
        }
        let changed = ending(old(), &new, None, now);
        let yaml = manifest("TrustedKey", &changed, &changed.spec);
        let read: TrustedKey = serde_saphyr::from_str(&yaml).unwrap();
        let mut expected = old();
        expected.spec.not_after = Some(usual.to_owned());
        expected.spec.successor = Some("new".to_owned());
        assert_eq!(read.spec, expected.spec, "{yaml}");
        assert_eq!(read.metadata.labels, expected.metadata.labels);
    }

    #[test]
    fn rules_that_would_not_believe_the_successor_are_named() {
        let rule = |name: &str, signers: Value| {
            json!({"name": name, "charts": ["*"], "sources": [{"url": "https://charts.example.com"}],
                "verify": {"signers": signers}})
        };
        let mut rejecting = rule("rejecting", json!({"keys": ["old", "new"]}));
        rejecting["verify"]["expiredKeys"] = json!("Reject");
        let policy = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy", "metadata": {"name": "all"},
            "spec": {"rules": [
                rule("both", json!({"keys": ["old", "new"]})),
                rule("one", json!({"keys": ["old"]})),
                rule("labels", json!({"keySelector": {"matchLabels": {"team": "platform"}}})),
                rule("others", json!({"keys": ["third"]})),
                rejecting,
            ]},
        });
        let policies = [serde_json::from_value(policy).unwrap()];
        let new = key("new", "b", &json!({}));
        let left = Left::of(&policies, &old(), &new);
        assert_eq!(left.unlisted, ["all/one"]);
        assert_eq!(left.rejecting, ["all/rejecting"]);
        assert_eq!(left.code(), UNTRUSTED);
        assert!(
            left.text(&old(), &new)
                .contains("all/one lists old and not new: list it")
        );
        // By its labels it would be another's.
        let other = key(
            "new",
            "b",
            &json!({"metadata": {"labels": {"team": "bank"}}}),
        );
        assert_eq!(
            Left::of(&policies, &old(), &other).unlisted,
            ["all/one", "all/labels"]
        );
        assert_eq!(Left::default().code(), TRUSTED);
    }
}
