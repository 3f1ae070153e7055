//! What all stories share.

use charttrust::api::TrustedKey;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::binary;
use charttrust_e2e::repository::Repository;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, Power, Setting, Stage, Story, StoryKey};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use tokio::sync::OnceCell;

/// One plane and one operator for all stories.
pub(crate) async fn stage() -> &'static Stage {
    static STAGE: OnceCell<Stage> = OnceCell::const_new();
    let set = async || {
        let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
        let mut setting = Setting::new(binary(), Power::Reports);
        // As the chart has it by default.
        setting.more.push("--discover-unaccounted".to_owned());
        let host = taking_tokens().await.host();
        for (index, audience) in [AUDIENCE, API_SERVER].into_iter().enumerate() {
            let pair = format!("{host}={audience}");
            setting.more.push(format!("--token-audience={pair}"));
            let value = format!("sources.tokenAudiences[{index}]={pair}");
            setting.values.push(value);
        }
        Stage::set(cluster, setting).await
    };
    STAGE.get_or_init(set).await
}

/// A repository that takes tokens of the operator's `ServiceAccount` for [`AUDIENCE`], and no other login. The
/// operator is told of its address when it starts.
pub(crate) async fn taking_tokens() -> &'static Repository {
    static REPOSITORY: OnceCell<Repository> = OnceCell::const_new();
    let start = async || {
        let repository = Repository::start().unwrap();
        repository.require_bearer(AUDIENCE);
        repository
    };
    REPOSITORY.get_or_init(start).await
}

/// For whom the tokens are that [`taking_tokens`] takes.
pub(crate) const AUDIENCE: &str = "charts.test";
/// An audience of the API server, which an administrator has paired by mistake.
pub(crate) const API_SERVER: &str = "https://kubernetes.default.svc";

/// A story with a namespace of its own.
pub(crate) async fn story(prefix: &str, version: Version) -> Story {
    let cluster = stage().await.cluster;
    Story::begin(cluster, prefix, version).await
}

/// Puts the material of a key into a Secret of its name in the operator's namespace.
pub(crate) async fn keep_in_secret(story: &Story, key: &StoryKey) -> Api<Secret> {
    let secrets = Api::<Secret>::namespaced(story.client.clone(), OPERATOR_NAMESPACE);
    let text = story.public(key);
    let secret = json!({"metadata": {"name": key.name}, "stringData": {"key.asc": text}});
    let secret = serde_json::from_value(secret).unwrap();
    let created = secrets.create(&PostParams::default(), &secret).await;
    story.done("keep the key in a Secret", created);
    secrets
}

/// Declares a key whose material lies in an object of its own name.
pub(crate) async fn declare_at(story: &Story, key: &StoryKey, place: &str) {
    let place = json!({place: {"name": key.name, "key": "key.asc"}});
    let spec = json!({"fingerprint": key.key.fingerprint, "publicKey": place});
    story.apply::<TrustedKey>(&key.name, spec).await;
}

/// Tests in two flavours, one for each Helm.
macro_rules! with_both_helms {
    ($($(#[$meta:meta])* $name:ident)+) => {
        mod helm_3 { $($(#[$meta])* #[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(charttrust_e2e::helm::Version::V3).await; })+ }
        mod helm_4 { $($(#[$meta])* #[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(charttrust_e2e::helm::Version::V4).await; })+ }
    };
}

pub(crate) use with_both_helms;
