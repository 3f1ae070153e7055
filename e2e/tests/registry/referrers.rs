//! What refers to the manifest of a chart, in registries that list it themselves and in those where whoever pushes it
//! keeps the list.

use charttrust::evidence::{Fetcher, fetcher};
use charttrust::sources::{Asked, Form, Limits, Settings, Signatures, Signed, Source};
use charttrust_e2e::charts::{self, Chart};
use charttrust_e2e::helm::Version;
use charttrust_e2e::registry::Kind;
use charttrust_verify::digest::Sha256Digest;
use serde_json::{Value, json};

use crate::setup::Published;

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

#[tokio::test(flavor = "multi_thread")]
async fn what_refers_to_a_chart_is_found_in_every_registry() {
    for kind in [Kind::Distribution, Kind::WithReferrers] {
        let published = Published::begin("refer", Version::V4, kind).await;
        let source = charts::Source::new("web", "1.0.0");
        let chart = published.publish(&source, Some(&published.key)).await;
        let asked = Look::at(&published, &chart).await;
        assert_eq!(asked.signatures().await, Signatures::default(), "{kind:?}");

        asked.refer(b"{} a bundle", BUNDLE).await;
        asked
            .refer(b"{} a list of parts", "application/spdx+json")
            .await;
        let found = asked.signatures().await;
        let [bundle] = found.claimed.as_slice() else {
            panic!("{kind:?}: {found:?}");
        };
        let said = (&*bundle.bytes, &bundle.form, found.left_out.len());
        assert_eq!(said, (&b"{} a bundle"[..], &Form::Bundle, 0), "{kind:?}");

        asked.sign_as_before(b"a payload").await;
        let found = asked.signatures().await;
        let all: Vec<_> = found.claimed.iter().map(|one| &*one.bytes).collect();
        assert_eq!(all, [&b"{} a bundle"[..], b"a payload"], "{kind:?}");
        let Form::Simple(beside) = &found.claimed[1].form else {
            panic!("{kind:?}: {found:?}");
        };
        assert_eq!(beside["dev.cosignproject.cosign/signature"], "by ada");
    }
}

/// One chart in a registry, and who asks about it.
struct Look<'a> {
    chart: &'a Chart,
    fetcher: Fetcher,
    manifest: Sha256Digest,
    published: &'a Published,
}

impl<'a> Look<'a> {
    async fn at(published: &'a Published, chart: &'a Chart) -> Self {
        let fetcher = fetcher(Settings {
            allowed_hosts: vec![published.registry.host().parse().unwrap()],
            auth_hosts: Vec::new(),
            limits: Limits::default(),
            user_agent: "charttrust/story".to_owned(),
        });
        let source = Source::at(published.registry.url());
        let fetched = fetcher.fetch(&source, &chart.name, &chart.version).await;
        let manifest = fetched.unwrap().manifest.unwrap();
        Self {
            chart,
            fetcher,
            manifest,
            published,
        }
    }

    async fn signatures(&self) -> Signatures {
        let source = Source::at(self.published.registry.url());
        let signed = Signed {
            chart: &self.chart.name,
            version: &self.chart.version,
            manifest: Some(self.manifest),
        };
        let asked = self.fetcher.signatures(&source, signed, Asked::now());
        asked.await.unwrap()
    }

    /// Pushes what refers to the chart, as cosign does: where the registry keeps no list, the pusher does.
    async fn refer(&self, content: &[u8], kind: &str) {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind,
            "config": described(EMPTY, b"{}"), "layers": [described(kind, content)],
            "subject": {"mediaType": MANIFEST, "digest": self.manifest, "size": 1},
        });
        let bytes = manifest.to_string().into_bytes();
        let digest = Sha256Digest::of(&bytes).to_string();
        self.put(&digest, &manifest, &[b"{}", content]).await;
        if self.published.registry.lists_referrers() {
            return;
        }
        let mut said = described(MANIFEST, &bytes);
        said["artifactType"] = kind.into();
        let mut all = self.listed().await;
        all.push(said);
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": all});
        self.put(&self.tag(), &index, &[]).await;
    }

    /// Pushes a signature of the older form.
    async fn sign_as_before(&self, payload: &[u8]) {
        let mut layer = described(SIMPLE, payload);
        layer["annotations"] = json!({"dev.cosignproject.cosign/signature": "by ada"});
        let config = described("application/vnd.oci.image.config.v1+json", b"{}");
        let image = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
        });
        let tag = format!("{}.sig", self.tag());
        self.put(&tag, &image, &[b"{}", payload]).await;
    }

    fn tag(&self) -> String {
        self.manifest.to_string().replace(':', "-")
    }

    async fn put(&self, reference: &str, manifest: &Value, blobs: &[&[u8]]) {
        let name = format!("charts/{}", self.chart.name);
        let put = self
            .published
            .registry
            .put((&name, reference), manifest, blobs);
        self.published.story.done(reference, put.await);
    }

    /// What the index under the tag has.
    async fn listed(&self) -> Vec<Value> {
        let name = format!("charts/{}", self.chart.name);
        let tag = self.tag();
        let index = self.published.registry.manifest((&name, &tag));
        let index = self.published.story.done("read the index", index.await);
        index["manifests"].as_array().cloned().unwrap_or_default()
    }
}

fn described(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": Sha256Digest::of(bytes), "size": bytes.len()})
}
