//! Requests that are refused or never answered.

use std::time::{Duration, Instant};

use axum::http::Method;
use charttrust_e2e::eventually;
use charttrust_e2e::proxy::Refusal;
use charttrust_e2e::stage::{Opening, workloads::automatic};

use crate::{audited, failing, revocation_is_seen, say, taken};

/// F8. Everything is refused for a while, whatever `Retry-After` says; a revocation of that time is acted on soon
/// after.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_refuses_everything_is_asked_seldom_and_heard_again_soon() {
    let failing = failing().await;
    let start = failing.stage.cluster.mark();
    let scene = Opening::of_every_kind("refused")
        .with_quarantine(automatic())
        .trusted(failing.stage.cluster)
        .await;
    let before = scene.workloads().await;
    let refusals = [
        (429, Some(1)),
        (429, Some(30)),
        (429, Some(3600)),
        (500, None),
        (503, Some(3600)),
        (504, None),
    ];
    for (status, retry_after) in taken(refusals, 3) {
        let refusal = Refusal {
            status,
            retry_after,
        };
        failing.stage.at_rest(&scene.namespace).await;
        failing.proxy.refuse_everything(refusal);
        failing.proxy.cut_watches();
        scene.revoke().await;
        failing.lives(STORM).await;
        let asked = failing.proxy.asked();
        failing.proxy.behave();
        let end = Instant::now();
        // I10: ten requests a second.
        let most = usize::try_from(STORM.as_secs()).unwrap() * 10;
        assert!(
            (1..=most).contains(&asked.len()),
            "{} of {asked:#?}",
            asked.len()
        );
        revocation_is_seen(&scene, AGAIN).await;
        say(&format!(
            "{refusal:?}: {} requests in {STORM:?}, heard again after {:?}",
            asked.len(),
            end.elapsed()
        ));
        scene.contained("web").await;
        scene.withdraw().await;
        scene.no_quarantine("web").await;
        scene.expect("web", "SignatureVerified").await;
        assert_eq!(scene.workloads().await, before, "{refusal:?}");
    }
    audited(&failing.stage, start);
}

const STORM: Duration = Duration::from_secs(8);

/// Five seconds of a watch's longest pause, and what a busy machine takes: far less than the longest
/// `Retry-After`.
const AGAIN: Duration = Duration::from_secs(15);

/// F10. What is asked about one release is never answered: others go on meanwhile, and it is asked again.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_never_answered_is_given_up_and_holds_up_no_other() {
    let failing = failing().await;
    let start = failing.stage.cluster.mark();
    let held = Opening::of_every_kind("held")
        .with_quarantine(automatic())
        .trusted(failing.stage.cluster)
        .await;
    let other = Opening::of_every_kind("other")
        .with_quarantine(automatic())
        .trusted(failing.stage.cluster)
        .await;
    let before = [held.workloads().await, other.workloads().await];
    let namespace = &held.namespace;
    let status = format!("/namespaces/{namespace}/releasetrusts/web/status");
    let patch = format!("/namespaces/{namespace}/deployments/web");
    let list = format!("/namespaces/{namespace}/pods");
    let all = [
        (Method::PUT, status),
        (Method::PATCH, patch),
        (Method::GET, list),
    ];
    for (method, end) in taken(all, 3) {
        failing.stage.at_rest(namespace).await;
        failing.proxy.swallow(method.clone(), &end);
        held.revoke().await;
        eventually(AGAIN, "it is asked", async || {
            if failing.proxy.silences() > 0 {
                Ok(())
            } else {
                Err("not yet")
            }
        })
        .await;
        let start = Instant::now();
        other.revoke().await;
        other.contained("web").await;
        let took = start.elapsed();
        assert!(took < DEADLINE, "another release waited for {took:?}");
        eventually(
            DEADLINE * 3,
            "it is given up and asked again",
            async || match failing.proxy.silences() {
                0 | 1 => Err("not yet"),
                _ => Ok(()),
            },
        )
        .await;
        say(&format!(
            "{method} {end} was asked again after {:?}",
            start.elapsed()
        ));
        failing.proxy.behave();
        held.contained("web").await;
        for scene in [&held, &other] {
            scene.incident_is_remembered("web").await;
            scene.withdraw().await;
            scene.no_quarantine("web").await;
            scene.expect("web", "SignatureVerified").await;
        }
        let after = [held.workloads().await, other.workloads().await];
        assert_eq!(after, before, "{method} {end}");
    }
    audited(&failing.stage, start);
}

/// Longest wait for one answer.
const DEADLINE: Duration = Duration::from_secs(15);
