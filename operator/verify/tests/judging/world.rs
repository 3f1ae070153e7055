//! One good base: a release of a chart that Alice signed, under a policy that lists her.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::LazyLock;

use charttrust_verify::chart::Chart;
use charttrust_verify::check::{self, Case, Judgement, Known};
use charttrust_verify::deployer::Deployer;
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{
    Answer, ArchiveFacts, Bound, Claimed, Evidence, ProvenanceFacts,
};
use charttrust_verify::key::{DeclaredRevocation, Grandfather, Key, RevocationReason, Scope};
use charttrust_verify::later::JudgedBy;
use charttrust_verify::policy::{
    Demands, Dependencies, Exception, ExpiredKeys, Level, Pattern, Policy, ReleasePattern,
    ReleaseRef, Rule, Selection, Signers, Source, Verify,
};
use charttrust_verify::sigstore::SigstoreSigners;
use charttrust_verify::verdict::{Class, Reason, Verdict};
use jiff::Timestamp;

use crate::forge::{self, Shape, Sig, day, hashed_text, time};
use crate::support;

/// Where the chart is published.
pub(crate) const SOURCE: &str = "https://charts.example.com";
/// Another place.
pub(crate) const MIRROR: &str = "https://mirror.example.com";

/// The day on which the good signatures say they were made, and the day of the good look.
pub(crate) const SIGNED: u32 = 10;
pub(crate) const TODAY: u32 = 100;

/// Everything that is judged.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) keys: Vec<Key>,
    pub(crate) sigstore: SigstoreSigners,
    pub(crate) policies: Vec<Policy>,
    pub(crate) evidence: Evidence,
    pub(crate) chart: String,
    pub(crate) version: String,
    pub(crate) deployers: Vec<Deployer>,
    pub(crate) now: Timestamp,
}

const RELEASE: ReleaseRef<'static> = ReleaseRef {
    namespace: "shop",
    namespace_labels: None,
    name: "front",
};

impl World {
    /// Alice signed the chart, and the only policy lists Alice.
    pub(crate) fn good() -> Self {
        static GOOD: LazyLock<World> = LazyLock::new(|| World::signed_by(&[person(1)]));
        GOOD.clone()
    }

    /// All of these signed the chart and are known; the policy lists Alice (1) alone.
    pub(crate) fn signed_by(people: &[Shape]) -> Self {
        let signatures: Vec<_> = people.iter().map(signature).collect();
        let keys = people.iter().map(key).collect();
        Self::of(keys, provenance(&text(), &signatures))
    }

    pub(crate) fn of(keys: Vec<Key>, provenance: ProvenanceFacts) -> Self {
        let mut world = Self {
            keys,
            sigstore: SigstoreSigners::default(),
            policies: vec![policy("policy", &["alice"])],
            evidence: Evidence::default(),
            chart: "web".into(),
            version: "1.2.3".into(),
            deployers: Vec::new(),
            now: time(day(TODAY)),
        };
        world.answer(SOURCE, archive(provenance));
        world
    }

    pub(crate) fn answer(&mut self, source: &str, answer: Answer) {
        self.evidence.answers.insert(source.to_owned(), answer);
    }

    pub(crate) fn try_keys(&mut self) {
        self.evidence.try_keys(&self.keys, self.now);
        self.evidence.try_sigstore(&self.sigstore, self.now);
    }

    /// Everybody whose signatures are known.
    pub(crate) fn known(&self) -> Known<'_> {
        Known {
            keys: &self.keys,
            sigstore: &self.sigstore,
        }
    }

    /// What the evidence is judged by.
    pub(crate) fn judged_by(&self) -> JudgedBy<'_> {
        JudgedBy {
            release: RELEASE,
            chart: &self.chart,
            version: &self.version,
            deployers: &self.deployers,
            policies: &self.policies,
            known: self.known(),
            now: self.now,
        }
    }

    pub(crate) fn judge(&self) -> Judgement {
        let mut world = self.clone();
        world.try_keys();
        let case = Case {
            release: RELEASE,
            chart: &world.chart,
            version: &world.version,
            deployers: &world.deployers,
            evidence: &world.evidence,
        };
        let judgement = check::judge(&case, &world.policies, world.known(), world.now);
        for said in &judgement.policies {
            let is_bad = said.verdict.class() == Class::Badness;
            assert_eq!(is_bad, !said.revocations.is_empty(), "{said:?}");
        }
        judgement
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.judge().verdict
    }

    pub(crate) fn on(mut self, on: u32) -> Self {
        self.now = time(day(on));
        self
    }

    pub(crate) fn rule(&mut self) -> &mut Rule {
        rule(&mut self.policies[0])
    }

    pub(crate) fn verify(&mut self) -> &mut Verify {
        &mut self.rule().verify
    }

    pub(crate) fn level(&mut self, level: Level) {
        self.verify().level = level;
    }

    pub(crate) fn signers(&mut self, keys: &[&str], threshold: u32) {
        let signers = &mut self.verify().signers;
        signers.keys = names(keys);
        signers.threshold = NonZeroU32::new(threshold).unwrap();
    }

    /// The archive of the usual source.
    pub(crate) fn facts(&mut self) -> &mut ArchiveFacts {
        facts_of(&mut self.evidence, SOURCE)
    }

    pub(crate) fn alice(&mut self) -> &mut Key {
        self.keys
            .iter_mut()
            .find(|key| key.name == "alice")
            .unwrap()
    }

    pub(crate) fn revoke(
        &mut self,
        name: &str,
        reason: RevocationReason,
    ) -> &mut DeclaredRevocation {
        let key = self.keys.iter_mut().find(|key| key.name == name).unwrap();
        key.revocations.push(DeclaredRevocation {
            declared_by: name.to_owned(),
            reason,
            since: None,
            grandfather: Grandfather::Never,
        });
        key.revocations.last_mut().unwrap()
    }

    pub(crate) fn pin(&mut self) {
        let digest = self.facts().digest;
        self.rule().pins.push(charttrust_verify::policy::Pin {
            chart: "web".into(),
            version: "1.2.3".into(),
            digest,
        });
    }

    pub(crate) fn except(&mut self, reasons: &[Reason]) -> &mut Exception {
        let exceptions = &mut self.policies[0].exceptions;
        exceptions.push(Exception {
            name: "legacy".into(),
            releases: vec![ReleasePattern::new("*")],
            reasons: reasons.iter().copied().collect(),
            expires_at: time(day(TODAY + 1)),
            justification: "it is old".into(),
        });
        exceptions.last_mut().unwrap()
    }
}

