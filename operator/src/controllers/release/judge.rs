//! Judges every revision of a release that may be live: the worst verdict wins.

use std::collections::{BTreeMap, BTreeSet};

use charttrust_verify::check::{self, Case, Judgement, PolicyVerdict};
use charttrust_verify::deployer::Deployer;
use charttrust_verify::finding::{Fact, Finding, Note};
use charttrust_verify::policy::ReleaseRef;
use charttrust_verify::verdict::{Cause, Class, Verdict};
use jiff::Timestamp;

use super::status::Judged;
use crate::controllers::cache::Placed;
use crate::controllers::store::{Content, Release, Revision, Trust};
use crate::inventory::argocd::Claimed;
use crate::inventory::helm::{self, Driver, RecordMeta};
use crate::inventory::{Deployed, Owner, RecordId};

/// What the watches say of a release.
#[derive(Debug)]
pub(super) struct Stored<'a> {
    pub(super) placed: Placed<'a>,
    /// The revisions to judge, by what their metadata say.
    pub(super) judged: BTreeMap<RecordId, RecordMeta>,
    /// Revisions that would be judged, were there fewer.
    pub(super) omitted: Vec<RecordId>,
    /// What deploys each revision that is known.
    pub(super) deployed: BTreeMap<RecordId, Deployed>,
    /// The Applications whose charts have its name.
    pub(super) applications: Vec<Claimed>,
}

impl Stored<'_> {
    fn deployers(&self, record: RecordId) -> &[Deployer] {
        let deployed = self.deployed.get(&record);
        deployed.map_or(&[], |deployed| deployed.deployers.as_slice())
    }

    fn owner(&self, record: RecordId) -> Owner {
        let deployed = self.deployed.get(&record);
        deployed.map_or(Owner::Helm, |deployed| deployed.owner)
    }

    /// Whether it is known what deploys a revision.
    fn is_known(&self, record: RecordId) -> bool {
        let deployed = self.deployed.get(&record);
        deployed.is_none_or(|deployed| deployed.missing.is_none())
    }

    /// Revisions of which it is not known yet what deploys them: no reason to trust, and none to hide what
    /// is bad.
    fn undeployed(&self) -> impl Iterator<Item = (RecordId, Judgement)> {
        let missing = self
            .deployed
            .keys()
            .filter(|record| !self.is_known(**record));
        missing.map(|record| {
            let message = "what deploys the release was not read yet";
            (*record, doubt(Cause::Pending, message))
        })
    }

    /// What is said beside the judgements.
    fn notes(&self) -> Vec<Finding> {
        let note = |note, message| Finding::new(Fact::Note(note), message);
        let applications = || self.applications.iter();
        let differences = applications().flat_map(Claimed::differences);
        let unjudged = applications().flat_map(Claimed::unjudged);
        let notes = differences.map(|told| note(Note::OutOfSync, told));
        let mut notes: Vec<_> = notes
            .chain(unjudged.map(|told| note(Note::NotChecked, told)))
            .collect();
        if self.is_shared() {
            let mut names: Vec<_> = applications().map(Claimed::word).collect();
            let is_recorded = self.judged.keys().any(|record| !is_application(*record));
            names.extend(is_recorded.then(|| "a release of Helm".to_owned()));
            let message = format!(
                "{} have this name: the worst of them counts, and no policy contains it by itself",
                names.join(" and ")
            );
            notes.push(note(Note::NameShared, message));
        }
        notes
    }

    /// Whether several things have the name.
    fn is_shared(&self) -> bool {
        let is_recorded = self.judged.keys().any(|record| !is_application(*record));
        self.applications.len() > usize::from(!is_recorded)
    }

    /// Applications of which not everything is looked at.
    fn cut(&self) -> impl Iterator<Item = Judgement> {
        let cut = self.applications.iter().filter(|one| one.is_cut());
        cut.map(|one| {
            let message = format!("{} has more sources than are looked at", one.word());
            doubt(Cause::LimitExceeded, &message)
        })
    }

    /// The judgements on which something may rest.
    fn known(&self, judgements: Vec<(RecordId, Judgement)>) -> Vec<(RecordId, Judgement)> {
        let judgements = judgements.into_iter();
        judgements
            .filter(|(record, _)| self.is_known(*record))
            .collect()
    }
}

