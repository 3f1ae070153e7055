//! What a change of a key or a policy would do to the verdicts, by the operator's own engine, from what
//! the objects on the API server say. Reads only.
//!
//! # Caveats
//! The seal of the evidence is not checked: its key is the operator's. Where the engine does not come
//! to the verdict that the operator has written, nothing is foretold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use charttrust_verify::check::{self, Case, Judgement};
use charttrust_verify::deployer::{ChartOrigin, Deployer, Place};
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::Evidence;
use charttrust_verify::openpgp::Fingerprint;
use charttrust_verify::policy::{Demands, Policy, ReleaseRef, Rule};
use charttrust_verify::verdict::{Cause, Verdict};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::{Api, Client, ResourceExt as _};

use super::cluster::{Failure, all, chain};
use super::sigstore::{self, is_signed};
use super::status;
use crate::api::data_ref::DataRef;
use crate::api::reasons::KeyReason;
use crate::api::release_trust::{Driver, Owner};
use crate::api::trusted_key::{KeyType, TrustedKeySpec};
use crate::api::{ChartTrustPolicy, ReleaseTrust, TrustedIdentity, TrustedKey};
use crate::controllers::key::learned;
use crate::controllers::stated;
use crate::controllers::store::signers::{LoadedIdentity, LoadedPublicKey, Sought};
use crate::controllers::store::{Content, LoadedKey, Reading, Store, Trust};
use crate::door::{self, Unread};
use crate::inventory::ReleaseId;
use crate::parse::{self, KeyProblem, Remains};

/// What the operator has to judge by, and what it came to.
pub(super) struct Picture {
    keys: Vec<TrustedKey>,
    identities: Vec<TrustedIdentity>,
    roots: sigstore::Roots,
    material: BTreeMap<String, Result<Vec<u8>, String>>,
    learned: BTreeMap<Fingerprint, charttrust_verify::openpgp::Learned>,
    policies: Vec<ChartTrustPolicy>,
    trusts: Vec<ReleaseTrust>,
    /// Labels by namespace; empty if they may not be read, as for the engine unknown ones select.
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    now: Timestamp,
}

/// What becomes of one release.
#[derive(Clone, Debug)]
pub(super) struct Forecast {
    pub(super) namespace: String,
    pub(super) name: String,
    /// Name and version of the chart.
    pub(super) chart: String,
    /// When the operator first verified the archive.
    pub(super) first_verified: Option<Timestamp>,
    /// The word of the verdict as the operator has written it.
    pub(super) before: String,
    /// What the engine says of it as things are; nothing where it does not agree with `before`.
    pub(super) now: Option<Judgement>,
    /// What the engine says of it after the change; nothing where it does not agree with `before`.
    pub(super) after: Option<Judgement>,
}

/// What the webhook would judge by, and what of.
pub(super) struct AtDoor {
    /// The releases that a policy is about.
    pub(super) records: Vec<Recorded>,
    /// Keys and policies.
    pub(super) trust: Trust,
    /// Keys that the webhook may not read.
    pub(super) unread: Unread,
}

/// One release as the webhook judges it.
pub(super) struct Recorded {
    pub(super) release: ReleaseId,
    /// Name and version of the chart, if they are known.
    pub(super) chart: Option<(String, String)>,
    /// Nothing where the engine does not agree with the operator.
    pub(super) judgement: Option<Judgement>,
}

