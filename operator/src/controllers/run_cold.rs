//! What a first start asks the API server and writes for each release, with the real workers; and when it says that
//! nothing is known yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::verdict::Cause;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::context::Context;
use super::lanes::Pace;
use super::release::{first, poll, read, reconcile};
use super::store::Revision;
use super::task::Task;
use super::testing::{Scene, id};
use crate::clock::{Moment, tick};
use crate::fake_chart::{packed, recorded, stored};
use crate::fake_cluster::FakeCluster;
use crate::inventory::helm::{Driver, RecordKey, RecordMeta};
use crate::inventory::{Mark, RecordId, ReleaseId};
use crate::leader::Leadership;

/// A repository with one chart, a policy that trusts it by its digest, and nothing read yet.
struct Cold {
    context: Arc<Context>,
    cluster: FakeCluster,
    server: MockServer,
    repository: MockServer,
}

impl Cold {
    async fn with(index: ResponseTemplate) -> Self {
        let (repository, archive) = (MockServer::start().await, packed("1.0.0"));
        let digest = Sha256Digest::of(&archive).to_string();
        let answers = [
            ("/index.yaml", index),
            (
                "/web-1.0.0.tgz",
                ResponseTemplate::new(200).set_body_bytes(archive),
            ),
        ];
        for (at, answer) in answers {
            let mock = Mock::given(path(at)).respond_with(answer);
            mock.mount(&repository).await;
        }
        let loopback = vec!["127.0.0.1".parse().unwrap()];
        let scene = Scene::reaching(loopback, None, Leadership::Alone).await;
        scene.declare_spec(&json!({"rules": [{
            "name": "all", "charts": ["*"], "sources": [{"url": repository.uri()}],
            "digests": [{"chart": "web", "version": "1.0.0", "digest": digest}],
            "verify": {"signers": {"keys": ["platform"]}},
        }]}));
        Self {
            context: Arc::new(scene.context),
            cluster: scene.cluster,
            server: scene.server,
            repository,
        }
    }

    async fn answering() -> Self {
        let index =
            "apiVersion: v1\nentries:\n  web:\n  - version: 1.0.0\n    urls: [web-1.0.0.tgz]\n";
        Self::with(ResponseTemplate::new(200).set_body_string(index)).await
    }

    /// A release of the chart is there, and was seen.
    fn install(&self, name: &str) -> ReleaseId {
        let (release, driver) = (id("shop", name), Driver::Secret);
        let key = RecordKey {
            release: release.clone(),
            driver,
            revision: 1,
        };
        let object = key.object_name();
        let secret = self.cluster.put(
            &format!("/api/v1/namespaces/shop/secrets/{object}"),
            json!({
                "metadata": {"name": object, "namespace": "shop", "labels": {"status": "deployed"}},
                "type": "helm.sh/release.v1", "data": stored(&recorded(name, "1.0.0", "deployed")),
            }),
        );
        let version = &secret["metadata"]["resourceVersion"];
        let meta = RecordMeta {
            resource_version: version.as_str().unwrap().to_owned(),
            claimed_status: "deployed".to_owned(),
        };
        let records = &self.context.cache.records;
        records.of(driver).set(key, Some(meta));
        release
    }

    /// Records in one answer.
    const PAGE: usize = 16;

    /// Somebody writes every record once more, and the watch has not told it yet.
    fn touch(&self) {
        for number in 0.. {
            let object = format!("sh.helm.release.v1.web-{number}.v1");
            let path = format!("/api/v1/namespaces/shop/secrets/{object}");
            let Some(secret) = self.cluster.find(&path) else {
                return;
            };
            self.cluster.put(&path, secret);
        }
    }

    /// Another reader has begun with the first release.
    fn claim_first(&self) {
        let work = self.context.queues.records.claim(&id("shop", "web-0"));
        std::mem::forget(work.unwrap());
    }

    fn refuse_pages(&self) {
        let refusal = (403, "Forbidden");
        self.cluster.refuse("GET", "/api/v1/secrets", refusal);
    }

    /// Every record was read before, as after a restart.
    fn know(&self) {
        let context = &self.context;
        for release in context.cache.records.releases() {
            for (record, meta) in context.cache.records.judged(&release) {
                let revision = Revision {
                    content: Err((Cause::Pending, String::new())),
                    resource_version: meta.resource_version,
                    mark: Mark::None,
                };
                context
                    .store
                    .update(&release, |known| known.put(record, revision));
            }
        }
    }

