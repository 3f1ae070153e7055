//! Helm's release records: found by metadata alone, read one at a time.
//!
//! Records are Secrets of type `helm.sh/release.v1` (the type is immutable, unlike labels) or, for
//! the ConfigMap driver, ConfigMaps labelled `owner=helm` (`pkg/storage/driver` of Helm).

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use charttrust_verify::limits::RecordLimits;
use charttrust_verify::release::{self, Record, RecordError};
use charttrust_verify::wiped::Wiped;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ListParams, ObjectList, VersionMatch};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::inventory::ReleaseId;
use crate::watch::{self, Cache, Followed, LeanMeta, Located, Reach, pages, within_deadline};

/// Where Helm stored a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Driver {
    /// A ConfigMap (`HELM_DRIVER=configmap`).
    ConfigMap,
    /// A Secret, Helm's default.
    Secret,
}

impl Driver {
    /// The driver as a release's status shows it.
    pub fn word(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// One stored revision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey {
    /// Which release it belongs to.
    pub release: ReleaseId,
    /// Where it is stored.
    pub driver: Driver,
    /// Which revision it is, by its object name.
    pub revision: u64,
}

impl Located for RecordKey {
    fn namespace(&self) -> &str {
        &self.release.namespace
    }
}

/// What the metadata of a stored revision says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMeta {
    /// `metadata.resourceVersion`: the record is read once for each.
    pub resource_version: String,
    /// The label `status`, a claim.
    pub claimed_status: String,
}

/// A stored revision as it was seen: what is read of it is at least as new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRecord {
    /// Which one.
    pub key: RecordKey,
    /// Its `metadata.resourceVersion`.
    pub resource_version: String,
}

/// The stored revisions of all releases.
pub type Records = Cache<RecordKey, RecordMeta>;

/// The type of the Secrets.
pub(super) const SECRET_TYPE: &str = "helm.sh/release.v1";
pub(super) const OF_SECRET_TYPE: &str = "type=helm.sh/release.v1";
const CONFIG_MAP_LABEL: &str = "owner=helm";
const NAME_PREFIX: &str = "sh.helm.release.v1.";

/// Follows the metadata of Helm's Secrets for ever.
pub async fn follow_secrets(
    client: &Client,
    reach: &Reach,
    records: &Records,
    changed: impl Fn(&RecordKey),
) {
    let config = watch::config().fields(OF_SECRET_TYPE);
    let keep = |object: &LeanMeta<Secret>| identify(Driver::Secret, object);
    let all = Followed::each(client, reach, &config);
    watch::follow_each(all, records, keep, changed).await;
}

/// Follows the metadata of Helm's ConfigMaps for ever.
pub async fn follow_config_maps(
    client: &Client,
    reach: &Reach,
    records: &Records,
    changed: impl Fn(&RecordKey),
) {
    let config = watch::config().labels(CONFIG_MAP_LABEL);
    let keep = |object: &LeanMeta<ConfigMap>| identify(Driver::ConfigMap, object);
    let all = Followed::each(client, reach, &config);
    watch::follow_each(all, records, keep, changed).await;
}

fn identify<K>(driver: Driver, object: &LeanMeta<K>) -> Option<(RecordKey, RecordMeta)> {
    let key = key_of(driver, &object.metadata)?;
    Some((key, RecordMeta::of(&object.metadata)))
}

pub(super) fn key_of(driver: Driver, metadata: &ObjectMeta) -> Option<RecordKey> {
    let (name, revision) = parse_object_name(metadata.name.as_deref()?)?;
    let release = ReleaseId {
        namespace: metadata.namespace.clone()?,
        name,
    };
    Some(RecordKey {
        release,
        driver,
        revision,
    })
}