pub(crate) fn facts_of<'a>(evidence: &'a mut Evidence, source: &str) -> &'a mut ArchiveFacts {
    match evidence.answers.get_mut(source) {
        Some(Answer::Archive(facts)) => facts,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn rule(policy: &mut Policy) -> &mut Rule {
    match &mut policy.demands {
        Demands::Rules(rules) => &mut rules[0],
        Demands::TrustNobody { problem } => panic!("{problem}"),
    }
}

/// A person's certificate by number: Alice is 1, Bob 2, Carol 3, Dave 4.
pub(crate) fn person(number: u8) -> Shape {
    Shape::of(
        forge::Key::ed25519(number),
        forge::Key::ed25519(number + 100),
    )
}

pub(crate) fn name(number: u8) -> &'static str {
    ["alice", "bob", "carol", "dave"][usize::from(number - 1)]
}

/// The key object of a person, named after whose number it has.
pub(crate) fn key(shape: &Shape) -> Key {
    let number =
        (1..=4).find(|n| forge::Key::ed25519(*n).fingerprint() == shape.primary.fingerprint());
    key_named(name(number.unwrap()), shape)
}

pub(crate) fn key_named(name: &str, shape: &Shape) -> Key {
    Key {
        name: name.to_owned(),
        labels: BTreeMap::new(),
        certificate: shape.load(),
        scope: Scope::default(),
        not_after: None,
        unusable: None,
        revocations: Vec::new(),
    }
}

pub(crate) fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

/// A strict policy about every release with one rule, one source and one signer needed.
pub(crate) fn policy(name: &str, keys: &[&str]) -> Policy {
    Policy {
        name: name.to_owned(),
        suspended: false,
        selection: Selection::default(),
        demands: Demands::Rules(vec![Rule {
            name: "rule".into(),
            charts: vec![Pattern::new("*")],
            versions: None,
            sources: vec![source(SOURCE)],
            verify: Verify {
                level: Level::Strict,
                signers: Signers {
                    keys: names(keys),
                    selector: None,
                    identities: BTreeSet::new(),
                    identity_selector: None,
                    threshold: NonZeroU32::MIN,
                },
                expired_keys: ExpiredKeys::AcceptIfSignedBefore,
                dependencies: Dependencies::Inherit,
            },
            pins: Vec::new(),
            problem: None,
        }]),
        exceptions: Vec::new(),
    }
}

pub(crate) fn source(url: &str) -> Source {
    Source::at(url)
}

pub(crate) static ARCHIVE: LazyLock<Vec<u8>> =
    LazyLock::new(|| support::archive(&support::files()));
static CHART: LazyLock<Chart> = LazyLock::new(|| support::load(&ARCHIVE).unwrap());

/// What a source answers that has the chart with this provenance.
pub(crate) fn archive(provenance: ProvenanceFacts) -> Answer {
    Answer::Archive(Box::new(facts(&CHART, provenance)))
}

pub(crate) fn facts(chart: &Chart, provenance: ProvenanceFacts) -> ArchiveFacts {
    ArchiveFacts::of(chart, provenance, Bound::Same(Vec::new()))
}

/// Another digest than that of the chart.
pub(crate) fn other_digest() -> Sha256Digest {
    Sha256Digest::of(b"other")
}

/// What is signed about the chart.
pub(crate) fn text() -> String {
    text_about(CHART.digest)
}

pub(crate) fn text_about(digest: Sha256Digest) -> String {
    format!("apiVersion: v2\nname: web\nversion: 1.2.3\n\n...\nfiles:\n  web-1.2.3.tgz: {digest}\n")
}

/// A person's good signature over the usual text.
pub(crate) fn signature(shape: &Shape) -> Vec<u8> {
    signature_by(shape.signer(), &text(), |sig| sig)
}

pub(crate) fn signature_by(
    signer: &forge::Key,
    text: &str,
    change: impl FnOnce(Sig) -> Sig,
) -> Vec<u8> {
    change(Sig::new(0x01, signer, day(SIGNED))).sign(signer, &[&hashed_text(text)])
}

pub(crate) fn provenance(text: &str, signatures: &[Vec<u8>]) -> ProvenanceFacts {
    read(forge::message_of(text, signatures).as_bytes())
}

pub(crate) fn read(bytes: &[u8]) -> ProvenanceFacts {
    let claimed = Claimed {
        chart: "web",
        version: "1.2.3",
    };
    ProvenanceFacts::read(bytes, claimed)
}
