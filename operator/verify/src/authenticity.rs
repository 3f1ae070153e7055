//! Who vouches for an archive: the signed statement beside it, and its Sigstore signatures.

use std::collections::BTreeSet;
use std::mem::discriminant;

use crate::case::Subject;
use crate::evaluation::Evaluation;
use crate::evidence::{ArchiveFacts, Claims, Place, ProvenanceFacts, Signed};
use crate::finding::Note;
use crate::key_validity::Approval;
use crate::policy::Level;
use crate::rule_result::RuleResult;
use crate::signers::{self, Statement, Tally, Votes};
use crate::verdict::{Cause, Class, Reason};
use crate::vouching;

/// Integrity, authenticity and the life and scope of the keys.
///
/// The forms of signatures are alternatives: what is wrong with one is told where another is enough. They
/// are counted together where a signed statement is about this archive.
pub(crate) fn check_provenance(subject: &Subject<'_>, result: &mut RuleResult) -> Option<Approval> {
    if !vouching::is_asked(subject) {
        return check_statement(subject, &[], result);
    }
    let bundled = vouching::evaluations(subject);
    let mut stated = RuleResult::default();
    let approval = check_statement(subject, &bundled, &mut stated);
    let alone = signers::tally(
        subject,
        Votes {
            bundled: &bundled,
            ..Votes::default()
        },
    );
    for message in &alone.attestations {
        result.note(Note::NotASignature, message.clone());
    }
    if approval.is_some() && stated.failing.is_empty() && stated.doubts.is_empty() {
        result.take_in(stated);
        return approval;
    }
    if alone.approval.is_some() {
        // That there is no statement is no signature that does not count.
        if !matches!(subject.facts.provenance, ProvenanceFacts::Missing) {
            stated.become_notes(|_| true);
            result.take_in(stated);
        }
        result.note_each(Note::OtherSignature, alone.others);
        result.is_bundled = true;
        return alone.approval;
    }
    add_bundled(subject, alone, &mut stated);
    result.take_in(stated);
    approval
}

/// Neither form is enough. What Sigstore shows is added to what the statement beside the archive shows.
fn add_bundled(subject: &Subject<'_>, alone: Tally, stated: &mut RuleResult) {
    let bundles = subject.facts.bundles.as_deref();
    for (cause, message) in alone.doubts {
        stated.doubt(cause, message);
    }
    match bundles {
        None => stated.doubt(
            Cause::Pending,
            "its Sigstore signatures were not looked for yet",
        ),
        Some(it) => {
            if let Some((cause, message)) = &it.incomplete {
                stated.doubt(*cause, format!("Sigstore signatures: {message}"));
            }
        }
    }
    let is_signed = bundles.is_some_and(|it| it.signatures.len() > alone.attestations.len());
    if is_signed {
        // Whoever it is by, a signature is there.
        stated.become_notes(|reason| reason == Reason::Unsigned);
    }
    if !are_counted_together(subject, stated) {
        for failure in alone.failing {
            // That too few have signed says nothing beside a statement that fails for another reason.
            if alone.is_too_few && !(is_signed && stated.failing.is_empty()) {
                stated.note(Note::OtherSignature, failure.message);
                continue;
            }
            stated.fail(failure.reason, failure.message);
            stated.revocations.extend(failure.revocations);
        }
        stated.note_each(Note::OtherSignature, alone.others);
    }
    stated.has_lapsed |= alone.has_lapsed;
    if !stated.doubts.is_empty() {
        // What could not be looked at might be the proof.
        stated.become_notes(|reason| reason.class() == Class::ProofMissing);
    }
}

/// Whether all that is wrong with Sigstore signatures was told with the statement already.
fn are_counted_together(subject: &Subject<'_>, stated: &RuleResult) -> bool {
    let is_about_it = |it: &&Signed| it.claims.claimed_archive == Some(subject.facts.digest);
    let signed = subject.facts.signed().filter(is_about_it);
    // What is bad was taken back where the statement lies elsewhere, and is no less bad for that.
    signed.is_some_and(|it| it.place != Place::Elsewhere || stated.has_lapsed)
}

/// What the signed statement beside the archive shows, with the Sigstore signatures as further ones.
fn check_statement(
    subject: &Subject<'_>,
    bundled: &[Evaluation],
    result: &mut RuleResult,
) -> Option<Approval> {
    match &subject.facts.provenance {
        ProvenanceFacts::Missing => {
            result.fail(
                Reason::Unsigned,
                format!("{} has no provenance for it", subject.source),
            );
            None
        }
        ProvenanceFacts::Malformed { message } => {
            result.fail(Reason::ProvenanceMalformed, message.clone());
            None
        }
        ProvenanceFacts::Unavailable { cause, message } => {
            result.doubt(*cause, format!("provenance: {message}"));
            None
        }
        ProvenanceFacts::Signed(signed) if signed.place == Place::Elsewhere => {
            let mut shown = RuleResult::default();
            let approval = check_signed(subject, (signed, bundled), &mut shown);
            if !shows_more_than_its_keeper(signed, approval) {
                shown.prove_nothing_bad();
            }
            result.take_in(shown);
            approval
        }
        ProvenanceFacts::Signed(signed) => check_signed(subject, (signed, bundled), result),
    }
}

