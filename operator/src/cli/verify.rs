//! `charttrust verify`: the engine on files, for CI. Reads the named files and nothing else.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use charttrust_verify::chart::{self, ArchiveError, Chart};
use charttrust_verify::check::{self, Case, Judgement};
use charttrust_verify::evidence::{
    Answer, ArchiveFacts, Bound, Claimed, Evidence, Outcome, ProvenanceFacts,
};
use charttrust_verify::finding::{Finding, Note, Word};
use charttrust_verify::key::{Key, Scope};
use charttrust_verify::limits::ArchiveLimits;
use charttrust_verify::openpgp;
use charttrust_verify::policy::{
    Demands, Dependencies, ExpiredKeys, Level, Pattern, Policy, ReleaseRef, Rule, Selection,
    Signers, Source,
};
use charttrust_verify::verdict::{Cause, Verdict};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use super::{INTERNAL, TRUSTED, UNKNOWN, UNTRUSTED, USAGE, complain};
use crate::api::{ChartTrustPolicy, TrustedKey, fields};
use crate::{clock, parse};

/// Verifies a chart archive offline, by the same rules as the operator.
///
/// Exit code 0: trusted, 1: not trusted, 2: the arguments cannot be used, 3: could not be found
/// out, 4: charttrust failed.
#[derive(Args, Clone, Debug)]
pub struct Verify {
    /// The chart archive, as `helm package` makes it.
    #[arg(value_name = "CHART.tgz")]
    pub chart: PathBuf,
    /// The provenance file; default: the archive's name with `.prov` appended.
    #[arg(long, value_name = "FILE")]
    pub prov: Option<PathBuf>,
    /// An OpenPGP key or a TrustedKey, or a folder of them. Repeatable.
    #[arg(long, value_name = "PATH", required = true)]
    pub key: Vec<PathBuf>,
    /// A ChartTrustPolicy to judge by; then only TrustedKeys that it lists count.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Where the chart is published, for the scope of keys and the sources of rules.
    #[arg(long, value_name = "URL")]
    pub source: Option<String>,
    /// How much to check where no policy says so.
    #[arg(long, value_enum, default_value_t = CheckLevel::Strict, conflicts_with = "policy")]
    pub level: CheckLevel,
    /// The reference time instead of now, such as 2026-11-18T00:00Z, or the day 2026-11-18.
    #[arg(long, value_name = "TIME", value_parser = super::instant)]
    pub at: Option<Timestamp>,
    /// How to print the result.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// How much to check.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum CheckLevel {
    /// What `helm verify` checks.
    Signature,
    /// Also that signed name and version are the archive's.
    Strict,
}

/// How to print the result.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Output {
    /// One JSON object.
    Json,
    /// For people.
    Text,
}

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
enum UsageError {
    #[error("{path}: cannot be read")]
    File {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}: larger than {limit} bytes")]
    TooLarge { path: String, limit: u64 },
    #[error("{path}: {problem}")]
    Unusable { path: String, problem: String },
    #[error("{0}: no chart archive: name the .tgz that helm package makes or helm pull fetches")]
    NoArchive(String),
    #[error(
        "no key was found: --key takes OpenPGP keys (.asc, .gpg, .key, .pgp, .pub in a folder) and \
         TrustedKey YAML, files or folders; with --policy only the latter"
    )]
    NoKey,
    #[error("{0} has no rule for chart {1}")]
    NoRule(String, String),
}

/// What is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    verdict: &'static str,
    reason: &'static str,
    chart: String,
    version: String,
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    signers: Vec<ReportedSigner>,
    findings: Vec<ReportedFinding>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReportedSigner {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    fingerprint: String,
    signed_at: Option<String>,
    algorithm: String,
    verified: bool,
}

#[derive(Debug, Serialize)]
struct ReportedFinding {
    reason: String,
    message: String,
}

