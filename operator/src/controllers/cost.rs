//! What it costs that a watch brings again what is known: the most frequent of all work.

use std::time::Duration;

use futures::FutureExt as _;

use super::release;
use super::store::shown::Shown;
use super::testing::web;
use super::told::{Applied, NOW, empty, path, verdict};
use crate::clock::{self, Moment};
use crate::cost::measure;

/// A release that was judged and written: nobody is asked, nothing is written, and nothing is waited for.
#[tokio::test]
async fn reconcile() {
    let (scene, release) = (empty().await, web());
    for applied in [Applied::Key, Applied::Policy, Applied::Release] {
        applied.to(&scene);
    }
    let moment = Moment {
        date: NOW.parse().unwrap(),
        tick: clock::tick() + Duration::from_secs(4),
    };
    release::reconcile(&scene.context, &release, moment)
        .await
        .unwrap();
    assert_eq!(verdict(&scene, &release), "SignatureVerified");
    let object = scene.cluster.find(&path(&release)).unwrap().to_string();
    let requests = scene.cluster.requests();
    measure(|| {
        let object = serde_json::from_str(&object).map_err(|error| error.to_string());
        let trusts = &scene.context.cache.trusts;
        trusts.set(release.clone(), Some(Shown::of(object)));
        scene.context.trust_changed(&release);
        let done = Box::pin(release::reconcile(&scene.context, &release, moment));
        done.now_or_never().expect("nothing to wait for").unwrap();
    });
    assert_eq!(scene.cluster.requests(), requests);
}
