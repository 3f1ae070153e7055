//! An API server with our webhook, one that looks at nothing, and records to send.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use charttrust::controllers::webhook::SHOWN;
use charttrust_e2e::audit::{Event, Mark};
use charttrust_e2e::charts::Source;
use charttrust_e2e::cluster::{Cluster, Identity, built};
use charttrust_e2e::door::{Door, NAME, point};
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::Operator;
use charttrust_e2e::process::Process;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, Power, SOON, Setting, Stage, Story};
use charttrust_e2e::{eventually, record};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use tempfile::TempDir;

use crate::numbers::ticks;
use crate::run::memory;
use crate::{Arguments, Result, noise};

/// Who is asked by the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    Ours,
    /// Somebody who looks at nothing.
    Noop,
    Nobody,
}

impl Variant {
    pub(super) const ALL: [Self; 3] = [Self::Ours, Self::Noop, Self::Nobody];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Noop => "no-op",
            Self::Nobody => "nobody",
        }
    }
}

/// How large a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Small,
    /// 8 KiB.
    Usual,
    /// 120 kB.
    Medium,
    /// Nearly as large as a Secret may be: 1 MiB.
    Largest,
}

impl Size {
    const ALL: [Self; 4] = [Self::Small, Self::Usual, Self::Medium, Self::Largest];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Usual => "usual",
            Self::Medium => "medium",
            Self::Largest => "largest",
        }
    }

    /// How much of a file that cannot be packed makes a record of this size, which has it in base64 twice.
    fn padding(self) -> usize {
        match self {
            Self::Small => 0,
            Self::Usual => 4_300,
            Self::Medium => 86_000,
            Self::Largest => 745_000,
        }
    }
}

/// A record of each size, ready to be sent.
struct Sent {
    /// As many releases, for each that is asked about them.
    secrets: [Vec<Arc<Secret>>; 3],
    review: String,
}

/// Everything that is measured.
pub(super) struct Stand {
    cluster: &'static Cluster,
    story: Story,
    identity: Identity,
    door: Door,
    noop: Noop,
    /// To the webhooks.
    http: reqwest::Client,
    sent: [Sent; 4],
    begun: Mark,
}

struct Noop {
    process: Process,
    address: String,
    _dir: TempDir,
}

impl Stand {
    /// An operator makes certificates, and goes: what it would do about records is not measured here.
    pub(super) async fn set(arguments: &Arguments) -> Result<Self> {
        let binary = match &arguments.binary {
            Some(binary) => binary.clone(),
            None => built("../release/charttrust")?,
        };
        let testbed = built("testbed")?;
        // It lasts as long as this program, as the one that all other rows share.
        let cluster: &'static Cluster =
            Box::leak(Box::new(Cluster::start(&testbed.to_string_lossy())?));
        let mut setting = Setting::new(binary.clone(), Power::Reports);
        setting.values.push("admission.enabled=true".to_owned());
        setting.more.push("--webhook".to_owned());
        setting.more.push(format!("--webhook-configuration={NAME}"));
        let stage = Stage::set(cluster, setting).await;
        let identity = cluster.identity(OPERATOR_NAMESPACE, NAME).await?;
        let mut door = Door::start(&binary, &identity.kubeconfig(), OPERATOR_NAMESPACE, None)?;
        let story = Story::begin(cluster, "door", Version::V4).await;
        point(&story.client, door.address()).await?;
        door.ready().await;
        let noop = Noop::start(arguments, &identity)?;
        let (configuration, http) = believed(&story, &door).await;
        stage.operator(Operator::kill);
        divide(&story.client, configuration, &noop.address).await?;
        let sent = records(&story).await?;
        let stand = Self {
            begun: cluster.mark(),
            cluster,
            story,
            identity,
            door,
            noop,
            http,
            sent,
        };
        stand.warm().await?;
        Ok(stand)
    }

    /// Both answer, are asked about what is theirs, and ours remembers the archives.
    async fn warm(&self) -> Result {
        for size in Size::ALL {
            self.review(Variant::Ours, size).await?;
        }
        eventually(
            SOON,
            "the webhook that looks at nothing answers",
            async || {
                let answered = self.review(Variant::Noop, Size::Small).await;
                answered.map_err(|error| error.to_string())
            },
        )
        .await;
        for whom in [Variant::Ours, Variant::Noop] {
            self.asked_about(whom).await?;
        }
        let before = self.answers().await?;
        self.create(Variant::Nobody, 0).await?;
        if self.answers().await? != before {
            return Err("somebody is asked about what is nobody's".into());
        }
        Ok(())
    }

