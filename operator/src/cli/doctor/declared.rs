//! What is declared, and what the operator says of it: keys, policies, their sources, and releases.

use kube::{Api, Client, ResourceExt as _};

use super::refused;
use super::report::{Line, State};
use crate::api::conditions::{
    Condition, ConditionType, KeyCondition, PolicyCondition, ReleaseCondition, Status, find,
};
use crate::api::reasons::{KeyReason, PolicyReason};
use crate::api::{ChartTrustPolicy, ReleaseTrust, TrustedIdentity, TrustedKey};
use crate::cli::cluster::{all, identities};
use crate::cli::leading::unread_for_long;
use crate::cli::program;

/// Everything of ours in the cluster, or why it cannot be read.
#[derive(Debug)]
pub(super) struct Declared {
    keys: Result<Vec<TrustedKey>, String>,
    identities: Result<Vec<TrustedIdentity>, String>,
    policies: Result<Vec<ChartTrustPolicy>, String>,
    trusts: Result<Vec<ReleaseTrust>, String>,
    unread: Result<Vec<String>, String>,
}

impl Declared {
    /// Reads it.
    pub(super) async fn read(client: &Client) -> Self {
        let unread = unread_for_long(client).await;
        let keys = all(&Api::<TrustedKey>::all(client.clone()), "TrustedKeys").await;
        let policies = Api::<ChartTrustPolicy>::all(client.clone());
        let policies = all(&policies, "ChartTrustPolicies").await;
        let trusts = all(&Api::<ReleaseTrust>::all(client.clone()), "ReleaseTrusts").await;
        Self {
            identities: identities(client)
                .await
                .map_err(|failure| refused(&failure)),
            keys: keys.map_err(|failure| refused(&failure)),
            policies: policies.map_err(|failure| refused(&failure)),
            trusts: trusts.map_err(|failure| refused(&failure)),
            unread: unread.map_err(|failure| refused(&failure)),
        }
    }

    /// The policies, if they could be read.
    pub(super) fn policies(&self) -> Option<&[ChartTrustPolicy]> {
        self.policies.as_deref().ok()
    }

    /// What is said of it.
    pub(super) fn told(&self) -> Vec<Line> {
        let mut lines = keys(&self.keys);
        lines.extend(of_identities(&self.identities));
        lines.extend(policies(&self.policies));
        lines.extend(sources(&self.policies, &self.trusts));
        lines.extend(releases(&self.trusts));
        lines.extend(unread(&self.unread));
        lines
    }
}

/// A condition that is not as it should be.
struct Fault {
    condition: Condition,
    state: State,
    /// What its word says is to be done.
    step: String,
}

/// Those of some conditions that stand as said.
fn faults<T: ConditionType>(
    conditions: &[Condition],
    wanted: &[(T, Status, State)],
    step: fn(&str) -> Option<&'static str>,
) -> Vec<Fault> {
    let found = wanted.iter().filter_map(|(type_, status, state)| {
        let condition = find(conditions, *type_)?;
        (condition.status == *status).then(|| Fault {
            condition: condition.clone(),
            state: *state,
            step: step(&condition.reason)
                .unwrap_or("see the message")
                .to_owned(),
        })
    });
    found.collect()
}

fn line(check: &'static str, name: &str, fault: Fault) -> Line {
    let Fault {
        condition,
        state,
        step,
    } = fault;
    let Condition {
        type_,
        reason,
        message,
        ..
    } = condition;
    let status = condition.status;
    let message = format!("{name}: {type_}={status:?}, {reason}: {message}");
    Line::new(check, state, message.trim_end_matches(": "), step)
}

fn key_step(word: &str) -> Option<&'static str> {
    let found = KeyReason::ALL.iter().find(|one| one.word() == word);
    found.map(|one| one.step())
}

fn policy_step(word: &str) -> Option<&'static str> {
    let found = PolicyReason::ALL.iter().find(|one| one.word() == word);
    found.map(|one| one.step())
}

