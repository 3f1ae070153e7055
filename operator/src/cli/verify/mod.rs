//! `charttrust verify`: the engine on files, for CI. Reads the named files, asks the named repositories, and
//! registries with the logins of Helm and Docker, and nothing else.

mod address;
pub(super) mod inputs;
mod junit;
mod logins;
mod printing;
mod report;
mod repository;
pub(super) mod signed;
mod sigstore;
mod subcharts;

use std::path::PathBuf;

use charttrust_verify::chart::{self, ArchiveError, Chart};
use charttrust_verify::check::{self, Case, Judgement, Known};
use charttrust_verify::evidence::{Answer, ArchiveFacts, Bound, Claimed, Evidence};
use charttrust_verify::finding::{Fact, Finding};
use charttrust_verify::key::Key;
use charttrust_verify::limits::ArchiveLimits;
use charttrust_verify::policy::{Demands, Policy, ReleaseRef, Rule, Selection, Source};
use charttrust_verify::sigstore::SigstoreSigners;
use charttrust_verify::verdict::{Cause, Reason, Verdict};
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use self::address::{Address, Asking, Fetched};
use self::inputs::{Contents, Kind, UsageError};
use self::report::Report;
use super::progress::Progress;
use super::{INTERNAL, TRUSTED, UNKNOWN, UNTRUSTED, USAGE, complain, runtime};
use crate::clock;
use crate::evidence::Forms;
use crate::sources::{AllowedHost, AuthHost};

/// Verifies chart archives, files, in a registry or a whole repository, by the same rules as the operator.
///
/// Exit code 0: all are trusted, 1: one is not trusted, 2: the arguments cannot be used, 3: one could
/// not be found out, 4: charttrust failed.
#[derive(Args, Clone, Debug)]
pub struct Verify {
    /// The chart archives, as `helm package` makes them, or their addresses: `oci://HOST/PATH/CHART:VERSION`, with
    /// `@sha256:DIGEST` after it or in place of the version, `https://HOST/PATH/CHART-VERSION.tgz` below an index.
    #[arg(value_name = "CHART.tgz", required_unless_present = "repo")]
    pub charts: Vec<PathBuf>,
    /// Verifies every chart version that a repository lists, or with --chart and --version one: `https://…`, or
    /// `oci://HOST/PATH/CHART` for the tags of a chart.
    #[arg(long, value_name = "URL", value_parser = super::source, conflicts_with_all = ["charts", "prov", "source"])]
    pub repo: Option<String>,
    /// Goes on after this one of a repository, as it was told on standard error.
    #[arg(long, value_name = "CHART:VERSION", requires = "repo")]
    pub after: Option<String>,
    /// Verifies at most so many chart versions of a repository; if there are more, the exit code is not 0.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "10000",
        requires = "repo"
    )]
    pub limit: usize,
    /// The one of them that is being verified.
    #[arg(skip)]
    chart: PathBuf,
    /// The provenance file; default: the archive's name with `.prov` appended.
    #[arg(long, value_name = "FILE")]
    pub prov: Option<PathBuf>,
    /// An OpenPGP key, a public key (PEM) or a TrustedKey, or a folder of them. Repeatable.
    #[arg(long, value_name = "PATH", required_unless_present = "identity")]
    pub key: Vec<PathBuf>,
    /// A TrustedIdentity whose Sigstore signature of the archive is good, or a folder of them. Repeatable.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["repo", "policy"])]
    pub identity: Vec<PathBuf>,
    /// A Sigstore bundle of the archive; default: the archive's name with `.sigstore.json` appended. Repeatable.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["repo", "policy"])]
    pub bundle: Vec<PathBuf>,
    /// The trusted root (`trusted_root.json`) by which Sigstore signatures are verified; default: that of the
    /// public instance of Sigstore, which is compiled in.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["repo", "policy"])]
    pub trusted_root: Option<PathBuf>,
    /// A ChartTrustPolicy to judge by; then only TrustedKeys that it lists count.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The chart that is expected; default: what the file is named after.
    #[arg(long = "chart", value_name = "NAME")]
    pub chart_name: Option<String>,
    /// The version that is expected; default: what the file is named after.
    #[arg(long = "version", value_name = "VERSION")]
    pub chart_version: Option<String>,
    /// Where the chart is published, for the scope of keys and the sources of rules.
    #[arg(long, value_name = "URL", value_parser = super::source)]
    pub source: Option<String>,
    /// Allows registries and repositories on this host to be private, loopback or plain HTTP. Repeatable.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub allow_host: Vec<AllowedHost>,
    /// A registry whose token service is elsewhere, and its host: a login to the registry goes there.
    /// Repeatable.
    #[arg(long, value_name = "REGISTRY=HOST")]
    pub auth_host: Vec<AuthHost>,
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
    /// The XML of `JUnit`, which CI systems show: untrusted is a failure, unknown an error.
    Junit,
    /// For people.
    Text,
    /// The same as JSON, as YAML.
    Yaml,
}