/// Judges every revision that may be live, all at one instant; the worst verdict wins.
pub(super) fn evaluate(
    stored: &Stored<'_>,
    release: &Release,
    trust: &Trust,
    now: Timestamp,
) -> Judged {
    let reference = stored.placed.reference();
    let newest_first = release.revisions.iter().rev();
    let mut judgements: Vec<_> = newest_first
        .map(|(key, revision)| {
            let deployers = stored.deployers(*key);
            let judgement = judge((reference, deployers), revision, trust, now);
            (*key, judgement)
        })
        .collect();
    let of_each = judgements.clone();
    let judged = stored.judged.iter();
    let unread = judged.filter(|(key, meta)| is_unread(release.revisions.get(key), meta));
    judgements.extend(unread.map(|(key, _)| (*key, pending())));
    judgements.extend(stored.undeployed());
    // Reported with a revision that was read, so that its evidence stays in the status.
    let newest = release.revisions.keys().next_back().copied();
    let omitted = stored.omitted.iter();
    let omitted = omitted.map(|record| (newest.unwrap_or(*record), too_many(*record)));
    judgements.extend(omitted);
    judgements.extend(newest.into_iter().flat_map(|newest| {
        let cut = stored.cut();
        cut.map(move |judgement| (newest, judgement))
    }));
    let worst = Verdict::worst(judgements.iter().map(|(_, judgement)| judgement.verdict));
    let Some(index) = judgements
        .iter()
        .position(|(_, j)| Some(j.verdict) == worst)
    else {
        return nothing_read();
    };
    let mut others = judgements;
    let (key, mut judgement) = others.remove(index);
    for (_, other) in &others {
        take_worse(&mut judgement.policies, other);
        take_in(&mut judgement.policies, &other.policies);
    }
    judgement.findings.extend(
        others
            .iter()
            .map(|(key, other)| other_revision(*key, other)),
    );
    judgement
        .findings
        .extend(release.notices.values().flatten().cloned());
    judgement.findings.extend(stored.notes());
    Judged {
        revision: Some(key),
        owner: stored.owner(key),
        judgement,
        contradicted: contradicted(stored, release, &of_each),
        of_each: stored.known(of_each),
    }
}

fn nothing_read() -> Judged {
    Judged {
        revision: None,
        owner: Owner::Helm,
        judgement: pending(),
        of_each: Vec::new(),
        contradicted: BTreeSet::new(),
    }
}

/// Policies that call a release bad by what ConfigMaps say alone, though Secrets say, or may say,
/// something else of it. Whoever may write Secrets may replace a record anyway; whoever may write
/// ConfigMaps only must have nobody's workloads stopped by one. A Secret that no record can be read from
/// says nothing: it must not disarm. Where an Application has its name in common with something else, only
/// Secrets are believed, as what is contained under that name need not be what is bad.
fn contradicted(
    stored: &Stored<'_>,
    release: &Release,
    of_each: &[(RecordId, Judgement)],
) -> BTreeSet<String> {
    let mut secrets = stored.judged.keys().filter(|record| is_secret(**record));
    let may_say = |record: &RecordId| {
        let known = release.revisions.get(record);
        known.is_none_or(|known| known.content.is_ok())
    };
    if !stored.is_shared() && !secrets.any(may_say) {
        return BTreeSet::new();
    }
    let bad_by = |is_wanted: &dyn Fn(RecordId) -> bool| {
        let judgements = of_each.iter().filter(|(record, _)| is_wanted(*record));
        let said = judgements.flat_map(|(_, judgement)| &judgement.policies);
        let bad = said.filter(|said| said.verdict.class() == Class::Badness);
        bad.map(|said| said.policy.clone()).collect::<BTreeSet<_>>()
    };
    let by_others = bad_by(&|record| !is_secret(record));
    let by_secrets = bad_by(&is_secret);
    by_others.difference(&by_secrets).cloned().collect()
}

