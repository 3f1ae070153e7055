//! What is answered, and in which words. Pure.

use charttrust_verify::check::{Judgement, PolicyVerdict};
use charttrust_verify::finding::bounded;
use charttrust_verify::key::{Grandfather, RevokedBy};
use charttrust_verify::verdict::{Cause, Class, Verdict};

use crate::api::bounds;
use crate::api::chart_trust_policy::{Mode, OnUnknown};
use crate::inventory::ReleaseId;
use crate::parse::DoorTerms;

/// Whether it may be created, and what whoever creates it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Why not, if it may not.
    pub refusal: Option<String>,
    /// One a policy, in the order of the policies.
    pub warnings: Vec<String>,
}

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The release.
    pub release: &'a ReleaseId,
    /// Name and version of its chart, if its record can be read.
    pub chart: Option<(&'a str, &'a str)>,
}

/// How a policy's verdict is taken.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// What the policy says.
    pub door: DoorTerms,
    /// What its rule rests on and could not be read here, though the operator may: no reason to refuse.
    pub unread: Option<String>,
    /// Whether it is known what the operator had verified of the release before.
    pub knows_witnesses: bool,
}

impl Answer {
    /// Lets it in with one warning.
    pub fn warned(warning: &str) -> Self {
        Self {
            refusal: None,
            warnings: vec![warning_of(warning)],
        }
    }

    /// Adds what is answered of something else that was asked about with it.
    pub(super) fn add(&mut self, other: Self) {
        self.refusal = self.refusal.take().or(other.refusal);
        for warning in other.warnings {
            if !self.warnings.contains(&warning) && self.warnings.len() < MOST_WARNINGS {
                self.warnings.push(warning);
            }
        }
    }

    /// Takes what the policies say, each on its own terms. One that refuses is enough.
    pub fn of(
        asked: Asked<'_>,
        judgement: &Judgement,
        terms: impl Fn(&PolicyVerdict) -> Terms,
    ) -> Self {
        let (mut refusals, mut warnings) = (Vec::new(), Vec::new());
        for said in &judgement.policies {
            let terms = terms(said);
            let Some(complaint) = Complaint::of(said, &terms, judgement) else {
                continue;
            };
            match (terms.door.mode, complaint.refuses(terms.door)) {
                (Mode::Audit, _) => {}
                (Mode::Enforce, true) => refusals.push(complaint),
                (Mode::Enforce, false) | (Mode::Warn, _) => {
                    warnings.push(complaint.warning(asked));
                }
            }
        }
        Self {
            refusal: refusal(asked, &refusals),
            warnings,
        }
    }
}

/// What one policy has against a release.
#[derive(Clone, Debug)]
struct Complaint<'a> {
    said: &'a PolicyVerdict,
    verdict: Verdict,
    because: String,
}

impl<'a> Complaint<'a> {
    fn of(said: &'a PolicyVerdict, terms: &Terms, judgement: &Judgement) -> Option<Self> {
        let complaint = |verdict, because| {
            Some(Self {
                said,
                verdict,
                because,
            })
        };
        match said.verdict {
            Verdict::Untrusted(reason) => {
                let missing = terms.unread.as_ref();
                if let Some(unread) = missing.filter(|_| reason.class() == Class::ProofMissing) {
                    return complaint(Verdict::Unknown(Cause::Pending), unread.clone());
                }
                let unwitnessed = unwitnessed(said).filter(|_| !terms.knows_witnesses);
                if let Some(unread) = unwitnessed {
                    return complaint(Verdict::Unknown(Cause::Pending), unread);
                }
                complaint(said.verdict, because(said, judgement))
            }
            Verdict::Unknown(cause) if is_open(cause) => {
                complaint(said.verdict, because(said, judgement))
            }
            Verdict::Trusted(_) | Verdict::Unknown(_) => None,
        }
    }

    fn refuses(&self, door: DoorTerms) -> bool {
        match self.verdict {
            Verdict::Untrusted(_) => true,
            Verdict::Unknown(_) => door.admission.on_unknown == OnUnknown::Deny,
            Verdict::Trusted(_) => false,
        }
    }

    fn warning(&self, asked: Asked<'_>) -> String {
        let release = asked.release;
        let (word, policy) = (self.verdict.word(), &self.said.policy);
        let told = match self.verdict {
            Verdict::Unknown(_) => "was not checked",
            Verdict::Untrusted(_) | Verdict::Trusted(_) => "is not trusted",
        };
        // The words that say most stand first: what is longer is cut.
        warning_of(&format!(
            "charttrust: {told}: {word} (policy {policy}): release {release}"
        ))
    }