/// Runs the command and gives its exit code.
pub fn main(arguments: &Verify) -> u8 {
    match verify(arguments) {
        Ok((verdict, report)) => match print(arguments.output, &report) {
            Ok(()) => exit_code(verdict),
            Err(error) => complain(&error, INTERNAL),
        },
        Err(error) => complain(&error, USAGE),
    }
}

fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Trusted(_) => TRUSTED,
        Verdict::Untrusted(_) => UNTRUSTED,
        Verdict::Unknown(_) => UNKNOWN,
    }
}

fn verify(arguments: &Verify) -> Result<(Verdict, Report), UsageError> {
    let now = arguments.at.unwrap_or_else(clock::now);
    let mut keys = keys(arguments)?;
    let policy = policy(arguments, &keys)?;
    let archive = read_file(&arguments.chart, MAX_ARCHIVE)?;
    let chart = match chart::read(&archive, &ArchiveLimits::default()) {
        Ok(chart) => chart,
        Err(ArchiveError::NotGzip) => {
            return Err(UsageError::NoArchive(arguments.chart.display().to_string()));
        }
        Err(error) => return Ok(unreadable(arguments, &error)),
    };
    if arguments.source.is_none() {
        for key in &mut keys {
            key.scope.sources.clear();
        }
    }
    let rule = rule(arguments, policy, &chart.metadata.name)?;
    let evidence = evidence(arguments, &chart, &rule, &keys, now)?;
    let is_elsewhere = rule.sources.is_empty();
    let mut judgement = judge(&chart, rule, &evidence, &keys, now);
    if let (true, Some(url)) = (is_elsewhere, &arguments.source) {
        let is_it = |finding: &&mut Finding| finding.word == Word::Doubt(Cause::SourceUnknown);
        for finding in judgement.findings.iter_mut().filter(is_it) {
            finding.message = format!("{url} is none of the sources that the rule names");
        }
    }
    let report = report(arguments, &chart, &evidence, &judgement, &keys);
    Ok((judgement.verdict, report))
}

/// Largest file of each kind that is read, as for sources over the network.
const MAX_ARCHIVE: u64 = 20 * 1024 * 1024;
const MAX_KEY: u64 = 512 * 1024;
const MAX_POLICY: u64 = 1024 * 1024;
const MAX_PROVENANCE: u64 = 64 * 1024;

fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, UsageError> {
    use std::io::Read as _;
    let name = || path.display().to_string();
    let failed = |source| UsageError::File {
        path: name(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(UsageError::TooLarge {
            path: name(),
            limit,
        });
    }
    Ok(bytes)
}

fn keys(arguments: &Verify) -> Result<Vec<Key>, UsageError> {
    let mut keys = Vec::new();
    for path in &arguments.key {
        for file in files(path)? {
            keys.extend(keys_of(&file, arguments.policy.is_some())?);
        }
    }
    if keys.is_empty() {
        Err(UsageError::NoKey)
    } else {
        Ok(parse::share_revocations(keys.iter()))
    }
}

/// The file itself, or the files of a folder in the order of their names that can hold keys.
fn files(path: &Path) -> Result<Vec<PathBuf>, UsageError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |source| UsageError::File {
        path: path.display().to_string(),
        source,
    };
    let entries = std::fs::read_dir(path).map_err(failed)?;
    let paths: Result<Vec<_>, _> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    let mut files: Vec<_> = paths
        .map_err(failed)?
        .into_iter()
        .filter(|path| path.is_file() && (is_yaml(path) || is_key(path)))
        .collect();
    files.sort();
    Ok(files)
}

fn keys_of(path: &Path, only_trusted: bool) -> Result<Vec<Key>, UsageError> {
    let bytes = read_file(path, MAX_KEY)?;
    let unusable = |problem: String| UsageError::Unusable {
        path: path.display().to_string(),
        problem,
    };
    if is_yaml(path) {
        return trusted_keys(&bytes).map_err(unusable);
    }
    if only_trusted {
        return Ok(Vec::new());
    }
    let certificates = openpgp::load_all(&bytes).map_err(|error| unusable(error.to_string()))?;
    let key = |certificate: openpgp::Certificate| Key {
        name: certificate.fingerprint().to_string(),
        labels: BTreeMap::new(),
        certificate,
        scope: Scope::default(),
        not_after: None,
        revocations: Vec::new(),
    };
    Ok(certificates.into_iter().map(key).collect())
}

