//! What a report tells: plain values, made of what was gathered. Touches nothing.
//!
//! HTML, JSON and CSV are written of these values alone, so that none of them can tell what another does not.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;

use super::gathered::{Gathered, Read};
use super::history::{History, history};
use super::not_checked::{NotChecked, not_checked};
use super::release::{Release, release};
use super::signers::{MissingKey, Signer, missing_keys, signers};
use crate::api::chart_trust_policy::{Coverage, Mode, ReleaseCounts, UnknownCount};
use crate::api::conditions::{PolicyCondition, Status, find};
use crate::api::quarantine::QuarantineState;
use crate::api::quarantine_words::{QuarantineAction, QuarantineCondition};
use crate::api::release_trust::PolicyVerdict;
use crate::api::{ChartTrustPolicy, Quarantine};
use crate::cli::SCHEMA_VERSION;
use crate::cli::coverage::{Standing, counted};

/// Everything that a report tells.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    schema_version: u32,
    pub(super) about: About,
    pub(super) counts: ReleaseCounts,
    pub(super) coverage: Coverage,
    /// By namespace and name.
    pub(super) releases: Vec<Release>,
    /// Keys and identities that may vouch, or might once.
    pub(super) signers: Vec<Signer>,
    /// Keys that signatures name and nobody has declared.
    pub(super) missing_keys: Vec<MissingKey>,
    pub(super) exceptions: Vec<Exception>,
    pub(super) quarantines: Vec<Contained>,
    pub(super) policies: Vec<Policy>,
    pub(super) not_checked: Vec<NotChecked>,
    pub(super) history: History,
}

/// When, by what and of what a report was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct About {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    /// When it was made.
    pub(super) generated: Timestamp,
    /// The version of this program.
    pub(super) version: &'static str,
    /// The namespace that was asked for; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
    /// Where the operator looks for releases; absent: it does not tell, empty: everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) discovered: Option<Vec<String>>,
    /// What was read with the rights of who made it, and what could not be.
    pub(super) reads: Vec<Read>,
    /// Why the verdicts may be old.
    pub(super) doubts: Vec<String>,
}

/// A failure that a policy forgives for a time.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Exception {
    pub(super) policy: String,
    pub(super) name: String,
    /// Globs.
    pub(super) releases: Vec<String>,
    pub(super) reasons: Vec<&'static str>,
    /// As the policy has it: it may be no date.
    pub(super) expires_at: String,
    /// Absent if it is no date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expired: Option<bool>,
    pub(super) justification: String,
    /// The releases that it forgives now.
    pub(super) forgives: Vec<String>,
}

/// A Quarantine.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "as the JSON calls it")]
pub(super) struct Contained {
    pub(super) namespace: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<QuarantineState>,
    pub(super) actions: Vec<QuarantineAction>,
    /// Why, as who asked for it says.
    pub(super) reason: String,
    /// The policy that began it; absent: a person did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    /// Objects that are contained.
    pub(super) contained: u32,
    /// Pods that still run.
    pub(super) running: u32,
    /// Objects that are not contained.
    pub(super) uncontained: usize,
    pub(super) message: String,
}

/// A policy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) mode: Mode,
    pub(super) suspended: bool,
    /// Whether all that it is about is trusted; absent until it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) compliant: Option<Status>,
    pub(super) message: String,
    pub(super) releases: ReleaseCounts,
}

impl Report {
    /// The report of what was gathered.
    pub(super) fn of(gathered: &Gathered) -> Self {
        let (counts, causes) = counted(&gathered.trusts, gathered.unaccounted);
        let mut releases: Vec<_> = gathered
            .trusts
            .iter()
            .map(|trust| release(trust, gathered))
            .collect();
        releases.sort_by(|one, other| {
            (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name))
        });
        let not_checked = not_checked(gathered, &releases);
        Self {
            schema_version: SCHEMA_VERSION,
            about: about(gathered),
            counts,
            coverage: coverage(counts, &causes),
            exceptions: exceptions(gathered, &releases),
            releases,
            signers: signers(gathered),
            missing_keys: missing_keys(gathered),
            quarantines: gathered.quarantines.iter().map(contained).collect(),
            policies: gathered.policies.iter().map(policy).collect(),
            not_checked,
            history: history(gathered),
        }
    }

    /// The releases that stand so.
    pub(super) fn standing(&self, standing: Standing) -> impl Iterator<Item = &Release> {
        let all = self.releases.iter();
        all.filter(move |release| release.standing == standing)
    }
}

