//! What the door judges by: keys, policies and namespaces, as the API server has them now.
//!
//! Reads our kinds, namespaces, and `ConfigMap`s of the operator's namespace. No Secret.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use charttrust_verify::check::PolicyVerdict;
use charttrust_verify::evidence::{Claimed, ProvenanceFacts};
use charttrust_verify::openpgp::Fingerprint;
use charttrust_verify::policy::{CaRef, Demands, Policy, ReleaseRef, Rule};
use charttrust_verify::seal::PublicSeal;
use charttrust_verify::sigstore::Root;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::{Notify, watch};

use super::answer::Terms;
use super::statements::Statements;
use crate::api::chart_trust_policy::Mode;
use crate::api::reasons::KeyReason;
use crate::api::trusted_key::KeyState;
use crate::api::trusted_root::TrustedRootRef;
use crate::api::{BREAK_GLASS, ChartTrustPolicy, TrustedKey};
use crate::clock;
use crate::controllers::key::{self, learned};
use crate::controllers::shown::entry_of;
use crate::controllers::store::roots::{FoundRoot, Roots};
use crate::controllers::store::seal::{PUBLIC_SEAL, PUBLIC_SEAL_ENTRY};
use crate::controllers::store::signers::LoadedPublicKey;
use crate::controllers::store::{Reading, Store, Trust};
use crate::controllers::{
    Ours, ReadIdentity, ReadKey, identity_of, keep_named, keep_sent, readable_identity,
};
use crate::parse::{self, DoorTerms, KeyProblem, LoadedPolicy};
use crate::watch::{Cache, Followed, LeanMeta, follow, within_deadline};

/// Everything that is followed.
pub(super) struct Known {
    client: Client,
    namespace: String,
    keys: Cache<String, ReadKey>,
    identities: Cache<String, ReadIdentity>,
    roots: Roots,
    policies: Cache<String, Ours<ChartTrustPolicy>>,
    namespaces: Cache<String, Place>,
    /// Resource versions of the `ConfigMap`s of the operator's namespace.
    maps: Cache<String, String>,
    changed: Notify,
    read: watch::Sender<Option<Arc<Trusting>>>,
}

/// What is known of a namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// Its labels, by which policies select.
    pub labels: BTreeMap<String, String>,
    /// Until when everything is to be let in, as somebody has written it.
    pub break_glass: Option<String>,
}

/// Keys and policies as they were last read.
#[derive(Debug, Default)]
pub(super) struct Trusting {
    /// The same as in the operator, but for what lies in Secrets.
    pub trust: Trust,
    /// The policies that do anything at the door.
    pub acting: Vec<Policy>,
    /// What the operator's signatures are checked by.
    pub seal: Option<PublicSeal>,
    /// Authorities of sources, by the `ConfigMap` that they lie in.
    pub authorities: BTreeMap<String, Vec<u8>>,
    /// Keys whose material is not read here.
    unread: Unread,
    /// Statements that these keys were tried on.
    statements: Statements,
}

/// Keys whose material lies in a Secret and is not shown by the operator: their labels, and where it lies.
pub type Unread = BTreeMap<String, (BTreeMap<String, String>, String)>;

/// Those of some keys that the webhook may not read, and is not shown either.
pub fn unread<'a>(
    keys: impl Iterator<Item = &'a TrustedKey>,
    is_shown: impl Fn(&TrustedKey) -> bool,
) -> Unread {
    let in_secret = keys.filter_map(|key| {
        let secret = key.spec.public_key.secret_ref.as_ref()?;
        if is_shown(key) {
            return None;
        }
        Some((key.name_any(), (key.labels().clone(), secret.name.clone())))
    });
    in_secret.collect()
}

/// Whether the operator could read a key when it last looked: then it shows that to the webhook.
pub fn is_readable(key: &TrustedKey) -> bool {
    let state = key.status.as_ref().and_then(|status| status.state);
    state.is_some_and(|state| state != KeyState::Invalid)
}

