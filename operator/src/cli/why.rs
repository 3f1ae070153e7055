//! `charttrust why`: the chain of checks behind one verdict, with digests and dates. Reads only.
//!
//! Everything comes from the `ReleaseTrust`, where the operator keeps what it found; nothing is
//! fetched or checked again.

mod graph;

use std::collections::BTreeSet;

use charttrust_verify::bundles::BundleFacts;
use charttrust_verify::openpgp::Code;
use charttrust_verify::verdict::{Link, Verdict};
use clap::Args;
use kube::{Api, ResourceExt as _};
use serde::Serialize;
use serde_json::json;

use self::graph::Node;
use super::SCHEMA_VERSION;
use super::asking::Asking;
use super::bundled::{self, Known};
use super::cluster::{Failure, all, named};
use super::leading::checked;
use super::looked::Looks;
use super::screen::say;
use super::sigstore::{self, Declared};
use super::status::{self, shown};
use crate::api::conditions::{Condition, KeyCondition, find};
use crate::api::release_trust::{
    Binding, ProvenanceProblem, ReleaseTrustStatus, Signer, SourceAnswer, SourceEvidence,
};
use crate::api::{ChartTrustPolicy, REQUESTED_AT, ReleaseTrust, TrustedKey};
use crate::controllers::stated;
use crate::controllers::store::Content;

/// Tells why a release has its verdict: every check in order, with digests and dates.
///
/// Exit code 0: the release is trusted, exempt or unmanaged; 1: it is not trusted; 3: that could not
/// be found out.
#[derive(Args, Clone, Debug)]
pub struct Why {
    /// The release, `NAMESPACE/RELEASE`, or its name with `-n`.
    #[arg(value_name = "RELEASE")]
    pub release: String,
    /// The namespace of the release.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Prints the chain as a picture instead: a flowchart of Mermaid, for a ticket or a wiki.
    #[arg(long, conflicts_with = "output")]
    pub graph: bool,
    /// How to ask, and how to print.
    #[command(flatten)]
    pub asking: Asking,
}

/// Runs the command and gives its exit code.
///
/// # Errors
/// If the cluster cannot be asked, or the release does not exist.
pub(super) async fn run(arguments: &Why) -> Result<u8, Failure> {
    let client = arguments.asking.connection.client().await?;
    let (namespace, name) = named(&arguments.release, arguments.namespace.as_deref())?;
    let mut trust = status::read(client.clone(), &namespace, &name).await?;
    // Without them the chain lacks names and dates of keys and identities, and nothing else.
    let keys = all(&Api::<TrustedKey>::all(client.clone()), "TrustedKeys").await;
    let keys = keys.unwrap_or_default();
    let namespace = &arguments.asking.operator.operator_namespace;
    let identities = sigstore::identities(&client, namespace).await;
    let identities = identities.unwrap_or_default();
    let known = Known {
        keys: &keys,
        identities: &identities,
    };
    // Without them it shows former sources too.
    let policies = all(
        &Api::<ChartTrustPolicy>::all(client.clone()),
        "ChartTrustPolicies",
    )
    .await;
    let former = policies.map(|policies| set_aside(&mut trust, &policies));
    let text = if arguments.graph {
        picture(&trust, known)
    } else if let Some(format) = arguments.asking.output {
        format.write(&explanation(&trust, known))?
    } else {
        let looks = Looks::told(&client, &arguments.asking.operator).await;
        let looked = format!("Looked: {}", looks.sentence(&trust));
        explain(&trust, known) + &shown(former.unwrap_or_default()) + &shown(vec![looked])
    };
    say(&text)?;
    let code = status::code([&trust]);
    Ok(checked(&client, &arguments.asking.operator, code).await)
}

/// Takes out what sources have answered that no policy names any more, and says so: no verdict rests on
/// it, but it is kept.
fn set_aside(trust: &mut ReleaseTrust, policies: &[ChartTrustPolicy]) -> Vec<String> {
    let rules = policies.iter().flat_map(|policy| &policy.spec.rules);
    let sources = rules.flat_map(|rule| &rule.sources);
    let named: BTreeSet<_> = sources.map(|source| source.url.as_str()).collect();
    let status = trust.status.iter_mut();
    let evidence = status.filter_map(|status| status.evidence.as_mut());
    let gone = evidence.flat_map(|evidence| {
        evidence
            .sources
            .extract_if(.., |source| !named.contains(source.url.as_str()))
    });
    gone.map(|source| format!("Named by no policy any more: {}", source.url))
        .collect()
}