/// `sh.helm.release.v1.<release>.v<revision>`; release names may contain dots.
pub(super) fn parse_object_name(name: &str) -> Option<(String, u64)> {
    let (release, revision) = name.strip_prefix(NAME_PREFIX)?.rsplit_once(".v")?;
    // Helm counts in Go's int. What were too large for us here would be a record of Helm that nobody judges.
    let canonical = revision
        .parse::<i64>()
        .ok()
        .and_then(|n| u64::try_from(n).ok())
        // `v01` would be a second object of revision 1, which Helm never reads and somebody else
        // could write.
        .filter(|n| n.to_string() == revision)?;
    (!release.is_empty()).then(|| (release.to_owned(), canonical))
}

impl RecordMeta {
    pub(super) fn of(metadata: &ObjectMeta) -> Self {
        let status = metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get("status"));
        Self {
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            claimed_status: status.cloned().unwrap_or_default(),
        }
    }
}

impl RecordKey {
    /// Name of the stored object.
    pub fn object_name(&self) -> String {
        format!("{NAME_PREFIX}{}.v{}", self.release.name, self.revision)
    }

    /// Kind and name of the stored object.
    pub fn place(&self) -> String {
        format!("{} {}", self.driver.word(), self.object_name())
    }
}

/// The stored revisions of one release in one driver.
pub fn revisions(
    records: &Records,
    release: &ReleaseId,
    driver: Driver,
) -> BTreeMap<u64, RecordMeta> {
    let key = |revision| RecordKey {
        release: release.clone(),
        driver,
        revision,
    };
    let stored = records.range(key(0)..=key(u64::MAX));
    stored
        .into_iter()
        .map(|(key, meta)| (key.revision, (*meta).clone()))
        .collect()
}

/// Most revisions of a release that are judged in one driver; Helm keeps 10 in all. Whoever writes
/// records could have us read any number of them.
pub const MOST_JUDGED: usize = 16;

/// The revisions to judge: all that are deployed, and whatever is newer than the newest of them and may
/// be live in part. If none is deployed: the highest, and while what was seen has failed or is under way,
/// the one before it, which may be what runs. Newest first, at most [`MOST_JUDGED`], among them always
/// the oldest.
pub fn judged(revisions: &BTreeMap<u64, RecordMeta>) -> Vec<u64> {
    let mut live = live(revisions);
    if live.len() > MOST_JUDGED {
        live.drain(MOST_JUDGED - 1..live.len() - 1);
    }
    live
}

/// The newest revision that [`judged`] leaves out, if there are too many.
pub fn omitted(revisions: &BTreeMap<u64, RecordMeta>) -> Option<u64> {
    let live = live(revisions);
    let is_full = live.len() > MOST_JUDGED;
    live.get(MOST_JUDGED - 1).filter(|_| is_full).copied()
}

/// The revisions that may be live, the one last that was applied whole. Helm leaves one as deployed; a
/// second is what a race has left, or what a chart has brought to stand in front of its own.
fn live(revisions: &BTreeMap<u64, RecordMeta>) -> Vec<u64> {
    let deployed = |meta: &RecordMeta| meta.claimed_status == "deployed";
    let newest_first = revisions.iter().rev();
    let Some((running, _)) = newest_first.clone().find(|(_, meta)| deployed(meta)) else {
        return unfinished(revisions);
    };
    let may_be_live =
        |meta: &RecordMeta| !matches!(meta.claimed_status.as_str(), "superseded" | "uninstalled");
    newest_first
        .filter(|(revision, meta)| deployed(meta) || (*revision > running && may_be_live(meta)))
        .map(|(revision, _)| *revision)
        .collect()
}

/// The revisions that may be live where none is deployed. An install that fails leaves its workloads, and
/// the upgrade after it may fail before it applies anything (Helm, `pkg/action/install.go`,
/// `upgrade.go`); a rollback that fails marks what was deployed before as superseded (`rollback.go`).
fn unfinished(revisions: &BTreeMap<u64, RecordMeta>) -> Vec<u64> {
    let mut live = Vec::new();
    for (revision, meta) in revisions.iter().rev() {
        let status = meta.claimed_status.as_str();
        if status == "uninstalled" && !live.is_empty() {
            break;
        }
        live.push(*revision);
        if matches!(status, "superseded" | "uninstalled" | "uninstalling") {
            break;
        }
    }
    live
}

