//! `TrustedIdentity` and its trusted root → an identity to judge by.

use std::collections::BTreeSet;

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::key::RevocationReason;
use charttrust_verify::sigstore::{
    ClaimRules, Identity, IdentityRevocation, KnownIdentity, Root, SubjectRule, Window,
    limits::FACT_BYTES,
};
use kube::ResourceExt as _;

use super::key::{instant, reason, scope};
use super::{Problem, Problems, timestamp};
use crate::api::TrustedIdentity;
use crate::api::trusted_identity as api;

/// Reads an identity. Any problem makes it unusable: a part that cannot be read may be the one that limits it.
///
/// # Errors
/// Every field that is wrong, with the next step.
pub fn identity(object: &TrustedIdentity, root: Root) -> Result<KnownIdentity, Vec<Problem>> {
    let mut problems = Problems::default();
    let known = read(object, root, &mut problems);
    match known {
        Some(known) if problems.found().is_empty() => Ok(known),
        _ => Err(problems.into_vec()),
    }
}

/// What remains of an object that cannot be used: it approves of nothing, and what it revokes is void as far as
/// that can be read. `None` where it cannot be told who is meant: nobody's signatures are void by a guess.
pub fn identity_remains(
    object: &TrustedIdentity,
    root: Root,
    problem: &str,
) -> Option<KnownIdentity> {
    let mut known = read(object, root, &mut Problems::default())?;
    known.unusable = Some(problem.to_owned());
    known.identity.not_after = None;
    Some(known)
}

/// Whether a certificate of such an identity says what its caller was only if a claim is asked for: that of a
/// reusable workflow has the same subject, whoever calls it.
pub fn is_caller_told(object: &TrustedIdentity) -> bool {
    let spec = &object.spec;
    let subject = spec.subject.exact.as_ref().or(spec.subject.glob.as_ref());
    // A workflow is named by an address, with the branch or tag that it is taken from.
    let is_workflow = subject.is_some_and(|it| it.starts_with("https://") && it.contains('@'));
    let claims = spec.claims.as_ref();
    let has_repository = claims
        .is_some_and(|it| it.source_repository.is_some() || it.source_repository_id.is_some());
    !is_workflow || has_repository
}

/// The identity as far as it can be read; `None` where who it is cannot.
fn read(object: &TrustedIdentity, root: Root, problems: &mut Problems) -> Option<KnownIdentity> {
    let spec = &object.spec;
    if spec.issuer.is_empty() || spec.issuer.len() > FACT_BYTES {
        let message = "is empty or too long, write the `iss` of its tokens";
        problems.add("spec.issuer", message);
    }
    let subject = subject(&spec.subject, problems);
    let claims = spec.claims.as_ref();
    let claims = claims.map(|named| claims_of(named, problems));
    let is_who_told = problems.found().is_empty();
    let limits = spec.scope.as_ref();
    let limits = limits.map(|named| scope(named, problems));
    let not_after = instant("spec.notAfter", spec.not_after.as_ref(), problems);
    let revocation = spec.revocation.as_ref();
    let revocation = revocation.and_then(|declared| revocation_of(declared, problems));
    let subject = subject.filter(|_| is_who_told)?;
    Some(KnownIdentity {
        identity: Identity {
            name: object.name_any(),
            issuer: spec.issuer.clone(),
            subject,
            claims: claims.unwrap_or_default(),
            scope: limits.unwrap_or_default(),
            not_after,
            revocation,
        },
        labels: object.labels().clone(),
        root,
        unusable: None,
    })
}

fn subject(subject: &api::Subject, problems: &mut Problems) -> Option<SubjectRule> {
    match (&subject.exact, &subject.glob) {
        (Some(exact), None) if !exact.is_empty() => Some(SubjectRule::Exact(exact.clone())),
        (None, Some(glob)) => {
            let glob = problems.take("spec.subject.glob", glob.parse());
            glob.map(SubjectRule::Glob)
        }
        _ => {
            problems.add("spec.subject", "set exactly one of exact and glob");
            None
        }
    }
}

