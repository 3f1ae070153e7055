//! Gathers what sources say of the chart in a record: what is remembered, and, where there is time and it is
//! allowed, what they say now.
//!
//! May touch: sources, through the fetcher. Without any credentials.

use std::collections::BTreeMap;

use charttrust_verify::check::{self, Case, Judgement, Vouchers};
use charttrust_verify::deployer::Deployer;
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{Answer, Bound, Claimed, Evidence, SubchartId};
use charttrust_verify::later::JudgedBy;
use charttrust_verify::policy::{self, CaRef, Dependencies, Level, ReleaseRef, Rule};
use charttrust_verify::release::Record;
use charttrust_verify::verdict::{Cause, Class, Verdict};
use charttrust_verify::version::Constraint;
use jiff::Timestamp;
use tokio::time::Instant;

use super::before::Before;
use super::known::Trusting;
use super::places::Queue;
use crate::api::chart_trust_policy::Lookup;
use crate::clock;
use crate::evidence::{Fetcher, Forms, Gathered, gather, remembered, unavailable};
use crate::sources::{Asked, ProvenanceAt, Rest, Source};

/// One record, and by what it is judged.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    /// Whom to ask.
    pub fetcher: &'a Fetcher,
    /// Where who calls may wait for sources.
    pub queue: Queue<'a>,
    /// Keys and policies.
    pub trusting: &'a Trusting,
    /// The release as policies select it.
    pub release: ReleaseRef<'a>,
    /// The chart that it is made of.
    pub claimed: Claimed<'a>,
    /// What is to be stored, if there is a record of it.
    pub record: Option<&'a Record>,
    /// The digest of what was signed of it, as it is stored.
    pub content: Option<Sha256Digest>,
    /// What deploys it, where that is what is asked about. What else does narrows which source counts, and is
    /// judged by the operator.
    pub deployers: &'a [Deployer],
    /// What the operator has found out about the release before.
    pub before: &'a Before,
    /// Until when sources may answer.
    pub deadline: Instant,
    /// The moment of judging.
    pub now: Timestamp,
}

/// What each source has said, in the order in which that is taken in.
type Heard = BTreeMap<policy::Source, Vec<Gathered>>;