/// The judged revisions of one release, asked for at once instead of followed.
///
/// # Errors
/// If the API server does not list them.
pub async fn find(client: &Client, release: &ReleaseId) -> kube::Result<Vec<SeenRecord>> {
    let secrets = Api::<LeanMeta<Secret>>::namespaced(client.clone(), &release.namespace);
    let of_helm = ListParams::default().fields(OF_SECRET_TYPE);
    let mut found = pages(&secrets, of_helm, |one| identify(Driver::Secret, &one)).await?;
    let maps = Api::<LeanMeta<ConfigMap>>::namespaced(client.clone(), &release.namespace);
    let of_helm = ListParams::default().labels(CONFIG_MAP_LABEL);
    found.extend(pages(&maps, of_helm, |one| identify(Driver::ConfigMap, &one)).await?);
    let mut records = Vec::new();
    for driver in [Driver::Secret, Driver::ConfigMap] {
        let of_release = found
            .iter()
            .filter(|(key, _)| key.driver == driver && key.release == *release);
        let mut revisions = of_release
            .map(|(key, meta)| (key.revision, meta.clone()))
            .collect();
        let judged = judged(&revisions).into_iter();
        records.extend(judged.filter_map(|revision| {
            Some(SeenRecord {
                key: RecordKey {
                    release: release.clone(),
                    driver,
                    revision,
                },
                resource_version: revisions.remove(&revision)?.resource_version,
            })
        }));
    }
    Ok(records)
}

/// Every stored revision of the cluster that was made since then, the newest first, by metadata alone; asked for at
/// once instead of followed.
///
/// # Errors
/// If the API server does not list them.
pub async fn made_since(client: &Client, since: Timestamp) -> kube::Result<Vec<RecordKey>> {
    let secrets = Api::<Secret>::all(client.clone());
    let of_helm = ListParams::default().fields(OF_SECRET_TYPE);
    let mut found = made(&secrets, (Driver::Secret, of_helm), since).await?;
    let maps = Api::<ConfigMap>::all(client.clone());
    let of_helm = ListParams::default().labels(CONFIG_MAP_LABEL);
    found.extend(made(&maps, (Driver::ConfigMap, of_helm), since).await?);
    found.sort_by_key(|(made, _)| std::cmp::Reverse(*made));
    Ok(found.into_iter().map(|(_, key)| key).collect())
}

async fn made<K>(
    api: &Api<K>,
    (driver, params): (Driver, ListParams),
    since: Timestamp,
) -> kube::Result<Vec<(Timestamp, RecordKey)>>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let (mut found, mut params) = (Vec::new(), params.limit(PAGE));
    loop {
        let page = within_deadline(api.list_metadata(&params)).await?;
        let made = page.items.iter().filter_map(|object| {
            let at = object.metadata.creation_timestamp.as_ref()?.0;
            (at >= since).then_some((at, key_of(driver, &object.metadata)?))
        });
        found.extend(made);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(found),
        }
    }
}

/// Objects in one answer.
const PAGE: u32 = 500;

/// Why a record could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The API server did not give it.
    #[error("failed to read the release record")]
    Api(#[source] kube::Error),
    /// It went away meanwhile.
    #[error("the release record is gone")]
    Gone,
    /// The object has no `data.release`.
    #[error("the object has no data.release")]
    NoPayload,
    /// The payload is no release.
    #[error("{0}")]
    Record(RecordError),
}

/// What was made of a stored revision.
#[derive(Clone, Debug)]
pub struct Read<T> {
    /// The metadata that was read with it.
    pub meta: RecordMeta,
    /// Who has written it.
    pub writer: Writer,
    /// What was taken from it.
    pub taken: T,
}

/// Who has written a stored record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// A chart: Helm puts annotations on what it makes of one, and a hook is what it is by one. Its
    /// record says whatever whoever wrote the chart wants.
    Chart,
    /// Helm, which annotates no record and changes each later (`pkg/storage/driver/secrets.go`).
    Helm,
}

