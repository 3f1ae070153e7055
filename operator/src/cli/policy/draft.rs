//! A policy drafted from what runs: which charts, from which sources, signed by whom, or pinned. Touches
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use charttrust_verify::verdict::Cause;
use kube::ResourceExt;

use super::deployed::{Told, bare};
use crate::api::chart_trust_policy::{
    Admission, ChartTrustPolicySpec, Level, Match, Mode, PinnedDigest, Rule, Signers, Source,
    Verify,
};
use crate::api::release_trust::{Binding, SourceAnswer, SourceEvidence};
use crate::api::{ChartTrustPolicy, ReleaseTrust, bounds};
use crate::cli::cluster::Failure;
use crate::cli::pin::matched::{self, Declared, Left, Matched, Wish};
use crate::cli::signers;
use crate::cli::sigstore::{self, Signature};
use crate::clock;
use crate::controllers::stated;
use crate::inventory::ReleaseId;
use crate::parse;
use crate::watch::ObjectName;

/// What the draft is to be like.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Name of the policy.
    pub(super) name: String,
    /// Where charts of unknown origin are to be looked for.
    pub(super) sources: Vec<String>,
    /// Releases of this namespace only.
    pub(super) namespace: Option<String>,
    /// Namespaces that it leaves alone.
    pub(super) excluded: Vec<String>,
    /// Where deployers take charts from.
    pub(super) told: BTreeMap<ReleaseId, Told>,
}

/// A draft, and what is not in it.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) policy: ChartTrustPolicy,
    /// Releases that have no proof yet, or something against them.
    pub(super) left: Vec<Left>,
    /// How many releases no policy has asked about yet.
    pub(super) unasked: usize,
    /// Charts that no rule can name.
    pub(super) unnamed: Vec<String>,
    /// Who has signed and is not declared, with the charts.
    pub(super) strangers: BTreeMap<Stranger, BTreeSet<String>>,
    /// Secrets of sources that it has from deployers, and must be copied.
    pub(super) secrets: BTreeSet<ObjectName>,
    /// Places that deployers name and that are in no rule, in words.
    pub(super) elsewhere: Vec<String>,
}

/// Somebody who has signed by the word of a trusted root, and whom no object means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stranger {
    pub(super) issuer: String,
    pub(super) subject: String,
}

/// What is known of one chart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    sources: BTreeSet<String>,
    keys: BTreeSet<String>,
    identities: BTreeSet<String>,
    pins: Vec<PinnedDigest>,
    /// Sources that deployers name.
    told: Vec<Source>,
}

impl Draft {
    /// The draft for some releases.
    ///
    /// # Errors
    /// If it would not fit into one policy.
    pub(super) fn of(
        trusts: &[ReleaseTrust],
        declared: &Declared,
        asked: &Asked,
    ) -> Result<Self, Failure> {
        let trusts: Vec<_> = trusts
            .iter()
            .filter(|one| asked.is_about(one))
            .cloned()
            .collect();
        let wish = Wish {
            policy: None,
            is_named: false,
        };
        let (matched, left) = matched::sorted(&trusts, declared, wish);
        let (mut charts, unnamed) = known(&trusts, declared, &matched);
        let secrets = asked.take_told(&trusts, &mut charts);
        let elsewhere = elsewhere(&mut charts);
        let rules = rules(charts, &declared.policies, &asked.sources)?;
        let policy = policy(rules, asked)?;
        let is_open = |one: &Left| !matches!(one, Left::Aside { .. });
        let left = left.into_iter().filter(is_open);
        let (unasked, left): (Vec<_>, Vec<_>) = left.partition(is_unasked);
        Ok(Self {
            policy,
            unasked: unasked.len(),
            left,
            unnamed,
            strangers: strangers(&trusts, declared),
            secrets,
            elsewhere,
        })
    }
}

/// Whether nobody has asked a source about a release yet, as on the first day about all of them.
fn is_unasked(left: &Left) -> bool {
    let word = Cause::NoPolicy.word();
    matches!(left, Left::Unclear { why, .. } if why.split(':').next() == Some(word))
}

impl Asked {
    fn is_about(&self, trust: &ReleaseTrust) -> bool {
        let namespace = trust.namespace().unwrap_or_default();
        let is_in = self
            .namespace
            .as_ref()
            .is_none_or(|wanted| *wanted == namespace);
        is_in && !self.excluded.contains(&namespace)
    }