/// What is thought to be otherwise.
#[derive(Clone, Copy, Debug)]
enum Change<'a> {
    Identity(&'a TrustedIdentity),
    Key(&'a TrustedKey),
    Nothing,
    Policy(&'a ChartTrustPolicy),
}

impl Forecast {
    /// The verdict after the change.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        Some(self.after.as_ref()?.verdict)
    }
}

impl Picture {
    /// Reads everything that the engine needs.
    pub(super) async fn take(
        client: &Client,
        namespace: &str,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let keys = all(&Api::<TrustedKey>::all(client.clone()), "TrustedKeys").await?;
        let policies = Api::<ChartTrustPolicy>::all(client.clone());
        let policies = all(&policies, "ChartTrustPolicies").await?;
        let trusts = all(&Api::<ReleaseTrust>::all(client.clone()), "ReleaseTrusts").await?;
        let identities = super::cluster::identities(client).await?;
        let mut picture = Self {
            roots: sigstore::Roots::default(),
            identities,
            material: BTreeMap::new(),
            learned: BTreeMap::new(),
            namespaces: namespaces(client).await,
            keys,
            policies,
            trusts,
            now,
        };
        picture.read_material(client, namespace).await;
        let of_keys = picture.keys.iter().map(|key| &key.spec.trusted_root_ref);
        let of_identities = picture.identities.iter();
        let of_identities = of_identities.map(|it| &it.spec.trusted_root_ref);
        let references = of_keys.chain(of_identities).flatten();
        picture.roots = sigstore::Roots::read(client, namespace, references).await;
        Ok(picture)
    }

    /// What people may not read is missed by the engine, which then does not agree with the operator.
    async fn read_material(&mut self, client: &Client, namespace: &str) {
        for key in &self.keys {
            let bytes = material(client, namespace, &key.spec).await;
            self.material.insert(key.name_any(), bytes);
            let Ok(fingerprint) = key.spec.fingerprint.parse::<Fingerprint>() else {
                continue;
            };
            let name = learned::name_of(&fingerprint);
            let map = find::<ConfigMap>(client, namespace, &name)
                .await
                .ok()
                .flatten();
            if let Some(Ok(learned)) = map.as_ref().map(learned::content) {
                self.learned.insert(fingerprint, learned);
            }
        }
    }

    /// A key by its name.
    pub(super) fn key(&self, name: &str) -> Option<&TrustedKey> {
        self.keys.iter().find(|key| key.name_any() == name)
    }

    /// The policies, as they were written.
    pub(super) fn policies(&self) -> &[ChartTrustPolicy] {
        &self.policies
    }

    /// How many policies have a rule that lists somebody.
    pub(super) fn policies_that_list(&self, lists: impl Fn(&Rule) -> bool) -> usize {
        let policies = self.policies.iter().map(parse::policy);
        let listing = policies.filter(|loaded| match &loaded.policy.demands {
            Demands::Rules(rules) => rules.iter().any(&lists),
            Demands::TrustNobody { .. } => false,
        });
        listing.count()
    }

    /// What becomes of each release that the key signed, if the key were as given.
    /// In whichever form it is declared: what revokes the one revokes both.
    pub(super) fn forecast(&self, changed: &TrustedKey) -> Vec<Forecast> {
        let (mut keys, mut public) = (BTreeSet::new(), BTreeSet::new());
        let fingerprint = &changed.spec.fingerprint;
        match changed.spec.key_type {
            KeyType::OpenPGP => keys.extend(fingerprint.parse::<Fingerprint>()),
            KeyType::PublicKey => public.extend(fingerprint.parse::<Sha256Digest>()),
        }
        let trust = self.store(Change::Nothing).trust();
        for (key, known) in trust.forms(&changed.name_any()) {
            keys.insert(key.fingerprint().clone());
            public.insert(known.trusted.fingerprint);
        }
        let by = |content: &Content| {
            let mut public = public.iter();
            let mut signers = content.evidence.good_signers();
            signers.any(|one| keys.contains(one))
                || public.any(|key| is_signed(content, Sought::Key(*key)))
        };
        self.foretell_all(Change::Key(changed), by)
    }

    /// What becomes of each release with a signature by an identity, if the identity were as given.
    pub(super) fn forecast_identity(&self, changed: &TrustedIdentity) -> Vec<Forecast> {
        let loaded = self.load_identity(changed);
        let Some(known) = &loaded.known else {
            return Vec::new();
        };
        let by = |content: &Content| is_signed(content, Sought::Identity(known));
        self.foretell_all(Change::Identity(changed), by)
    }

    fn foretell_all(
        &self,
        change: Change<'_>,
        is_signed: impl Fn(&Content) -> bool,
    ) -> Vec<Forecast> {
        let now = self.store(Change::Nothing).trust();
        let then = self.store(change).trust();
        let signed = self.trusts.iter().filter_map(|trust| {
            let content = stated(trust.status.as_ref()?)?;
            is_signed(&content).then_some((trust, content))
        });
        let foretold = signed.map(|(trust, content)| Forecast {
            first_verified: first_verified(change, &content),
            ..self.foretell(trust, &content, &now, &then)
        });
        foretold.collect()
    }

    /// What becomes of every release that a policy is about, if it were as given, or was about before; and
    /// how many others there are. It may be one that is not there yet.
    pub(super) fn under(&self, policy: &ChartTrustPolicy) -> (Vec<Forecast>, usize) {
        let now = self.store(Change::Nothing).trust();
        let then = self.store(Change::Policy(policy)).trust();
        let name = policy.name_any();
        let before = self.policies.iter().filter(|one| one.name_any() == name);
        let both = before.chain([policy]).map(|one| parse::policy(one).policy);
        let both: Vec<_> = both.collect();
        let is_about = |trust: &&ReleaseTrust| both.iter().any(|one| self.is_about(one, trust));
        let (about, others): (Vec<_>, Vec<_>) = self.trusts.iter().partition(is_about);
        let about = about.into_iter().map(|trust| match content(trust) {
            Some(content) => self.foretell(trust, &content, &now, &then),
            None => unread(trust),
        });
        (about.collect(), others.len())
    }

    /// Every release that a policy is about, if it were as given, as the webhook judges it: one with a record from
    /// any source of the rule, whatever deploys it.
    pub(super) fn at_door(&self, policy: &ChartTrustPolicy) -> AtDoor {
        let now = self.store(Change::Nothing).trust();
        let then = self.store(Change::Policy(policy)).trust();
        let parsed = parse::policy(policy).policy;
        let about = self.trusts.iter();
        let about = about.filter(|trust| self.is_about(&parsed, trust));
        let records = about.map(|trust| {
            let content = content(trust);
            let agrees = |content: &&Content| {
                let judged = self.judge(trust, content, &now);
                judged.verdict.word() == unread(trust).before
            };
            let agreed = content.as_ref().filter(agrees);
            // Where there is no record, what deploys it is what is asked about.
            let deployers = match driver(trust) {
                Some(Driver::Application) => deployers(trust),
                _ => Vec::new(),
            };
            Recorded {
                release: id(trust),
                chart: content
                    .as_ref()
                    .map(|known| (known.chart.clone(), known.version.clone())),
                judgement: agreed.map(|content| self.judge_as((trust, &deployers), content, &then)),
            }
        });
        AtDoor {
            records: records.collect(),
            trust: then,
            unread: door::unread(self.keys.iter(), door::is_readable),
        }
    }

    /// The labels of a namespace, if they may be read.
    pub(super) fn labels(&self, namespace: &str) -> Option<&BTreeMap<String, String>> {
        self.namespaces.get(namespace)
    }

    fn is_about(&self, policy: &Policy, trust: &ReleaseTrust) -> bool {
        let (namespace, name) = (trust.namespace().unwrap_or_default(), trust.name_any());
        let release = ReleaseRef {
            namespace: &namespace,
            namespace_labels: self.namespaces.get(&namespace),
            name: &name,
        };
        match content(trust) {
            Some(content) => policy.rule_for(&release, &content.chart).is_some(),
            // Nobody knows of which chart it is.
            None => policy.selection.selects(&release),
        }
    }

    fn foretell(
        &self,
        trust: &ReleaseTrust,
        content: &Content,
        now: &Trust,
        then: &Trust,
    ) -> Forecast {
        let known = unread(trust);
        let judged = self.judge(trust, content, now);
        let agrees = judged.verdict.word() == known.before;
        Forecast {
            now: agrees.then_some(judged),
            after: agrees.then(|| self.judge(trust, content, then)),
            ..known
        }
    }

    fn judge(&self, trust: &ReleaseTrust, content: &Content, by: &Trust) -> Judgement {
        self.judge_as((trust, &deployers(trust)), content, by)
    }

    fn judge_as(
        &self,
        (trust, deployers): (&ReleaseTrust, &[Deployer]),
        content: &Content,
        by: &Trust,
    ) -> Judgement {
        let (namespace, name) = (trust.namespace().unwrap_or_default(), trust.name_any());
        let release = ReleaseRef {
            namespace: &namespace,
            namespace_labels: self.namespaces.get(&namespace),
            name: &name,
        };
        let case = Case {
            release,
            chart: &content.chart,
            version: &content.version,
            deployers,
            evidence: &content.evidence,
        };
        check::judge(&case, &by.judged_by, by.known(), self.now)
    }

    /// What the operator knows, with one thing changed.
    fn store(&self, change: Change<'_>) -> Store {
        let store = Store::default();
        for key in &self.keys {
            let name = key.name_any();
            let key = match change {
                Change::Key(changed) if changed.name_any() == name => changed,
                _ => key,
            };
            match key.spec.key_type {
                KeyType::OpenPGP => drop(store.set_key(&name, Some(self.load(key)))),
                KeyType::PublicKey => {
                    store.set_public_key(&name, Some(self.load_public_key(key)));
                }
            }
        }
        for identity in &self.identities {
            let name = identity.name_any();
            let identity = match change {
                Change::Identity(changed) if changed.name_any() == name => changed,
                _ => identity,
            };
            store.set_identity(&name, Some(self.load_identity(identity)));
        }
        let set = |policy: &ChartTrustPolicy| {
            let loaded = (self.reading(), parse::policy(policy));
            store.set_policy(&policy.name_any(), Some(loaded));
        };
        self.policies.iter().for_each(set);
        if let Change::Policy(changed) = change {
            set(changed);
        }
        store
    }

    fn load_identity(&self, object: &TrustedIdentity) -> LoadedIdentity {
        let root = self.roots.of(object.spec.trusted_root_ref.as_ref());
        LoadedIdentity::of(object, None, root, self.reading())
    }

    fn load_public_key(&self, object: &TrustedKey) -> LoadedPublicKey {
        let material = self.material_of(object);
        let root = self.roots.of(object.spec.trusted_root_ref.as_ref());
        LoadedPublicKey::of(object, material.as_ref().copied(), root, self.reading())
    }

    fn material_of(&self, object: &TrustedKey) -> Result<&[u8], KeyProblem> {
        let missing = |why: &str| KeyProblem::new(KeyReason::MaterialMissing, why);
        match self.material.get(&object.name_any()) {
            Some(Ok(material)) => Ok(material),
            Some(Err(why)) => Err(missing(why)),
            None => Err(missing("not read")),
        }
    }

    fn load(&self, object: &TrustedKey) -> LoadedKey {
        let material = self.material_of(object);
        let key = match &material {
            Ok(material) => parse::key(object, material),
            Err(problem) => Err(problem.clone()),
        };
        let key = key.map(|mut key| {
            let learned = self.learned.get(key.fingerprint());
            let applied = learned.and_then(|learned| key.certificate.apply(learned).ok());
            key.certificate = applied.unwrap_or(key.certificate);
            key
        });
        let material = material.ok();
        let remains = match &key {
            Ok(_) => Remains {
                claimed: parse::claimed(object, material),
                ..Remains::default()
            },
            Err(_) => parse::remains(object, material),
        };
        LoadedKey {
            reading: self.reading(),
            fingerprint: object.spec.fingerprint.parse().ok(),
            revocation: parse::declared_revocation(object),
            refresh: None,
            key,
            remains,
        }
    }

    fn reading(&self) -> Reading {
        Reading {
            generation: 0,
            details: String::new(),
            at: self.now,
        }
    }
}

/// When the operator first verified what the key has signed. Of another change: the archive.
fn first_verified(change: Change<'_>, content: &Content) -> Option<Timestamp> {
    let public = match change {
        Change::Key(key) if key.spec.key_type == KeyType::PublicKey => {
            key.spec.fingerprint.parse().ok()
        }
        _ => None,
    };
    let Some(public) = public.map(Sought::Key) else {
        let archives = content.evidence.archives();
        return archives.filter_map(|(_, facts)| facts.first_verified).min();
    };
    let signed = content.bundles().filter(|one| public.has_signed(one));
    signed.filter_map(|one| one.first_verified).min()
}

/// What is known of a release of which the engine can say nothing.
fn unread(trust: &ReleaseTrust) -> Forecast {
    let before = trust.verdict();
    let before = before.map(|verdict| verdict.reason.clone());
    Forecast {
        namespace: trust.namespace().unwrap_or_default(),
        name: trust.name_any(),
        chart: status::chart(trust),
        first_verified: None,
        before: before.unwrap_or_default(),
        now: None,
        after: None,
    }
}

fn id(trust: &ReleaseTrust) -> ReleaseId {
    ReleaseId {
        namespace: trust.namespace().unwrap_or_default(),
        name: trust.name_any(),
    }
}

fn driver(trust: &ReleaseTrust) -> Option<Driver> {
    Some(trust.status.as_ref()?.release.as_ref()?.driver)
}

/// What the operator has written of a release. Where no source was asked yet, that is its chart alone.
fn content(trust: &ReleaseTrust) -> Option<Content> {
    let status = trust.status.as_ref()?;
    if status.evidence.is_some() {
        return stated(status);
    }
    let release = status.release.as_ref()?;
    Some(Content {
        chart: release.chart.clone(),
        version: release.version.clone(),
        manifest: None,
        recorded: None,
        digest: Sha256Digest::from_bytes([0; 32]),
        evidence: Evidence::default(),
    })
}

/// What the operator had found of the deployers. Where the origin was unknown, it still is. Where there is no
/// record, nothing but the deployer has told it, and it is the source that was judged.
fn deployers(trust: &ReleaseTrust) -> Vec<Deployer> {
    let release = trust
        .status
        .as_ref()
        .and_then(|status| status.release.as_ref());
    let is_helm = release.is_none_or(|release| release.owner == Owner::Helm);
    let verdict = trust.verdict().map(|verdict| verdict.reason.as_str());
    if let Some(release) = release.filter(|release| release.driver == Driver::Application)
        && verdict != Some(Cause::SourceUnknown.word())
    {
        let evidence = trust
            .status
            .as_ref()
            .and_then(|status| status.evidence.as_ref());
        let origin = evidence.and_then(|evidence| evidence.sources.first());
        let origin = origin.map(|source| source.url.as_str());
        let place = origin.and_then(|url| Place::new(url, &release.chart));
        let of_place = |place| Deployer {
            name: "its Application".to_owned(),
            origin: ChartOrigin::Place(place),
        };
        return place.map(of_place).into_iter().collect();
    }
    if is_helm || verdict != Some(Cause::SourceUnknown.word()) {
        return Vec::new();
    }
    vec![Deployer {
        name: "its deployer".to_owned(),
        origin: ChartOrigin::Unknown("takes the chart from elsewhere".to_owned()),
    }]
}

async fn namespaces(client: &Client) -> BTreeMap<String, BTreeMap<String, String>> {
    let api = Api::<Namespace>::all(client.clone());
    let found = all(&api, "namespaces").await.unwrap_or_default();
    let labels = |namespace: Namespace| (namespace.name_any(), namespace.labels().clone());
    found.into_iter().map(labels).collect()
}

/// The material of a key, from where its object says that it is.
pub(super) async fn material(
    client: &Client,
    namespace: &str,
    spec: &TrustedKeySpec,
) -> Result<Vec<u8>, String> {
    let place = &spec.public_key;
    let missing = |place: &DataRef| format!("{} has no key {:?}", place.name, place.key);
    if let Some(inline) = &place.inline {
        return Ok(inline.clone().into_bytes());
    }
    if let Some(place) = &place.config_map_ref {
        let map = find::<ConfigMap>(client, namespace, &place.name).await?;
        let map = map.unwrap_or_default();
        let text = map.data.unwrap_or_default().remove(&place.key);
        let bytes = map.binary_data.unwrap_or_default().remove(&place.key);
        let text = text.map(String::into_bytes);
        return text
            .or(bytes.map(|bytes| bytes.0))
            .ok_or_else(|| missing(place));
    }
    let Some(place) = &place.secret_ref else {
        return Err("it has no material".to_owned());
    };
    let secret = find::<Secret>(client, namespace, &place.name).await?;
    let bytes = secret
        .unwrap_or_default()
        .data
        .unwrap_or_default()
        .remove(&place.key);
    bytes.map(|bytes| bytes.0).ok_or_else(|| missing(place))
}

async fn find<K>(client: &Client, namespace: &str, name: &str) -> Result<Option<K>, String>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    K: Clone + serde::de::DeserializeOwned + Debug,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    api.get_opt(name).await.map_err(|error| chain(&error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What was not trusted for its origin is foretold to stay so, and not to be trusted.
    #[test]
    fn an_origin_that_the_operator_does_not_know_is_not_known_here_either() {
        let named = |owner: &str, reason: &str| {
            let trust: ReleaseTrust = serde_json::from_value(json!({
                "metadata": {"namespace": "shop", "name": "web"}, "spec": {},
                "status": {
                    "observedGeneration": 1,
                    "release": {"driver": "Secret", "revision": 1, "chart": "web", "version": "1.0.0",
                        "owner": owner, "resourceVersion": "1"},
                    "conditions": [{"type": "Trusted", "status": "Unknown", "reason": reason,
                        "message": "", "observedGeneration": 1,
                        "lastTransitionTime": "2026-11-18T00:00:00Z"}],
                },
            }))
            .unwrap();
            deployers(&trust).len()
        };
        assert_eq!(named("Flux", "SourceUnknown"), 1);
        assert_eq!(named("K3s", "SourceUnknown"), 1);
        assert_eq!(named("Helm", "SourceUnknown"), 0);
        assert_eq!(named("Flux", "SignatureVerified"), 0);
    }
}
