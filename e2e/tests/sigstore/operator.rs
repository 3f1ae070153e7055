//! What the operator says of releases of charts that real cosign has signed, beside `cosign verify` and `charttrust
//! verify`; and that it asks no host of Sigstore for it.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use charttrust::api::{TrustedIdentity, TrustedKey};
use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::helm;
use charttrust_e2e::operator::binary;
use charttrust_e2e::registry::Kind;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, Power, Setting, Stage, Story};
use charttrust_verify::sigstore::PublicKey;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::forms::{FORMS, Form};
use crate::setup::{Place, Signer, world};

/// The operator on a cluster, and a place that stands for every host of Sigstore.
struct Scene {
    stage: Stage,
    hosts: Hosts,
}

async fn scene() -> &'static Scene {
    static SCENE: OnceCell<Scene> = OnceCell::const_new();
    let set = async || {
        let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
        Scene {
            stage: Stage::set(cluster, Setting::new(binary(), Power::Reports)).await,
            hosts: Hosts::new(),
        }
    };
    SCENE.get_or_init(set).await
}

/// Counts who comes.
struct Hosts {
    address: SocketAddr,
    visits: Arc<AtomicUsize>,
}

impl Hosts {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let visits = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&visits);
        std::thread::spawn(move || {
            for _ in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, visits }
    }

    /// The root, in which every authority and every log lies there.
    fn root(&self, json: &str) -> Value {
        let mut root: Value = serde_json::from_str(json).unwrap();
        for kind in [
            "tlogs",
            "ctlogs",
            "certificateAuthorities",
            "timestampAuthorities",
        ] {
            for entry in root[kind].as_array_mut().into_iter().flatten() {
                for field in ["baseUrl", "uri"] {
                    if let Some(url) = entry.get_mut(field) {
                        *url = json!(format!("http://{}", self.address));
                    }
                }
            }
        }
        root
    }

    fn were_left_alone(&self) {
        assert_eq!(self.visits.load(Ordering::SeqCst), 0);
        // The count counts.
        drop(std::net::TcpStream::connect(self.address).unwrap());
        while self.visits.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        self.visits.store(0, Ordering::SeqCst);
    }
}

/// Charts in a registry, whoever signs them, and a namespace of releases.
struct Company {
    story: Story,
    place: Place,
}

impl Company {
    async fn new(prefix: &str, kind: Kind) -> Self {
        let company = Self {
            story: Story::begin(scene().await.stage.cluster, prefix, helm::Version::V4).await,
            place: Place::new(kind).await,
        };
        company.declare().await;
        company
    }

    fn named(&self, what: &str) -> String {
        format!("{}-{what}", self.story.namespace)
    }