fn keys(found: &Result<Vec<TrustedKey>, String>) -> Vec<Line> {
    const CHECK: &str = "keys";
    let all = match found {
        Err(why) => return vec![Line::unknown(CHECK, "keys", why)],
        Ok(all) => all,
    };
    // A key that was revoked on purpose is no fault of the installation.
    let wanted = [
        (KeyCondition::Ready, Status::False, State::Failed),
        (KeyCondition::Stalled, Status::True, State::Failed),
        (KeyCondition::Expiring, Status::True, State::Warning),
        (KeyCondition::Refreshed, Status::False, State::Warning),
    ];
    let mut lines = Vec::new();
    for key in all {
        let conditions = key.status.as_ref().map(|status| &status.conditions);
        let conditions = conditions.map_or(&[][..], Vec::as_slice);
        let mut found = faults(conditions, &wanted, key_step);
        // Not ready is why it is stalled.
        found.truncate(1);
        let name = format!("TrustedKey {}", key.name_any());
        lines.extend(found.into_iter().map(|fault| line(CHECK, &name, fault)));
    }
    if lines.is_empty() {
        let message = match all.len() {
            0 => "none is declared: only pins can give trust".to_owned(),
            number => format!("{number} declared, all usable or revoked"),
        };
        lines.push(Line::ok(CHECK, message));
    }
    lines
}

/// Identities; nothing where none is declared, which is no fault.
fn of_identities(found: &Result<Vec<TrustedIdentity>, String>) -> Vec<Line> {
    const CHECK: &str = "identities";
    let all = match found {
        Err(why) => return vec![Line::unknown(CHECK, "identities", why)],
        Ok(all) if all.is_empty() => return Vec::new(),
        Ok(all) => all,
    };
    let wanted = [
        (KeyCondition::Ready, Status::False, State::Failed),
        (KeyCondition::Ready, Status::Unknown, State::Failed),
        (KeyCondition::Expiring, Status::True, State::Warning),
    ];
    let mut lines = Vec::new();
    for identity in all {
        let status = identity.status.as_ref();
        let conditions = status.map_or(&[][..], |status| &status.conditions);
        let name = format!("TrustedIdentity {}", identity.name_any());
        let found = faults(conditions, &wanted, key_step).into_iter().next();
        let is_untold = find(conditions, KeyCondition::Valid)
            .is_some_and(|valid| valid.reason == KeyReason::CallerNotTold.word());
        let untold = is_untold.then(|| {
            let message = format!("{name}: every caller of its workflow counts");
            Line::new(
                CHECK,
                State::Warning,
                message,
                KeyReason::CallerNotTold.step(),
            )
        });
        let found = found.map(|fault| line(CHECK, &name, fault));
        lines.extend(found.or(untold));
    }
    if lines.is_empty() {
        let message = format!("{} declared, all usable or revoked", all.len());
        lines.push(Line::ok(CHECK, message));
    }
    lines
}

fn policies(found: &Result<Vec<ChartTrustPolicy>, String>) -> Vec<Line> {
    const CHECK: &str = "policies";
    let all = match found {
        Err(why) => return vec![Line::unknown(CHECK, "policies", why)],
        Ok(all) => all,
    };
    if all.is_empty() {
        return vec![Line::new(
            CHECK,
            State::Warning,
            "there is none, so every verdict is NoPolicy",
            format!("{} policy init > policy.yaml", program()),
        )];
    }
    let wanted = [
        (PolicyCondition::Ready, Status::False, State::Failed),
        (PolicyCondition::KeysResolved, Status::False, State::Failed),
        (PolicyCondition::WebhookReady, Status::False, State::Failed),
        (
            PolicyCondition::QuarantineStopped,
            Status::True,
            State::Failed,
        ),
        (
            PolicyCondition::ExceptionExpiring,
            Status::True,
            State::Warning,
        ),
    ];
    let mut lines = Vec::new();
    for policy in all {
        let name = format!("ChartTrustPolicy {}", policy.name_any());
        let found = faults(conditions(policy), &wanted, policy_step);
        lines.extend(found.into_iter().map(|fault| line(CHECK, &name, fault)));
        if policy.spec.suspend {
            lines.push(Line::new(
                CHECK,
                State::Warning,
                format!("{name} is suspended: it asks no source, tells and contains nothing"),
                "set spec.suspend: false when that is over",
            ));
        }
    }
    if lines.is_empty() {
        lines.push(Line::ok(
            CHECK,
            format!("{} declared, all usable", all.len()),
        ));
    }
    lines
}

fn conditions(policy: &ChartTrustPolicy) -> &[Condition] {
    let status = policy.status.as_ref();
    status.map_or(&[][..], |status| &status.conditions)
}