const CHAIN: [Link; 8] = [
    Link::Release,
    Link::Rule,
    Link::Source,
    Link::Archive,
    Link::Content,
    Link::Signature,
    Link::Statement,
    Link::Key,
];

fn name(link: Link) -> &'static str {
    match link {
        Link::Release => "release",
        Link::Rule => "rule",
        Link::Source => "source",
        Link::Archive => "archive",
        Link::Content => "content",
        Link::Signature => "signature",
        Link::Statement => "statement",
        Link::Key => "key",
    }
}

/// The link at which a word of the vocabulary is decided; nothing for notes.
fn decided_at(word: &str) -> Option<Link> {
    Verdict::of_word(word).and_then(Verdict::link)
}

/// One link of the chain as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(rename = "link")]
    name: &'static str,
    facts: Vec<String>,
    /// The words of the vocabulary that are decided here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    /// The fact that carries the mark.
    #[serde(skip)]
    marked: usize,
}

fn links(trust: &ReleaseTrust, known: Known<'_>) -> Vec<Shown> {
    let status = trust.status.clone().unwrap_or_default();
    let verdict = trust.verdict();
    let shown = |link: Link| {
        let facts = facts(link, trust, &status, known);
        let reasons = reasons(link, &status, verdict);
        Shown {
            name: name(link),
            marked: marked(&facts, &reasons, &status),
            facts,
            reasons,
        }
    };
    CHAIN.map(shown).into()
}

/// The source that a finding of these words names, or else the last of the facts.
fn marked(facts: &[String], reasons: &[String], status: &ReleaseTrustStatus) -> usize {
    let mut findings = status.findings.iter();
    let of_source = findings.find_map(|finding| {
        if !reasons.contains(&finding.reason) {
            return None;
        }
        facts.iter().position(|fact| {
            let source = fact.split_once(": ").map(|(source, _)| source);
            source.is_some_and(|source| finding.message.contains(source))
        })
    });
    of_source.unwrap_or(facts.len().saturating_sub(1))
}

/// The chain as a picture.
fn picture(trust: &ReleaseTrust, known: Known<'_>) -> String {
    let links = links(trust, known);
    let nodes: Vec<_> = links.iter().map(Node::from).collect();
    let verdict = trust.verdict();
    let conclusion = conclusion(verdict).join(" ");
    graph::flowchart(&nodes, &conclusion, verdict.map(|verdict| verdict.status))
}

impl<'a> From<&'a Shown> for Node<'a> {
    fn from(link: &'a Shown) -> Self {
        Self {
            name: link.name,
            facts: &link.facts,
            reasons: &link.reasons,
        }
    }
}

/// The chain for programs.
fn explanation(trust: &ReleaseTrust, known: Known<'_>) -> serde_json::Value {
    let findings = trust.status.as_ref().map(|status| &status.findings);
    json!({
        "schemaVersion": SCHEMA_VERSION,
        "namespace": trust.namespace(),
        "release": trust.name_any(),
        "trusted": trust.verdict(),
        "links": links(trust, known),
        "findings": findings.into_iter().flatten().collect::<Vec<_>>(),
    })
}

fn explain(trust: &ReleaseTrust, known: Known<'_>) -> String {
    let mut lines = Vec::new();
    for (number, link) in (1..).zip(links(trust, known)) {
        lines.extend(lines_of(number, link));
    }
    lines.extend(conclusion(trust.verdict()));
    let findings = trust.status.as_ref().map(|status| &status.findings);
    let findings = findings.into_iter().flatten();
    lines.extend(findings.map(|finding| format!("  {}", status::of_finding(finding))));
    lines.extend(next_step(trust.verdict()));
    lines.push(format!(
        "Look again now: kubectl annotate releasetrust -n {} {} {REQUESTED_AT}=\"$(date +%s)\" --overwrite",
        trust.namespace().unwrap_or_default(),
        trust.name_any()
    ));
    shown(lines)
}

