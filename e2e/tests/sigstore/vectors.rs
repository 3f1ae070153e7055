//! Writes what real cosign has signed into `operator/verify/tests/sigstore/vectors`, if it is told to: the tests of the
//! engine verify it from then on, without a Sigstore.

use std::path::{Path, PathBuf};

use charttrust::sources::{self, Asked, Form, Signed};
use charttrust_e2e::registry::Kind;
use serde_json::json;

use crate::forms::FORMS;
use crate::ours;
use crate::setup::{Place, Signer, world};

/// The folder to write to.
const VARIABLE: &str = "CHARTTRUST_VECTORS";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_can_be_kept() {
    let world = world().await;
    let place = Place::new(Kind::Distribution).await;
    let folder = tempfile::tempdir().unwrap();
    let told = std::env::var_os(VARIABLE).map(PathBuf::from);
    let folder = told.as_deref().unwrap_or(folder.path());
    std::fs::create_dir_all(folder).unwrap();
    let copy = |from: &Path, name: &str| std::fs::copy(from, folder.join(name)).unwrap();
    copy(&world.sigstore.root(), "trusted_root.json");
    copy(&world.key.public, "cosign.pub");
    for form in FORMS.iter().filter(|form| form.is_kept()) {
        let pushed = place.push(form.name).await;
        form.sign(&pushed).await.unwrap();
        let fetcher = ours::asking(&place.registry);
        let source = sources::Source::at(pushed.source(&place.registry));
        let fetched = fetcher.fetch(&source, form.name, "1.0.0").await.unwrap();
        let signed = Signed {
            chart: form.name,
            version: "1.0.0",
            manifest: fetched.manifest,
        };
        let found = fetcher
            .signatures(&source, signed, Asked::now())
            .await
            .unwrap();
        let [one] = found.claimed.as_slice() else {
            panic!("{}: {found:?}", form.name);
        };
        let text = String::from_utf8(one.bytes.to_vec()).unwrap();
        let (bundle, payload, annotations) = match &one.form {
            Form::Bundle => (Some(text), None, None),
            Form::Simple(annotations) => (None, Some(text), Some(annotations)),
        };
        let subject = (form.signer == Signer::Job).then(|| world.job.subject());
        let vector = json!({
            "manifest": fetched.manifest, "word": form.word, "by": format!("{:?}", form.by),
            "subject": subject, "bundle": bundle, "payload": payload,
            "annotations": annotations.map(|all| &**all),
        });
        let text = serde_json::to_string_pretty(&vector).unwrap();
        std::fs::write(folder.join(format!("{}.json", form.name)), text + "\n").unwrap();
    }
}