impl Known {
    /// Nothing is known yet.
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            keys: Cache::default(),
            identities: Cache::default(),
            roots: Roots::default(),
            policies: Cache::default(),
            namespaces: Cache::default(),
            maps: Cache::default(),
            changed: Notify::new(),
            read: watch::Sender::new(None),
        }
    }

    /// Follows everything for ever.
    pub(super) async fn follow(&self) {
        let changed = |_: &String| self.changed.notify_one();
        let maps = Api::<LeanMeta<ConfigMap>>::namespaced(self.client.clone(), &self.namespace);
        let (keys, identities, policies) = (self.api(), self.api(), self.api());
        tokio::join!(
            follow(Followed::whole(keys), &self.keys, keep_sent, changed),
            follow(
                Followed::whole(identities),
                &self.identities,
                keep_sent,
                changed
            ),
            follow(
                Followed::whole(policies),
                &self.policies,
                keep_named,
                changed
            ),
            follow(
                Followed::whole(self.api()),
                &self.namespaces,
                keep_place,
                |_| {}
            ),
            follow(Followed::whole(maps), &self.maps, keep_map, changed),
            self.read_for_ever(),
        );
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource,
        K::DynamicType: Default,
    {
        Api::all(self.client.clone())
    }

    /// Turns into something when everything has been read once.
    pub(super) fn reading(&self) -> watch::Receiver<Option<Arc<Trusting>>> {
        self.read.subscribe()
    }

    /// Keys and policies, once they were read.
    pub(super) fn trusting(&self) -> Option<Arc<Trusting>> {
        self.read.borrow().clone()
    }

    /// A namespace. One that was made a moment ago need not have been heard of yet, and is asked for.
    pub(super) async fn place(&self, namespace: &str) -> Option<Arc<Place>> {
        let known = self.known_place(namespace);
        if known.is_some() {
            return known;
        }
        let asked = self.api::<Namespace>();
        let asked = within_deadline(asked.get_metadata(namespace));
        let found = tokio::time::timeout(SHORT, asked).await.ok()?.ok()?;
        Some(Arc::new(place(&found.metadata)))
    }

    /// A namespace, if it was heard of.
    pub(super) fn known_place(&self, namespace: &str) -> Option<Arc<Place>> {
        self.namespaces.find(&namespace.to_owned())
    }

    /// What is written on the operator's namespace.
    pub(super) fn break_glass(&self) -> Option<String> {
        self.namespaces.find(&self.namespace)?.break_glass.clone()
    }

    #[cfg(test)]
    /// As if these policies, and the namespaces of tests, had been read.
    pub(super) fn suppose(&self, policies: Vec<ChartTrustPolicy>, keys: &[TrustedKey]) {
        let store = Store::default();
        for key in keys {
            let material = key.spec.public_key.inline.clone().unwrap_or_default();
            let root = FoundRoot {
                root: self.roots.compiled_in(),
                is_unanswered: false,
            };
            let loaded = LoadedPublicKey::of(key, Ok(material.as_bytes()), root, reading());
            store.set_public_key(&key.name_any(), Some(loaded));
        }
        for policy in policies {
            let loaded = parse::policy(&policy);
            store.set_policy(&policy.name_any(), Some((reading(), loaded)));
        }
        self.namespaces
            .set("shop".to_owned(), Some(Place::default()));
        let trusting = Trusting::of(store.trust());
        self.read.send_replace(Some(Arc::new(trusting)));
    }

    #[cfg(test)]
    /// As if the operator signed what it writes under this.
    pub(super) fn suppose_seal(&self, seal: PublicSeal) {
        self.read.send_modify(|read| {
            let read = read.as_mut().and_then(Arc::get_mut);
            read.unwrap().seal = Some(seal);
        });
    }

    #[cfg(test)]
    /// As if this stood on the operator's namespace.
    pub(super) fn suppose_glass(&self, break_glass: Option<String>) {
        let place = Place {
            break_glass,
            ..Place::default()
        };
        self.namespaces.set(self.namespace.clone(), Some(place));
    }

    #[cfg(test)]
    /// As if nothing had been read yet.
    pub(super) fn forget(&self) {
        self.read.send_replace(None);
    }

    async fn read_for_ever(&self) {
        self.keys.completed().await;
        self.identities.completed().await;
        self.policies.completed().await;
        self.namespaces.completed().await;
        self.maps.completed().await;
        loop {
            match self.read_all().await {
                Ok(trusting) => {
                    self.read.send_replace(Some(Arc::new(trusting)));
                    self.changed.notified().await;
                }
                // By half of it a revoked key would be believed: what was read before stands until then.
                Err(error) => {
                    tracing::warn!(%error, "keys cannot be read, will retry");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn read_all(&self) -> kube::Result<Trusting> {
        let store = Store::default();
        let keys = self.keys.all();
        let objects = keys
            .iter()
            .filter_map(|(_, read)| read.as_ref().as_ref().ok());
        let shown = self.map(PUBLIC_SEAL).await?;
        let shown = shown.and_then(|map| map.data).unwrap_or_default();
        let unread = unread(objects, |key| {
            shown.contains_key(&entry_of(&key.name_any()))
        });
        for (name, read) in keys {
            if key::is_public_key(Some(&read)) {
                let loaded = self.load_public(&name, &read).await?;
                store.set_public_key(&name, Some(loaded));
            } else {
                let loaded = self.load(&store, &read).await?;
                store.set_key(&name, loaded);
            }
        }
        for (name, read) in self.identities.all() {
            let object = readable_identity(&read);
            let reference = object.and_then(|it| it.spec.trusted_root_ref.as_ref());
            let root = self.root(reference).await?;
            store.set_identity(&name, Some(identity_of(&read, root, reading())));
        }
        let mut authorities = BTreeMap::new();
        for (name, read) in self.policies.all() {
            let loaded = loaded_policy(&name, &read);
            authorities.extend(self.authorities(&loaded.policy).await?);
            store.set_policy(&name, Some((reading(), loaded)));
        }
        let seal = self.entry(PUBLIC_SEAL, PUBLIC_SEAL_ENTRY).await?;
        let seal = seal.and_then(|text| BASE64_STANDARD.decode(text).ok());
        Ok(Trusting {
            seal: seal.map(|bytes| PublicSeal::new(&bytes)),
            authorities,
            unread,
            ..Trusting::of(store.trust())
        })
    }

    /// The authorities of a policy's sources, by the `ConfigMap` that they lie in.
    pub(super) async fn authorities(
        &self,
        policy: &Policy,
    ) -> kube::Result<BTreeMap<String, Vec<u8>>> {
        let mut found = BTreeMap::new();
        for map in authorities_of(policy) {
            if let Some(bytes) = self.entry(map, CA_KEY).await? {
                found.insert(map.to_owned(), bytes);
            }
        }
        Ok(found)
    }

    /// A key, with everything that was learned against it.
    async fn load(
        &self,
        store: &Store,
        read: &ReadKey,
    ) -> kube::Result<Option<crate::controllers::store::LoadedKey>> {
        let material = match read {
            Ok(object) => Some(self.material(object).await?),
            Err(_) => None,
        };
        let mut loaded = key::parse(Some(read), material, reading());
        if let Some(loaded) = &mut loaded {
            if let Some(fingerprint) = &loaded.fingerprint {
                self.learn(store, fingerprint).await?;
            }
            learned::apply(&store.learned, loaded);
        }
        Ok(loaded)
    }

    async fn load_public(&self, name: &str, read: &ReadKey) -> kube::Result<LoadedPublicKey> {
        let object = match read {
            Ok(object) => object,
            Err(unreadable) => return Ok(key::unreadable_public_key(name, unreadable, reading())),
        };
        let material = self.material(object).await?;
        let root = self.root(object.spec.trusted_root_ref.as_ref()).await?;
        let material = material.as_deref();
        Ok(LoadedPublicKey::of(object, material, root, reading()))
    }

    /// The root by which a signer of Sigstore is believed.
    async fn root(&self, reference: Option<&TrustedRootRef>) -> kube::Result<FoundRoot> {
        let root = match reference {
            None => self.roots.compiled_in(),
            Some(TrustedRootRef { config_map: place }) => {
                let bytes = self.entry(&place.name, &place.key).await?;
                let read = bytes.map(|bytes| self.roots.read(&bytes));
                match read {
                    Some(Ok(root)) => Root::Known(root),
                    Some(Err(error)) => Root::Unknown(error.to_string()),
                    None => Root::Unknown("ConfigMap and key do not exist".to_owned()),
                }
            }
        };
        Ok(FoundRoot {
            root,
            is_unanswered: false,
        })
    }

    async fn learn(&self, store: &Store, fingerprint: &Fingerprint) -> kube::Result<()> {
        if let Some(map) = self.map(&learned::name_of(fingerprint)).await? {
            let content = learned::content(&map);
            store.learned.found(fingerprint, content.as_ref());
        }
        Ok(())
    }

    async fn material(&self, object: &TrustedKey) -> kube::Result<Result<Vec<u8>, KeyProblem>> {
        let place = &object.spec.public_key;
        if let Some(inline) = &place.inline {
            return Ok(Ok(inline.clone().into_bytes()));
        }
        let missing = |message| Err(KeyProblem::new(KeyReason::MaterialMissing, message));
        let bytes = match (&place.config_map_ref, &place.secret_ref) {
            (Some(named), _) => self.entry(&named.name, &named.key).await?,
            (None, Some(_)) => {
                self.entry(PUBLIC_SEAL, &entry_of(&object.name_any()))
                    .await?
            }
            (None, None) => None,
        };
        Ok(bytes.map_or_else(|| missing("ConfigMap and key do not exist"), Ok))
    }

    async fn entry(&self, map: &str, entry: &str) -> kube::Result<Option<Vec<u8>>> {
        let Some(map) = self.map(map).await? else {
            return Ok(None);
        };
        let text = map.data.unwrap_or_default().remove(entry);
        let bytes = || map.binary_data.unwrap_or_default().remove(entry);
        Ok(text.map(String::into_bytes).or_else(|| Some(bytes()?.0)))
    }

    async fn map(&self, name: &str) -> kube::Result<Option<ConfigMap>> {
        if self.maps.find(&name.to_owned()).is_none() {
            return Ok(None);
        }
        let maps = Api::<ConfigMap>::namespaced(self.client.clone(), &self.namespace);
        within_deadline(maps.get_opt(name)).await
    }
}

impl Trusting {
    fn of(trust: Trust) -> Self {
        let acting = trust.policies.values();
        let acting = acting.filter(|one| one.mode() != Mode::Audit);
        Self {
            acting: acting.map(|one| one.policy.clone()).collect(),
            trust,
            ..Self::default()
        }
    }

    /// The same with this policy alone, whatever others there are.
    pub(super) fn under(&self, policy: LoadedPolicy) -> Self {
        let name = policy.policy.name.clone();
        let trust = Trust {
            policies: Arc::new(BTreeMap::from([(name, policy)])),
            ..self.trust.clone()
        };
        Self {
            seal: self.seal.clone(),
            authorities: self.authorities.clone(),
            unread: self.unread.clone(),
            ..Self::of(trust)
        }
    }

    /// What a provenance file says of a chart, with these keys tried on its signatures.
    pub(super) fn statement(&self, bytes: &[u8], claimed: Claimed<'_>) -> ProvenanceFacts {
        let keys = self.trust.known().keys;
        self.statements.read(bytes, claimed, keys)
    }

    /// The policies that do anything about a release at the door.
    pub(super) fn selecting(&self, release: &ReleaseRef<'_>) -> Vec<&Policy> {
        let acting = self.acting.iter();
        acting
            .filter(|policy| policy.selection.selects(release))
            .collect()
    }

    /// On which terms a policy's verdict is taken.
    pub(super) fn terms(&self, said: &PolicyVerdict) -> Terms {
        terms(&self.trust, &self.unread, said)
    }
}

/// On which terms a policy's verdict is taken, by these policies and without these keys.
pub(super) fn terms(trust: &Trust, unread: &Unread, said: &PolicyVerdict) -> Terms {
    let Some(loaded) = trust.policies.get(&said.policy) else {
        return Terms::default();
    };
    let rules: &[Rule] = match &loaded.policy.demands {
        Demands::Rules(rules) => rules,
        Demands::TrustNobody { .. } => &[],
    };
    let rule = rules
        .iter()
        .find(|rule| Some(&rule.name) == said.rule.as_ref());
    let mut unread = unread.iter();
    let unread = rule.and_then(|rule| {
        let is_listed = |labels, name: &str| rule.verify.signers.list_key(name, labels);
        unread.find(|(name, (labels, _))| is_listed(labels, name))
    });
    Terms {
        door: DoorTerms {
            mode: loaded.mode(),
            ..loaded.door
        },
        knows_witnesses: false,
        unread: unread.map(|(name, (_, secret))| {
            format!(
                "TrustedKey {name} lies in Secret {secret}, which the webhook may not read, and the operator does not \
                 show its key; see that its condition Valid is True, or put the key into a ConfigMap or the object"
            )
        }),
    }
}

fn loaded_policy(name: &str, read: &Ours<ChartTrustPolicy>) -> LoadedPolicy {
    match read {
        Ok(object) => parse::policy(object),
        Err(problem) => parse::unreadable_policy(name, problem),
    }
}

fn authorities_of(policy: &Policy) -> impl Iterator<Item = &str> {
    let rules: &[Rule] = match &policy.demands {
        Demands::Rules(rules) => rules,
        Demands::TrustNobody { .. } => &[],
    };
    let sources = rules.iter().flat_map(|rule| &rule.sources);
    sources.filter_map(|source| match &source.ca {
        Some(CaRef::ConfigMap(name)) => Some(name.as_str()),
        Some(CaRef::Secret(_)) | None => None,
    })
}

fn reading() -> Reading {
    Reading {
        generation: 0,
        details: String::new(),
        at: clock::now(),
    }
}

fn keep_place(object: &LeanMeta<Namespace>) -> Option<(String, Place)> {
    Some((object.metadata.name.clone()?, place(&object.metadata)))
}

fn place(metadata: &kube::api::ObjectMeta) -> Place {
    let annotations = metadata.annotations.as_ref();
    let until = annotations.and_then(|all| all.get(BREAK_GLASS));
    Place {
        labels: metadata.labels.clone().unwrap_or_default(),
        break_glass: until.cloned(),
    }
}

fn keep_map(object: &LeanMeta<ConfigMap>) -> Option<(String, String)> {
    let meta = &object.metadata;
    Some((meta.name.clone()?, meta.resource_version.clone()?))
}

const CA_KEY: &str = "ca.crt";
const RETRY: Duration = Duration::from_secs(2);
/// How long an installation waits for what is known of its namespace.
const SHORT: Duration = Duration::from_secs(1);
