//! Registries that show nothing without a login.

use charttrust_e2e::charts::Source;
use charttrust_e2e::helm::Version;
use charttrust_e2e::registry::{Kind, LOGIN};
use charttrust_e2e::stage::OPERATOR_NAMESPACE;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::setup::{Logins, Published, offline, with_both_helms};

with_both_helms! {
    a_registry_is_asked_with_the_login_of_a_secret
}

async fn a_registry_is_asked_with_the_login_of_a_secret(version: Version) {
    let published = Published::begin("login", version, Kind::DistributionWithLogin).await;
    let (story, registry) = (&published.story, &published.registry);
    let host = registry.host();
    let logged_in = story.helm.registry_login(&host, LOGIN.0, LOGIN.1);
    story.done("log in", logged_in.await);
    let login = format!("{}-login", story.namespace);
    published
        .policy(&json!({"credentialsSecretRef": {"name": login}}))
        .await;
    let signed = published
        .publish(&Source::new("web", "1.0.0"), Some(&published.key))
        .await;
    let unsigned = published.publish(&Source::new("shop", "1.0.0"), None).await;
    published.install("web", &signed).await;
    published.install("shop", &unsigned).await;
    let trust = story.expect("web", "SourceUnavailable").await;
    let findings = trust.status.unwrap().findings;
    assert!(findings[0].message.contains(&login), "{findings:?}");
    let said = published.verified(&signed, Logins::None).await;
    assert_eq!(said, offline("SourceUnavailable"));

    let secrets = Api::<Secret>::namespaced(story.client.clone(), OPERATOR_NAMESPACE);
    let keep = async |password: &str| {
        let entry = json!({"username": LOGIN.0, "password": password});
        // The longest path that begins the source's counts.
        let config = json!({"auths": {
            registry.host(): {"username": "nobody", "password": "nothing"},
            format!("{}/charts", registry.host()): entry,
        }});
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": login},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": config.to_string()},
        });
        let params = PatchParams::apply("story").force();
        let kept = secrets.patch(&login, &params, &Patch::Apply(&secret)).await;
        story.done("keep the login in a Secret", kept);
    };
    keep("wrong").await;
    let trust = story
        .expect_told("web", "the credentials are refused")
        .await;
    let told = format!("{:?}", trust.status);
    assert!(!told.contains("wrong"), "{told}");
    story.expect("web", "SourceUnavailable").await;
    keep(LOGIN.1).await;
    for (chart, word) in [(&signed, "SignatureVerified"), (&unsigned, "Unsigned")] {
        story.expect(&chart.name, word).await;
        let said = published.verified(chart, Logins::OfHelm).await;
        assert_eq!(said, offline(word));
    }
    let deleted = secrets.delete(&login, &DeleteParams::default()).await;
    story.done("delete the Secret", deleted);
}