    /// The API server asks this one, and no other, about its records.
    async fn asked_about(&self, whom: Variant) -> Result {
        eventually(SOON, "the API server asks this webhook alone", async || {
            let answers = async || self.answers().await.map_err(|error| error.to_string());
            let before = answers().await?;
            let created = self.create(whom, 0).await;
            created.map_err(|error| error.to_string())?;
            let after = answers().await?;
            let mut expected = before;
            expected[whom as usize] += 1;
            if after == expected {
                Ok(())
            } else {
                Err(format!("{whom:?}: {before:?} answers, then {after:?}"))
            }
        })
        .await;
        Ok(())
    }

    /// How many reviews ours and the other have answered.
    async fn answers(&self) -> Result<[u64; 2]> {
        Ok([
            self.answered(Variant::Ours).await?,
            self.answered(Variant::Noop).await?,
        ])
    }

    /// Creates a record of usual size that this one is asked about, without storing it.
    pub(super) fn create(
        &self,
        whom: Variant,
        number: usize,
    ) -> impl Future<Output = Result> + use<> {
        let secrets = &self.sent[Size::Usual as usize].secrets[whom as usize];
        let secret = Arc::clone(&secrets[number % secrets.len()]);
        let namespace = &self.story.namespace;
        let api = Api::<Secret>::namespaced(self.story.client.clone(), namespace);
        async move {
            let dry = PostParams {
                dry_run: true,
                ..PostParams::default()
            };
            api.create(&dry, &secret).await?;
            Ok(())
        }
    }

    /// Which processor time a webhook has taken, in ticks.
    pub(super) fn ticks(&self, whom: Variant) -> u64 {
        match whom {
            Variant::Nobody => 0,
            Variant::Noop => ticks(self.noop.process.id()),
            Variant::Ours => ticks(self.door.id()),
        }
    }

    /// Asks a webhook itself, which has to let the record in.
    pub(super) fn review(&self, whom: Variant, size: Size) -> impl Future<Output = Result> + use<> {
        let address = match whom {
            Variant::Noop => self.noop.address.as_str(),
            Variant::Nobody | Variant::Ours => self.door.address(),
        };
        let body = self.sent[size as usize].review.clone();
        let request = self.http.post(format!("https://{address}/v1/records"));
        async move {
            let request = request.header("content-type", "application/json");
            let answer = request.body(body).send().await?;
            let (status, text) = (answer.status(), answer.text().await?);
            let answer: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            let answer = &answer["response"];
            if answer["allowed"] != true || answer["warnings"].is_array() {
                return Err(format!("not let in silently: {status}: {text}").into());
            }
            Ok(())
        }
    }

    /// How many reviews of records a webhook has answered.
    pub(super) async fn answered(&self, whom: Variant) -> Result<u64> {
        Ok(match whom {
            Variant::Nobody => 0,
            Variant::Noop => {
                let at = format!("https://{}/answered", self.noop.address);
                self.http.get(at).send().await?.text().await?.parse()?
            }
            Variant::Ours => {
                let text = self.door.metrics().await?;
                let allowed = "charttrust_admission_reviews_total{result=\"allowed\"}";
                let mut lines = text.lines().filter(|line| line.starts_with(allowed));
                let line = lines.next().unwrap_or("0");
                line.rsplit(' ').next().unwrap_or_default().parse()?
            }
        })
    }

    /// How often sources were asked, and what our webhook has asked the API server for.
    pub(super) fn asked(&self) -> Result<(usize, Vec<String>)> {
        let of_us = self.cluster.audit()?.since(self.begun)?;
        let of_us = of_us
            .by(self.identity.user())
            .only(|event| event.verb == "get");
        let told = |event: &Event| format!("{} {}/{}", event.resource, event.namespace, event.name);
        let told = of_us.iter().map(told).collect();
        Ok((self.story.repository.requests().len(), told))
    }

    /// Resident memory of our webhook now and at its peak, in KiB.
    pub(super) fn memory(&self) -> [u64; 2] {
        memory(self.door.id())
    }

    /// How many bytes the record in a Secret has.
    pub(super) fn bytes(&self, size: Size) -> usize {
        let secret = self.sent[size as usize].secrets[0].first();
        let data = secret.and_then(|secret| secret.data.as_ref());
        let all = data.into_iter().flat_map(|data| data.values());
        all.map(|value| value.0.len()).sum()
    }
}

impl Noop {
    fn start(arguments: &Arguments, identity: &Identity) -> Result<Self> {
        let program: PathBuf = match &arguments.noop {
            Some(program) => program.clone(),
            None => built("../release/noop-webhook")?,
        };
        let dir = tempfile::tempdir()?;
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?
            .local_addr()?
            .port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(program);
        command
            .args([&address, OPERATOR_NAMESPACE, SHOWN])
            .env("KUBECONFIG", identity.kubeconfig());
        let process = Process::spawn("noop-webhook", &command, &dir.path().join("log"))?;
        Ok(Self {
            process,
            address,
            _dir: dir,
        })
    }
}