    /// Adds what deployers say to what is known of charts, and gives the Secrets that they name.
    fn take_told(
        &self,
        trusts: &[ReleaseTrust],
        charts: &mut BTreeMap<String, Known>,
    ) -> BTreeSet<ObjectName> {
        let mut secrets = BTreeSet::new();
        for trust in trusts {
            let release = ReleaseId {
                namespace: trust.namespace().unwrap_or_default(),
                name: trust.name_any(),
            };
            let status = trust.status.as_ref();
            let of = status.and_then(|status| status.release.as_ref());
            let chart = of.and_then(|release| charts.get_mut(&release.chart));
            let (Some(told), Some(chart)) = (self.told.get(&release), chart) else {
                continue;
            };
            if !chart.told.contains(&told.source) {
                chart.told.push(told.source.clone());
            }
            secrets.extend(told.secrets.iter().cloned());
        }
        secrets
    }
}

impl Known {
    /// Whether somebody has signed it, or it can be pinned, and it is known where that is.
    fn is_proven(&self) -> bool {
        let has_proof = self.is_signed() || !self.pins.is_empty();
        has_proof && !self.sources.is_empty()
    }

    fn is_signed(&self) -> bool {
        !self.keys.is_empty() || !self.identities.is_empty()
    }
}

/// Takes out what is in no rule, and tells it. A record may claim to be of any chart: where somebody's deployer
/// takes that from is no source of a chart that is proven by others, and a rule has no more than so many.
fn elsewhere(charts: &mut BTreeMap<String, Known>) -> Vec<String> {
    let mut told = Vec::new();
    for (chart, known) in charts {
        let (is_proven, known_urls) = (known.is_proven(), known.sources.clone());
        let asked_as = |one: &Source| match &one.repository {
            Some(repository) => format!("{repository}#{chart}"),
            None => one.url.clone(),
        };
        let is_of_rule = |one: &Source| {
            let url = asked_as(one);
            let mut all = known_urls.iter();
            !is_proven || all.any(|known| known.trim_end_matches('/') == url)
        };
        let (kept, mut left): (Vec<_>, Vec<_>) =
            known.told.drain(..).partition(|one| is_of_rule(one));
        known.told = kept;
        let most = bounds::SHORT_LIST.saturating_sub(known.sources.len());
        left.extend(known.told.drain(most.min(known.told.len())..));
        told.extend(left.iter().map(|one| {
            format!(
                "a deployer takes chart {chart} from {}, which is no source of its rule: add it if it is yours",
                one.repository.as_ref().unwrap_or(&one.url)
            )
        }));
    }
    told
}

/// What is known of each chart by its name, and names that are none: a record can claim any.
fn known(
    trusts: &[ReleaseTrust],
    declared: &Declared,
    matched: &[Matched],
) -> (BTreeMap<String, Known>, Vec<String>) {
    let (mut charts, mut unnamed) = (BTreeMap::<String, Known>::new(), BTreeSet::new());
    for trust in trusts {
        let Some(status) = trust.status.as_ref() else {
            continue;
        };
        let Some(release) = &status.release else {
            continue;
        };
        if !is_plain(&release.chart) {
            unnamed.insert(release.chart.clone());
            continue;
        }
        let chart = charts.entry(release.chart.clone()).or_default();
        chart.keys.extend(signers(trust, declared));
        chart.identities.extend(identities(trust, declared));
        let sources = status
            .evidence
            .iter()
            .flat_map(|evidence| &evidence.sources);
        chart.sources.extend(origins(&sources.collect::<Vec<_>>()));
    }
    for one in matched {
        if let Some(chart) = charts.get_mut(&one.pin.chart)
            && !chart.pins.contains(&one.pin)
        {
            chart.pins.push(one.pin.clone());
        }
    }
    (charts, unnamed.into_iter().collect())
}

/// Whether a name means itself as a glob.
fn is_plain(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    !name.is_empty() && name.len() <= bounds::NAME && name.chars().all(is_letter)
}