/// A line for each fact, one of which carries the mark.
fn lines_of(number: usize, link: Shown) -> Vec<String> {
    let mut lines = link.facts;
    if lines.is_empty() {
        lines.push("nothing is known".to_owned());
    }
    if let (Some(line), false) = (lines.get_mut(link.marked), link.reasons.is_empty()) {
        *line = format!("{line}   <-- {}", link.reasons.join(", "));
    }
    let head = |place| match place {
        0 => format!("{number} {:<10}", link.name),
        _ => " ".repeat(12),
    };
    let lines = lines.into_iter().enumerate();
    lines.map(|(place, line)| head(place) + &line).collect()
}

/// The words that are decided at a link, each once.
fn reasons(link: Link, status: &ReleaseTrustStatus, verdict: Option<&Condition>) -> Vec<String> {
    let found = status.findings.iter().map(|finding| &finding.reason);
    let words = verdict
        .map(|verdict| &verdict.reason)
        .into_iter()
        .chain(found);
    let mut seen = BTreeSet::new();
    words
        .filter(|word| decided_at(word) == Some(link) && seen.insert(word.as_str()))
        .cloned()
        .collect()
}

/// What the vocabulary says to do about a verdict.
fn next_step(verdict: Option<&Condition>) -> Option<String> {
    let step = step(Verdict::of_word(&verdict?.reason)?)?;
    Some(format!("Next step: {step}"))
}

/// What to do about a verdict, if anything.
pub(super) fn step(verdict: Verdict) -> Option<&'static str> {
    let step = match verdict {
        Verdict::Trusted(basis) => basis.step(),
        Verdict::Unknown(cause) => cause.step(),
        Verdict::Untrusted(reason) => reason.step(),
    };
    (!step.starts_with("None")).then_some(step)
}

fn conclusion(verdict: Option<&Condition>) -> Vec<String> {
    let Some(verdict) = verdict else {
        return vec!["Not judged yet.".to_owned()];
    };
    let since = &verdict.last_transition_time.0;
    let head = format!(
        "Trusted={:?}, {}, since {since}",
        verdict.status, verdict.reason
    );
    vec![match verdict.message.as_str() {
        "" => head,
        message => format!("{head}: {message}"),
    }]
}

fn facts(
    link: Link,
    trust: &ReleaseTrust,
    status: &ReleaseTrustStatus,
    known: Known<'_>,
) -> Vec<String> {
    let evidence = status
        .evidence
        .iter()
        .flat_map(|evidence| &evidence.sources);
    let archives = evidence.clone().filter(|source| source.archive.is_some());
    match link {
        Link::Release => vec![of_release(trust, status)],
        Link::Rule => of_rules(status),
        Link::Source => evidence.map(of_source).collect(),
        Link::Archive => archives.map(|source| of_archive(source, status)).collect(),
        Link::Content => archives.map(of_content).collect(),
        Link::Signature => of_signatures(status, known),
        Link::Statement => archives.flat_map(of_statements).collect(),
        Link::Key => of_keys(status, known),
    }
}

fn of_release(trust: &ReleaseTrust, status: &ReleaseTrustStatus) -> String {
    let name = format!(
        "{}/{}",
        trust.namespace().unwrap_or_default(),
        trust.name_any()
    );
    match &status.release {
        None => name,
        Some(release) => format!(
            "{name} revision {} ({:?}), chart {} {}",
            release.revision, release.driver, release.chart, release.version
        ),
    }
}

fn of_rules(status: &ReleaseTrustStatus) -> Vec<String> {
    let rule = |policy: &crate::api::release_trust::PolicyVerdict| {
        let rule = policy.rule.as_deref().unwrap_or("(cannot be used)");
        let exception = policy.exception.as_ref();
        let exception = exception.map(|name| format!(", forgiven by exception {name}"));
        format!(
            "{}/{rule}: {:?}/{}{}",
            policy.policy,
            policy.verdict,
            policy.reason,
            exception.unwrap_or_default()
        )
    };
    status.policies.iter().map(rule).collect()
}