impl Asking<'_> {
    /// Judges the record by the policies that do anything at the door. What is remembered may give trust, and
    /// is asked for anew before it takes any: publishers mend what they have published.
    pub(super) async fn judge(self) -> Judgement {
        let sources = self.sources();
        let mut heard = self.remembered(&sources);
        let judgement = self.judged(&sources, &heard).await;
        let is_settled = judgement.policies.iter().all(|said| is_final(said.verdict));
        if is_settled {
            return judgement;
        }
        let news = self.ask(&sources).await;
        if news.is_empty() {
            return judgement;
        }
        for (source, said) in news {
            let known = heard.entry(source).or_default();
            // What the source itself has shown stands while it is silent: a mirror may add to it.
            if !said.iter().any(is_silence) {
                known.clear();
            }
            known.extend(said);
        }
        self.judged(&sources, &heard).await
    }

    /// Whether every policy trusts the record, or does not judge it, by what every source is remembered to have said.
    ///
    /// Then nobody is asked, not even for what the operator knows: of a release that is bound to an archive, no
    /// answer takes trust away ([`Evidence::apply`]), so that its evidence could only add to this.
    pub(super) async fn is_trusted_by_memory(&self) -> bool {
        let mut rules = self.rules();
        if rules.any(|(_, rule)| rule.verify.dependencies == Dependencies::Verify) {
            return false;
        }
        let sources = self.sources();
        let heard = self.remembered(&sources);
        if heard.len() < sources.len() {
            return false;
        }
        let judgement = self.judged(&sources, &heard).await;
        let mut verdicts = judgement.policies.iter().map(|said| said.verdict);
        verdicts
            .all(|verdict| verdict.is_trusted() || verdict == Verdict::Unknown(Cause::Unmanaged))
    }

    fn rules(&self) -> impl Iterator<Item = (&str, &Rule)> {
        let chart = self.claimed.chart;
        let policies = self.trusting.acting.iter();
        policies.filter_map(move |policy| {
            let rule = policy.rule_for(&self.release, chart)?.ok()?;
            Some((policy.name.as_str(), rule))
        })
    }

    /// The sources of the rules that decide, and whether they may be asked.
    fn sources(&self) -> BTreeMap<policy::Source, Lookup> {
        let mut sources = BTreeMap::new();
        for (policy, rule) in self.rules() {
            if rule.verify.level == Level::None {
                continue;
            }
            let loaded = self.trusting.trust.policies.get(policy);
            let lookup = loaded.map_or(Lookup::Memory, |one| one.door.admission.lookup);
            for source in &rule.sources {
                let known = sources.entry(source.clone()).or_insert(lookup);
                if lookup == Lookup::Fetch {
                    *known = lookup;
                }
            }
        }
        sources
    }

    /// Which signatures a source is asked for, by the rules that name it.
    fn forms(&self, source: &policy::Source) -> Forms {
        let rules = self.rules().map(|(_, rule)| rule);
        let naming = rules.filter(|rule| rule.sources.iter().any(|one| one.url == source.url));
        let naming: Vec<_> = naming.collect();
        Forms::of(&naming, &self.trusting.trust.sigstore)
    }

    fn remembered(&self, sources: &BTreeMap<policy::Source, Lookup>) -> Heard {
        let read = |bytes: &[u8], claimed: Claimed<'_>| self.trusting.statement(bytes, claimed);
        let all = sources.keys().filter_map(|source| {
            let open = open(source, self.trusting).ok()?;
            let forms = self.forms(source);
            let known = remembered(self.fetcher, &open, self.claimed, forms, &read)?;
            Some((source.clone(), vec![known]))
        });
        all.collect()
    }

    /// The highest version in a range that its sources have now, as far as they tell in time.
    pub(super) async fn highest(&self, range: &Constraint) -> Option<String> {
        let sources = self.sources().into_iter();
        let may = sources.filter(|(_, lookup)| *lookup == Lookup::Fetch);
        let open: Vec<_> = may
            .filter_map(|(source, _)| open(&source, self.trusting).ok())
            .collect();
        let namespace = self.release.namespace;
        let _place = self.queue.take(namespace, self.deadline).await?;
        let listing = open.iter().map(|source| {
            let listed = Box::pin(self.fetcher.listed(source, Some(self.claimed.chart)));
            tokio::time::timeout_at(self.deadline, listed)
        });
        let listed = futures::future::join_all(listing).await;
        let listed = listed.into_iter().flatten().flatten().flatten();
        let versions: Vec<_> = listed.map(|one| one.version).collect();
        let highest = range.highest(versions.iter().map(String::as_str));
        highest.map(str::to_owned)
    }

    /// Asks all that may be asked at the same time.
    async fn ask(&self, sources: &BTreeMap<policy::Source, Lookup>) -> Heard {
        let may = sources
            .iter()
            .filter(|(_, lookup)| **lookup == Lookup::Fetch);
        let open: Vec<_> = may
            .filter_map(|(source, _)| Some((source, open(source, self.trusting).ok()?)))
            .collect();
        if open.is_empty() {
            return Heard::new();
        }
        let namespace = self.release.namespace;
        let Some(_place) = self.queue.take(namespace, self.deadline).await else {
            return Heard::new();
        };
        let asking = open.into_iter().map(|(source, open)| async move {
            let asked = (asked(), self.forms(source));
            let said = gather(self.fetcher, &open, self.claimed, asked);
            let said = tokio::time::timeout_at(self.deadline, Box::pin(said)).await;
            Some((source.clone(), vec![said.ok()?]))
        });
        let heard = futures::future::join_all(asking).await;
        heard.into_iter().flatten().collect()
    }

    /// Judges by what was heard.
    async fn judged(&self, sources: &BTreeMap<policy::Source, Lookup>, heard: &Heard) -> Judgement {
        let mut evidence = self.evidence_before();
        let by = self.by();
        for (source, lookup) in sources {
            let said = heard.get(source).into_iter().flatten();
            for said in said {
                evidence.apply(&source.url, self.answer(said), &by);
            }
            if evidence.answers.get(&source.url).is_none() {
                let why = self.silence(source, *lookup);
                let silent = unavailable(Cause::SourceUnavailable, why);
                evidence.apply(&source.url, silent, &by);
            }
        }
        self.try_signers(&mut evidence);
        self.ask_subcharts(&mut evidence, sources, &by).await;
        evidence.restore_first_verified(&self.before.witnesses);
        let case = Case {
            release: by.release,
            chart: by.chart,
            version: by.version,
            deployers: by.deployers,
            evidence: &evidence,
        };
        check::judge(&case, by.policies, by.known, by.now)
    }

    /// What the operator knows of this very content, wherever it has that from.
    fn evidence_before(&self) -> Evidence {
        let known = self.before.content.as_ref();
        let known = known.filter(|known| {
            let claimed = self.claimed;
            let is_same =
                (known.chart.as_str(), known.version.as_str()) == (claimed.chart, claimed.version);
            is_same && Some(known.digest) == self.content
        });
        known
            .map(|known| known.evidence.clone())
            .unwrap_or_default()
    }

    fn by(&self) -> JudgedBy<'_> {
        let claimed = self.claimed;
        JudgedBy {
            release: self.release,
            chart: claimed.chart,
            version: claimed.version,
            deployers: self.deployers,
            policies: &self.trusting.acting,
            known: self.trusting.trust.known(),
            now: self.now,
        }
    }

    fn try_signers(&self, evidence: &mut Evidence) {
        let known = self.trusting.trust.known();
        evidence.try_keys(known.keys, self.now);
        evidence.try_sigstore(known.sigstore, self.now);
    }

    fn answer(&self, said: &Gathered) -> Answer {
        match said {
            Gathered::Found(found) => {
                let compare = |record| Bound::compare(found.chart(), record);
                let binding = self.record.map_or(Bound::NoRecord, compare);
                found.clone().bound(binding)
            }
            Gathered::Other(nothing) => nothing.answer.clone(),
        }
    }

    /// Why nothing was heard of a source.
    fn silence(&self, source: &policy::Source, lookup: Lookup) -> String {
        let why = match (open(source, self.trusting), lookup) {
            (Err(why), _) => why,
            (Ok(_), Lookup::Memory) => "is not asked by the webhook (lookup: Memory)",
            (Ok(_), Lookup::Fetch) => "gave no answer in time",
        };
        format!("{} {why}", source.url)
    }

    /// The repositories of subcharts, where a rule wants those signed.
    async fn ask_subcharts(
        &self,
        evidence: &mut Evidence,
        sources: &BTreeMap<policy::Source, Lookup>,
        by: &JudgedBy<'_>,
    ) {
        let rules = self.rules().map(|(_, rule)| rule);
        let rules = rules.filter(|rule| rule.verify.dependencies == Dependencies::Verify);
        let rules: Vec<_> = rules.collect();
        if rules.is_empty() {
            return;
        }
        let vouchers = Vouchers {
            rules: &rules,
            sigstore: &self.trusting.trust.sigstore,
        };
        for (source, lookup) in sources {
            let open = evidence.open_subcharts((by.chart, by.version), &source.url, vouchers);
            for subchart in open {
                let answer = self
                    .ask_subchart((source, *lookup), &rules, &subchart.id)
                    .await;
                evidence.apply_subchart(&subchart.id, answer, by);
                self.try_signers(evidence);
            }
        }
    }

    /// One that is a source of the rule is asked as that is. A publisher sends us no further than his
    /// repository could by a redirect.
    async fn ask_subchart(
        &self,
        (on_behalf, lookup): (&policy::Source, Lookup),
        rules: &[&Rule],
        id: &SubchartId,
    ) -> Answer {
        let silent =
            |why: &str| unavailable(Cause::SourceUnavailable, format!("{} {why}", id.repository));
        let mut sources = rules.iter().flat_map(|rule| &rule.sources);
        let known = sources.find(|one| one.url.trim_end_matches('/') == id.repository);
        let place = match known {
            Some(known) => policy::Source {
                url: id.repository.clone(),
                mirrors: Vec::new(),
                ..known.clone()
            },
            None => policy::Source::at(&id.repository),
        };
        let from = &known.unwrap_or(on_behalf).url;
        let about = (id.name.as_str(), id.version.as_str());
        if self.fetcher.may_send(from, &place.url, about).is_err() {
            return silent("may not be named by the chart");
        }
        let source = match open(&place, self.trusting) {
            Ok(source) => source,
            Err(why) => return silent(why),
        };
        let claimed = Claimed {
            chart: &id.name,
            version: &id.version,
        };
        let forms = Forms::of(rules, &self.trusting.trust.sigstore);
        let read = |bytes: &[u8], claimed: Claimed<'_>| self.trusting.statement(bytes, claimed);
        if let Some(known) = remembered(self.fetcher, &source, claimed, forms, &read) {
            return subchart(known);
        }
        if lookup == Lookup::Memory || self.deadline <= clock::tick() {
            return silent("was not asked");
        }
        let asked = (asked(), forms);
        let said = Box::pin(gather(self.fetcher, &source, claimed, asked));
        let said = tokio::time::timeout_at(self.deadline, said).await;
        said.map_or_else(|_| silent("gave no answer in time"), subchart)
    }
}