/// Runs the command and gives its exit code: the worst of all archives.
pub fn main(arguments: &Verify) -> u8 {
    if let Some(repository) = &arguments.repo {
        return repository::main(arguments, repository);
    }
    if arguments.chart_name.is_some() != arguments.chart_version.is_some() {
        return complain(&UsageError::ChartAlone, USAGE);
    }
    let has_bundle = !arguments.bundle.is_empty();
    let is_about_one = arguments.prov.is_some() || has_bundle || arguments.chart_name.is_some();
    if is_about_one && arguments.charts.len() > 1 {
        return complain(&UsageError::SeveralArchives, USAGE);
    }
    let mut reports = Vec::new();
    let mut codes = Vec::new();
    let mut progress = Progress::new();
    let all = arguments.charts.len();
    for (done, chart) in arguments.charts.iter().enumerate() {
        let one = Verify {
            chart: chart.clone(),
            ..arguments.clone()
        };
        if done > 0 {
            progress.tell(&format!("{done} of {all} archives are verified …"));
        }
        let verified = verify(&one);
        progress.clear();
        codes.push(match verified {
            Ok((verdict, report)) => {
                reports.push(report);
                exit_code(verdict)
            }
            Err(error) => complain(&error, USAGE),
        });
    }
    let printed = match (arguments.charts.as_slice(), reports.as_slice()) {
        ([_], []) => Ok(()),
        ([_], [report, ..]) => printing::print(arguments.output, report),
        (_, reports) => printing::print_all(arguments.output, reports),
    };
    match printed {
        Ok(()) => worst(codes),
        Err(error) => complain(&error, INTERNAL),
    }
}

/// What cannot be used stands above what is not trusted, and that above what is not known.
fn worst(codes: Vec<u8>) -> u8 {
    let rank = |code: &u8| match *code {
        TRUSTED => 0,
        UNKNOWN => 1,
        UNTRUSTED => 2,
        USAGE => 3,
        _ => 4,
    };
    codes.into_iter().max_by_key(rank).unwrap_or(USAGE)
}

fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Trusted(_) => TRUSTED,
        Verdict::Untrusted(_) => UNTRUSTED,
        Verdict::Unknown(_) => UNKNOWN,
    }
}

fn verify(arguments: &Verify) -> Result<(Verdict, Report), UsageError> {
    match Address::of(arguments)? {
        Some(address) => verify_fetched(arguments, &address),
        None => verify_file(arguments),
    }
}

fn verify_file(arguments: &Verify) -> Result<(Verdict, Report), UsageError> {
    let trust = Trust::of(arguments)?;
    let archive = match inputs::read(&arguments.chart, Kind::Archive)? {
        Contents::Whole(archive) => archive,
        Contents::TooLarge(message, _) => {
            let verdict = Verdict::Unknown(Cause::LimitExceeded);
            let name = arguments.chart.display().to_string();
            return Ok((verdict, report::unread((&name, ""), verdict, message)));
        }
    };
    let chart = match chart::read(&archive, &ArchiveLimits::default()) {
        Ok(chart) => chart,
        Err(ArchiveError::NotGzip) => {
            return Err(UsageError::NoArchive(arguments.chart.display().to_string()));
        }
        Err(error) => return Ok(report::unreadable(arguments, &error)),
    };
    let wanted = Wanted::of(arguments, &chart);
    // A chart that no rule is about is told before its provenance is looked for.
    let rule = rule(arguments, trust.policy.clone(), &wanted.chart)?;
    let claimed = Claimed {
        chart: &wanted.chart,
        version: &wanted.version,
    };
    let provenance = inputs::provenance(arguments, claimed)?;
    let facts = ArchiveFacts {
        bundles: sigstore::bundles(arguments, &archive, &trust)?,
        ..ArchiveFacts::of(&chart, provenance, Bound::NotCompared)
    };
    let answers = subcharts::beside(arguments, &facts, (&trust, &rule))?;
    let mut evidence = trust.evidence(&facts, &rule);
    subcharts::add(&mut evidence, &facts, answers);
    Ok(trust.judge(arguments, wanted, rule, (&chart, evidence)))
}