/// The TrustedKeys with a good signature that nothing is known against.
fn signers(trust: &ReleaseTrust, declared: &Declared) -> Vec<String> {
    let good = signers::of_archive(trust).filter(|one| one.fault.is_none());
    let good: Vec<_> = good.collect();
    let is_signed_by = |fingerprint: &str| {
        let mut all = good.iter();
        all.any(|one| one.fingerprint.eq_ignore_ascii_case(fingerprint))
    };
    let revoked = declared.keys.iter().filter(|key| matched::is_revoked(key));
    let revoked: BTreeSet<_> = revoked
        .map(|key| key.spec.fingerprint.to_uppercase())
        .collect();
    let keys = declared.keys.iter().filter(|key| {
        let fingerprint = key.spec.fingerprint.to_uppercase();
        is_signed_by(&fingerprint) && !revoked.contains(&fingerprint)
    });
    keys.map(ResourceExt::name_any).collect()
}

/// The `TrustedIdentities` with a signature that nothing is known against.
fn identities(trust: &ReleaseTrust, declared: &Declared) -> BTreeSet<String> {
    let content = trust.status.as_ref().and_then(stated);
    let signatures = content.iter().flat_map(sigstore::signatures);
    let is_void = |one: &Signature<'_>| {
        let mut all = declared.identities.iter();
        all.any(|identity| identity.voids(one, clock::now()).is_some())
    };
    let good: Vec<_> = signatures.filter(|one| !is_void(one)).collect();
    let has_signed =
        |identity: &&sigstore::Declared| good.iter().any(|one| identity.has_made(one.verified));
    let all = declared.identities.iter().filter(has_signed);
    all.map(sigstore::Declared::name).collect()
}

/// Who has signed charts and is not declared.
fn strangers(trusts: &[ReleaseTrust], declared: &Declared) -> BTreeMap<Stranger, BTreeSet<String>> {
    let mut found = BTreeMap::<_, BTreeSet<String>>::new();
    for content in trusts
        .iter()
        .filter_map(|trust| stated(trust.status.as_ref()?))
    {
        for one in sigstore::signatures(&content) {
            let mut known = declared.identities.iter();
            let is_known = known.any(|identity| identity.has_made(one.verified));
            if let Some(identity) = one.verified.identity().filter(|_| !is_known)
                && is_plain(&content.chart)
            {
                let stranger = Stranger {
                    issuer: identity.issuer.clone(),
                    subject: identity.subject.clone(),
                };
                found
                    .entry(stranger)
                    .or_default()
                    .insert(content.chart.clone());
            }
        }
    }
    found
}

/// Where the archive is that runs; or else, every place that was asked.
fn origins(sources: &[&SourceEvidence]) -> Vec<String> {
    let of = |wanted: &dyn Fn(&SourceEvidence) -> bool| {
        let found = sources.iter().filter(|one| wanted(one));
        found.map(|one| one.url.clone()).collect::<Vec<_>>()
    };
    let same = of(&|one| one.binding == Some(Binding::Same));
    let archive =
        of(&|one| one.answer == SourceAnswer::Archive && one.binding != Some(Binding::Different));
    let all = of(&|_| true);
    let mut found = [same, archive, all]
        .into_iter()
        .filter(|urls| !urls.is_empty());
    found.next().unwrap_or_default()
}

/// What rules are called, in their order.
const KINDS: [&str; 4] = ["signed", "pinned", "unproven", "unknown-origin"];

/// What a rule of the draft is called, by what it rests on.
fn kind(known: &Known, sources: &[Source]) -> &'static str {
    match (known.is_signed(), known.pins.is_empty(), sources.is_empty()) {
        (true, _, _) => "signed",
        (false, false, _) => "pinned",
        (false, true, false) => "unproven",
        (false, true, true) => "unknown-origin",
    }
}

/// A chart with its pins.
type Charted = (String, Vec<PinnedDigest>);