    fn status(&self, name: &str) -> Option<Value> {
        let at = format!("/apis/charttrust.io/v1alpha1/namespaces/shop/releasetrusts/{name}");
        let object = self.cluster.find(&at)?;
        object.get("status").cloned()
    }

    /// How often the API server was asked for records, one by one.
    async fn read(&self) -> usize {
        self.asked("/namespaces/shop/secrets").await
    }

    /// The same by pages.
    async fn paged(&self) -> usize {
        self.asked("/api/v1/secrets").await
    }

    async fn asked(&self, path: &str) -> usize {
        let asked = self.server.received_requests().await.unwrap();
        let asked = asked.iter().filter(|one| one.url.path().ends_with(path));
        asked.count()
    }

    /// The reason of the condition Trusted of a release, if there is a `ReleaseTrust`.
    fn word(&self, name: &str) -> Option<String> {
        let status = self.status(name)?;
        let mut conditions = status["conditions"].as_array().unwrap().iter();
        let trusted = conditions.find(|one| one["type"] == "Trusted").unwrap();
        Some(trusted["reason"].as_str().unwrap().to_owned())
    }
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .unwrap();
}

/// Nothing waits that is due within ten seconds, and nothing is being worked on.
fn is_done(context: &Context) -> bool {
    let soon = tick() + Duration::from_secs(10);
    let queues = &context.queues;
    let is_read = queues.records.is_idle_until(soon);
    is_read && queues.polls.is_idle_until(soon) && queues.tasks.is_idle_until(soon)
}

/// The record is read once, and the object made once and filled once.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_makes_three_requests_for_each_release_and_two_of_them_write() {
    const RELEASES: usize = 60;
    let cold = Cold::answering().await;
    let names: Vec<_> = (0..RELEASES)
        .map(|number| format!("web-{number}"))
        .collect();
    let releases: Vec<_> = names.iter().map(|name| cold.install(name)).collect();
    let (context, cluster) = (&cold.context, &cold.cluster);
    let mut tasks = JoinSet::new();
    context.take_over();
    context.begin(&mut tasks);
    let is_judged = |release: &ReleaseId| {
        context.store.inspect(release, |known| {
            known.is_some_and(|known| known.written.is_some())
        })
    };
    until(|| releases.iter().all(is_judged) && is_done(context)).await;
    let mut writes = BTreeMap::<_, usize>::new();
    for write in cluster.writes() {
        let path = write
            .path
            .replace(|letter: char| letter.is_ascii_digit(), "");
        *writes.entry(format!("{} {path}", write.verb)).or_default() += 1;
    }
    let of_releases = "/apis/charttrust.io/valpha/namespaces/shop/releasetrusts";
    let expected = [
        (format!("POST {of_releases}"), RELEASES),
        (format!("PUT {of_releases}/web-/status"), RELEASES),
    ];
    assert_eq!(writes, BTreeMap::from(expected));
    assert_eq!(cold.read().await, RELEASES, "each record is read once");
    // Whether k3s is there, once a second.
    let others = cluster.requests() - 3 * RELEASES;
    assert!(others < 10, "{others}");
    let asked = cold.repository.received_requests().await.unwrap();
    let downloads = asked
        .iter()
        .filter(|one| one.url.path() == "/web-1.0.0.tgz");
    assert_eq!(downloads.count(), 1, "of one chart");
    assert_eq!(asked.len(), 3, "index, chart and signature, once each");
    assert!(tasks.try_join_next().is_none(), "a worker has ended");
}

/// Where there are many, and nothing is known of them, they are read by pages; what was written since it was seen, one
/// by one.
#[tokio::test]
async fn many_records_are_read_by_pages_and_what_cannot_be_one_by_one() {
    const RELEASES: usize = 112;
    let pages = RELEASES.div_ceil(Cold::PAGE);
    for (why, releases, prepare, expected) in [
        ("all of it", RELEASES, (|_| ()) as fn(&Cold), (pages, 0, 0)),
        (
            "one waits already to be read",
            RELEASES,
            Cold::claim_first,
            (pages, 0, 1),
        ),
        (
            "none is as it was seen",
            RELEASES,
            Cold::touch,
            (pages, RELEASES, 0),
        ),
        (
            "no page is given",
            RELEASES,
            Cold::refuse_pages,
            (1, 0, RELEASES),
        ),
        ("all of it is known", RELEASES, Cold::know, (0, 0, 0)),
        ("these are few", 60, |_| (), (0, 0, 60)),
    ] {
        let cold = Cold::answering().await;
        let names = (0..releases).map(|number| format!("web-{number}"));
        let releases: Vec<_> = names.map(|name| cold.install(&name)).collect();
        let (context, records) = (&cold.context, &cold.context.queues.records);
        for release in &releases {
            records.add(release.clone());
        }
        prepare(&cold);
        first::read_all(context).await;
        let is_unread = |release: &&ReleaseId| {
            context.store.inspect(release, |known| {
                known.is_none_or(|known| known.revisions.is_empty())
            })
        };
        let unread = releases.iter().filter(is_unread).count();
        let asked = (cold.paged().await, cold.read().await, unread);
        assert_eq!(asked, expected, "{why}");
    }
}

