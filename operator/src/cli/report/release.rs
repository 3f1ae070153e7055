//! One release in a report. Touches nothing.

use charttrust_verify::verdict::Verdict;
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;

use super::gathered::Gathered;
use crate::api::ReleaseTrust;
use crate::api::conditions::{ReleaseCondition, Status, find};
use crate::api::release_trust::{Finding, Owner, PolicyVerdict};
use crate::cli::coverage::Standing;
use crate::cli::{why, words};

/// One release.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Release {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) chart: String,
    pub(super) version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<i64>,
    /// Who deploys it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<Owner>,
    pub(super) standing: Standing,
    /// The word of the verdict.
    pub(super) reason: String,
    /// What that word is proof or a sign of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) class: Option<&'static str>,
    /// What exactly was found.
    pub(super) message: String,
    /// What usually stands behind the word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<&'static str>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<&'static str>,
    /// Since when it stands so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    /// Since when at least every source of its policies was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) looked: Option<Timestamp>,
    /// Whether the last looks at its sources were answered; absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fresh: Option<bool>,
    /// Who vouches, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) signer: Option<String>,
    /// Where its archive lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    /// The archive that it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) archive: Option<String>,
    /// When the operator first verified a signature of that archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_verified: Option<Timestamp>,
    /// Whether it is contained, in the words of the condition; absent if nothing asks for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) contained: Option<String>,
    pub(super) policies: Vec<PolicyVerdict>,
    pub(super) findings: Vec<Finding>,
}

impl Release {
    /// As people name it.
    pub(super) fn id(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// What is told of a release.
pub(super) fn release(trust: &ReleaseTrust, gathered: &Gathered) -> Release {
    let status = trust.status.clone().unwrap_or_default();
    let (standing, reason) = Standing::of(trust);
    let verdict = Verdict::of_word(reason);
    let said = trust.verdict();
    let origin = status.evidence.as_ref().and_then(|it| it.sources.first());
    let fresh = find(&status.conditions, ReleaseCondition::Fresh);
    let held = find(&status.conditions, ReleaseCondition::Quarantined);
    let (chart, version) = match &status.release {
        Some(release) => (release.chart.clone(), release.version.clone()),
        None => (String::new(), String::new()),
    };
    Release {
        namespace: trust.namespace().unwrap_or_default(),
        name: trust.name_any(),
        chart,
        version,
        revision: status.release.as_ref().map(|release| release.revision),
        owner: status.release.as_ref().map(|release| release.owner),
        standing,
        reason: reason.to_owned(),
        class: verdict.map(|verdict| words::class(verdict.class())),
        message: said.map_or_else(String::new, |said| said.message.clone()),
        cause: verdict.map(cause),
        next: verdict.and_then(why::step),
        since: said.map(|said| said.last_transition_time.0),
        looked: gathered.looks.at(trust).ok(),
        fresh: fresh.and_then(|fresh| known(fresh.status)),
        signer: status.signer.filter(|signer| !signer.is_empty()),
        source: origin.map(|source| source.url.clone()),
        archive: origin.and_then(|source| source.archive.clone()),
        first_verified: origin.and_then(|source| source.first_verified.as_ref().map(|at| at.0)),
        contained: held.map(|held| format!("{:?}/{}", held.status, held.reason)),
        policies: status.policies,
        findings: status.findings,
    }
}

fn known(status: Status) -> Option<bool> {
    match status {
        Status::True => Some(true),
        Status::False => Some(false),
        Status::Unknown => None,
    }
}

fn cause(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Trusted(basis) => basis.cause(),
        Verdict::Unknown(cause) => cause.cause(),
        Verdict::Untrusted(reason) => reason.cause(),
    }
}