    fn told(&self) -> String {
        let (word, policy) = (self.verdict.word(), &self.said.policy);
        let rule = self.said.rule.as_ref();
        let rule = rule
            .map(|rule| format!(", rule {rule}"))
            .unwrap_or_default();
        let unknown = match self.verdict {
            Verdict::Unknown(_) => ", which refuses what cannot be told (onUnknown: Deny)",
            Verdict::Untrusted(_) | Verdict::Trusted(_) => "",
        };
        let because = bounded(&self.because);
        let because = because.trim_end_matches('.');
        format!("{word} by policy {policy}{rule}{unknown}: {because}")
    }

    fn step(&self) -> &'static str {
        match self.verdict {
            Verdict::Trusted(basis) => basis.step(),
            Verdict::Unknown(cause) => cause.step(),
            Verdict::Untrusted(reason) => reason.step(),
        }
    }
}

/// Whether more could have been found out: whoever is strict may have such a release wait.
fn is_open(cause: Cause) -> bool {
    match cause {
        Cause::LimitExceeded
        | Cause::Pending
        | Cause::ReleaseUnreadable
        | Cause::SourceUnavailable
        | Cause::SourceUnknown
        | Cause::TrustRootUnknown => true,
        Cause::Exempt | Cause::NoPolicy | Cause::NotBindable | Cause::Unmanaged => false,
    }
}

/// Releases of a revoked key that we had verified before may stay trusted, and which those are only the
/// operator knows.
fn unwitnessed(said: &PolicyVerdict) -> Option<String> {
    let is_for_witnessed = |by: &RevokedBy| match by {
        RevokedBy::Certificate(_) => false,
        RevokedBy::Declared(declared) => declared.grandfather == Grandfather::Witnessed,
    };
    let mut revocations = said.revocations.iter();
    let first = revocations.next()?;
    let are_all = is_for_witnessed(&first.by) && revocations.all(|one| is_for_witnessed(&one.by));
    are_all.then(|| {
        format!(
            "key {} is revoked with grandfather: Witnessed, and whether this archive was verified before is not \
             known here",
            first.fingerprint
        )
    })
}

/// The finding that stands for the verdict.
fn because(said: &PolicyVerdict, judgement: &Judgement) -> String {
    let word = said.verdict.word();
    let of_policy = |of: Option<&str>| of.is_none_or(|of| of == said.policy);
    let mut findings = judgement.findings.iter();
    let found =
        findings.find(|one| one.fact.to_string() == word && of_policy(one.policy.as_deref()));
    let cause = || match said.verdict {
        Verdict::Trusted(basis) => basis.cause().to_owned(),
        Verdict::Unknown(cause) => cause.cause().to_owned(),
        Verdict::Untrusted(reason) => reason.cause().to_owned(),
    };
    found.map_or_else(cause, |finding| finding.message.clone())
}

/// What, why and the next step. Helm shows it whole.
fn refusal(asked: Asked<'_>, complaints: &[Complaint<'_>]) -> Option<String> {
    let worst = Verdict::worst(complaints.iter().map(|one| one.verdict))?;
    let first = complaints.iter().find(|one| one.verdict == worst)?;
    let chart = asked.chart.map(|(name, version)| {
        let chart = format!("{name} {version}");
        format!(" (chart {})", bounds::fit(&bounded(&chart), LONGEST_CHART))
    });
    let others = complaints
        .iter()
        .filter(|one| one.said.policy != first.said.policy);
    let others = others.map(|one| format!("{} by policy {}", one.verdict.word(), one.said.policy));
    let others: Vec<_> = others.collect();
    let others = if others.is_empty() {
        String::new()
    } else {
        format!(" Also {}.", bounds::fit(&others.join(", "), LONGEST_OTHERS))
    };
    let text = format!(
        "release {}{}: {}. {}{others} More: charttrust explain {}",
        asked.release,
        chart.unwrap_or_default(),
        bounds::fit(&first.told(), LONGEST_TOLD),
        first.step(),
        worst.word()
    );
    Some(bounds::fit(&text, LONGEST_REFUSAL))
}

fn warning_of(text: &str) -> String {
    bounds::fit(&bounded(text), LONGEST_WARNING)
}