/// A release that was read, as it is judged at this time.
async fn judge(cold: &Cold, release: &ReleaseId, at: Instant) {
    let moment = Moment {
        tick: at,
        ..Moment::now()
    };
    reconcile(&cold.context, release, moment).await.unwrap();
}

#[tokio::test]
async fn pending_is_said_of_what_waits_for_a_source_that_says_nothing_and_not_of_what_waits_for_its_turn()
 {
    let cold = Cold::answering().await;
    let (context, polls) = (&cold.context, &cold.context.queues.polls);
    let [first, second] = ["first", "second"].map(|name| cold.install(name));
    for release in [&first, &second] {
        read::read_changed(context, release, tick()).await;
    }
    let begun = tick();
    judge(&cold, &second, begun).await;
    assert_eq!(cold.word("second"), None, "it may be known in a moment");
    // A look at the first comes to its end, and the second is next.
    drop(polls.next().await);
    let task = Task::Release(second.clone());
    context.queues.tasks.forget(&task);
    judge(&cold, &second, begun + SECONDS).await;
    assert_eq!(cold.word("second"), None);
    let again = context.queues.tasks.due_at(&task);
    assert_eq!(again, Some(begun + SECONDS * 2));
    // Since then nothing has moved.
    judge(&cold, &second, tick() + SECONDS).await;
    assert_eq!(cold.word("second").as_deref(), Some("Pending"));
    assert_eq!(
        cold.cluster.writes().len(),
        2,
        "{:?}",
        cold.cluster.writes()
    );
}

#[tokio::test]
async fn pending_is_said_of_what_is_being_asked_for_and_of_what_waits_behind_what_is_slow() {
    let cold = Cold::answering().await;
    let (context, polls) = (&cold.context, &cold.context.queues.polls);
    let releases = ["first", "second", "third"].map(|name| cold.install(name));
    for release in &releases {
        read::read_changed(context, release, tick()).await;
        judge(&cold, release, tick()).await;
    }
    drop(polls.next().await);
    let hanging = polls.next().await;
    let hangs = hanging.item.id.name.clone();
    let waits = releases
        .iter()
        .find(|one| one.name != "first" && one.name != hangs);
    let waits = waits.unwrap();
    judge(&cold, &hanging.item.id, tick() + SECONDS).await;
    assert_eq!(cold.word(&hangs).as_deref(), Some("Pending"));
    polls.pace(&hanging.item.way.lane, Pace::Slow);
    drop(hanging);
    judge(&cold, waits, tick() + SECONDS).await;
    assert_eq!(cold.word(&waits.name).as_deref(), Some("Pending"));
}

/// From then on a release says that it waits.
const SECONDS: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_record_is_kept_only_until_it_was_compared_and_only_if_it_is_soon() {
    let cold = Cold::answering().await;
    let (context, release) = (&cold.context, cold.install("web"));
    let key = RecordKey {
        release: release.clone(),
        driver: Driver::Secret,
        revision: 1,
    };
    read::read_changed(context, &release, tick()).await;
    poll::poll(context, &context.queues.polls.next().await).await;
    assert!(context.kept.take(&key).is_none(), "it was compared");
    assert_eq!(cold.read().await, 1);
    // Its content is known, so nobody asks for it before an interval is over.
    context.store.update(&release, |known| {
        known.forget_reading(RecordId::Helm {
            driver: Driver::Secret,
            revision: 1,
        });
    });
    read::read_changed(context, &release, tick()).await;
    assert_eq!(cold.read().await, 2);
    assert!(context.kept.take(&key).is_none(), "nobody compares it");
}