fn of_source(source: &SourceEvidence) -> String {
    let answer = match source.answer {
        SourceAnswer::Ambiguous => "its archive can be read in more than one way",
        SourceAnswer::Archive => "has the archive",
        SourceAnswer::NotFound => "does not list this version",
        SourceAnswer::Unavailable => "gave no usable answer",
    };
    let message = source.message.as_ref();
    let message = message.map(|message| format!(" ({message})"));
    format!("{}: {answer}{}", source.url, message.unwrap_or_default())
}

fn of_archive(source: &SourceEvidence, status: &ReleaseTrustStatus) -> String {
    let release = status.release.as_ref();
    let or_release = |own: &Option<String>, other: Option<&String>| {
        own.clone().or_else(|| other.cloned()).unwrap_or_default()
    };
    let name = or_release(&source.chart, release.map(|release| &release.chart));
    let version = or_release(&source.version, release.map(|release| &release.version));
    let index = if source.index_disagrees { "no" } else { "yes" };
    let first = source.first_verified.as_ref();
    let first = first.map_or("never".to_owned(), |first| first.0.to_string());
    format!(
        "{name}-{version}.tgz {}, equals index digest: {index}, first verified: {first}",
        source.archive.as_deref().unwrap_or_default()
    )
}

fn of_content(source: &SourceEvidence) -> String {
    let word = match source.binding {
        Some(Binding::Same) => "the running release is made of this archive",
        Some(Binding::Different) => "the running release differs from this archive",
        Some(Binding::OldWriter) => "an old Helm wrote the record, so it cannot be compared",
        Some(Binding::NoRecord) | None => "there is no record to compare with",
    };
    if source.differences.is_empty() {
        return word.to_owned();
    }
    format!("{word}: {}", source.differences.join("; "))
}

fn of_signatures(status: &ReleaseTrustStatus, known: Known<'_>) -> Vec<String> {
    let sources = status
        .evidence
        .iter()
        .flat_map(|evidence| &evidence.sources);
    let problems = sources.clone().filter_map(|source| {
        let problem = match source.provenance_problem? {
            ProvenanceProblem::Malformed => "its .prov is no readable signed statement",
            ProvenanceProblem::Missing => "has no .prov",
            ProvenanceProblem::TooLarge => "has a .prov that is larger than is read",
            ProvenanceProblem::Unavailable => "gave no usable answer for the .prov",
        };
        Some(format!("{}: {problem}", source.url))
    });
    let content = stated(status);
    let facts = |digest: &str| {
        let mut all = content.iter().flat_map(Content::bundles);
        all.find(|one| one.digest.to_string() == digest)
    };
    let signatures = status.signers.iter().map(|signer| match &signer.bundle {
        None => of_signature(signer, known.keys),
        Some(digest) => bundled::line(signer, facts(digest), known),
    });
    let untold = sources.filter_map(bundled::problem);
    signatures.chain(problems).chain(untold).collect()
}

fn of_signature(signer: &Signer, keys: &[TrustedKey]) -> String {
    let who = match key_of(signer, keys) {
        Some(key) => format!("{} ({})", signer.fingerprint, key.name_any()),
        None => signer.fingerprint.clone(),
    };
    let by = signer.subkey.as_ref();
    let by = by.map(|subkey| format!(" by subkey {subkey}"));
    let when = signer.signed_at.as_ref();
    let when = when.map(|at| format!(", says it was made {}", at.0));
    let holds = match (&signer.fault, signer.verified) {
        (None, true) => "holds".to_owned(),
        (Some(fault), true) => format!("holds, and does not count: {}", explained(fault)),
        (Some(fault), false) => format!("does not hold: {}", explained(fault)),
        (None, false) => "by no known key".to_owned(),
    };
    format!(
        "{who}{}, {}{}: {holds}",
        by.unwrap_or_default(),
        signer.algorithm,
        when.unwrap_or_default()
    )
}

/// A fault in its word, a sentence and the next step.
fn explained(fault: &str) -> String {
    match Code::of_word(fault) {
        Some(code) => format!("{fault}, {code}. {}", code.step()),
        None => fault.to_owned(),
    }
}

/// What the signatures of an archive are about.
fn of_statements(source: &SourceEvidence) -> Vec<String> {
    let provenance = of_statement(source).into_iter();
    provenance.chain(bundled::statements(source)).collect()
}