/// Whether what a statement shows cannot be the choice of who keeps it: any that somebody has ever signed can
/// lie elsewhere, but only who is believed can have made one about this very chart and version.
pub(crate) fn shows_more_than_its_keeper(signed: &Signed, approval: Option<Approval>) -> bool {
    let is_about_it = signed.claims.claimed_archive.is_some();
    signed.place != Place::Elsewhere || (is_about_it && approval.is_some())
}

/// What other sources of the rule have as provenance of the very same archive: who signed these bytes has
/// signed them, wherever the statement lies.
fn statements_elsewhere<'a>(subject: &Subject<'a>) -> Vec<Statement<'a>> {
    let Subject {
        case, rule, facts, ..
    } = *subject;
    let is_of_release = |claims: &Claims| {
        let claimed = (
            claims.claimed_name.as_str(),
            claims.claimed_version.as_str(),
        );
        rule.verify.level != Level::Strict || claimed == (case.chart, case.version)
    };
    let urls = rule.sources.iter().map(|source| source.url.as_str());
    let others: BTreeSet<_> = urls.filter(|url| *url != subject.source).collect();
    let archives = case.evidence.archives();
    let same = archives.filter(|(source, other)| others.contains(source) && is_same(facts, other));
    let statements = same.filter_map(|(source, facts)| {
        let subject = Subject {
            source,
            facts,
            ..*subject
        };
        Some((subject, facts.signed()?))
    });
    let about_it = statements.filter(|(_, signed)| {
        signed.claims.claimed_archive == Some(facts.digest) && is_of_release(&signed.claims)
    });
    about_it.collect()
}

/// The same bytes. What is known of them is the same then, or was gathered at different times.
fn is_same(facts: &ArchiveFacts, other: &ArchiveFacts) -> bool {
    let of = |facts: &ArchiveFacts| (facts.digest, discriminant(&facts.binding));
    of(facts) == of(other) && (&facts.name, &facts.version) == (&other.name, &other.version)
}

fn note_elsewhere(elsewhere: &[Statement<'_>], result: &mut RuleResult) {
    for (subject, _) in elsewhere {
        let message = format!(
            "{} has signatures of the same archive, without which the threshold is not met",
            subject.source
        );
        result.note(Note::OtherSource, message);
    }
}

fn check_signed(
    subject: &Subject<'_>,
    (signed, bundled): (&Signed, &[Evaluation]),
    result: &mut RuleResult,
) -> Option<Approval> {
    // The version with its build metadata: `+` stays `+` in file names, also where a registry's tag
    // has `_`.
    let expected = format!("{}-{}.tgz", subject.case.chart, subject.case.version);
    let is_about_this_archive = signed.claims.claimed_archive == Some(subject.facts.digest);
    match signed.claims.claimed_archive {
        Some(_) if is_about_this_archive => {}
        Some(digest) => {
            let message = format!(
                "signed {digest}, but {expected} is {}",
                subject.facts.digest
            );
            result.fail(Reason::DigestMismatch, message);
        }
        None => {
            let message = format!("the provenance does not name {expected}");
            result.fail(Reason::MetadataMismatch, message);
        }
    }
    let elsewhere = if is_about_this_archive {
        statements_elsewhere(subject)
    } else {
        Vec::new()
    };
    let votes = Votes {
        own: &signed.signatures,
        elsewhere: &elsewhere,
        // Those of something else do not make enough of these.
        bundled: if is_about_this_archive { bundled } else { &[] },
    };
    let tally = signers::tally(subject, votes);
    if tally.is_united {
        note_elsewhere(&elsewhere, result);
    }
    result.has_lapsed = tally.has_lapsed && is_about_this_archive;
    for failure in tally.failing {
        let (reason, message) = (failure.reason, failure.message);
        // A revoked key that signed something else proves nothing bad of this archive.
        if is_about_this_archive || reason.class() != Class::Badness {
            result.fail(reason, message);
            result.revocations.extend(failure.revocations);
        } else {
            result.note(Note::OtherSignature, format!("{reason}: {message}"));
        }
    }
    result.note_each(Note::OtherSignature, tally.others);
    tally.approval
}
