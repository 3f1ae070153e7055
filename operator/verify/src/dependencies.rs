//! `dependencies: Verify`: each subchart of an archive must itself be signed.
//!
//! The archive holds its subcharts unpacked and without their provenance files. So each is compared with its own
//! archive, from the repository that Chart.lock or Chart.yaml name, and that archive's statement is judged by
//! the signers of the rule.
//!
//! Whoever publishes an archive names those repositories. So they are asked only where somebody vouches for it:
//! somebody who is known has signed it, or a rule pins it.
//!
//! Decision: what a subchart lacks is `DependencyNotTrusted`, a revoked key of it too: the chart's own signers
//! have vouched for what it contains, and Helm records no subcharts, so that it is no proof against what runs.
//! Subcharts of subcharts are what the signers of those have signed.

use crate::bundles::Bundles;
use crate::case::{Case, Subject};
use crate::evidence::{Answer, ArchiveFacts, Evidence, ProvenanceFacts, Signed, SubchartFacts};
use crate::finding::Fact;
use crate::key_validity::Approval;
use crate::limits::MOST_SUBCHARTS;
use crate::policy::{Dependencies, Rule};
use crate::rule_result::RuleResult;
use crate::sigstore::SigstoreSigners;
use crate::verdict::{Cause, Reason};

/// Who may vouch for an archive, so that whom it names is asked.
#[derive(Clone, Copy, Debug)]
pub struct Vouchers<'a> {
    /// The rules that ask for signatures of its subcharts: one may pin it.
    pub rules: &'a [&'a Rule],
    /// Public keys and identities that are known. Of OpenPGP keys the evidence holds who has signed.
    pub sigstore: &'a SigstoreSigners,
}

impl Vouchers<'_> {
    /// Whether a rule believes anybody whose signatures are those of Sigstore.
    fn list_sigstore(self) -> bool {
        let mut rules = self.rules.iter();
        rules.any(|rule| rule.verify.signers.list_sigstore(self.sigstore))
    }
}