/// The operator has asked them; nothing is asked here.
fn sources(
    policies: &Result<Vec<ChartTrustPolicy>, String>,
    trusts: &Result<Vec<ReleaseTrust>, String>,
) -> Vec<Line> {
    const CHECK: &str = "sources";
    let all = match policies {
        Err(why) => return vec![Line::unknown(CHECK, "whether sources answer", why)],
        Ok(all) => all,
    };
    let wanted = [
        (
            PolicyCondition::SourcesReachable,
            Status::False,
            State::Failed,
        ),
        (
            PolicyCondition::SourcesReachable,
            Status::Unknown,
            State::Unknown,
        ),
    ];
    let mut lines = Vec::new();
    for policy in all {
        let name = format!("ChartTrustPolicy {}", policy.name_any());
        let found = faults(conditions(policy), &wanted, policy_step);
        lines.extend(found.into_iter().map(|fault| line(CHECK, &name, fault)));
    }
    let old = trusts.iter().flatten().filter(|trust| is_old(trust));
    let old: Vec<_> = old.map(release).collect();
    if !old.is_empty() {
        let message = format!(
            "looks have failed for two intervals about {}: their verdicts stand as they were",
            some(&old)
        );
        let next = format!("{} why RELEASE tells what the source answers", program());
        lines.push(Line::new(CHECK, State::Failed, message, next));
    }
    if lines.is_empty() && !all.is_empty() {
        lines.push(Line::ok(CHECK, "all that were asked have answered"));
    }
    lines
}

fn is_old(trust: &ReleaseTrust) -> bool {
    let conditions = trust.status.as_ref().map(|status| &status.conditions);
    let fresh = conditions.and_then(|all| find(all, ReleaseCondition::Fresh));
    fresh.is_some_and(|fresh| fresh.status == Status::False)
}

fn release(trust: &ReleaseTrust) -> String {
    let namespace = trust.namespace().unwrap_or_default();
    format!("{namespace}/{}", trust.name_any())
}