fn is_yaml(path: &Path) -> bool {
    matches!(extension(path), Some("yaml" | "yml" | "json"))
}

/// Whether a file is an OpenPGP key by its name.
fn is_key(path: &Path) -> bool {
    matches!(extension(path), Some("asc" | "gpg" | "key" | "pgp" | "pub"))
}

fn extension(path: &Path) -> Option<&str> {
    path.extension().and_then(|extension| extension.to_str())
}

/// The TrustedKeys among the documents of a file; other kinds are not ours to judge.
fn trusted_keys(bytes: &[u8]) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    for document in documents(bytes)? {
        if document.get("kind").and_then(|kind| kind.as_str()) != Some("TrustedKey") {
            continue;
        }
        known("TrustedKey", &document)?;
        let object: TrustedKey = serde_json::from_value(document).map_err(|e| e.to_string())?;
        let Some(material) = object.spec.public_key.inline.clone() else {
            let name = object.metadata.name.unwrap_or_default();
            return Err(format!(
                "TrustedKey {name}: spec.publicKey names an object of the cluster, which is not read \
                 here: put the key into spec.publicKey.inline"
            ));
        };
        keys.push(parse::key(&object, material.as_bytes()).map_err(|p| p.to_string())?);
    }
    Ok(keys)
}

/// A field that nobody knows is a demand that nobody would check.
fn known(kind: &str, document: &serde_json::Value) -> Result<(), String> {
    match fields::unknown(kind, document) {
        None => Ok(()),
        Some(path) => Err(format!(
            "{path}: {kind} has no such field; the README lists all of them"
        )),
    }
}

fn documents(bytes: &[u8]) -> Result<Vec<serde_json::Value>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned())?;
    serde_saphyr::from_multiple(text).map_err(|error| error.to_string())
}

/// The policy of `--policy`, or one that believes every key given.
fn policy(arguments: &Verify, keys: &[Key]) -> Result<Policy, UsageError> {
    let Some(path) = &arguments.policy else {
        return Ok(any_key(arguments.level, keys));
    };
    let bytes = read_file(path, MAX_POLICY)?;
    let unusable = |problem: String| UsageError::Unusable {
        path: path.display().to_string(),
        problem,
    };
    let wanted = |document: &serde_json::Value| {
        document.get("kind").and_then(|kind| kind.as_str()) == Some("ChartTrustPolicy")
    };
    let mut found = documents(&bytes)
        .map_err(unusable)?
        .into_iter()
        .filter(wanted);
    let (Some(document), None) = (found.next(), found.next()) else {
        return Err(unusable(
            "holds not exactly one ChartTrustPolicy".to_owned(),
        ));
    };
    known("ChartTrustPolicy", &document).map_err(unusable)?;
    let object: ChartTrustPolicy =
        serde_json::from_value(document).map_err(|error| unusable(error.to_string()))?;
    let parsed = parse::policy(&object);
    if let Some(problem) = parsed.problems.first() {
        return Err(unusable(problem.to_string()));
    }
    Ok(parsed.policy)
}

fn any_key(level: CheckLevel, keys: &[Key]) -> Policy {
    let rule = Rule {
        name: "command line".to_owned(),
        charts: vec![Pattern::new("*")],
        versions: None,
        sources: Vec::new(),
        verify: charttrust_verify::policy::Verify {
            level: match level {
                CheckLevel::Signature => Level::Signature,
                CheckLevel::Strict => Level::Strict,
            },
            signers: Signers {
                keys: keys.iter().map(|key| key.name.clone()).collect(),
                selector: None,
                threshold: NonZeroU32::MIN,
            },
            expired_keys: ExpiredKeys::AcceptIfSignedBefore,
            dependencies: Dependencies::Inherit,
        },
        pins: Vec::new(),
    };
    Policy {
        name: "command line".to_owned(),
        suspended: false,
        selection: Selection::default(),
        demands: Demands::Rules(vec![rule]),
        exceptions: Vec::new(),
    }
}