fn of_statement(source: &SourceEvidence) -> Option<String> {
    let statement = source.provenance.as_ref()?;
    let archive = source.archive.as_deref().unwrap_or_default();
    let named = match source.signed_archive.as_deref() {
        None => format!("names {archive}, the archive is the same"),
        Some("") => "does not name this chart and version".to_owned(),
        Some(other) => format!("names {other}, the archive is {archive}"),
    };
    let signed = [&source.signed_chart, &source.signed_version];
    let signed: Vec<_> = signed.into_iter().flatten().map(String::as_str).collect();
    let other = if signed.is_empty() {
        String::new()
    } else {
        format!(", is about {}", signed.join(" "))
    };
    Some(format!(".prov {statement} {named}{other}"))
}

/// The keys and identities that have made its signatures.
fn of_keys(status: &ReleaseTrustStatus, known: Known<'_>) -> Vec<String> {
    let mut names = BTreeSet::new();
    let keys = status
        .signers
        .iter()
        .filter_map(|signer| key_of(signer, known.keys));
    let distinct = keys.filter(|key| names.insert(key.name_any()));
    let content = stated(status);
    let bundles = content.iter().flat_map(Content::bundles);
    let verified: Vec<_> = bundles.filter_map(BundleFacts::verified).collect();
    let has_made = |one: &&Declared| verified.iter().any(|bundle| one.has_made(bundle));
    let identities = known.identities.iter().filter(has_made);
    distinct
        .map(of_key)
        .chain(identities.map(bundled::identity))
        .collect()
}

fn of_key(key: &TrustedKey) -> String {
    let status = key.status.clone().unwrap_or_default();
    let state = status
        .state
        .map_or("not read".to_owned(), |state| format!("{state:?}"));
    let ends = status
        .expires
        .map_or("never".to_owned(), |end| end.0.to_string());
    let valid = find(&status.conditions, KeyCondition::Valid);
    let why = valid.filter(|valid| !valid.message.is_empty());
    let why = why.map(|valid| format!("; {}", valid.message));
    format!(
        "{}: {state}, ends {ends}{}",
        key.name_any(),
        why.unwrap_or_default()
    )
}

fn key_of<'a>(signer: &Signer, keys: &'a [TrustedKey]) -> Option<&'a TrustedKey> {
    let is_of = |key: &&TrustedKey| {
        key.spec
            .fingerprint
            .eq_ignore_ascii_case(&signer.fingerprint)
    };
    keys.iter().find(is_of)
}

#[cfg(test)]
mod tests {
    use charttrust_verify::sigstore::{BundleRecord, NotProven};
    use charttrust_verify::verdict::{Cause, Reason};

    use super::super::sigstore::tests as bundled_tests;
    use super::super::status::tests::trust;
    use super::*;
    use crate::api::release_trust as v1;

    const FINGERPRINT: &str = "272855BE2326D757EEFF53968847F310E4F26D44";

    fn source() -> SourceEvidence {
        SourceEvidence {
            archive: Some("sha256:aaaa".to_owned()),
            binding: Some(Binding::Same),
            provenance: Some("sha256:bbbb".to_owned()),
            ..SourceEvidence::new("https://charts.example.com", SourceAnswer::Archive)
        }
    }

    fn with(word: &str, source: SourceEvidence) -> ReleaseTrust {
        let mut one = trust("payments", word);
        let status = one.status.as_mut().unwrap();
        status.evidence = Some(v1::Evidence {
            content: String::new(),
            earlier: Vec::new(),
            witnesses: Vec::new(),
            dependencies: Vec::new(),
            sources: vec![source],
            tag: None,
        });
        status.signers = vec![Signer {
            fingerprint: FINGERPRINT.to_owned(),
            subkey: None,
            signed_at: Some(crate::api::time("2026-09-02T10:00:00Z".parse().unwrap())),
            expires_at: None,
            algorithm: "Ed25519/SHA512".to_owned(),
            verified: true,
            fault: None,
            provenance: None,
            issuer: None,
            subject: None,
            bundle: None,
        }];
        one
    }

