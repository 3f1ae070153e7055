//! Watches that end, fall silent, say everything twice or in another order.

use std::time::{Duration, Instant};

use charttrust::api::ChartTrustPolicy;
use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::stage::{Opening, SOON, Scene, verdict, workloads::automatic};
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use crate::{audited, failing, revocation_is_seen, say, taken};

/// F7. While nothing is heard releases come and go; then the watch is told that what it asks for is too old, and
/// of the lists the next pages are, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_and_goes_while_tokens_are_too_old_is_neither_missed_nor_made_up() {
    let failing = failing().await;
    let proxy = &failing.proxy;
    let scene = Opening::new("tokens").trusted(failing.stage.cluster).await;
    let chart = scene
        .publish(&Source::new("web", "1.0.0"), Some(&scene.key))
        .await;
    for release in ["a", "b", "c", "goes"] {
        scene.install(release, &chart).await;
        scene.expect(release, "SignatureVerified").await;
    }
    proxy.freeze_watches();
    scene.done(
        "uninstall",
        scene.helm.uninstall(&scene.namespace, "goes").await,
    );
    scene.install("new", &chart).await;
    proxy.page(1, STALE);
    proxy.expire_watches();
    proxy.join();
    for release in ["a", "b", "c", "new", "web"] {
        scene.expect(release, "SignatureVerified").await;
    }
    scene.expect_gone("goes").await;
    assert_eq!(
        proxy.stale_pages(),
        0,
        "the server was asked for next pages"
    );
    let all = scene.trusts().list(&ListParams::default()).await.unwrap();
    let mut names: Vec<_> = all.iter().map(ResourceExt::name_any).collect();
    names.sort();
    assert_eq!(names, ["a", "b", "c", "new", "web"]);
}

/// So many requests for a next page are told that their token is too old.
const STALE: usize = 6;

/// F9. The connections stay open, as behind a router that has forgotten them: no byte comes, and no end.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_falls_silent_hides_a_revocation_for_so_long_and_no_longer() {
    let failing = failing().await;
    let scene = Opening::of_every_kind("silent")
        .with_quarantine(automatic())
        .trusted(failing.stage.cluster)
        .await;
    failing.stage.at_rest(&scene.namespace).await;
    failing.proxy.silence_watches();
    let start = Instant::now();
    scene.revoke().await;
    revocation_is_seen(&scene, DEAF).await;
    say(&format!(
        "a silent watch hid a revocation for {:?}",
        start.elapsed()
    ));
    scene.contained("web").await;
    scene.withdraw().await;
    scene.no_quarantine("web").await;
}

/// The operator gives a silent connection up after 75 s; the rest is for a busy machine.
const DEAF: Duration = Duration::from_secs(100);

/// F11. What is said twice counts once.
#[tokio::test(flavor = "multi_thread")]
async fn what_watches_say_twice_is_done_once() {
    let failing = failing().await;
    let start = failing.stage.cluster.mark();
    failing.proxy.double_watches();
    // The watches that are open are opened anew.
    failing.proxy.cut_watches();
    let scene = Opening::of_every_kind("twice")
        .with_quarantine(automatic())
        .trusted(failing.stage.cluster)
        .await;
    let before = scene.workloads().await;
    scene.revoke().await;
    scene.contained("web").await;
    scene.incident_is_remembered("web").await;
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    scene.expect("web", "SignatureVerified").await;
    assert_eq!(scene.workloads().await, before);
    failing.stage.at_rest(&scene.namespace).await;
    audited(&failing.stage, start);
}

/// F11. Which kind is heard of first decides nothing: each in turn is heard of last.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_kind_is_heard_of_last_the_end_is_the_same() {
    let failing = failing().await;
    let start = failing.stage.cluster.mark();
    let kinds = [
        "trustedkeys",
        "charttrustpolicies",
        "secrets",
        "releasetrusts",
        "quarantines",
    ];
    for late in taken(kinds, 5) {
        failing.proxy.hold_watches(late);
        let scene = Opening::of_every_kind("order")
            .with_quarantine(automatic())
            .declared(failing.stage.cluster)
            .await;
        let chart = scene
            .publish(
                &charttrust_e2e::stage::workloads::chart("1.0.0"),
                Some(&scene.key),
            )
            .await;
        scene.install("web", &chart).await;
        let before = scene.workloads().await;
        failing.lives(A_MOMENT).await;
        failing.proxy.release_watches();
        scene.expect("web", "SignatureVerified").await;

        failing.proxy.hold_watches(late);
        scene.revoke().await;
        failing.lives(A_MOMENT).await;
        failing.proxy.release_watches();
        scene.contained("web").await;
        scene.incident_is_remembered("web").await;
        scene.expect("web", "KeyCompromised").await;

        failing.proxy.hold_watches(late);
        scene.withdraw().await;
        failing.lives(A_MOMENT).await;
        failing.proxy.release_watches();
        scene.no_quarantine("web").await;
        scene.expect("web", "SignatureVerified").await;
        assert_eq!(scene.workloads().await, before, "{late}");
    }
    audited(&failing.stage, start);
}

/// In which the operator acts on what it has heard.
const A_MOMENT: Duration = Duration::from_secs(1);

/// F13. A revocation that is taken back before anybody could act, and a policy that contains and is gone before
/// anybody has seen it: either nothing happens, or it is contained and put back.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_at_once_leaves_nothing_half_done() {
    let failing = failing().await;
    let start = failing.stage.cluster.mark();
    let scene = Opening::of_every_kind("flicker")
        .with_quarantine(automatic())
        .trusted(failing.stage.cluster)
        .await;
    let before = scene.workloads().await;
    for round in 0..6 {
        scene.revoke().await;
        if round % 2 == 1 {
            failing.proxy.cut_watches();
        }
        scene.withdraw().await;
    }
    rests(&scene).await;
    assert_eq!(scene.workloads().await, before);

    // Unseen: the watch is deaf while it comes and goes.
    let calm = json!({"spec": {"quarantine": null}});
    scene.patch::<ChartTrustPolicy>(&scene.policy, calm).await;
    scene.revoke().await;
    scene.expect("web", "KeyCompromised").await;
    failing.proxy.freeze_watches();
    let name = scene
        .story
        .policy("unseen", &[&scene.key], json!({"quarantine": automatic()}))
        .await;
    scene.delete::<ChartTrustPolicy>(&name).await;
    failing.proxy.cut_watches();
    failing.proxy.join();
    scene.withdraw().await;
    rests(&scene).await;
    assert_eq!(scene.workloads().await, before);
    audited(&failing.stage, start);
}

/// Waits until the release is trusted and nothing is contained, and stays so.
async fn rests(scene: &Scene) {
    eventually(SOON, "it is as it was", async || {
        charttrust_e2e::lasting(Duration::from_secs(2), async || {
            let trust = scene.trusts().get("web").await;
            let seen = verdict(&trust.map_err(|error| error.to_string())?);
            let contained = scene.quarantines().get_opt("web").await;
            let contained = contained.map_err(|error| error.to_string())?.is_some();
            if seen.contains("SignatureVerified") && !contained {
                Ok(())
            } else {
                Err(format!("{seen}, contained: {contained}"))
            }
        })
        .await
    })
    .await;
}