fn some(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(SHOWN).cloned().collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Most names in one line.
const SHOWN: usize = 4;

fn releases(found: &Result<Vec<ReleaseTrust>, String>) -> Vec<Line> {
    const CHECK: &str = "releases";
    let all = match found {
        Err(why) => return vec![Line::unknown(CHECK, "releases", why)],
        Ok(all) => all,
    };
    let judged = |trust: &&ReleaseTrust| trust.verdict().is_some();
    let number = all.iter().filter(judged).count();
    vec![if all.is_empty() {
        Line::new(
            CHECK,
            State::Warning,
            "no release is known",
            "helm list -A: if it lists any, look at the operator's rights and log",
        )
    } else if number < all.len() {
        let waiting = all.len() - number;
        Line::new(
            CHECK,
            State::Unknown,
            format!("{waiting} of {} were not judged yet", all.len()),
            "wait a moment, and run this again",
        )
    } else {
        let message = format!("{number} are judged: {} status lists them", program());
        Line::ok(CHECK, message)
    }]
}

/// What was declared and not read: whoever leads does not do its work.
fn unread(found: &Result<Vec<String>, String>) -> Vec<Line> {
    const CHECK: &str = "up to date";
    match found {
        Err(why) => vec![Line::unknown(
            CHECK,
            "whether keys and policies were read",
            why,
        )],
        Ok(all) if all.is_empty() => {
            vec![Line::ok(CHECK, "keys and policies are read as they stand")]
        }
        Ok(all) => {
            let next = "look at the lines about leader and rights, and at the operator's log";
            let line = |one: &String| Line::new(CHECK, State::Failed, one.clone(), next);
            all.iter().map(line).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn condition(type_: &str, status: &str, reason: &str) -> Value {
        json!({"type": type_, "status": status, "reason": reason, "message": "said",
            "observedGeneration": 1, "lastTransitionTime": "2026-11-18T10:00:00Z"})
    }

    fn key(conditions: &[Value]) -> TrustedKey {
        serde_json::from_value(json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey",
            "metadata": {"name": "platform"},
            "spec": {"fingerprint": "0".repeat(40), "publicKey": {"inline": "x"}},
            "status": {"conditions": conditions},
        }))
        .unwrap()
    }

    fn policy(spec: &Value, conditions: &[Value]) -> ChartTrustPolicy {
        let mut object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
            "metadata": {"name": "all"},
            "spec": {"rules": [{"name": "all", "charts": ["*"]}]},
            "status": {"conditions": conditions},
        });
        json_patch::merge(&mut object["spec"], spec);
        serde_json::from_value(object).unwrap()
    }

    fn trust(conditions: &[Value]) -> ReleaseTrust {
        serde_json::from_value(json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust",
            "metadata": {"namespace": "shop", "name": "web"}, "spec": {},
            "status": {"conditions": conditions},
        }))
        .unwrap()
    }

    fn states(lines: &[Line]) -> Vec<State> {
        lines.iter().map(|line| line.state).collect()
    }

    #[test]
    fn a_key_that_cannot_be_used_is_a_fault_and_one_that_is_revoked_is_none() {
        let of = |conditions: &[Value]| keys(&Ok(vec![key(conditions)]));
        let ready = condition("Ready", "True", "Accepted");
        assert_eq!(states(&of(std::slice::from_ref(&ready))), [State::Ok]);
        let revoked = condition("Revoked", "True", "Compromised");
        assert_eq!(states(&of(&[ready.clone(), revoked])), [State::Ok]);
        let expiring = condition("Expiring", "True", "ExpiresIn30Days");
        assert_eq!(states(&of(&[ready, expiring])), [State::Warning]);
        let missing = condition("Ready", "False", "MaterialMissing");
        let stalled = condition("Stalled", "True", "MaterialMissing");
        let lines = of(&[missing, stalled]);
        assert_eq!(states(&lines), [State::Failed]);
        assert_eq!(
            lines[0].message,
            "TrustedKey platform: Ready=False, MaterialMissing: said"
        );
        assert_eq!(lines[0].next.as_deref(), Some("Create it there."));
        assert_eq!(states(&keys(&Ok(Vec::new()))), [State::Ok]);
        assert_eq!(states(&keys(&Err("no".to_owned()))), [State::Unknown]);
    }

    #[test]
    fn what_policies_say_of_themselves_is_told() {
        let of = |spec: Value, conditions: &[Value]| policies(&Ok(vec![policy(&spec, conditions)]));
        assert_eq!(states(&of(json!({}), &[])), [State::Ok]);
        for (conditions, state) in [
            (condition("Ready", "False", "InvalidSpec"), State::Failed),
            (
                condition("KeysResolved", "False", "KeysUnresolved"),
                State::Failed,
            ),
            (
                condition("QuarantineStopped", "True", "LimitReached"),
                State::Failed,
            ),
            (
                condition("ExceptionExpiring", "True", "ExceptionExpiresSoon"),
                State::Warning,
            ),
        ] {
            let lines = of(json!({}), &[conditions]);
            assert_eq!(states(&lines), [state], "{lines:?}");
        }
        assert_eq!(states(&of(json!({"suspend": true}), &[])), [State::Warning]);
        let none = policies(&Ok(Vec::new()));
        assert_eq!(states(&none), [State::Warning]);
        assert!(none[0].next.as_ref().unwrap().contains("policy init"));
    }

    #[test]
    fn sources_are_as_the_operator_has_found_them() {
        let of = |conditions: &[Value], trusts: Vec<ReleaseTrust>| {
            sources(&Ok(vec![policy(&json!({}), conditions)]), &Ok(trusts))
        };
        let reachable = |status| condition("SourcesReachable", status, "AllReachable");
        assert_eq!(states(&of(&[reachable("True")], Vec::new())), [State::Ok]);
        assert_eq!(
            states(&of(&[reachable("False")], Vec::new())),
            [State::Failed]
        );
        assert_eq!(
            states(&of(&[reachable("Unknown")], Vec::new())),
            [State::Unknown]
        );
        let old = trust(&[condition("Fresh", "False", "LookFailed")]);
        let lines = of(&[reachable("True")], vec![old]);
        assert_eq!(states(&lines), [State::Failed]);
        assert!(lines[0].message.contains("about shop/web"), "{lines:?}");
        assert!(sources(&Ok(Vec::new()), &Ok(Vec::new())).is_empty());
    }

    #[test]
    fn releases_that_nobody_has_judged_are_no_success() {
        let judged = || trust(&[condition("Trusted", "False", "Unsigned")]);
        assert_eq!(states(&releases(&Ok(vec![judged()]))), [State::Ok]);
        let waiting = releases(&Ok(vec![judged(), trust(&[])]));
        assert_eq!(states(&waiting), [State::Unknown]);
        assert!(waiting[0].message.contains("1 of 2"), "{waiting:?}");
        assert_eq!(states(&releases(&Ok(Vec::new()))), [State::Warning]);
        assert_eq!(states(&unread(&Ok(vec!["x".to_owned()]))), [State::Failed]);
        assert_eq!(states(&unread(&Ok(Vec::new()))), [State::Ok]);
    }
}