/// Has the API server ask ours about records of one label, and the other about those of another: nothing changes
/// while they are measured.
async fn divide(client: &kube::Client, ours: ValidatingWebhookConfiguration, noop: &str) -> Result {
    let all = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    let of = |whom: Variant, address: Option<&str>| {
        let mut configuration = ours.clone();
        for webhook in configuration.webhooks.iter_mut().flatten() {
            webhook.object_selector = Some(LabelSelector {
                match_labels: Some([(ASKED.to_owned(), whom.word().to_owned())].into()),
                ..LabelSelector::default()
            });
            if let Some(address) = address {
                webhook.client_config.url = Some(format!("https://{address}/v1/records"));
            }
        }
        configuration
    };
    let mut other = of(Variant::Noop, Some(noop));
    other.metadata = ObjectMeta {
        name: Some(format!("{NAME}-noop")),
        ..ObjectMeta::default()
    };
    all.create(&PostParams::default(), &other).await?;
    let change = json!({"webhooks": of(Variant::Ours, None).webhooks});
    all.patch(NAME, &PatchParams::default(), &Patch::Merge(change))
        .await?;
    Ok(())
}

/// Whom the API server asks about a record.
const ASKED: &str = "bench.charttrust.io/asked";

/// The configuration, and a client that believes whom it names, once the webhook shows a certificate for its address.
async fn believed(story: &Story, door: &Door) -> (ValidatingWebhookConfiguration, reqwest::Client) {
    let configurations = Api::<ValidatingWebhookConfiguration>::all(story.client.clone());
    let at = format!("https://{}/readyz", door.address());
    eventually(SOON, "the webhook is believed", async || {
        let found = configurations.get(NAME).await;
        let found = found.map_err(|error| error.to_string())?;
        let http = client(&found).map_err(|error| error.to_string())?;
        let answered = http.get(&at).send().await;
        answered.map_err(|error| format!("{error:?}"))?;
        Ok::<_, String>((found, http))
    })
    .await
}

/// A client that believes whom API servers are told to believe.
fn client(configuration: &ValidatingWebhookConfiguration) -> Result<reqwest::Client> {
    let mut all = configuration.webhooks.iter().flatten();
    let bundle = all.find_map(|one| one.client_config.ca_bundle.as_ref());
    let bundle = bundle.ok_or("the operator has made no authority")?;
    let authorities = reqwest::Certificate::from_pem_bundle(&bundle.0)?;
    let mut client = reqwest::Client::builder().no_proxy().http1_only();
    for authority in authorities {
        client = client.add_root_certificate(authority);
    }
    Ok(client.timeout(Duration::from_secs(30)).build()?)
}

/// Real Helm installs a signed chart of each size once; its record is that of many releases.
async fn records(story: &Story) -> Result<[Sent; 4]> {
    let key = story.trusted_key("platform").await;
    let enforce = json!({"mode": "Enforce", "admission": {"onUnknown": "Deny"}});
    story.policy("strict", &[&key], enforce).await;
    let mut sent = Vec::new();
    for size in Size::ALL {
        let source =
            Source::new(size.word(), "1.0.0").with_bytes("files/padding", &noise(size.padding()));
        let chart = story.publish(&source, Some(&key)).await;
        story.install(size.word(), &chart).await;
        let secrets = Api::<Secret>::namespaced(story.client.clone(), &story.namespace);
        let mut template = secrets.get(&record::stored(size.word(), 1)).await?;
        template.metadata.managed_fields = None;
        let of_release = |whom: Variant, number: usize| -> Result<Arc<Secret>> {
            let name = format!("{}-{number}", size.word());
            let mut copy = record::copy(&template, &name, |_| {})?;
            let labels = copy.metadata.labels.get_or_insert_default();
            labels.insert(ASKED.to_owned(), whom.word().to_owned());
            Ok(Arc::new(copy))
        };
        let of = |whom| -> Result<Vec<_>> {
            (0..RELEASES)
                .map(|number| of_release(whom, number))
                .collect()
        };
        let [ours, noop, nobody] = Variant::ALL.map(of);
        let secrets: [Vec<_>; 3] = [ours?, noop?, nobody?];
        let object = serde_json::to_value(&*secrets[0][0])?;
        let review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "7f0b2891-916f-4ed6-b7cd-27bff1815a8c",
                "kind": {"group": "", "version": "v1", "kind": "Secret"},
                "resource": {"group": "", "version": "v1", "resource": "secrets"},
                "namespace": story.namespace, "operation": "CREATE",
                "userInfo": {"username": "somebody"}, "object": object, "oldObject": null, "dryRun": true,
            },
        });
        sent.push(Sent {
            secrets,
            review: review.to_string(),
        });
    }
    sent.try_into().map_err(|_| "four sizes".into())
}

/// Releases of each size.
const RELEASES: usize = 16;