pub(super) fn writer(metadata: &ObjectMeta, immutable: Option<bool>) -> Writer {
    let mut names = metadata.annotations.iter().flat_map(BTreeMap::keys);
    let is_of_chart = |name: &String| name == "helm.sh/hook" || name == "meta.helm.sh/release-name";
    if immutable == Some(true) || names.any(is_of_chart) {
        Writer::Chart
    } else {
        Writer::Helm
    }
}

/// A stored revision as the API server gives it. Nothing of it is shown, not by `Debug` either.
#[derive(Clone)]
pub struct Packed {
    meta: RecordMeta,
    writer: Writer,
    payload: Wiped<Vec<u8>>,
}

impl From<Payload> for Packed {
    fn from((meta, writer, payload): Payload) -> Self {
        Self {
            meta,
            writer,
            payload,
        }
    }
}

impl Packed {
    /// At which resource version it was read.
    pub fn version(&self) -> &str {
        &self.meta.resource_version
    }

    /// How many bytes it takes.
    #[expect(
        clippy::len_without_is_empty,
        reason = "it is as long as it is, and none is empty"
    )]
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    /// Decodes it when it is its turn, and keeps what `take` makes of it.
    ///
    /// # Errors
    /// [`ReadError::Record`].
    pub async fn decoded<T: Send + 'static>(
        self,
        take: impl FnOnce(Record) -> T + Send + 'static,
    ) -> Result<Read<T>, ReadError> {
        let taken = decoded(self.payload, take).await?;
        Ok(Read {
            meta: self.meta,
            writer: self.writer,
            taken,
        })
    }

    #[cfg(test)]
    /// One of so many bytes.
    pub(super) fn of_bytes(len: usize) -> Self {
        Self {
            meta: RecordMeta {
                resource_version: String::new(),
                claimed_status: String::new(),
            },
            writer: Writer::Helm,
            payload: Wiped::new(vec![0; len]),
        }
    }
}

/// Reads one stored revision, and decodes nothing.
///
/// Asks by `list`, never by `get`, so that the operator needs no permission for single Secrets of
/// other types where an authorizer sees selectors.
///
/// # Errors
/// [`ReadError`]; only `NoPayload` is a statement about the record.
pub async fn packed(client: &Client, seen: &SeenRecord) -> Result<Packed, ReadError> {
    Ok(match seen.key.driver {
        Driver::ConfigMap => config_map_payload(client, seen).await?,
        Driver::Secret => secret_payload(client, seen).await?,
    }
    .into())
}

/// Reads and decodes one stored revision, and keeps what `take` makes of it.
///
/// No decoded record leaves this function: at most [`MOST_DECODED`] are in memory at a time, whoever reads.
///
/// # Errors
/// [`ReadError`]; only `Record` and `NoPayload` are statements about the record.
pub async fn read<T: Send + 'static>(
    client: &Client,
    seen: &SeenRecord,
    take: impl FnOnce(Record) -> T + Send + 'static,
) -> Result<Read<T>, ReadError> {
    packed(client, seen).await?.decoded(take).await
}

/// Decodes a payload: a small one at once, others when it is their turn.
pub(super) async fn decoded<T: Send + 'static>(
    payload: Wiped<Vec<u8>>,
    take: impl FnOnce(Record) -> T + Send + 'static,
) -> Result<T, ReadError> {
    if payload.len() <= SMALL_PAYLOAD {
        match release::decode(&payload, &small()) {
            // It says more than it takes as it is stored.
            Err(RecordError::TooLarge { .. }) => {}
            read => return read.map(take).map_err(ReadError::Record),
        }
    }
    // Invariant: nobody closes the places.
    let place = DECODED.acquire().await.map_err(|_| ReadError::NoPayload)?;
    let decoding =
        // Inflating, parsing and hashing up to 16 MiB takes CPU time in which nothing else would
        // run on this thread.
        tokio::task::spawn_blocking(move || {
            // Here and not with whoever waits: they may be gone while the record is still there.
            let _place = place;
            release::decode(&payload, &RecordLimits::default()).map(take)
        });
    // Invariant: decoding does not panic; were it to, the record is unreadable and nothing else.
    let taken = decoding.await.map_err(|_| ReadError::NoPayload)?;
    taken.map_err(ReadError::Record)
}