    fn of(keys: &[TrustedKey]) -> Known<'_> {
        Known {
            keys,
            identities: &[],
        }
    }

    fn key() -> TrustedKey {
        let yaml = include_str!("../../../examples/trusted-key.yaml");
        serde_saphyr::from_multiple(yaml).unwrap().remove(0)
    }

    fn line(text: &str, link: Link) -> String {
        let begin = format!(" {:<10}", name(link));
        let found = text
            .lines()
            .find(|line| line.get(1..).is_some_and(|rest| rest.starts_with(&begin)));
        found
            .unwrap_or_else(|| panic!("no {begin} in {text}"))
            .to_owned()
    }

    #[test]
    fn every_word_that_decides_belongs_to_one_link_and_no_note_does() {
        let causes = Cause::ALL.iter().map(|cause| Verdict::Unknown(*cause));
        let reasons = Reason::ALL.iter().map(|reason| Verdict::Untrusted(*reason));
        for verdict in causes.chain(reasons) {
            let link = decided_at(verdict.word());
            assert!(link.is_some_and(|link| CHAIN.contains(&link)), "{verdict}");
        }
        for note in ["SignatureVerified", "Republished", "ValuesDiffer", ""] {
            assert_eq!(decided_at(note), None, "{note}");
        }
    }

    #[test]
    fn the_chain_has_digests_and_dates() {
        let mut good = source();
        good.first_verified = Some(crate::api::time("2026-09-03T00:00:00Z".parse().unwrap()));
        let text = explain(&with("SignatureVerified", good), of(&[key()]));
        for (link, expected) in [
            (
                Link::Release,
                "1 release   shop/payments revision 7 (Secret), chart payments 2.4.1",
            ),
            (Link::Rule, "2 rule      nothing is known"),
            (
                Link::Source,
                "3 source    https://charts.example.com: has the archive",
            ),
            (
                Link::Archive,
                "4 archive   payments-2.4.1.tgz sha256:aaaa, equals index digest: yes, first verified: 2026-09-03T00:00:00Z",
            ),
            (
                Link::Content,
                "5 content   the running release is made of this archive",
            ),
            (
                Link::Signature,
                "6 signature 272855BE2326D757EEFF53968847F310E4F26D44 (platform-2026), Ed25519/SHA512, says it was made 2026-09-02T10:00:00Z: holds",
            ),
            (
                Link::Statement,
                "7 statement .prov sha256:bbbb names sha256:aaaa, the archive is the same",
            ),
            (Link::Key, "8 key       platform-2026: not read, ends never"),
        ] {
            assert_eq!(line(&text, link), expected);
        }
        assert!(
            text.contains("Trusted=True, SignatureVerified, since 2026-11-22T00:00:00Z"),
            "{text}"
        );
        let again = "kubectl annotate releasetrust -n shop payments charttrust.io/requestedAt=";
        assert!(text.contains(again), "{text}");
        assert!(!text.contains("<--") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn the_link_that_broke_is_marked() {
        let mut other = source();
        other.signed_archive = Some("sha256:cccc".to_owned());
        let text = explain(&with("DigestMismatch", other), of(&[]));
        assert_eq!(
            line(&text, Link::Statement),
            "7 statement .prov sha256:bbbb names sha256:cccc, the archive is sha256:aaaa   <-- DigestMismatch"
        );
        assert_eq!(text.matches("<--").count(), 1, "{text}");
        let text = explain(&with("KeyCompromised", source()), of(&[key()]));
        assert!(
            line(&text, Link::Key).ends_with("<-- KeyCompromised"),
            "{text}"
        );
    }

    #[test]
    fn findings_mark_their_links_too_and_each_word_once() {
        let mut one = with("KeyCompromised", source());
        let finding = |reason: &str| v1::Finding {
            reason: reason.to_owned(),
            message: "so\u{202e}".to_owned(),
            policy: None,
        };
        let words = [
            "KeyCompromised",
            "KeyOutOfScope",
            "Unsigned",
            "KeyCompromised",
        ];
        one.status.as_mut().unwrap().findings = words.map(finding).to_vec();
        let text = explain(&one, of(&[key()]));
        assert!(
            line(&text, Link::Key).ends_with("<-- KeyCompromised, KeyOutOfScope"),
            "{text}"
        );
        assert!(
            line(&text, Link::Signature).ends_with("<-- Unsigned"),
            "{text}"
        );
        assert!(text.contains("  Unsigned: so\\u{202e}\n"), "{text}");
    }

    #[test]
    fn what_no_policy_names_any_more_is_no_link_of_the_chain() {
        let yaml = include_str!("../../../examples/policy-quarantine.yaml");
        let policies: Vec<ChartTrustPolicy> = serde_saphyr::from_multiple(yaml).unwrap();
        let mut one = with("SignatureVerified", source());
        let evidence = one.status.as_mut().unwrap().evidence.as_mut().unwrap();
        let former = SourceEvidence::new("https://old.example.com", SourceAnswer::NotFound);
        evidence.sources.insert(0, former);
        let lines = set_aside(&mut one, &policies);
        assert_eq!(
            lines,
            ["Named by no policy any more: https://old.example.com"]
        );
        let text = explain(&one, of(&[]));
        assert!(!text.contains("old.example.com"), "{text}");
        assert!(text.contains("https://charts.example.com: has"), "{text}");
    }

    #[test]
    fn the_source_that_a_finding_names_is_marked() {
        let silent = "https://silent.example.com";
        let mut one = with("SourceUnavailable", source());
        let status = one.status.as_mut().unwrap();
        let evidence = status.evidence.as_mut().unwrap();
        let none = SourceEvidence::new(silent, SourceAnswer::Unavailable);
        evidence.sources.insert(0, none);
        status.findings = vec![v1::Finding {
            reason: "SourceUnavailable".to_owned(),
            message: format!("{silent}: it answered 503"),
            policy: None,
        }];
        let text = explain(&one, of(&[]));
        let expected = format!(
            "3 source    {silent}: gave no usable answer   <-- SourceUnavailable\n            \
             https://charts.example.com: has the archive\n"
        );
        assert!(text.contains(&expected), "{text}");
    }

    #[test]
    fn programs_get_every_link_with_its_facts_and_words() {
        let mut one = with("DigestMismatch", source());
        one.status.as_mut().unwrap().findings = vec![v1::Finding {
            reason: "DigestMismatch".to_owned(),
            message: "signed sha256:cccc".to_owned(),
            policy: None,
        }];
        let chain = explanation(&one, of(&[]));
        let links = chain["links"].as_array().unwrap();
        let words: Vec<_> = links.iter().map(|link| link["link"].as_str()).collect();
        assert_eq!(words, CHAIN.map(|link| Some(name(link))));
        for link in links {
            let is_broken = link["link"] == "statement";
            let reasons = link.get("reasons");
            assert_eq!(reasons, is_broken.then_some(&json!(["DigestMismatch"])));
        }
        assert_eq!(chain["trusted"]["status"], "False");
        assert_eq!(chain["trusted"]["reason"], "DigestMismatch");
        assert_eq!(chain["findings"][0]["message"], "signed sha256:cccc");
    }

    #[test]
    fn what_is_not_known_is_said() {
        let text = explain(&ReleaseTrust::default(), of(&[]));
        assert_eq!(text.matches("nothing is known").count(), 7, "{text}");
        assert!(text.contains("Not judged yet."), "{text}");
        let mut unsigned = source();
        unsigned.provenance = None;
        unsigned.provenance_problem = Some(ProvenanceProblem::Missing);
        let mut one = with("Unsigned", unsigned);
        one.status.as_mut().unwrap().signers.clear();
        let text = explain(&one, of(&[]));
        assert_eq!(
            line(&text, Link::Signature),
            "6 signature https://charts.example.com: has no .prov   <-- Unsigned"
        );
    }

    #[test]
    fn a_fault_is_explained_with_the_next_step() {
        let mut one = with("WeakSignature", source());
        let signer = &mut one.status.as_mut().unwrap().signers[0];
        (signer.verified, signer.fault) = (false, Some("WeakHash".to_owned()));
        let text = explain(&one, of(&[]));
        let signature = line(&text, Link::Signature);
        let sentence = "does not hold: WeakHash, the signature uses a hash algorithm that is not safe. \
                        Sign with SHA-256 or longer";
        assert!(signature.contains(sentence), "{signature}");
        assert!(
            text.contains("\nNext step: Sign with a current key"),
            "{text}"
        );
        let good = explain(&with("SignatureVerified", source()), of(&[]));
        assert!(!good.contains("Next step"), "{good}");
    }

    fn of_pipelines(records: &[BundleRecord], identity: &serde_json::Value) -> String {
        let identities = [bundled_tests::identity("release", identity)];
        let trust = bundled_tests::trust("payments", records);
        explain(
            &trust,
            Known {
                keys: &[],
                identities: &identities,
            },
        )
    }

    #[test]
    fn a_signature_by_an_identity_is_told_as_one_by_a_key() {
        use bundled_tests::{SUBJECT, attested, by, signed};
        let window = bundled_tests::window(11, 13);
        let mut void = json!({"status": {"state": "Active", "conditions": [{"type": "Revoked", "status": "True",
            "reason": "Compromised", "message": "void: what was signed then", "observedGeneration": 1,
            "lastTransitionTime": "2026-11-18T10:00:00Z"}]}});
        json_patch::merge(&mut void, &window);
        let text = of_pipelines(&[signed(by(SUBJECT))], &void);
        let signature = line(&text, Link::Signature);
        let expected = "6 signature release@example.com (issuer https://issuer.example.com; TrustedIdentity release), \
             Sigstore, proven to exist at 2026-11-02T12:00:00Z by a timestamp authority, entry 7 of log ";
        assert!(
            signature.starts_with(expected) && signature.ends_with(": holds"),
            "{signature}"
        );
        let statement = line(&text, Link::Statement);
        assert!(
            statement.ends_with("the archive is the same"),
            "{statement}"
        );
        assert_eq!(
            line(&text, Link::Key),
            "8 key       TrustedIdentity release: Active, ends never; void: what was signed then"
        );
        assert!(
            text.contains("https://charts.example.com: has no .prov"),
            "{text}"
        );

        let strange = of_pipelines(&[signed(by("another@example.com"))], &json!({}));
        let signature = line(&strange, Link::Signature);
        assert!(signature.contains("; no TrustedIdentity)"), "{signature}");
        assert_eq!(line(&strange, Link::Key), "8 key       nothing is known");

        let sbom = of_pipelines(&[attested(by(SUBJECT))], &json!({}));
        let signature = line(&sbom, Link::Signature);
        let part = ": holds, and is no signature: NotASignature, a statement of type \"https://spdx.dev/Document\"";
        assert!(signature.contains(part), "{signature}");
    }

    #[test]
    fn what_is_not_proven_or_not_told_of_sigstore_is_said() {
        use bundled_tests::{by_key, signed, trust};
        let unlogged = BundleRecord {
            times: Vec::new(),
            logs: Vec::new(),
            not_proven: vec![NotProven::NotLogged, NotProven::Time],
            ..signed(by_key("a").0)
        };
        let mut one = trust("payments", &[unlogged]);
        let text = explain(&one, of(&[]));
        let signature = line(&text, Link::Signature);
        let part =
            ", Sigstore, not proven: that it is public (no log entry); when it was made: holds";
        assert!(signature.contains(part), "{signature}");

        let status = one.status.as_mut().unwrap();
        let row = &mut status.signers[0];
        (row.verified, row.fault) = (false, Some("ArtifactMismatch".to_owned()));
        let sources = &mut status.evidence.as_mut().unwrap().sources;
        let bundles = sources[0].bundles.as_mut().unwrap();
        bundles.signatures.clear();
        let text = explain(&one, of(&[]));
        for part in [
            "does not hold: ArtifactMismatch. It is a good signature of something else",
            "https://charts.example.com: has no Sigstore signature",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        for (incomplete, part) in [
            (
                v1::Incomplete::LimitExceeded,
                "has more Sigstore signatures than are looked at (it answered 503)",
            ),
            (
                v1::Incomplete::SourceUnavailable,
                "did not tell which Sigstore signatures there are (it answered 503)",
            ),
        ] {
            let sources = &mut one
                .status
                .as_mut()
                .unwrap()
                .evidence
                .as_mut()
                .unwrap()
                .sources;
            let bundles = sources[0].bundles.as_mut().unwrap();
            (bundles.incomplete, bundles.message) =
                (Some(incomplete), Some("it answered 503".to_owned()));
            let text = explain(&one, of(&[]));
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