fn about(gathered: &Gathered) -> About {
    let question = &gathered.question;
    let discovering = gathered.discovering.as_ref();
    let doubts = &gathered.doubts;
    About {
        title: question.title.clone(),
        generated: question.now,
        version: env!("CARGO_PKG_VERSION"),
        namespace: question.namespace.clone(),
        discovered: discovering.map(|it| it.namespaces.iter().cloned().collect()),
        reads: gathered.reads.clone(),
        doubts: [doubts.old.as_slice(), &doubts.not_checked].concat(),
    }
}

fn coverage(counts: ReleaseCounts, causes: &BTreeMap<&str, u32>) -> Coverage {
    let causes = causes.iter().map(|(cause, releases)| UnknownCount {
        cause: (*cause).to_owned(),
        releases: *releases,
    });
    Coverage {
        trusted_percent: counts.trusted_percent(),
        unknown: causes.collect(),
    }
}

fn exceptions(gathered: &Gathered, releases: &[Release]) -> Vec<Exception> {
    let now = gathered.question.now;
    let all = gathered.policies.iter().flat_map(|policy| {
        let exceptions = policy.spec.exceptions.iter();
        exceptions.map(move |one| (policy.name_any(), one))
    });
    let of = |(policy, one): (String, &crate::api::chart_trust_policy::Exception)| {
        let applies = |said: &PolicyVerdict| {
            said.policy == policy && said.exception.as_ref() == Some(&one.name)
        };
        let forgiven = releases
            .iter()
            .filter(|release| release.policies.iter().any(applies))
            .map(Release::id)
            .collect();
        let end = one.expires_at.parse::<Timestamp>().ok();
        Exception {
            name: one.name.clone(),
            releases: one.releases.clone(),
            reasons: one.reasons.iter().map(|reason| reason.word()).collect(),
            expires_at: one.expires_at.clone(),
            expired: end.map(|end| end <= now),
            justification: one.justification.clone(),
            forgives: forgiven,
            policy,
        }
    };
    all.map(of).collect()
}

fn contained(quarantine: &Quarantine) -> Contained {
    let status = quarantine.status.clone().unwrap_or_default();
    let active = find(&status.conditions, QuarantineCondition::Active);
    let begun = quarantine.metadata.creation_timestamp.as_ref();
    Contained {
        namespace: quarantine.namespace().unwrap_or_default(),
        name: quarantine.name_any(),
        state: status.state,
        actions: quarantine.spec.actions.clone(),
        reason: quarantine.spec.reason.clone(),
        policy: quarantine.spec.policy.clone(),
        since: begun.map(|at| at.0),
        contained: status.contained,
        running: status.running,
        uncontained: status.uncontained.len(),
        message: active.map_or_else(String::new, |active| active.message.clone()),
    }
}

fn policy(policy: &ChartTrustPolicy) -> Policy {
    let status = policy.status.clone().unwrap_or_default();
    let compliant = find(&status.conditions, PolicyCondition::Compliant);
    let ready = find(&status.conditions, PolicyCondition::Ready);
    let unready = ready.filter(|ready| ready.status != Status::True);
    let told = unready.or(compliant);
    Policy {
        name: policy.name_any(),
        mode: policy.spec.mode,
        suspended: policy.spec.suspend,
        compliant: compliant.map(|condition| condition.status),
        message: told.map_or_else(String::new, |condition| condition.message.clone()),
        releases: status.releases,
    }
}