/// The charts of one rule by what they share: its kind, where it asks, and whom it believes.
type Group = (&'static str, Vec<Source>, [Vec<String>; 2]);

fn rules(
    charts: BTreeMap<String, Known>,
    policies: &[ChartTrustPolicy],
    asked: &[String],
) -> Result<Vec<Rule>, Failure> {
    let mut groups = Vec::<(Group, Vec<Charted>)>::new();
    for (chart, known) in charts {
        // What is proven has its source; the rest is looked for where people say.
        let more = asked
            .iter()
            .filter(|_| !known.is_proven())
            .filter(|_| known.told.is_empty());
        let urls = known.sources.iter().chain(more);
        let mut sources = sources(urls, &known.told, policies);
        sources.extend(missing(&known.told, &sources, policies));
        let signers = [&known.keys, &known.identities];
        let signers = signers.map(|names| names.iter().cloned().collect());
        let group = (kind(&known, &sources), sources, signers);
        // The repository of one chart stands in a rule for that alone.
        let is_of_one = group.1.iter().any(|source| source.repository.is_some());
        let mut alike = groups.iter_mut().filter(|_| !is_of_one);
        match alike.find(|(own, _)| *own == group) {
            Some((_, charts)) => charts.push((chart, known.pins)),
            None => groups.push((group, vec![(chart, known.pins)])),
        }
    }
    // What is best known stands first.
    groups.sort_by_key(|((kind, ..), _)| KINDS.iter().position(|one| one == kind));
    let mut rules = Vec::new();
    for (group, charts) in groups {
        for part in parts(charts)? {
            let name = name(group.0, &rules);
            rules.push(rule(name, &group, part));
        }
    }
    Ok(rules)
}

/// A name that no rule has yet.
fn name(kind: &str, rules: &[Rule]) -> String {
    let is_taken = |name: &str| rules.iter().any(|rule| rule.name == name);
    let numbered = (2..).map(|number| format!("{kind}-{number}"));
    let mut names = std::iter::once(kind.to_owned()).chain(numbered);
    // Invariant: there are more names than rules.
    names.find(|name| !is_taken(name)).unwrap_or_default()
}

/// No more charts and pins together than one rule takes.
fn parts(charts: Vec<Charted>) -> Result<Vec<Vec<Charted>>, Failure> {
    let mut parts = Vec::<Vec<Charted>>::new();
    for (chart, pins) in charts {
        if pins.len() > bounds::LONG_LIST {
            return Err(Failure::Asked(format!(
                "chart {chart} runs in {} versions, and a rule takes {} pins: draft its namespaces one by \
                 one with -n",
                pins.len(),
                bounds::LONG_LIST
            )));
        }
        let fits = |part: &Vec<Charted>| {
            let held: usize = part.iter().map(|(_, pins)| pins.len()).sum();
            part.len() < bounds::LIST && held + pins.len() <= bounds::LONG_LIST
        };
        match parts.last_mut().filter(|part| fits(part)) {
            Some(part) => part.push((chart, pins)),
            None => parts.push(vec![(chart, pins)]),
        }
    }
    Ok(parts)
}

fn rule(name: String, (kind, sources, [keys, identities]): &Group, charts: Vec<Charted>) -> Rule {
    let (charts, pins): (Vec<_>, Vec<_>) = charts.into_iter().unzip();
    let level = match *kind {
        "unknown-origin" => Level::None,
        _ => Level::Strict,
    };
    Rule {
        name,
        charts,
        versions: None,
        sources: sources.clone(),
        verify: Verify {
            level,
            signers: Signers {
                keys: keys.clone(),
                identities: identities.clone(),
                ..Signers::default()
            },
            ..Verify::default()
        },
        digests: pins.concat(),
    }
}

/// The sources as policies have them, or else deployers, with their logins; what neither has is asked without.
fn sources<'a>(
    urls: impl Iterator<Item = &'a String>,
    told: &[Source],
    policies: &[ChartTrustPolicy],
) -> Vec<Source> {
    let declared: Vec<_> = policies
        .iter()
        .flat_map(|policy| &policy.spec.rules)
        .flat_map(|rule| &rule.sources)
        .collect();
    let mut sources = Vec::<Source>::new();
    for url in urls {
        // The repository of one chart is `REPOSITORY#CHART`.
        let repository = url.split_once('#').map(|(repository, _)| repository);
        let declared = declared.iter().copied().chain(told);
        let mut known = declared.filter(|one| match repository {
            Some(repository) => one.repository.as_deref() == Some(repository),
            None => one.repository.is_none() && one.url == *url,
        });
        let source = known.next().cloned();
        let source = source.or_else(|| repository.is_none().then(|| bare(url)));
        if let Some(source) = source.filter(|source| !sources.contains(source)) {
            sources.push(source);
        }
    }
    sources
}