/// How many decoded records are in memory at a time, in the whole process. One may take many times its
/// 16 MiB of text; two, because the next is read while one is inflated.
const MOST_DECODED: usize = 2;

static DECODED: Semaphore = Semaphore::const_new(MOST_DECODED);

/// Most bytes of a payload that is decoded where it is asked for. That takes less than to wake another thread and to
/// be woken by it, and it waits for no large one.
const SMALL_PAYLOAD: usize = 16 << 10;

/// What such a record may cost: more takes longer than others on this thread should wait.
fn small() -> RecordLimits {
    RecordLimits {
        json_bytes: 64 << 10,
        values: 8192,
        ..RecordLimits::default()
    }
}

/// The bytes of a payload as the API server shows it: a Secret's is base64 of what Helm has written.
pub(super) fn stored_bytes(driver: Driver, text: &str) -> Option<Wiped<Vec<u8>>> {
    match driver {
        Driver::ConfigMap => Some(Wiped::new(text.as_bytes().to_vec())),
        Driver::Secret => Wiped::of_base64(text.as_bytes()),
    }
}

pub(super) type Payload = (RecordMeta, Writer, Wiped<Vec<u8>>);

/// What there is, at least as new as a version that was seen. An API server answers that from memory; without one it has
/// to hear from etcd how new its memory is, which takes up to a tenth of a second (`ConsistentListFromCache`, since
/// Kubernetes 1.31). One that does not come up to that version within its patience, or that knows it no more since etcd
/// was put back, is asked for what it has.
async fn list_since<K>(
    api: &Api<K>,
    fields: &str,
    version: &str,
) -> Result<ObjectList<K>, ReadError>
where
    K: Clone + DeserializeOwned + Debug,
{
    let now = ListParams::default().fields(fields);
    if !version.is_empty() {
        let since = now.clone().at(version).matching(VersionMatch::NotOlderThan);
        // Above this gate kube repeats what was answered by 504, as one is that does not come so far.
        match tokio::time::timeout(COMES_UP, api.list(&since)).await {
            Ok(Err(kube::Error::Api(status))) if UNKNOWN_VERSION.contains(&status.code) => {}
            Ok(found) => return found.map_err(ReadError::Api),
            Err(_) => {}
        }
    }
    within_deadline(api.list(&now))
        .await
        .map_err(ReadError::Api)
}

/// The version is no number, or is gone.
const UNKNOWN_VERSION: [u16; 2] = [400, 410];

/// How long an API server may take to come up to a version that another has told.
const COMES_UP: Duration = Duration::from_secs(2);

async fn secret_payload(client: &Client, seen: &SeenRecord) -> Result<Payload, ReadError> {
    let api = Api::<Secret>::namespaced(client.clone(), &seen.key.release.namespace);
    let fields = format!("{OF_SECRET_TYPE},metadata.name={}", seen.key.object_name());
    let list = list_since(&api, &fields, &seen.resource_version).await?;
    let secret = list.items.into_iter().next().ok_or(ReadError::Gone)?;
    payload_of(secret).ok_or(ReadError::NoPayload)
}

pub(super) fn payload_of(mut secret: Secret) -> Option<Payload> {
    let meta = RecordMeta::of(&secret.metadata);
    let writer = writer(&secret.metadata, secret.immutable);
    let mut data = secret.data.take().unwrap_or_default();
    let payload = data.remove("release")?;
    // Records hold the values of a release, and with them passwords.
    Some((meta, writer, Wiped::new(payload.0)))
}