/// A source as it is asked here, or why it is not.
pub(super) fn open(source: &policy::Source, trusting: &Trusting) -> Result<Source, &'static str> {
    let elsewhere = source.provenance.as_ref();
    let is_private = source.has_login() || source.deployer_secret.is_some();
    if is_private || elsewhere.is_some_and(|it| it.credentials_secret.is_some()) {
        return Err("needs credentials, which the webhook does not have");
    }
    let ca = match &source.ca {
        None => None,
        Some(CaRef::Secret(_)) => {
            return Err("has its authority in a Secret, which the webhook may not read");
        }
        Some(CaRef::ConfigMap(name)) => {
            let known = trusting.authorities.get(name);
            Some(
                known
                    .cloned()
                    .ok_or("has an authority that does not exist")?,
            )
        }
    };
    Ok(Source {
        url: source.url.clone(),
        mirrors: source.mirrors.clone(),
        credentials: None,
        ca,
        provenance: elsewhere.map(|it| ProvenanceAt {
            url: it.url.clone(),
            credentials: None,
        }),
    })
}

fn subchart(said: Gathered) -> Answer {
    match said {
        Gathered::Found(found) => found.of_subchart(),
        Gathered::Other(nothing) => nothing.answer,
    }
}

/// Now; but one that has just failed is left alone for as long as it takes to install again by hand.
fn asked() -> Asked {
    Asked {
        rest: Rest {
            longest: LONGEST_REST,
            of_too_large: LONGEST_REST,
        },
        ..Asked::now()
    }
}

/// How long a source is left alone after it has failed.
const LONGEST_REST: std::time::Duration = std::time::Duration::from_secs(5);

/// Whether what a source says now could change nothing to the better.
fn is_final(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Trusted(_) | Verdict::Unknown(Cause::Unmanaged | Cause::Exempt) => true,
        Verdict::Untrusted(reason) => reason.class() == Class::Badness,
        Verdict::Unknown(_) => false,
    }
}

/// Whether it is no word of the source itself.
fn is_silence(said: &Gathered) -> bool {
    let is_unavailable = matches!(said, Gathered::Other(nothing) if matches!(nothing.answer, Answer::Unavailable { .. }));
    is_unavailable || said.is_of_mirror()
}