fn claims_of(claims: &api::Claims, problems: &mut Problems) -> ClaimRules {
    let glob = claims.source_ref.as_ref();
    ClaimRules {
        source_repository: claims.source_repository.clone(),
        source_repository_id: claims.source_repository_id.clone(),
        source_ref: glob.and_then(|glob| problems.take("spec.claims.ref", glob.parse())),
        runner_environment: claims.runner_environment.clone(),
        trigger: claims.trigger.iter().cloned().collect(),
    }
}

/// What of a revocation can be read. A part that cannot is told, and widens nothing: if nothing else is left,
/// no revocation is, where one without windows and digests would void everything.
fn revocation_of(
    declared: &api::IdentityRevocation,
    problems: &mut Problems,
) -> Option<IdentityRevocation> {
    let path = "spec.revocation";
    let reason: RevocationReason = reason(declared.reason);
    let numbered = declared.windows.iter().enumerate();
    let windows = numbered
        .filter_map(|(index, one)| window(&format!("{path}.windows[{index}]"), one, problems));
    let windows: Vec<_> = windows.collect();
    let digests = declared
        .digests
        .iter()
        .enumerate()
        .filter_map(|(index, text)| {
            let digest = text
                .parse::<Sha256Digest>()
                .map_err(|_| "is no digest, write sha256: and 64 digits");
            problems.take(&format!("{path}.digests[{index}]"), digest)
        });
    let digests: BTreeSet<_> = digests.collect();
    let is_partial = !(declared.windows.is_empty() && declared.digests.is_empty());
    if is_partial && windows.is_empty() && digests.is_empty() {
        return None;
    }
    let revocation = IdentityRevocation::new(reason, windows, digests);
    problems.take(path, revocation)
}