fn is_secret(record: RecordId) -> bool {
    match record {
        RecordId::Application { .. } => false,
        RecordId::Helm { driver, .. } => driver == Driver::Secret,
    }
}

fn is_application(record: RecordId) -> bool {
    matches!(record, RecordId::Application { .. })
}

/// Each policy says the worst of what it says of any revision: it trusts again when it trusts all. What
/// no policy could judge is in doubt under each.
pub(super) fn take_worse(policies: &mut [PolicyVerdict], other: &Judgement) {
    for said in policies {
        let same = other.policies.iter().find(|one| one.policy == said.policy);
        let doubt = other.policies.is_empty().then(|| PolicyVerdict {
            verdict: other.verdict,
            revocations: BTreeSet::new(),
            ..said.clone()
        });
        let other = same.cloned().or(doubt);
        let worst = other
            .as_ref()
            .and_then(|other| Verdict::worst([said.verdict, other.verdict]));
        if let (Some(other), Some(worst)) = (other, worst)
            && worst != said.verdict
        {
            *said = other;
        }
    }
}

/// What policies say that apply to another revision only: it may be of another chart.
pub(super) fn take_in(policies: &mut Vec<PolicyVerdict>, others: &[PolicyVerdict]) {
    for other in others {
        if policies.iter().all(|said| said.policy != other.policy) {
            policies.push(other.clone());
        }
    }
    policies.sort_by(|one, other| one.policy.cmp(&other.policy));
}

pub(super) fn other_revision(record: RecordId, judgement: &Judgement) -> Finding {
    let message = format!("{record} is {}", judgement.verdict);
    Finding::new(Fact::Note(Note::OtherRevision), message)
}

