//! What one source costs the others, with the real workers and servers that misbehave.

use std::sync::Arc;
use std::time::Duration;

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{
    Answer, ArchiveFacts, Evidence, ProvenanceFacts, SubchartFacts, SubchartId,
};
use serde_json::json;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::context::Context;
use super::lanes::SHARE;
use super::store::{Content, Revision};
use super::testing::{Scene, id};
use crate::inventory::helm::Driver;
use crate::inventory::{Mark, RecordId, ReleaseId};
use crate::leader::Leadership;

/// A rule for the charts of each server, and workers that look.
async fn looking(servers: &[(&str, &MockServer)]) -> Arc<Context> {
    let loopback = vec!["127.0.0.1".parse().unwrap()];
    let scene = Scene::reaching(loopback, None, Leadership::Alone).await;
    let rule = |(name, server): &(&str, &MockServer)| {
        json!({
            "name": name, "charts": [format!("{name}-*")], "sources": [{"url": server.uri()}],
            "verify": {"signers": {"keys": ["platform"]}},
        })
    };
    let rules: Vec<_> = servers.iter().map(rule).collect();
    scene.declare_spec(&json!({"rules": rules}));
    let context = Arc::new(scene.context);
    (0..super::run::POLLERS).for_each(|_| {
        tokio::spawn(Arc::clone(&context).poll_for_ever());
    });
    context
}

/// A release of a chart is there and was read.
fn install(context: &Context, chart: &str) -> ReleaseId {
    let release = id("shop", chart);
    read(context, &release, chart);
    super::release::poll::plan(context, &release, crate::clock::tick());
    release
}

fn read(context: &Context, release: &ReleaseId, chart: &str) {
    let content = Content {
        chart: chart.to_owned(),
        version: "1.0.0".to_owned(),
        manifest: None,
        recorded: None,
        digest: Sha256Digest::of(chart.as_bytes()),
        evidence: Evidence::default(),
    };
    let revision = Revision {
        resource_version: "1".to_owned(),
        content: Ok(content),
        mark: Mark::None,
    };
    let record = RecordId::Helm {
        driver: Driver::Secret,
        revision: 1,
    };
    context.store.update(release, |known| {
        known.revisions = [(record, revision)].into_iter().collect();
    });
}

/// How often looks for a release came to nothing; `None` if none has ended.
fn failures(context: &Context, release: &ReleaseId) -> Option<u32> {
    context.store.inspect(release, |release| {
        let looks = release.unwrap().asked.values();
        looks.map(|look| look.failures).max()
    })
}

async fn answering(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
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

async fn requests(server: &MockServer) -> usize {
    server.received_requests().await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_charts_of_a_source_that_hangs_delay_no_other_source() {
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(3600));
    let (slow, quick) = (
        answering(slow).await,
        answering(ResponseTemplate::new(200).set_body_string("apiVersion: v1\nentries: {}")).await,
    );
    let context = looking(&[("slow", &slow), ("quick", &quick)]).await;
    let hanging: Vec<_> = (0..40)
        .map(|number| install(&context, &format!("slow-{number}")))
        .collect();
    until(|| context.queues.polls.running() == SHARE).await;
    let other = install(&context, "quick-0");
    until(|| failures(&context, &other).is_some()).await;
    assert_eq!(failures(&context, &other), Some(0), "its index was read");
    for release in &hanging {
        assert_eq!(failures(&context, release), None, "it hangs still");
    }
    while requests(&slow).await == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(requests(&slow).await, 1, "the index is asked for once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_asks_for_an_hour_of_rest_is_asked_once_by_all_its_releases() {
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "3600");
    let busy = answering(busy).await;
    let context = looking(&[("busy", &busy)]).await;
    let releases: Vec<_> = (0..20)
        .map(|number| install(&context, &format!("busy-{number}")))
        .collect();
    until(|| {
        let mut all = releases.iter();
        all.all(|release| failures(&context, release).is_some())
    })
    .await;
    assert_eq!(requests(&busy).await, 1);
    for release in &releases {
        assert_eq!(failures(&context, release), Some(1), "it is left alone");
        let wait = context.store.inspect(release, |release| {
            let looks = release.unwrap().asked.values();
            looks.filter_map(|look| look.retry_after).max()
        });
        assert!(wait > Some(Duration::from_secs(3000)), "{wait:?}");
    }
}

/// All of it would be downloaded again each time.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_too_large_is_asked_for_once_in_an_interval_by_all_its_releases() {
    let entry = "a".repeat(2 << 20);
    let index =
        format!("apiVersion: v1\nentries:\n  x:\n  - version: 1.0.0\n    description: {entry}\n");
    let large = answering(ResponseTemplate::new(200).set_body_string(index)).await;
    let context = looking(&[("large", &large)]).await;
    let releases: Vec<_> = (0..20)
        .map(|number| install(&context, &format!("large-{number}")))
        .collect();
    until(|| {
        let mut all = releases.iter();
        all.all(|release| failures(&context, release).is_some())
    })
    .await;
    assert_eq!(requests(&large).await, 1);
    for release in &releases {
        let wait = context.store.inspect(release, |release| {
            let looks = release.unwrap().asked.values();
            looks.filter_map(|look| look.retry_after).max()
        });
        assert_eq!(wait, Some(Duration::from_secs(3600)), "the interval");
    }
}