fn window(path: &str, window: &api::Window, problems: &mut Problems) -> Option<Window> {
    let from = problems.take(&format!("{path}.from"), timestamp(&window.from));
    let until = instant(&format!("{path}.until"), window.until.as_ref(), problems);
    if window.until.is_some() && until.is_none() {
        return None;
    }
    problems.take(path, Window::new(from?, until))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
apiVersion: charttrust.io/v1alpha1
kind: TrustedIdentity
metadata:
  name: charts-release
spec:
  issuer: https://token.actions.githubusercontent.com
  subject:
    glob: https://github.com/example/charts/.github/workflows/release.yml@refs/tags/v*
  claims:
    sourceRepository: https://github.com/example/charts
    sourceRepositoryId: "123456"
    ref: refs/tags/v*
    runnerEnvironment: github-hosted
    trigger: [push, release]
  owner: Platform team
  revocation:
    reason: Compromised
    windows:
      - {from: "2026-11-02T00:00:00Z", until: "2026-11-03T12:00:00Z"}
"#;

    fn object(change: impl FnOnce(&mut TrustedIdentity)) -> TrustedIdentity {
        let mut object: TrustedIdentity = serde_saphyr::from_str(GOOD).unwrap();
        change(&mut object);
        object
    }

    fn read(change: impl FnOnce(&mut TrustedIdentity)) -> Result<KnownIdentity, String> {
        let object = object(change);
        identity(&object, Root::Unknown("none".to_owned()))
            .map_err(|found| Problems::summary(&found).unwrap_or_default())
    }

    #[test]
    fn a_good_identity_is_read_whole() {
        let known = read(|_| {}).unwrap();
        assert_eq!(known.identity.name, "charts-release");
        let claims = &known.identity.claims;
        assert!(claims.source_repository.is_some() && claims.source_ref.is_some());
        let revocation = known.identity.revocation.unwrap();
        assert_eq!(revocation.windows().len(), 1);
        assert!(revocation.is_hard());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        type Change = fn(&mut TrustedIdentity);
        let rows: [(&str, Change); 9] = [
            ("spec.issuer: is empty", |it| it.spec.issuer.clear()),
            ("spec.subject: set exactly one", |it| {
                it.spec.subject = api::Subject::default();
            }),
            ("spec.subject.glob: scheme, host", |it| {
                it.spec.subject.exact = None;
                it.spec.subject.glob = Some("https://github.com/*".to_owned());
            }),
            ("spec.claims.ref: `***`", |it| {
                it.spec.claims.as_mut().unwrap().source_ref = Some("refs/***".to_owned());
            }),
            ("spec.notAfter: is no point in time", |it| {
                it.spec.not_after = Some("soon".to_owned());
            }),
            ("spec.revocation.windows[0].until", |it| {
                window_of(it).until = Some("later".to_owned());
            }),
            ("spec.revocation.windows[0]: a window that begins", |it| {
                window_of(it).until = Some("1999-01-01T00:00:00Z".to_owned());
            }),
            ("spec.revocation: the reasons Superseded", |it| {
                it.spec.revocation.as_mut().unwrap().reason =
                    crate::api::trusted_key::RevocationReason::Retired;
            }),
            ("spec.revocation.digests[0]: is no digest", |it| {
                it.spec.revocation.as_mut().unwrap().digests = vec!["sha256:0".to_owned()];
            }),
        ];
        for (told, change) in rows {
            let problem = read(change).expect_err(told);
            assert!(problem.starts_with(told), "{told}: {problem}");
        }
    }

    fn remaining(change: impl FnOnce(&mut TrustedIdentity)) -> Option<KnownIdentity> {
        let unknown = Root::Unknown("none".to_owned());
        identity_remains(&object(change), unknown, "mend it")
    }

    #[test]
    fn what_can_be_read_of_a_revocation_counts_and_what_cannot_widens_nothing() {
        let known = remaining(|it| {
            it.spec.not_after = Some("soon".to_owned());
            let mut odd = window_of(it).clone();
            odd.from = "then".to_owned();
            it.spec.revocation.as_mut().unwrap().windows.push(odd);
        });
        let known = known.unwrap();
        assert_eq!(known.unusable.as_deref(), Some("mend it"));
        assert_eq!(known.identity.revocation.unwrap().windows().len(), 1);
        let known = remaining(|it| window_of(it).from = "then".to_owned()).unwrap();
        assert_eq!(known.identity.revocation, None, "it would void everything");
    }

    #[test]
    fn nobody_is_revoked_by_a_guess_of_who_is_meant() {
        type Change = fn(&mut TrustedIdentity);
        let rows: [Change; 3] = [
            |it| it.spec.issuer.clear(),
            |it| it.spec.subject = api::Subject::default(),
            |it| it.spec.claims.as_mut().unwrap().source_ref = Some("refs/***".to_owned()),
        ];
        for change in rows {
            assert!(remaining(change).is_none());
        }
    }

    #[test]
    fn a_workflow_without_a_repository_says_nothing_of_its_caller() {
        type Change = fn(&mut TrustedIdentity);
        let rows: [(bool, Change); 4] = [
            (true, |_| {}),
            (false, |it| it.spec.claims = None),
            (false, |it| {
                let claims = it.spec.claims.as_mut().unwrap();
                (claims.source_repository, claims.source_repository_id) = (None, None);
            }),
            (true, |it| {
                it.spec.claims = None;
                it.spec.subject.exact = it.spec.subject.glob.take();
                it.spec.subject.exact = Some("release@example.com".to_owned());
            }),
        ];
        for (is_told, change) in rows {
            assert_eq!(is_caller_told(&object(change)), is_told);
        }
    }

    fn window_of(object: &mut TrustedIdentity) -> &mut api::Window {
        &mut object.spec.revocation.as_mut().unwrap().windows[0]
    }
}