/// What deployers name and is not among the sources, as policies have it if they do: one with another login is
/// another way of asking, and people have chosen theirs.
fn missing(told: &[Source], sources: &[Source], policies: &[ChartTrustPolicy]) -> Vec<Source> {
    let is_same = |a: &Source, b: &Source| a.url == b.url && a.repository == b.repository;
    let is_new = |one: &&Source| !sources.iter().any(|known| is_same(known, one));
    let declared = |one: &Source| {
        let rules = policies.iter().flat_map(|policy| &policy.spec.rules);
        let mut known = rules.flat_map(|rule| &rule.sources);
        known.find(|known| is_same(known, one)).cloned()
    };
    let new = told.iter().filter(is_new);
    new.map(|one| declared(one).unwrap_or_else(|| one.clone()))
        .collect()
}

fn policy(rules: Vec<Rule>, asked: &Asked) -> Result<ChartTrustPolicy, Failure> {
    if rules.len() > bounds::LIST {
        return Err(Failure::Asked(format!(
            "the draft would have {} rules, and a policy takes {}: draft namespaces one by one with -n",
            rules.len(),
            bounds::LIST
        )));
    }
    let releases = match &asked.namespace {
        Some(namespace) => vec![format!("{namespace}/*")],
        None => vec!["*".to_owned()],
    };
    let spec = ChartTrustPolicySpec {
        suspend: false,
        mode: Mode::Audit,
        admission: Admission::default(),
        interval: "1h".to_owned(),
        selection: Match {
            namespace_selector: None,
            exclude_namespaces: asked.excluded.clone(),
            releases,
        },
        rules,
        exceptions: Vec::new(),
        quarantine: None,
    };
    let policy = ChartTrustPolicy::new(&asked.name, spec);
    match parse::policy(&policy).problems.first() {
        Some(problem) => Err(Failure::Asked(problem.to_string())),
        None => Ok(policy),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use charttrust_verify::sigstore::BundleRecord;

    use super::*;
    use crate::api::TrustedKey;
    use crate::api::chart_trust_policy::NameRef;
    use crate::cli::sigstore::tests as bundled;

    const OURS: &str = "https://charts.example.com";

    fn digest(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    /// A release of a chart, and what is known of it.
    fn trust(name: &str, reason: &str, more: &Value) -> ReleaseTrust {
        let status = if reason == "SignatureVerified" {
            "True"
        } else {
            "False"
        };
        let mut object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust",
            "metadata": {"namespace": "shop", "name": name}, "spec": {},
            "status": {
                "release": {"revision": 1, "chart": name, "version": "1.0.0", "owner": "Helm",
                    "resourceVersion": "1"},
                "conditions": [{"type": "Trusted", "status": status, "reason": reason, "message": "said",
                    "observedGeneration": 1, "lastTransitionTime": "2026-11-18T10:00:00Z"}],
                "evidence": {"content": "AAAA", "sources": [{"url": OURS, "archive": digest('a'),
                    "binding": "Same", "provenanceProblem": "Missing"}]},
            },
        });
        json_patch::merge(&mut object["status"], more);
        serde_json::from_value(object).unwrap()
    }

    fn signed(name: &str) -> ReleaseTrust {
        let signer = json!({"fingerprint": "B".repeat(40), "algorithm": "Ed25519/SHA512",
            "verified": true});
        trust(name, "SignatureVerified", &json!({"signers": [signer]}))
    }

    fn new(name: &str) -> ReleaseTrust {
        let mut new = trust(name, "NoPolicy", &json!({"evidence": null}));
        let condition = &mut new.status.as_mut().unwrap().conditions[0];
        condition.status = crate::api::conditions::Status::Unknown;
        new
    }

    fn key(more: &Value) -> TrustedKey {
        let mut object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey",
            "metadata": {"name": "platform"},
            "spec": {"fingerprint": "b".repeat(40), "publicKey": {"inline": "x"}},
        });
        json_patch::merge(&mut object["spec"], more);
        serde_json::from_value(object).unwrap()
    }

    fn declared() -> Declared {
        Declared {
            policies: Vec::new(),
            keys: vec![key(&json!({}))],
            ..Declared::default()
        }
    }

    fn asked(sources: &[&str]) -> Asked {
        Asked {
            name: "drafted".to_owned(),
            sources: sources.iter().map(ToString::to_string).collect(),
            namespace: None,
            excluded: vec!["kube-system".to_owned()],
            told: BTreeMap::new(),
        }
    }

    fn rules_of(trusts: &[ReleaseTrust], asked: &Asked) -> Vec<Rule> {
        Draft::of(trusts, &declared(), asked)
            .unwrap()
            .policy
            .spec
            .rules
    }

    fn names(rules: &[Rule]) -> Vec<(&str, Vec<&str>)> {
        rules
            .iter()
            .map(|rule| {
                let charts = rule.charts.iter().map(String::as_str).collect();
                (rule.name.as_str(), charts)
            })
            .collect()
    }

    #[test]
    fn on_the_first_day_each_chart_waits_for_a_source() {
        let trusts = [new("web"), new("api")];
        let none = rules_of(&trusts, &asked(&[]));
        assert_eq!(names(&none), [("unknown-origin", vec!["api", "web"])]);
        assert_eq!(none[0].verify.level, Level::None);
        let draft = Draft::of(&trusts, &declared(), &asked(&[])).unwrap();
        assert_eq!(
            (draft.unasked, draft.left.len()),
            (2, 0),
            "{:?}",
            draft.left
        );
        let told = rules_of(&trusts, &asked(&[OURS]));
        assert_eq!(names(&told), [("unproven", vec!["api", "web"])]);
        assert_eq!(told[0].sources[0].url, OURS);
        assert_eq!(told[0].verify.level, Level::Strict);
        assert!(told[0].verify.signers.keys.is_empty());
    }

    #[test]
    fn what_is_known_becomes_signers_and_pins() {
        let trusts = [
            signed("web"),
            trust("api", "Unsigned", &json!({})),
            new("db"),
        ];
        let rules = rules_of(&trusts, &asked(&[]));
        assert_eq!(
            names(&rules),
            [
                ("signed", vec!["web"]),
                ("pinned", vec!["api"]),
                ("unknown-origin", vec!["db"])
            ]
        );
        assert_eq!(rules[0].verify.signers.keys, ["platform"]);
        assert!(rules[0].digests.is_empty(), "a signature needs no pin");
        assert_eq!(rules[1].digests[0].digest, digest('a'));
        assert_eq!(rules[1].sources[0].url, OURS);
        let told = rules_of(&trusts, &asked(&["https://more.example.com"]));
        let numbers: Vec<_> = told.iter().map(|rule| rule.sources.len()).collect();
        assert_eq!(numbers, [1, 1, 1], "what is proven has its source");
    }

    #[test]
    fn nothing_bad_is_drafted() {
        let bad = trust("web", "ContentMismatch", &json!({}));
        let draft = Draft::of(&[bad], &declared(), &asked(&[])).unwrap();
        assert!(draft.policy.spec.rules[0].digests.is_empty());
        assert!(
            matches!(draft.left[..], [Left::Known { .. }]),
            "{:?}",
            draft.left
        );
        // Nobody is listed whose key is revoked.
        let revoked = Declared {
            policies: Vec::new(),
            keys: vec![key(&json!({"revocation": {"reason": "Compromised"}}))],
            ..Declared::default()
        };
        let draft = Draft::of(&[signed("web")], &revoked, &asked(&[])).unwrap();
        assert!(draft.policy.spec.rules[0].verify.signers.keys.is_empty());
    }

    /// A record can claim to be of a chart `*`, which as a glob would mean every chart.
    #[test]
    fn a_name_that_is_a_glob_is_in_no_rule() {
        let mut foreign = new("web");
        let status = foreign.status.as_mut().unwrap();
        status.release.as_mut().unwrap().chart = "*".to_owned();
        let draft = Draft::of(&[foreign, new("api")], &declared(), &asked(&[])).unwrap();
        assert_eq!(
            names(&draft.policy.spec.rules),
            [("unknown-origin", vec!["api"])]
        );
        assert_eq!(draft.unnamed, ["*"]);
        for name in ["", "a b", "a?", "[ab]", "a/b", "a\u{202e}"] {
            assert!(!is_plain(name), "{name:?}");
        }
    }

    #[test]
    fn a_source_keeps_its_login() {
        let policy = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
            "metadata": {"name": "old"},
            "spec": {"rules": [{"name": "all", "charts": ["*"],
                "sources": [{"url": OURS, "credentialsSecretRef": {"name": "login"}}]}]},
        });
        let declared = Declared {
            policies: vec![serde_json::from_value(policy).unwrap()],
            ..Declared::default()
        };
        let trusts = [trust("api", "Unsigned", &json!({}))];
        let draft = Draft::of(&trusts, &declared, &asked(&[])).unwrap();
        let source = &draft.policy.spec.rules[0].sources[0];
        assert_eq!(
            source.credentials_secret_ref.as_ref().unwrap().name,
            "login"
        );
    }

    #[test]
    fn where_a_deployer_takes_a_chart_from_is_its_source() {
        let source = Source {
            credentials_secret_ref: Some(NameRef {
                name: "login".to_owned(),
            }),
            ..bare("https://private.example.com")
        };
        let secret = ObjectName {
            namespace: "flux".to_owned(),
            name: "login".to_owned(),
        };
        let told = Told {
            source: source.clone(),
            secrets: vec![secret.clone()],
        };
        let release = |name: &str| ReleaseId {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        };
        let asked = Asked {
            told: BTreeMap::from([(release("web"), told.clone()), (release("gone"), told)]),
            ..asked(&[OURS])
        };
        let draft = Draft::of(&[new("web"), new("api")], &declared(), &asked).unwrap();
        let rules = &draft.policy.spec.rules;
        assert_eq!(
            names(rules),
            [("unproven", vec!["api"]), ("unproven-2", vec!["web"])]
        );
        assert_eq!(rules[0].sources, [bare(OURS)]);
        assert_eq!(
            rules[1].sources,
            [source],
            "what its deployer names, and no other"
        );
        assert_eq!(draft.secrets, BTreeSet::from([secret]));
        // What a policy has already keeps the login that people have chosen.
        let policy = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy", "metadata": {"name": "old"},
            "spec": {"rules": [{"name": "all", "charts": ["*"],
                "sources": [{"url": "https://private.example.com", "credentialsSecretRef": {"name": "own"}}]}]},
        });
        let declared = Declared {
            policies: vec![serde_json::from_value(policy).unwrap()],
            ..Declared::default()
        };
        let draft = Draft::of(&[new("web")], &declared, &asked).unwrap();
        let own = draft.policy.spec.rules[0].sources[0]
            .credentials_secret_ref
            .clone();
        assert_eq!(own.unwrap().name, "own");
    }

    /// A record may say that it is of any chart, and its deployer whence that is.
    #[test]
    fn a_deployer_adds_no_source_to_a_chart_that_is_proven() {
        let told = |url: &str| Told {
            source: bare(url),
            secrets: Vec::new(),
        };
        let release = |name: &str| ReleaseId {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        };
        let evil = "https://evil.example.com";
        let mut other = new("evil");
        let status = other.status.as_mut().unwrap();
        "web".clone_into(&mut status.release.as_mut().unwrap().chart);
        let told = [("web", told(OURS)), ("evil", told(evil))];
        let told = told.map(|(name, told)| (release(name), told));
        let asked = Asked {
            told: BTreeMap::from(told),
            ..asked(&[])
        };
        let draft = Draft::of(&[signed("web"), other], &declared(), &asked).unwrap();
        let rules = &draft.policy.spec.rules;
        assert_eq!(names(rules), [("signed", vec!["web"])]);
        assert_eq!(rules[0].sources, [bare(OURS)]);
        assert!(draft.elsewhere[0].contains(evil), "{:?}", draft.elsewhere);
    }

    /// One draft is for all, whatever a tenant has his deployers say.
    #[test]
    fn no_deployer_makes_a_draft_that_no_server_takes() {
        let release = |name: String| ReleaseId {
            namespace: "shop".to_owned(),
            name,
        };
        let told = |source: Source| Told {
            source,
            secrets: Vec::new(),
        };
        // Many places of one chart.
        let mut many: Vec<_> = (0..20).map(|number| new(&format!("r{number}"))).collect();
        for one in &mut many {
            let status = one.status.as_mut().unwrap();
            "web".clone_into(&mut status.release.as_mut().unwrap().chart);
        }
        let place = |number: usize| told(bare(&format!("https://{number}.example.com")));
        let of = |number| (release(format!("r{number}")), place(number));
        let asked_of_many = Asked {
            told: (0..20).map(of).collect(),
            ..asked(&[])
        };
        let draft = Draft::of(&many, &declared(), &asked_of_many).unwrap();
        assert_eq!(draft.policy.spec.rules[0].sources.len(), bounds::SHORT_LIST);
        assert_eq!(draft.elsewhere.len(), 20 - bounds::SHORT_LIST);
        // One repository of two charts.
        let whole = Source {
            repository: Some("oci://a.example/x/y".to_owned()),
            ..bare("oci://a.example/x")
        };
        let both = ["web", "api"].map(|name| (release(name.to_owned()), told(whole.clone())));
        let asked_of_both = Asked {
            told: BTreeMap::from(both),
            ..asked(&[])
        };
        let draft = Draft::of(&[new("web"), new("api")], &declared(), &asked_of_both).unwrap();
        assert_eq!(draft.policy.spec.rules.len(), 2);
    }

    #[test]
    fn what_does_not_fit_one_rule_goes_into_several() {
        let many: Vec<_> = (0..=bounds::LIST).map(|n| new(&format!("c{n}"))).collect();
        let rules = rules_of(&many, &asked(&[OURS]));
        let numbers: Vec<_> = rules.iter().map(|rule| rule.charts.len()).collect();
        assert_eq!(numbers, [bounds::LIST, 1]);
        assert_eq!(rules[1].name, "unproven-2");
    }

    #[test]
    fn namespaces_that_are_left_alone_are_not_drafted() {
        let mut system = new("dns");
        system.metadata.namespace = Some("kube-system".to_owned());
        let rules = rules_of(&[system, new("web")], &asked(&[]));
        assert_eq!(names(&rules), [("unknown-origin", vec!["web"])]);
        let own = Asked {
            namespace: Some("bank".to_owned()),
            ..asked(&[])
        };
        assert!(
            Draft::of(&[new("web")], &declared(), &own).is_err(),
            "no rule at all"
        );
    }

    fn of_pipelines(records: &[BundleRecord], identity: &Value) -> Draft {
        let declared = Declared {
            identities: vec![bundled::identity("release", identity)],
            ..Declared::default()
        };
        let mut trust = bundled::trust("web", records);
        trust.status.as_mut().unwrap().conditions[0].reason = "SignerNotTrusted".to_owned();
        Draft::of(&[trust], &declared, &asked(&[])).unwrap()
    }

    /// Whom a draft believes of Sigstore, and whom it tells of.
    fn told(draft: &Draft) -> (&str, Vec<&str>, Vec<&str>) {
        let rule = &draft.policy.spec.rules[0];
        let identities = rule.verify.signers.identities.iter().map(String::as_str);
        let strangers = draft.strangers.keys().map(|one| one.subject.as_str());
        (&rule.name, identities.collect(), strangers.collect())
    }

    #[test]
    fn an_identity_that_has_signed_is_listed_and_nobody_who_is_void_or_not_declared() {
        let own = bundled::signed(bundled::by(bundled::SUBJECT));
        let other = bundled::signed(bundled::by("another@example.com"));
        let attested = bundled::attested(bundled::by("another@example.com"));
        let (fine, none) = (json!({}), Vec::<&str>::new());
        let own = std::slice::from_ref(&own);
        assert_eq!(
            told(&of_pipelines(own, &fine)),
            ("signed", vec!["release"], none.clone())
        );
        let outside = bundled::window(13, 14);
        assert_eq!(
            told(&of_pipelines(own, &outside)),
            ("signed", vec!["release"], none.clone())
        );
        let inside = of_pipelines(own, &bundled::window(11, 13));
        assert_eq!(told(&inside), ("unproven", none.clone(), none.clone()));
        assert!(
            matches!(inside.left[..], [Left::Known { .. }]),
            "{:?}",
            inside.left
        );
        let strange = of_pipelines(&[other], &fine);
        assert_eq!(
            told(&strange),
            ("pinned", none.clone(), vec!["another@example.com"])
        );
        assert_eq!(
            strange.strangers.values().next().unwrap(),
            &BTreeSet::from(["web".to_owned()])
        );
        let attested = of_pipelines(&[attested], &fine);
        assert_eq!(told(&attested), ("pinned", none.clone(), none));
    }
}