/// As a policy's annotation asks for all its releases at once.
#[tokio::test(flavor = "multi_thread")]
async fn looks_that_are_asked_for_at_once_share_an_answer() {
    let empty = ResponseTemplate::new(200).set_body_string("apiVersion: v1\nentries: {}");
    let server = answering(empty).await;
    let context = looking(&[("shared", &server)]).await;
    let releases: Vec<_> = (0..20)
        .map(|number| id("shop", &format!("web-{number}")))
        .collect();
    let now = crate::clock::tick();
    for release in &releases {
        read(&context, release, "shared-chart");
        context.store.update(release, |known| known.request(now));
    }
    for release in &releases {
        super::release::poll::plan(&context, release, crate::clock::tick());
    }
    until(|| {
        let mut all = releases.iter();
        all.all(|release| failures(&context, release).is_some())
    })
    .await;
    assert_eq!(requests(&server).await, 1);
    let is_answered = |release: &ReleaseId| {
        let is_open = |known: Option<&super::store::Release>| known.unwrap().requests.are_open();
        !context.store.inspect(release, is_open)
    };
    until(|| releases.iter().all(is_answered)).await;
}

/// An archive that nobody has signed, with a subchart from a server.
fn umbrella(server: &MockServer) -> Answer {
    let digest = Sha256Digest::of(b"archive");
    let subchart = SubchartFacts {
        id: SubchartId {
            repository: server.uri(),
            name: "part".to_owned(),
            version: "1.0.0".to_owned(),
        },
        content: digest,
    };
    Answer::Archive(Box::new(ArchiveFacts {
        has_subcharts: true,
        subcharts: vec![subchart],
        ..ArchiveFacts::plain(digest, ("umbrella-0", "1.0.0"), ProvenanceFacts::Missing)
    }))
}

/// Whoever publishes an archive names the repositories of its subcharts: he sends us nowhere before somebody
/// vouches for it, and what is silent there is no silence of his source.
#[tokio::test(flavor = "multi_thread")]
async fn the_repositories_of_subcharts_are_asked_for_what_is_vouched_for() {
    let empty = ResponseTemplate::new(200).set_body_string("apiVersion: v1\nentries: {}");
    for is_pinned in [false, true] {
        let source = answering(empty.clone()).await;
        let parts = answering(ResponseTemplate::new(503)).await;
        let loopback = vec!["127.0.0.1".parse().unwrap()];
        let scene = Scene::reaching(loopback, None, Leadership::Alone).await;
        let pin = json!({"chart": "umbrella-0", "version": "1.0.0",
            "digest": Sha256Digest::of(b"archive").to_string()});
        scene.declare_spec(&json!({"rules": [{
            "name": "all", "charts": ["*"], "sources": [{"url": source.uri()}],
            "digests": if is_pinned { vec![pin] } else { Vec::new() },
            "verify": {"dependencies": "Verify", "signers": {"keys": ["platform"]}},
        }]}));
        let context = Arc::new(scene.context);
        let release = id("shop", "umbrella-0");
        read(&context, &release, "umbrella-0");
        context.store.update(&release, |known| {
            let content = known.contents_mut().next().unwrap();
            let answers = &mut content.evidence.answers;
            answers.insert(source.uri(), umbrella(&parts));
            known.request(crate::clock::tick());
        });
        tokio::spawn(Arc::clone(&context).poll_for_ever());
        super::release::poll::plan(&context, &release, crate::clock::tick());
        until(|| failures(&context, &release).is_some()).await;
        assert_eq!(
            requests(&parts).await,
            usize::from(is_pinned),
            "{is_pinned}"
        );
        assert_eq!(failures(&context, &release), Some(0), "{is_pinned}");
    }
}