fn verify_fetched(arguments: &Verify, address: &Address) -> Result<(Verdict, Report), UsageError> {
    let arguments = &Verify {
        source: Some(address.place().to_owned()),
        ..arguments.clone()
    };
    let trust = Trust::of(arguments)?;
    if !arguments.bundle.is_empty() {
        let place = arguments.chart.display().to_string();
        return Err(UsageError::BundleOfFile(place));
    }
    let asking = Asking::of(arguments, &address.source)?;
    let runtime = runtime().map_err(UsageError::Runtime)?;
    let name = arguments.chart.display().to_string();
    let unread = |verdict, message| (verdict, report::unread((&name, ""), verdict, message));
    let listed = match runtime.block_on(asking.find(&address.named)) {
        Ok(listed) => listed,
        Err((verdict, message)) => return Ok(unread(verdict, message)),
    };
    let chart = arguments.chart_name.as_ref().unwrap_or(&listed.chart);
    // A chart that no rule is about is told before it is fetched.
    let rule = rule(arguments, trust.policy.clone(), chart)?;
    let asked = (address.asked(), trust.forms(&rule));
    Ok(match runtime.block_on(asking.fetch(&listed, asked)) {
        Fetched::Archive(chart, facts, version) => {
            let wanted = Wanted::at(arguments, &listed.chart, &version);
            let evidence = subcharts::gathered(&asking, &trust, (&wanted, &rule), &facts);
            let evidence = runtime.block_on(evidence);
            trust.judge(arguments, wanted, rule, (&chart, evidence))
        }
        Fetched::Nothing(verdict, message) => unread(verdict, message),
    })
}

/// Whom to believe, and when.
struct Trust {
    keys: Vec<Key>,
    sigstore: SigstoreSigners,
    now: Timestamp,
    policy: Policy,
}

impl Trust {
    fn of(arguments: &Verify) -> Result<Self, UsageError> {
        let mut keys = inputs::keys(arguments)?;
        let mut sigstore = sigstore::signers(arguments)?;
        if keys.is_empty() && sigstore.is_empty() {
            return Err(UsageError::NoKey);
        }
        if sigstore.is_empty() && !arguments.bundle.is_empty() {
            return Err(UsageError::BundleAlone);
        }
        let known = Known {
            keys: &keys,
            sigstore: &sigstore,
        };
        let policy = inputs::policy(arguments, known)?;
        if arguments.source.is_none() {
            let of_identities = sigstore
                .identities
                .iter_mut()
                .map(|one| &mut one.identity.scope);
            let of_keys = keys.iter_mut().map(|key| &mut key.scope);
            for scope in of_keys.chain(of_identities) {
                scope.sources.clear();
            }
        }
        let now = arguments.at.unwrap_or_else(clock::now);
        Ok(Self {
            keys,
            sigstore,
            now,
            policy,
        })
    }

    /// Which signatures a source is asked for.
    fn forms(&self, rule: &Rule) -> Forms {
        Forms::of(&[rule], &self.sigstore)
    }