/// What the API server passes on of a refusal is one line in whatever people look at.
const LONGEST_REFUSAL: usize = 1024;
const LONGEST_TOLD: usize = 512;
const LONGEST_CHART: usize = 128;
const LONGEST_OTHERS: usize = 128;
/// So many that all of them are passed on.
const MOST_WARNINGS: usize = 16;
/// Longer ones are cut by the API server, all of them together at 4 KiB.
const LONGEST_WARNING: usize = 120;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use charttrust_verify::finding::{Fact, Finding};
    use charttrust_verify::key::{DeclaredRevocation, HardRevocation, RevocationReason};
    use charttrust_verify::verdict::{Basis, Reason};

    use super::*;
    use crate::api::chart_trust_policy::Admission;

    fn said(policy: &str, verdict: Verdict) -> PolicyVerdict {
        PolicyVerdict {
            policy: policy.to_owned(),
            rule: Some("in-house".to_owned()),
            verdict,
            exempt_by: None,
            origin: None,
            revocations: BTreeSet::new(),
        }
    }

    fn terms(mode: Mode, on_unknown: OnUnknown) -> Terms {
        Terms {
            door: DoorTerms {
                mode,
                admission: Admission {
                    on_unknown,
                    ..Admission::default()
                },
            },
            unread: None,
            knows_witnesses: false,
        }
    }

    fn answer(policies: &[PolicyVerdict], terms: impl Fn(&PolicyVerdict) -> Terms) -> Answer {
        let release = ReleaseId {
            namespace: "shop".into(),
            name: "web".into(),
        };
        let asked = Asked {
            release: &release,
            chart: Some(("web", "1.2.0")),
        };
        let finding = Finding::new(
            Fact::Failure(Reason::Unsigned),
            "https://a has no .prov for web 1.2.0",
        );
        let judgement = Judgement {
            verdict: Verdict::worst(policies.iter().map(|one| one.verdict)).unwrap(),
            policies: policies.to_vec(),
            findings: vec![finding.of_policy("strict")],
        };
        Answer::of(asked, &judgement, terms)
    }

    /// What becomes of one verdict: `P`asses, `w`arns, is `r`efused.
    fn fate(verdict: Verdict, terms: &Terms) -> char {
        let answer = answer(&[said("strict", verdict)], |_| terms.clone());
        match (answer.refusal.is_some(), answer.warnings.len()) {
            (false, 0) => 'P',
            (false, 1) => 'w',
            (true, 0) => 'r',
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_mode_takes_each_verdict_as_documented() {
        let fates = |verdict| {
            let modes = [Mode::Audit, Mode::Warn, Mode::Enforce];
            let all = modes.into_iter().flat_map(|mode| {
                [OnUnknown::Allow, OnUnknown::Deny]
                    .map(|unknown| fate(verdict, &terms(mode, unknown)))
            });
            all.collect::<String>()
        };
        for basis in Basis::ALL {
            assert_eq!(fates(Verdict::Trusted(*basis)), "PPPPPP", "{basis}");
        }
        for reason in Reason::ALL {
            assert_eq!(fates(Verdict::Untrusted(*reason)), "PPwwrr", "{reason}");
        }
        for cause in Cause::ALL {
            let expected = match cause {
                Cause::Exempt | Cause::NoPolicy | Cause::NotBindable | Cause::Unmanaged => "PPPPPP",
                _ => "PPwwwr",
            };
            assert_eq!(fates(Verdict::Unknown(*cause)), expected, "{cause}");
        }
    }

    #[test]
    fn one_policy_that_refuses_is_enough_and_each_other_warns_for_itself() {
        let unsigned = Verdict::Untrusted(Reason::Unsigned);
        let trusted = Verdict::Trusted(Basis::SignatureVerified);
        let policies = [
            said("kind", unsigned),
            said("loose", trusted),
            said("strict", unsigned),
        ];
        let answer = answer(&policies, |said| match said.policy.as_str() {
            "kind" => terms(Mode::Warn, OnUnknown::Allow),
            _ => terms(Mode::Enforce, OnUnknown::Allow),
        });
        assert_eq!(
            answer.refusal.as_deref(),
            Some(
                "release shop/web (chart web 1.2.0): Unsigned by policy strict, rule in-house: https://a has no \
                 .prov for web 1.2.0. `helm package --sign`, and upload both files. More: charttrust explain \
                 Unsigned"
            )
        );
        assert_eq!(
            answer.warnings,
            ["charttrust: is not trusted: Unsigned (policy kind): release shop/web"]
        );
    }

    #[test]
    fn of_several_refusals_the_worst_is_told_and_the_others_are_named() {
        let policies = [
            said("a", Verdict::Unknown(Cause::SourceUnavailable)),
            said("b", Verdict::Untrusted(Reason::KeyCompromised)),
        ];
        let told = answer(&policies, |_| terms(Mode::Enforce, OnUnknown::Deny));
        let told = told.refusal.unwrap();
        assert!(told.contains(": KeyCompromised by policy b"), "{told}");
        assert!(
            told.contains("Also SourceUnavailable by policy a."),
            "{told}"
        );
        let unknown = answer(&policies[..1], |_| terms(Mode::Enforce, OnUnknown::Deny));
        assert!(unknown.refusal.unwrap().contains("onUnknown: Deny"));
    }

    #[test]
    fn what_others_wrote_neither_grows_the_text_nor_forges_it() {
        let release = ReleaseId {
            namespace: "n".repeat(63),
            name: "r".repeat(53),
        };
        let chart = format!("web\n\u{202e}{}", "c".repeat(5000));
        let asked = Asked {
            release: &release,
            chart: Some((&chart, &"9".repeat(5000))),
        };
        let many: Vec<_> = (0..64).map(|n| format!("{}{n}", "p".repeat(60))).collect();
        let unsigned = Verdict::Untrusted(Reason::Unsigned);
        let judgement = Judgement {
            verdict: unsigned,
            policies: many.iter().map(|name| said(name, unsigned)).collect(),
            findings: vec![Finding::new(
                Fact::Failure(Reason::Unsigned),
                "é".repeat(5000),
            )],
        };
        let text = |mode| Answer::of(asked, &judgement, |_| terms(mode, OnUnknown::Allow));
        let refusal = text(Mode::Enforce).refusal.unwrap();
        assert!(
            refusal.len() <= LONGEST_REFUSAL && refusal.ends_with("explain Unsigned"),
            "{refusal}"
        );
        assert!(!refusal.contains(['\n', '\u{202e}']), "{refusal}");
        let warnings = text(Mode::Warn).warnings;
        assert!(warnings.len() == 64 && warnings.iter().all(|one| one.len() <= LONGEST_WARNING));
    }

    #[test]
    fn what_cannot_be_read_here_refuses_nothing_but_what_is_bad() {
        let unread = |reason| {
            let terms = Terms {
                unread: Some("key a lies in a Secret".to_owned()),
                ..terms(Mode::Enforce, OnUnknown::Allow)
            };
            fate(Verdict::Untrusted(reason), &terms)
        };
        for reason in Reason::ALL {
            let expected = if reason.class() == Class::ProofMissing {
                'w'
            } else {
                'r'
            };
            assert_eq!(unread(*reason), expected, "{reason}");
        }
    }

    #[test]
    fn a_revocation_that_spares_what_was_verified_before_is_left_to_the_operator() {
        let declared = |grandfather| HardRevocation {
            fingerprint: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
            by: RevokedBy::Declared(DeclaredRevocation {
                declared_by: "a".to_owned(),
                reason: RevocationReason::Compromised,
                since: None,
                grandfather,
            }),
        };
        let of_certificate = HardRevocation {
            by: RevokedBy::Certificate("00".to_owned()),
            ..declared(Grandfather::Never)
        };
        let spares = declared(Grandfather::Witnessed);
        for (revocations, is_refused) in [
            (vec![spares.clone()], false),
            (vec![declared(Grandfather::Never)], true),
            (vec![of_certificate.clone()], true),
            (vec![spares.clone(), of_certificate], true),
            (vec![spares, declared(Grandfather::Never)], true),
        ] {
            let bad = PolicyVerdict {
                revocations: revocations.iter().cloned().collect(),
                ..said("strict", Verdict::Untrusted(Reason::KeyCompromised))
            };
            let answered = answer(std::slice::from_ref(&bad), |_| {
                terms(Mode::Enforce, OnUnknown::Allow)
            });
            assert_eq!(answered.refusal.is_some(), is_refused, "{revocations:?}");
            let all_known = |_: &PolicyVerdict| Terms {
                knows_witnesses: true,
                ..terms(Mode::Enforce, OnUnknown::Allow)
            };
            assert!(
                answer(&[bad], all_known).refusal.is_some(),
                "{revocations:?}"
            );
        }
    }
}