    /// The pipeline and the key, by the root.
    async fn declare(&self) {
        let world = world().await;
        let root = std::fs::read_to_string(world.sigstore.root()).unwrap();
        let root = scene().await.hosts.root(&root).to_string();
        let name = self.named("root");
        let maps: Api<ConfigMap> = Api::namespaced(self.story.client.clone(), OPERATOR_NAMESPACE);
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {"trusted_root.json": root},
        });
        let params = PatchParams::apply("story");
        let applied = maps.patch(&name, &params, &Patch::Apply(&map)).await;
        self.story.done("apply the trusted root", applied);
        let root = json!({"configMap": {"name": name, "key": "trusted_root.json"}});
        let identity = json!({
            "issuer": world.sigstore.issuer(), "subject": {"exact": world.job.subject()},
            "trustedRootRef": root,
        });
        let story = &self.story;
        story
            .apply::<TrustedIdentity>(&self.named("job"), identity)
            .await;
        let pem = std::fs::read_to_string(&world.key.public).unwrap();
        let fingerprint = PublicKey::parse(pem.as_bytes()).unwrap().fingerprint();
        let key = json!({
            "type": "PublicKey", "fingerprint": fingerprint.to_string(),
            "publicKey": {"inline": pem}, "trustedRootRef": root,
        });
        story.apply::<TrustedKey>(&self.named("cosign"), key).await;
    }

    fn rule(&self, charts: &str, signers: &Value) -> Value {
        json!({
            "name": charts.replace('*', "any"), "charts": [charts], "sources": [{"url": self.place.registry.url()}],
            "verify": {"signers": signers},
        })
    }

    fn listed(&self, signer: Signer) -> Value {
        match signer {
            Signer::Key => json!({"keys": [self.named("cosign")]}),
            Signer::Job => json!({"identities": [self.named("job")]}),
        }
    }

    async fn install(&self, chart: &Chart) {
        self.story.install(&chart.name, chart).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_judges_every_form_in_a_registry_that_keeps_no_list() {
    every_form(Kind::Distribution, "kept").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_judges_every_form_in_a_registry_with_the_referrers_api() {
    every_form(Kind::WithReferrers, "listed").await;
}

async fn every_form(kind: Kind, prefix: &str) {
    let company = Company::new(prefix, kind).await;
    let forms: Vec<&Form> = FORMS.iter().filter(|form| form.is_kept()).collect();
    let rules = forms
        .iter()
        .map(|form| company.rule(form.name, &company.listed(form.signer)));
    company
        .story
        .rules("policy", &rules.collect::<Vec<_>>())
        .await;
    for form in &forms {
        let pushed = company.place.push(form.name).await;
        form.sign(&pushed).await.unwrap();
        company.install(&pushed.chart).await;
    }
    for form in forms {
        // The release is compared with the archive, which a command cannot do.
        let word = match form.word {
            "ArchiveVerified" => "SignatureVerified",
            word => word,
        };
        company.story.expect(form.name, word).await;
        println!("{:26} {word}", form.name);
    }
    scene().await.hosts.were_left_alone();
}

/// The pipeline of the publisher *and* the key of whoever releases: both, and each without the other.
#[tokio::test(flavor = "multi_thread")]
async fn pgp_and_a_pipeline_are_both_needed() {
    for (kind, prefix) in [
        (Kind::Distribution, "both"),
        (Kind::WithReferrers, "both-listed"),
    ] {
        let company = Company::new(prefix, kind).await;
        let story = &company.story;
        let pgp = story.trusted_key("board").await;
        let signers = json!({
            "keys": [pgp.name], "identities": [company.named("job")], "threshold": 2,
        });
        let policy = json!({"interval": "1s", "rules": [company.rule("*", &signers)]});
        story.policy("policy", &[], policy).await;
        for (name, by_pgp, by_job, word) in [
            ("by-both", true, true, "SignatureVerified"),
            ("by-pgp-alone", true, false, "SignerNotTrusted"),
            ("by-job-alone", false, true, "SignerNotTrusted"),
            ("by-nobody", false, false, "Unsigned"),
        ] {
            let source = Source::new(name, "1.0.0");
            let chart = story.package(&source, by_pgp.then_some(&pgp)).await;
            let pushed = company.place.push_chart(chart).await;
            let form = FORMS.iter().find(|form| form.name == "job-bundle").unwrap();
            if by_job {
                form.sign(&pushed).await.unwrap();
            }
            company.install(&pushed.chart).await;
            story.expect(name, word).await;
            if by_pgp && !by_job {
                // The pipeline signs later what is known by its statement, and judged by it.
                form.sign(&pushed).await.unwrap();
                story.expect(name, "SignatureVerified").await;
            }
        }
    }
    scene().await.hosts.were_left_alone();
}

/// Start, steady state and judging: nobody of Sigstore is asked for anything.
#[tokio::test(flavor = "multi_thread")]
async fn no_host_of_sigstore_is_asked() {
    let scene = scene().await;
    let company = Company::new("alone", Kind::WithReferrers).await;
    let form = FORMS.iter().find(|form| form.name == "job-bundle").unwrap();
    let rule = company.rule(form.name, &company.listed(form.signer));
    let policy = json!({"interval": "1s", "rules": [rule]});
    company.story.policy("policy", &[], policy).await;
    let pushed = company.place.push(form.name).await;
    form.sign(&pushed).await.unwrap();
    company.install(&pushed.chart).await;
    company.story.expect(form.name, "SignatureVerified").await;
    scene.stage.restart().await;
    scene
        .stage
        .judged(&company.story.namespace, "SignatureVerified")
        .await;
    scene.stage.at_rest(&company.story.namespace).await;
    scene.hosts.were_left_alone();
}