/// The deciding rule, with the one source that the archive is said to come from.
fn rule(arguments: &Verify, policy: Policy, chart: &str) -> Result<Rule, UsageError> {
    let name = policy.name.clone();
    let rules = match policy.demands {
        Demands::Rules(rules) => rules,
        Demands::TrustNobody { .. } => Vec::new(),
    };
    let found = rules.into_iter().find(|rule| rule.covers(chart));
    let mut rule = found.ok_or_else(|| UsageError::NoRule(name, chart.to_owned()))?;
    let given = arguments
        .source
        .as_deref()
        .map(|url| url.trim_end_matches('/'));
    match given {
        Some(url) if !rule.sources.is_empty() => {
            rule.sources
                .retain(|source| source.url.trim_end_matches('/') == url);
        }
        Some(url) => rule.sources = vec![place(url)],
        None => rule.sources = vec![place(NO_SOURCE)],
    }
    Ok(rule)
}

const NO_SOURCE: &str = "the file";

fn place(url: &str) -> Source {
    Source {
        url: url.to_owned(),
        mirrors: Vec::new(),
        credentials_secret: None,
        ca: None,
    }
}

fn evidence(
    arguments: &Verify,
    chart: &Chart,
    rule: &Rule,
    keys: &[Key],
    now: Timestamp,
) -> Result<Evidence, UsageError> {
    let claimed = Claimed {
        chart: &chart.metadata.name,
        version: &chart.metadata.version,
    };
    let facts = ArchiveFacts {
        digest: chart.digest,
        name: chart.metadata.name.clone(),
        version: chart.metadata.version.clone(),
        binding: Bound::NotCompared,
        has_subcharts: !chart.subcharts.is_empty(),
        index_disagrees: false,
        provenance: provenance(arguments, claimed)?,
        first_verified: None,
    };
    let mut evidence = Evidence::default();
    for source in &rule.sources {
        evidence
            .answers
            .insert(source.url.clone(), Answer::Archive(Box::new(facts.clone())));
    }
    evidence.learn(keys, now);
    Ok(evidence)
}

fn provenance(arguments: &Verify, claimed: Claimed<'_>) -> Result<ProvenanceFacts, UsageError> {
    let beside = || {
        let mut name = arguments.chart.clone().into_os_string();
        name.push(".prov");
        PathBuf::from(name)
    };
    let (path, is_named) = match &arguments.prov {
        Some(path) => (path.clone(), true),
        None => (beside(), false),
    };
    if !is_named && !path.exists() {
        return Ok(ProvenanceFacts::Missing);
    }
    Ok(ProvenanceFacts::read(
        &read_file(&path, MAX_PROVENANCE)?,
        claimed,
    ))
}

fn judge(
    chart: &Chart,
    rule: Rule,
    evidence: &Evidence,
    keys: &[Key],
    now: Timestamp,
) -> Judgement {
    let policy = Policy {
        name: "policy".to_owned(),
        suspended: false,
        selection: Selection::default(),
        demands: Demands::Rules(vec![rule]),
        exceptions: Vec::new(),
    };
    let release = ReleaseRef {
        namespace: "",
        namespace_labels: None,
        name: "",
    };
    let case = Case {
        release,
        chart: &chart.metadata.name,
        version: &chart.metadata.version,
        evidence,
    };
    check::judge(&case, &[policy], keys, now)
}