    fn known(&self) -> Known<'_> {
        Known {
            keys: &self.keys,
            sigstore: &self.sigstore,
        }
    }

    /// As if every source of the rule had answered with the files.
    fn evidence(&self, facts: &ArchiveFacts, rule: &Rule) -> Evidence {
        let mut evidence = Evidence::default();
        for source in &rule.sources {
            evidence
                .answers
                .insert(source.url.clone(), Answer::Archive(Box::new(facts.clone())));
        }
        evidence.try_keys(&self.keys, self.now);
        evidence.try_sigstore(&self.sigstore, self.now);
        evidence
    }

    fn judge(
        &self,
        arguments: &Verify,
        wanted: Wanted,
        rule: Rule,
        (chart, mut evidence): (&Chart, Evidence),
    ) -> (Verdict, Report) {
        let (known, now) = (self.known(), self.now);
        evidence.try_keys(&self.keys, now);
        let is_elsewhere = rule.sources.is_empty();
        let mut judgement = judge(&wanted, rule, &evidence, (known, now));
        judgement.findings.extend(wanted.misnamed);
        if let (true, Some(url)) = (is_elsewhere, &arguments.source) {
            let is_it = |finding: &&mut Finding| finding.fact == Fact::Doubt(Cause::SourceUnknown);
            for finding in judgement.findings.iter_mut().filter(is_it) {
                finding.message = format!("{url} is none of the sources that the rule names");
            }
        }
        let report = report::of(arguments, chart, &evidence, &judgement, (known, now));
        (judgement.verdict, report)
    }
}

/// Which chart and version is asked for: as said, or else by the name of the file, as `helm verify` has
/// it. What an archive says of itself is no request: an old one is signed as well.
struct Wanted {
    chart: String,
    version: String,
    /// What is to be told if the file is named otherwise than the archive.
    misnamed: Option<Finding>,
}

impl Wanted {
    fn at(arguments: &Verify, chart: &str, version: &str) -> Self {
        let said =
            |said: &Option<String>, own: &str| said.clone().unwrap_or_else(|| own.to_owned());
        Self {
            chart: said(&arguments.chart_name, chart),
            version: said(&arguments.chart_version, version),
            misnamed: None,
        }
    }

    fn of(arguments: &Verify, chart: &Chart) -> Self {
        let own = &chart.metadata;
        if let (Some(chart), Some(version)) = (&arguments.chart_name, &arguments.chart_version) {
            return Self {
                chart: chart.clone(),
                version: version.clone(),
                misnamed: None,
            };
        }
        let name = arguments.chart.file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        let expected = format!("{}-{}.tgz", own.name, own.version);
        let (chart, version) = split(&name, &own.name);
        let misnamed = (name != expected).then(|| {
            let message = format!(
                "the file is named {name}, but holds {} {}, which helm package names {expected}: \
                 rename it, or say what is expected with --chart and --version",
                own.name, own.version
            );
            Finding::new(Fact::Failure(Reason::MetadataMismatch), message)
        });
        Self {
            chart,
            version,
            misnamed,
        }
    }
}

/// The chart and version that a file name stands for. Both may contain dashes, so that the name in the
/// archive is tried first.
fn split(name: &str, chart: &str) -> (String, String) {
    let stem = name.strip_suffix(".tgz").unwrap_or(name);
    let after = stem.strip_prefix(chart);
    let version = after.and_then(|after| after.strip_prefix('-'));
    let (chart, version) = version
        .map(|version| (chart, version))
        .or_else(|| stem.rsplit_once('-'))
        .unwrap_or((stem, ""));
    (chart.to_owned(), version.to_owned())
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
            // The repository of one chart is `REPOSITORY#CHART`, and this rule is about that one.
            let place = |source: &Source| {
                source
                    .url
                    .split('#')
                    .next()
                    .map(|url| url.trim_end_matches('/').to_owned())
            };
            rule.sources
                .retain(|source| place(source).as_deref() == Some(url));
        }
        Some(url) => rule.sources = vec![Source::at(url)],
        None => rule.sources = vec![Source::at(NO_SOURCE)],
    }
    Ok(rule)
}

const NO_SOURCE: &str = "the file";

fn judge(
    wanted: &Wanted,
    rule: Rule,
    evidence: &Evidence,
    (known, now): (Known<'_>, Timestamp),
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
        chart: &wanted.chart,
        version: &wanted.version,
        deployers: &[],
        evidence,
    };
    check::judge(&case, &[policy], known, now)
}