pub(super) fn judge(
    (release, deployers): (ReleaseRef<'_>, &[Deployer]),
    revision: &Revision,
    trust: &Trust,
    now: Timestamp,
) -> Judgement {
    let content = match &revision.content {
        Ok(content) => content,
        Err((cause, message)) => return doubt(*cause, message),
    };
    let Content {
        chart,
        version,
        evidence,
        ..
    } = content;
    let case = Case {
        release,
        chart,
        version,
        deployers,
        evidence,
    };
    check::judge(&case, &trust.judged_by, trust.known(), now)
}

pub(super) fn doubt(cause: Cause, message: &str) -> Judgement {
    Judgement {
        verdict: Verdict::Unknown(cause),
        policies: Vec::new(),
        findings: vec![Finding::new(Fact::Doubt(cause), message)],
    }
}

/// Whether a revision was not read yet, or was changed since. What it said before may be bad, but is
/// no reason to trust it.
pub(super) fn is_unread(known: Option<&Revision>, meta: &RecordMeta) -> bool {
    let Some(known) = known else {
        return true;
    };
    let (read, watched) = (&known.resource_version, &meta.resource_version);
    match (read.parse::<u64>(), watched.parse::<u64>()) {
        // A watch that lags still has what we had read before.
        (Ok(read), Ok(watched)) => watched > read,
        _ => watched != read,
    }
}

/// A revision that is not judged because there are too many.
pub(super) fn too_many(record: RecordId) -> Judgement {
    let message = format!(
        "{record} and older ones may be live, but only {} are judged: remove the records of \
         failed revisions",
        helm::MOST_JUDGED
    );
    doubt(Cause::LimitExceeded, &message)
}

pub(super) fn pending() -> Judgement {
    doubt(Cause::Pending, "the release was not read yet")
}

#[cfg(test)]
mod tests {
    use charttrust_verify::digest::Sha256Digest;
    use charttrust_verify::evidence::Evidence;
    use charttrust_verify::verdict::{Basis, Reason};

    use serde_json::json;

    use super::*;
    use crate::inventory::argocd::Applications;
    use crate::inventory::{Claim, Mark, ReleaseId};
    use crate::watch::ObjectName;

    #[test]
    fn each_policy_says_the_worst_of_all_revisions() {
        let said = |policy: &str, verdict| PolicyVerdict {
            policy: policy.to_owned(),
            rule: None,
            verdict,
            exempt_by: None,
            origin: None,
            revocations: BTreeSet::new(),
        };
        let trusted = Verdict::Trusted(Basis::SignatureVerified);
        let stolen = Verdict::Untrusted(Reason::KeyCompromised);
        let judgement = |policies: &[PolicyVerdict]| Judgement {
            verdict: stolen,
            policies: policies.to_vec(),
            findings: Vec::new(),
        };
        let mut newest = vec![said("a", trusted), said("b", stolen)];
        let older = [said("b", trusted), said("a", stolen)];
        take_worse(&mut newest, &judgement(&older));
        assert_eq!(newest, [said("a", stolen), said("b", stolen)]);

        let mut newest = vec![said("b", stolen)];
        take_in(&mut newest, &older);
        assert_eq!(newest, [said("a", stolen), said("b", stolen)]);

        let mut newest = vec![said("a", trusted), said("b", stolen)];
        let unread = doubt(Cause::ReleaseUnreadable, "no gzip");
        take_worse(&mut newest, &unread);
        assert_eq!(newest, [said("a", unread.verdict), said("b", stolen)]);
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Says {
        Bad,
        Good,
        Unread,
        Unreadable,
    }

    /// A record that is stored, what is known of it, and how it is judged.
    fn take(release: &mut Release, record: RecordId, says: Says) -> Option<(RecordId, Judgement)> {
        let verdict = match says {
            Says::Bad => Verdict::Untrusted(Reason::KeyCompromised),
            Says::Good => Verdict::Trusted(Basis::SignatureVerified),
            Says::Unread => return None,
            Says::Unreadable => {
                release.revisions.insert(record, revision("1"));
                return Some((record, doubt(Cause::ReleaseUnreadable, "")));
            }
        };
        let content = Content {
            chart: "web".into(),
            version: "1.0.0".into(),
            manifest: None,
            recorded: None,
            digest: Sha256Digest::of(b""),
            evidence: Evidence::default(),
        };
        let known = Revision {
            content: Ok(content),
            ..revision("1")
        };
        release.revisions.insert(record, known);
        let policies = vec![PolicyVerdict {
            policy: "strict".into(),
            rule: None,
            verdict,
            exempt_by: None,
            origin: None,
            revocations: BTreeSet::new(),
        }];
        let judgement = Judgement {
            verdict,
            policies,
            findings: Vec::new(),
        };
        Some((record, judgement))
    }

    /// In each row: what Secrets and ConfigMaps say of one release, and whether only the latter call it
    /// bad though the former may say something else. `None` is no record.
    #[test]
    fn what_only_config_maps_say_is_contradicted_by_what_secrets_may_say() {
        use Says::{Bad, Good, Unread, Unreadable};
        for (secret, map, expected) in [
            (Some(Bad), None, false),
            (Some(Bad), Some(Bad), false),
            (Some(Bad), Some(Good), false),
            (Some(Bad), Some(Unreadable), false),
            (Some(Good), Some(Bad), true),
            (Some(Unread), Some(Bad), true),
            (Some(Unreadable), Some(Bad), false),
            (None, Some(Bad), false),
            (Some(Good), Some(Good), false),
        ] {
            let mut release = Release::default();
            let (mut judged, mut of_each) = (BTreeMap::new(), Vec::new());
            for (driver, says) in [(Driver::Secret, secret), (Driver::ConfigMap, map)] {
                let Some(says) = says else { continue };
                let record = RecordId::Helm {
                    driver,
                    revision: 1,
                };
                let meta = RecordMeta {
                    resource_version: "1".into(),
                    claimed_status: "deployed".into(),
                };
                judged.insert(record, meta);
                of_each.extend(take(&mut release, record, says));
            }
            let id = ReleaseId {
                namespace: "shop".into(),
                name: "web".into(),
            };
            let stored = Stored {
                placed: Placed::nowhere(&id),
                judged,
                omitted: Vec::new(),
                deployed: BTreeMap::new(),
                applications: Vec::new(),
            };
            let found = contradicted(&stored, &release, &of_each);
            assert_eq!(found.contains("strict"), expected, "{secret:?} {map:?}");
        }
    }

    /// What is contained under a name that several things have need not be what is bad.
    #[test]
    fn what_an_application_says_under_a_name_of_others_is_contradicted() {
        use Says::{Bad, Good, Unreadable};
        let source = json!({"repoURL": "https://a.example", "chart": "web"});
        let object = |sources: usize| json!({"spec": {"sources": vec![&source; sources]}});
        let app = |claim| RecordId::Application { claim, revision: 0 };
        let helm = |driver| RecordId::Helm {
            driver,
            revision: 1,
        };
        let (first, further) = (app(Claim::First), app(Claim::Further(2)));
        let (secret, map) = (helm(Driver::Secret), helm(Driver::ConfigMap));
        // In each row: what is judged, what it says, how many Applications have the name, and the outcome.
        for (said, names, expected) in [
            (&[(first, Bad)][..], 1, false),
            (&[(first, Bad), (secret, Good)], 1, true),
            (&[(first, Bad), (secret, Unreadable)], 1, true),
            (&[(first, Bad), (map, Good)], 1, true),
            (&[(first, Good), (map, Bad)], 1, true),
            (&[(first, Good), (secret, Bad)], 1, false),
            (&[(first, Bad), (further, Good)], 2, true),
            (&[(first, Good), (further, Bad)], 2, true),
        ] {
            let applications = Applications::new(&crate::watch::Reach::Everywhere);
            let name = |name: &str| ObjectName {
                namespace: "argocd".into(),
                name: name.into(),
            };
            applications.hold(name("shop.2"), &object(1));
            if names > 1 {
                applications.hold(name("shop"), &object(2));
            }
            let id = ReleaseId {
                namespace: "argocd".into(),
                name: "argocd.shop.2".into(),
            };
            let (mut release, mut stored) = (
                Release::default(),
                Stored {
                    placed: Placed::nowhere(&id),
                    judged: BTreeMap::new(),
                    omitted: Vec::new(),
                    deployed: BTreeMap::new(),
                    applications: applications.claimed(&id),
                },
            );
            let mut of_each = Vec::new();
            for (record, says) in said {
                stored.judged.insert(*record, meta("1"));
                of_each.extend(take(&mut release, *record, *says));
            }
            let found = contradicted(&stored, &release, &of_each);
            assert_eq!(found.contains("strict"), expected, "{said:?} {names}");
        }
    }

    fn meta(resource_version: &str) -> RecordMeta {
        RecordMeta {
            resource_version: resource_version.into(),
            claimed_status: "deployed".into(),
        }
    }

    fn revision(resource_version: &str) -> Revision {
        Revision {
            resource_version: resource_version.into(),
            content: Err((Cause::ReleaseUnreadable, String::new())),
            mark: Mark::None,
        }
    }

    #[test]
    fn a_revision_that_was_changed_since_is_not_judged_by_what_it_was() {
        for (read, watched, unread) in [
            ("10", "10", false),
            ("10", "9", false),
            ("9", "10", true),
            ("a", "a", false),
            ("a", "b", true),
        ] {
            let meta = RecordMeta {
                resource_version: watched.into(),
                claimed_status: "deployed".into(),
            };
            assert!(is_unread(None, &meta));
            let known = revision(read);
            assert_eq!(is_unread(Some(&known), &meta), unread, "{read} {watched}");
        }
    }
}
