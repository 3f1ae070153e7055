//! What a tool puts back while it is contained. Pure.
//!
//! Git says `suspend: false`, an `ApplicationSet` makes its Applications as its template is, a parent
//! Application heals its children: each writes our field back within seconds or minutes, and nobody has
//! decided anything. So that counts as nobody's word, and the object is contained again.
//!
//! Decision: a tool is told by who owns the field, which the API server writes down
//! (`metadata.managedFields`); labels and owners are not asked, because whoever writes the object writes
//! those. The name of a field manager can be chosen too: who pretends to be a tool is contained again, and
//! who pretends to be a person needs the right to change the deployer, and has won with that by whatever
//! name. What a tool and somebody else own together is the other's word.
//!
//! Decision: it is contained again for as long as the quarantine stands, after pauses that grow to an
//! hour. Two controllers must not fight, and one that gives up loses to whoever is patient.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::drift::Drift;
use super::owners;
use super::target::Target;
use crate::api::bounds;
use crate::api::quarantine::{ContainedObject, ObjectState, Undone};

/// Field managers of tools that make objects what they are elsewhere, as long as they run: of Flux, of
/// Argo CD (with its `ApplicationSet`s), and of the folder of manifests of k3s. What people use as well
/// (kubectl, helm, the web interface of Argo CD, `flux resume`) is a person's.
const TOOLS: [&str; 5] = [
    "argocd-application-controller",
    "argocd-applicationset-controller",
    "argocd-controller",
    "helm-controller",
    "kustomize-controller",
];

/// k3s names the node too.
const OF_K3S: &str = "deploy@";

/// The tool that alone owns the field as it is.
fn tool(live: &Value, target: &Target) -> Option<String> {
    let owners = owners::others(live, target.owned);
    let is_tool = |name: &String| TOOLS.contains(&name.as_str()) || name.starts_with(OF_K3S);
    owners
        .iter()
        .all(is_tool)
        .then(|| owners.first().cloned())?
}

/// Who has put back a recorded object that is not as we left it, if that is a tool.
pub(super) fn by(
    record: &ContainedObject,
    live: &Value,
    target: &Target,
    drift: &Drift,
) -> Option<String> {
    let is_put_back = matches!(drift, Drift::Kept(..) | Drift::Untouched) && !target.is_held(live);
    let was_ours = match record.state {
        ObjectState::Contained => true,
        // What a person has changed stays theirs, whatever a tool makes of it later.
        ObjectState::Kept => record.undone.is_some(),
        ObjectState::Contested
        | ObjectState::Gone
        | ObjectState::Planned
        | ObjectState::Restored => false,
    };
    (is_put_back && was_ours).then(|| tool(live, target))?
}

/// What is to be noted of an object that a tool has put back.
pub(super) fn noted(record: &ContainedObject, tool: &str, now: Timestamp) -> Undone {
    let before = record.undone.as_ref();
    if let Some(noted) = before.filter(|_| record.state == ObjectState::Kept) {
        return noted.clone();
    }
    Undone {
        at: crate::api::time(now),
        by: bounds::fit(tool, bounds::NAME),
        times: before.map_or(0, |before| before.times).saturating_add(1),
    }
}

/// Whether it is time to contain the object again.
pub(super) fn is_due(undone: &Undone, now: Timestamp) -> bool {
    now >= after(undone, SignedDuration::ZERO)
}

/// What is to be noted of an object that stands so.
pub(super) fn of(record: &ContainedObject, drift: &Drift, now: Timestamp) -> Option<Undone> {
    match drift {
        Drift::Undone(tool) => Some(noted(record, tool, now)),
        Drift::Contained(_) => {
            let noted = record.undone.clone();
            noted.filter(|noted| now < after(noted, LONGEST))
        }
        Drift::Contested(_) => record.undone.clone(),
        _ if record.state == ObjectState::Planned => record.undone.clone(),
        _ => None,
    }
}

/// Whether what an object carries was written before a tool has put it back.
pub(super) fn is_before(record: &ContainedObject, time: &str) -> bool {
    let written = time.parse::<Timestamp>().ok();
    let noted = record.undone.as_ref();
    noted.is_some_and(|noted| written.is_some_and(|written| written <= noted.at.0))
}

/// So long after the pause that follows.
fn after(undone: &Undone, more: SignedDuration) -> Timestamp {
    let wait = pause(undone.times).saturating_add(more);
    undone.at.0.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

/// At once the first time: most tools come by every few minutes, and are met as often.
fn pause(times: u32) -> SignedDuration {
    let doubled = times.saturating_sub(2).min(MOST_DOUBLED);
    match times {
        0 | 1 => SignedDuration::ZERO,
        _ => SHORTEST.saturating_mul(1 << doubled).min(LONGEST),
    }
}

const SHORTEST: SignedDuration = SignedDuration::from_secs(60);
const LONGEST: SignedDuration = SignedDuration::from_secs(3600);
const MOST_DOUBLED: u32 = 10;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owned_by(managers: &[&str]) -> Value {
        let entry = |manager: &&str| {
            json!({"manager": manager, "operation": "Apply", "time": "2026-11-18T00:00:00Z",
                "fieldsV1": {"f:spec": {"f:suspend": {}}}})
        };
        let entries: Vec<_> = managers.iter().map(entry).collect();
        json!({"metadata": {"managedFields": entries}, "spec": {"suspend": false}})
    }

    #[test]
    fn a_tool_is_told_by_who_owns_the_field_alone() {
        let target = Target::of("helm.toolkit.fluxcd.io", "HelmRelease").unwrap();
        let tool = |managers: &[&str]| tool(&owned_by(managers), target);
        for one in TOOLS.iter().chain(&["deploy@server-0"]) {
            assert_eq!(tool(&[one]).as_deref(), Some(*one));
            assert_eq!(tool(&[one, "kubectl-edit"]), None);
            assert_eq!(tool(&["flux", one]), None);
        }
        for person in ["argocd-server", "flux", "helm", "kubectl", "kubectl-edit"] {
            assert_eq!(tool(&[person]), None, "{person}");
        }
        assert_eq!(tool(&[]), None, "nobody has set it");
        let both = ["argocd-controller", "argocd-applicationset-controller"];
        assert_eq!(tool(&both).as_deref(), Some(both[0]));
    }

    #[test]
    fn pauses_grow_to_an_hour_and_never_end() {
        let minutes =
            [1, 2, 3, 4, 5, 6, 7, 8, 9, u32::MAX].map(|times| pause(times).as_secs() / 60);
        assert_eq!(minutes, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }
}