/// Judges the statement about an archive.
type Provenance = fn(&Subject<'_>, &mut RuleResult) -> Option<Approval>;

/// Whether each subchart is signed, if the rule asks for that.
pub(crate) fn check(subject: &Subject<'_>, provenance: Provenance, result: &mut RuleResult) {
    let facts = subject.facts;
    if subject.rule.verify.dependencies != Dependencies::Verify || !facts.has_subcharts {
        return;
    }
    if facts.subcharts.is_empty() {
        return result.doubt(Cause::Pending, "its subcharts were not looked at yet");
    }
    if facts.has_too_many_subcharts() {
        let message = format!(
            "it has more than {MOST_SUBCHARTS} subcharts, and no more are looked at; with dependencies: Inherit \
             the signature of the chart covers them"
        );
        return result.doubt(Cause::LimitExceeded, message);
    }
    for subchart in &facts.subcharts {
        check_one(subject, subchart, provenance, result);
    }
}

fn check_one(
    subject: &Subject<'_>,
    subchart: &SubchartFacts,
    provenance: Provenance,
    result: &mut RuleResult,
) {
    let SubchartFacts { id, content } = subchart;
    let repository = &id.repository;
    let case = subject.case;
    let is_vouched = || {
        let release = (case.chart, case.version);
        let vouchers = Vouchers {
            rules: &[subject.rule],
            sigstore: subject.sigstore,
        };
        case.evidence.vouches(release, subject.facts, vouchers)
    };
    let about = |what: String| format!("subchart {} {}: {what}", id.name, id.version);
    let untrusted = |what: String| (Reason::DependencyNotTrusted, about(what));
    if !id.is_published() {
        let what = "Chart.yaml names no repository, or several, for its signed archive; with dependencies: \
                    Inherit the signature of the chart covers it";
        let (reason, message) = untrusted(what.to_owned());
        return result.fail(reason, message);
    }
    let (reason, message) = match case.evidence.subcharts.get(id) {
        None if !is_vouched() => untrusted(format!(
            "{repository} is not asked before a known key has signed the chart that names it"
        )),
        None => {
            let message = about(format!("{repository} was not asked yet"));
            return result.doubt(Cause::Pending, message);
        }
        Some(Answer::Unavailable { cause, message }) => {
            return result.doubt(*cause, about(format!("{repository}: {message}")));
        }
        Some(Answer::NotFound) => untrusted(format!("{repository} does not list it")),
        Some(Answer::Ambiguous { .. }) => untrusted(format!(
            "its archive of {repository} can be read in more than one way"
        )),
        Some(Answer::Archive(own)) if own.content == Some(*content) => {
            return check_statement(subject, (subchart, own), provenance, result);
        }
        Some(Answer::Archive(_)) => {
            let message = about(format!("it is not what its archive of {repository} holds"));
            (Reason::ContentMismatch, message)
        }
    };
    result.fail(reason, message);
}

/// Judges a subchart's own archive as if it were a release of that chart from that repository.
fn check_statement(
    subject: &Subject<'_>,
    (subchart, own): (&SubchartFacts, &ArchiveFacts),
    provenance: Provenance,
    result: &mut RuleResult,
) {
    let id = &subchart.id;
    let case = Case {
        release: subject.case.release,
        chart: &id.name,
        version: &id.version,
        deployers: &[],
        evidence: &Evidence::default(),
    };
    let subject = Subject {
        case: &case,
        source: &id.repository,
        facts: own,
        ..*subject
    };
    let mut judged = RuleResult::default();
    let approval = provenance(&subject, &mut judged);
    let about = |fact: Fact, message: &str| {
        format!("subchart {} {}: {fact}: {message}", id.name, id.version)
    };
    for finding in &judged.findings {
        match finding.fact {
            Fact::Doubt(cause) => result.doubt(cause, about(finding.fact, &finding.message)),
            Fact::Failure(_) => {
                let message = about(finding.fact, &finding.message);
                result.fail(Reason::DependencyNotTrusted, message);
            }
            Fact::Note(_) => {}
        }
    }
    let is_approved = approval.is_some() && judged.failing.is_empty() && judged.doubts.is_empty();
    if !is_approved && judged.failing.is_empty() && judged.doubts.is_empty() {
        let message = format!("subchart {} {} is not signed", id.name, id.version);
        result.fail(Reason::DependencyNotTrusted, message);
    }
}

impl Evidence {
    /// Every signed statement, of subcharts too.
    pub fn statements(&self) -> impl Iterator<Item = &Signed> {
        let of_subcharts = self.subcharts.values().filter_map(|answer| match answer {
            Answer::Archive(facts) => Some(facts.as_ref()),
            Answer::Ambiguous { .. } | Answer::NotFound | Answer::Unavailable { .. } => None,
        });
        let own = self.archives().map(|(_, facts)| facts);
        own.chain(of_subcharts).filter_map(ArchiveFacts::signed)
    }

    /// The subcharts of the archive of a source that have to be asked about: those without an answer, and those
    /// whose answer holds no good signature of the very content.
    pub fn open_subcharts(
        &self,
        release: (&str, &str),
        source: &str,
        vouchers: Vouchers<'_>,
    ) -> Vec<SubchartFacts> {
        let Some(facts) = self.vouched(release, source, vouchers) else {
            return Vec::new();
        };
        let is_good = |known: &ArchiveFacts| {
            let mut signed = known.signed().into_iter();
            signed.any(|it| it.good_signers().next().is_some())
                || known.is_bundled_by(vouchers.sigstore)
        };
        let is_open = |subchart: &&SubchartFacts| {
            !matches!(self.subcharts.get(&subchart.id), Some(Answer::Archive(known))
                if known.content == Some(subchart.content) && is_good(known))
        };
        facts.asked_subcharts().filter(is_open).cloned().collect()
    }

    /// Whether the repository of a subchart of the archive of a source did not answer.
    pub fn has_silent_subcharts(&self, source: &str) -> bool {
        let Some(Answer::Archive(facts)) = self.answers.get(source) else {
            return false;
        };
        let mut answers = facts.asked_subcharts().map(|it| self.subcharts.get(&it.id));
        answers.any(|answer| answer.is_some_and(is_silence))
    }

    /// Whether nobody was asked yet about a subchart of the archive of a source.
    pub fn lacks_subcharts(
        &self,
        release: (&str, &str),
        source: &str,
        vouchers: Vouchers<'_>,
    ) -> bool {
        let Some(facts) = self.vouched(release, source, vouchers) else {
            return false;
        };
        let is_bundled = vouchers.list_sigstore();
        let is_unheard = |it: &SubchartFacts| match self.subcharts.get(&it.id) {
            None => true,
            Some(Answer::Archive(known)) => is_bundled && known.bundles.is_none(),
            Some(Answer::Ambiguous { .. } | Answer::NotFound | Answer::Unavailable { .. }) => false,
        };
        let is_unlisted = facts.has_subcharts && facts.subcharts.is_empty();
        is_unlisted || facts.asked_subcharts().any(is_unheard)
    }

    fn vouched(
        &self,
        release: (&str, &str),
        source: &str,
        vouchers: Vouchers<'_>,
    ) -> Option<&ArchiveFacts> {
        let Some(Answer::Archive(facts)) = self.answers.get(source) else {
            return None;
        };
        self.vouches(release, facts, vouchers).then_some(facts)
    }

    /// Whether somebody who is known has signed these very bytes, wherever the statement lies, or a rule pins them.
    fn vouches(
        &self,
        (chart, version): (&str, &str),
        facts: &ArchiveFacts,
        Vouchers { rules, sigstore }: Vouchers<'_>,
    ) -> bool {
        let digest = &facts.digest;
        let mut same = self.archives().filter(|(_, other)| other.digest == *digest);
        let is_signed = same.any(|(_, other)| {
            let about_it = |it: &&Signed| it.claims.claimed_archive.as_ref() == Some(digest);
            let signed = other.signed().filter(about_it);
            signed.is_some_and(|it| it.good_signers().next().is_some())
                || other.is_bundled_by(sigstore)
        });
        is_signed || rules.iter().any(|rule| rule.pins(chart, version, digest))
    }
}

impl ArchiveFacts {
    fn has_too_many_subcharts(&self) -> bool {
        self.subcharts.len() > MOST_SUBCHARTS
    }

    /// Those whose own archives are asked for.
    fn asked_subcharts(&self) -> impl Iterator<Item = &SubchartFacts> {
        let all = self
            .subcharts
            .iter()
            .filter(|_| !self.has_too_many_subcharts());
        all.filter(|it| it.id.is_published())
    }
}

/// Whether its place said nothing, or not whether it is signed.
fn is_silence(answer: &Answer) -> bool {
    match answer {
        Answer::Archive(facts) => {
            matches!(facts.provenance, ProvenanceFacts::Unavailable { .. })
                || facts.bundles.as_deref().is_some_and(Bundles::is_silent)
        }
        Answer::Ambiguous { .. } | Answer::NotFound => false,
        Answer::Unavailable { .. } => true,
    }
}