fn report(
    arguments: &Verify,
    chart: &Chart,
    evidence: &Evidence,
    judgement: &Judgement,
    keys: &[Key],
) -> Report {
    let mut findings: Vec<_> = judgement.findings.iter().map(reported).collect();
    if arguments.source.is_none() {
        let finding = Finding::new(Word::Note(Note::NotChecked), "source (no --source given)");
        findings.push(reported(&finding));
    }
    Report {
        verdict: verdict_word(judgement.verdict),
        reason: judgement.verdict.word(),
        chart: chart.metadata.name.clone(),
        version: chart.metadata.version.clone(),
        digest: Some(chart.digest.to_string()),
        rule: judgement
            .policies
            .iter()
            .find_map(|policy| policy.rule.clone()),
        signers: signers(evidence, keys),
        findings,
    }
}

fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Trusted(_) => "trusted",
        Verdict::Unknown(_) => "unknown",
        Verdict::Untrusted(_) => "untrusted",
    }
}

fn reported(finding: &Finding) -> ReportedFinding {
    ReportedFinding {
        reason: finding.word.to_string(),
        message: finding.message.clone(),
    }
}

fn signers(evidence: &Evidence, keys: &[Key]) -> Vec<ReportedSigner> {
    let first = evidence.archives().next();
    let signed = first.and_then(|(_, facts)| facts.signed());
    let signatures = signed
        .map(|signed| signed.signatures.as_slice())
        .unwrap_or_default();
    let signer = |signature: &charttrust_verify::evidence::SignatureFacts| {
        let claimed = &signature.claimed;
        let issuer = || claimed.issuer().map(str::to_owned);
        let known = match &signature.outcome {
            Outcome::Verified(verified) => Some(verified.primary()),
            Outcome::Fault(fingerprint, _) => Some(fingerprint),
            Outcome::UnknownIssuer => None,
        };
        let key = known.and_then(|f| keys.iter().find(|key| key.fingerprint() == f));
        ReportedSigner {
            key: key.map(|key| key.name.clone()),
            fingerprint: known
                .map(ToString::to_string)
                .or_else(issuer)
                .unwrap_or_default(),
            signed_at: claimed.created.map(|at| at.to_string()),
            algorithm: claimed.algorithm.clone(),
            verified: matches!(signature.outcome, Outcome::Verified(_)),
        }
    };
    signatures.iter().map(signer).collect()
}

/// An archive that cannot be read says nothing about its provenance.
fn unreadable(arguments: &Verify, error: &ArchiveError) -> (Verdict, Report) {
    use charttrust_verify::verdict::Reason;
    let verdict = match error {
        ArchiveError::Ambiguous(_) => Verdict::Untrusted(Reason::ArchiveAmbiguous),
        ArchiveError::TooLarge { .. } => Verdict::Unknown(Cause::LimitExceeded),
        _ => Verdict::Unknown(Cause::SourceUnavailable),
    };
    let finding = ReportedFinding {
        reason: verdict.word().to_owned(),
        message: error.to_string(),
    };
    let report = Report {
        verdict: verdict_word(verdict),
        reason: verdict.word(),
        chart: arguments.chart.display().to_string(),
        version: String::new(),
        digest: None,
        rule: None,
        signers: Vec::new(),
        findings: vec![finding],
    };
    (verdict, report)
}

fn print(output: Output, report: &Report) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut out, report)?;
            writeln!(out)
        }
        Output::Text => write_text(&mut out, report),
    }
}

fn write_text(out: &mut impl std::io::Write, report: &Report) -> std::io::Result<()> {
    write!(
        out,
        "{} {}   {}/{}",
        report.chart, report.version, report.verdict, report.reason
    )?;
    for signer in report.signers.iter().filter(|signer| signer.verified) {
        match &signer.key {
            Some(key) if *key != signer.fingerprint => {
                write!(out, "   signer {key} ({})", signer.fingerprint)?;
            }
            _ => write!(out, "   signer {}", signer.fingerprint)?,
        }
    }
    if let Some(rule) = &report.rule {
        write!(out, "   rule {rule}")?;
    }
    writeln!(out)?;
    for finding in &report.findings {
        writeln!(out, "  {}: {}", finding.reason, finding.message)?;
    }
    Ok(())
}
