//! `TrustedIdentity` and its trusted root → an identity to judge by.

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
    let spec = &object.spec;
    let mut problems = Problems::default();
    if spec.issuer.is_empty() || spec.issuer.len() > FACT_BYTES {
        let message = "is empty or too long, write the `iss` of its tokens";
        problems.add("spec.issuer", message);
    }
    let subject = subject(&spec.subject, &mut problems);
    let claims = spec.claims.as_ref();
    let claims = claims.map(|named| claims_of(named, &mut problems));
    let limits = spec.scope.as_ref();
    let limits = limits.map(|named| scope(named, &mut problems));
    let not_after = instant("spec.notAfter", spec.not_after.as_ref(), &mut problems);
    let revocation = spec.revocation.as_ref();
    let revocation = revocation.and_then(|declared| revocation_of(declared, &mut problems));
    let (Some(subject), true) = (subject, problems.found().is_empty()) else {
        return Err(problems.into_vec());
    };
    Ok(KnownIdentity {
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

fn revocation_of(
    declared: &api::IdentityRevocation,
    problems: &mut Problems,
) -> Option<IdentityRevocation> {
    let path = "spec.revocation";
    let reason: RevocationReason = reason(declared.reason);
    let numbered = declared.windows.iter().enumerate();
    let windows =
        numbered.map(|(index, one)| window(&format!("{path}.windows[{index}]"), one, problems));
    let windows: Option<Vec<_>> = windows.collect::<Vec<_>>().into_iter().collect();
    let digests = declared.digests.iter().enumerate().map(|(index, text)| {
        let digest = text
            .parse::<Sha256Digest>()
            .map_err(|_| "is no digest, write sha256: and 64 digits");
        problems.take(&format!("{path}.digests[{index}]"), digest)
    });
    let digests: Vec<_> = digests.collect();
    let digests = digests.into_iter().collect::<Option<_>>()?;
    let revocation = IdentityRevocation::new(reason, windows?, digests);
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

    fn read(change: impl FnOnce(&mut TrustedIdentity)) -> Result<KnownIdentity, String> {
        let mut object: TrustedIdentity = serde_saphyr::from_str(GOOD).unwrap();
        change(&mut object);
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

    fn window_of(object: &mut TrustedIdentity) -> &mut api::Window {
        &mut object.spec.revocation.as_mut().unwrap().windows[0]
    }
}