async fn config_map_payload(client: &Client, seen: &SeenRecord) -> Result<Payload, ReadError> {
    let api = Api::<ConfigMap>::namespaced(client.clone(), &seen.key.release.namespace);
    let fields = format!("metadata.name={}", seen.key.object_name());
    let list = list_since(&api, &fields, &seen.resource_version).await?;
    let mut map = list.items.into_iter().next().ok_or(ReadError::Gone)?;
    let meta = RecordMeta::of(&map.metadata);
    let writer = writer(&map.metadata, map.immutable);
    let mut data = map.data.take().unwrap_or_default();
    let payload = data.remove("release").ok_or(ReadError::NoPayload)?;
    Ok((meta, writer, Wiped::new(payload.into_bytes())))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::{Arc, Condvar, Mutex};
    use std::time::Duration;

    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use futures::FutureExt as _;
    use kube::Config;
    use serde_json::json;
    use wiremock::matchers::{any, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    fn judged_of(revisions: &[(u64, &str)]) -> Vec<u64> {
        let meta = |status: &str| RecordMeta {
            resource_version: "1".into(),
            claimed_status: status.into(),
        };
        judged(
            &revisions
                .iter()
                .map(|(revision, status)| (*revision, meta(status)))
                .collect(),
        )
    }

    #[test]
    fn the_highest_deployed_revision_is_judged() {
        assert_eq!(judged_of(&[(1, "superseded"), (2, "deployed")]), [2]);
    }

    /// Never trusted without proof: what Helm calls deployed is judged, whatever stands in front of it.
    #[test]
    fn no_revision_hides_one_that_is_deployed() {
        for newer in ["deployed", "failed", "pending-upgrade", "superseded", "x"] {
            let judged = judged_of(&[(1, "superseded"), (2, "deployed"), (9, newer)]);
            assert!(judged.contains(&2), "{newer}: {judged:?}");
        }
        assert_eq!(judged_of(&[(1, "deployed"), (2, "deployed")]), [2, 1]);
    }

    #[test]
    fn a_record_that_a_chart_brings_is_known_by_what_helm_puts_on_it() {
        let record = |annotations: &[&str]| {
            let pairs = annotations
                .iter()
                .map(|name| ((*name).to_owned(), "x".to_owned()));
            ObjectMeta {
                annotations: Some(pairs.collect()),
                ..ObjectMeta::default()
            }
        };
        assert_eq!(writer(&ObjectMeta::default(), None), Writer::Helm);
        assert_eq!(
            writer(&record(&["backup.example.com/at"]), Some(false)),
            Writer::Helm
        );
        assert_eq!(writer(&record(&["helm.sh/hook"]), None), Writer::Chart);
        assert_eq!(
            writer(&record(&["meta.helm.sh/release-name"]), None),
            Writer::Chart
        );
        assert_eq!(writer(&ObjectMeta::default(), Some(true)), Writer::Chart);
    }

    #[tokio::test]
    async fn few_records_are_decoded_at_a_time_whoever_reads() {
        let payload = payload(SMALL_PAYLOAD);
        let inside = Arc::new((Mutex::new((0, 0)), Condvar::new()));
        let read = |_| {
            let inside = Arc::clone(&inside);
            let take = move |record: Record| {
                let (counts, changed) = &*inside;
                let mut held = counts.lock().unwrap();
                held.0 += 1;
                held.1 = held.1.max(held.0);
                changed.notify_all();
                // Held until one more is decoded than may be, or nobody comes.
                let is_within = |held: &mut (usize, usize)| held.1 <= MOST_DECODED;
                let waited = changed.wait_timeout_while(held, SOON, is_within);
                waited.unwrap().0.0 -= 1;
                record.name
            };
            decoded(payload.clone(), take)
        };
        let names = futures::future::join_all((0..MOST_DECODED * 2).map(read)).await;
        assert!(names.iter().all(|name| name.as_ref().unwrap() == "web"));
        assert_eq!(inside.0.lock().unwrap().1, MOST_DECODED);
        let garbage = Wiped::new(vec![b'*'; SMALL_PAYLOAD + 1]);
        for _ in 0..=MOST_DECODED {
            let refused = decoded(garbage.clone(), |record| record.name).await;
            assert!(matches!(refused, Err(ReadError::Record(_))), "{refused:?}");
        }
    }

    #[tokio::test]
    async fn a_small_record_waits_for_no_other() {
        // Where a record is decoded that waits for nobody, and where one that may.
        let here = std::thread::current().id();
        let is_inline = async |payload| {
            let place = |record: Record| (record.name, std::thread::current().id());
            let (name, place) = decoded(payload, place).await.unwrap();
            assert_eq!(name, "web");
            place == here
        };
        assert!(is_inline(payload(0)).await);
        assert!(!is_inline(payload(SMALL_PAYLOAD)).await);
        // Small as it is stored, but not as it is read.
        let small = small();
        let long = format!("{:?}", "x".repeat(small.json_bytes));
        for more in [long, "[],".repeat(small.values)] {
            let more = more.trim_end_matches(',');
            let text = RECORD.replacen('{', &format!(r#"{{"more": [{more}],"#), 1);
            let packed = Wiped::new(packed(&text));
            assert!(packed.len() < SMALL_PAYLOAD, "{}", packed.len());
            assert!(!is_inline(packed).await);
        }
        let garbage = Wiped::new(b"no record".to_vec());
        let refused = decoded(garbage, |record| record.name).now_or_never();
        assert!(matches!(refused, Some(Err(_))), "{refused:?}");
    }

    const RECORD: &str = r#"{"name": "web", "version": 1, "namespace": "shop", "info": {"status": "deployed"},
        "chart": {"metadata": {"name": "web", "version": "1.0.0", "apiVersion": "v2"}}}"#;

    /// One of more than so many bytes.
    fn payload(bytes: usize) -> Wiped<Vec<u8>> {
        let text = RECORD.replacen('{', &format!("{{{}", " ".repeat(bytes)), 1);
        Wiped::new(BASE64_STANDARD.encode(text).into_bytes())
    }

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        BASE64_STANDARD
            .encode(encoder.finish().unwrap())
            .into_bytes()
    }

    /// An API server answers from its memory at once; one that has not come so far, or that was put back, is asked for
    /// what it has. That a right is missing is no reason to ask again.
    #[tokio::test]
    async fn a_record_is_read_as_it_was_seen_or_newer() {
        for (version, code, asked) in [
            ("7", 200, &["7"][..]),
            ("7", 504, &["7", ""]),
            ("7", 410, &["7", ""]),
            ("x", 400, &["x", ""]),
            ("7", 403, &["7"]),
            ("", 200, &[""]),
        ] {
            let server = MockServer::start().await;
            let list = json!({"kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": [{
                "metadata": {"name": "sh.helm.release.v1.web.v1", "resourceVersion": "9"},
                "data": {"release": BASE64_STANDARD.encode(payload(0).as_slice())},
            }]});
            let known = match code {
                200 => ResponseTemplate::new(200).set_body_json(&list),
                code => ResponseTemplate::new(code).set_body_json(json!({
                    "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                    "message": "no", "reason": "Timeout",
                })),
            };
            let is_known = query_param("resourceVersionMatch", "NotOlderThan");
            let mock = Mock::given(is_known).respond_with(known).with_priority(1);
            mock.mount(&server).await;
            let now = ResponseTemplate::new(200).set_body_json(&list);
            Mock::given(any()).respond_with(now).mount(&server).await;
            let client = Client::try_from(Config::new(server.uri().parse().unwrap())).unwrap();
            let seen = SeenRecord {
                key: RecordKey {
                    release: ReleaseId {
                        namespace: "shop".to_owned(),
                        name: "web".to_owned(),
                    },
                    driver: Driver::Secret,
                    revision: 1,
                },
                resource_version: version.to_owned(),
            };
            let found = read(&client, &seen, |record| record.name).await;
            assert_eq!(found.is_ok(), code != 403, "{version} {code}: {found:?}");
            let mut versions: Vec<_> = server
                .received_requests()
                .await
                .unwrap()
                .iter()
                .map(|request| {
                    let mut pairs = request.url.query_pairs();
                    let version = pairs.find(|(name, _)| name == "resourceVersion");
                    version.map(|(_, value)| value.into_owned())
                })
                .map(Option::unwrap_or_default)
                .collect();
            // kube asks again where the answer is 504.
            versions.dedup();
            assert_eq!(versions, asked, "{version} {code}");
        }
    }

    const SOON: Duration = Duration::from_millis(200);

    #[test]
    fn newer_revisions_that_may_be_live_are_judged_too() {
        assert_eq!(judged_of(&[(1, "deployed"), (2, "failed")]), [2, 1]);
        assert_eq!(
            judged_of(&[(1, "deployed"), (2, "pending-upgrade")]),
            [2, 1]
        );
        assert_eq!(judged_of(&[(1, "deployed"), (2, "superseded")]), [1]);
        assert_eq!(judged_of(&[(1, "deployed"), (2, "never heard of")]), [2, 1]);
    }

    #[test]
    fn only_so_many_revisions_are_judged_and_the_deployed_one_always() {
        let most = u64::try_from(MOST_JUDGED).unwrap();
        let stored = |failed: u64| {
            let failed = (2..2 + failed).map(|number| (number, "failed"));
            let all: Vec<_> = [(1, "deployed")].into_iter().chain(failed).collect();
            let meta = |status: &str| RecordMeta {
                resource_version: "1".into(),
                claimed_status: status.into(),
            };
            let all = all.iter().map(|(number, status)| (*number, meta(status)));
            all.collect::<BTreeMap<_, _>>()
        };
        let at_limit = stored(most - 1);
        assert_eq!(judged(&at_limit).len(), MOST_JUDGED);
        assert_eq!(omitted(&at_limit), None);
        let above = stored(most);
        assert_eq!(judged(&above).len(), MOST_JUDGED);
        assert_eq!(judged(&above).last(), Some(&1));
        assert_eq!(omitted(&above), Some(2));
        assert!(!judged(&above).contains(&2));
        assert_eq!(judged(&stored(1000)).len(), MOST_JUDGED);
    }

    #[test]
    fn without_a_deployed_revision_all_are_judged_that_may_run() {
        let (failed, superseded, uninstalled) = ("failed", "superseded", "uninstalled");
        for (stored, expected) in [
            (&[(1, failed), (2, "pending-install")][..], &[2, 1][..]),
            (&[(1, failed), (2, failed)], &[2, 1]),
            (&[(1, "never heard of"), (2, failed)], &[2, 1]),
            // A rollback failed.
            (&[(1, superseded), (2, superseded), (3, failed)], &[3, 2]),
            (&[(1, superseded), (2, "uninstalling")], &[2]),
            (&[(1, uninstalled), (2, failed)], &[2]),
            (&[(2, superseded), (3, uninstalled)], &[3]),
            (&[(3, uninstalled)], &[3]),
        ] {
            assert_eq!(judged_of(stored), expected, "{stored:?}");
        }
        assert!(judged_of(&[]).is_empty());
    }

    #[test]
    fn release_names_may_contain_dots() {
        for (name, parsed) in [
            ("sh.helm.release.v1.shop.v3", Some(("shop", 3))),
            ("sh.helm.release.v1.a.v2.b.v10", Some(("a.v2.b", 10))),
            ("sh.helm.release.v1.a.v4294967296", Some(("a", 1 << 32))),
            (
                "sh.helm.release.v1.a.v9223372036854775807",
                Some(("a", (1 << 63) - 1)),
            ),
            // Helm makes none: its next number is negative, and no value of its label.
            ("sh.helm.release.v1.a.v9223372036854775808", None),
            ("sh.helm.release.v1.shop", None),
            ("sh.helm.release.v1.shop.v03", None),
            ("sh.helm.release.v1.shop.v-1", None),
            ("sh.helm.release.v1..v1", None),
            ("other", None),
        ] {
            let found = parse_object_name(name);
            assert_eq!(
                found.as_ref().map(|(name, n)| (name.as_str(), *n)),
                parsed,
                "{name}"
            );
        }
    }
}
