//! Applications of Argo CD at their own door: what they ask for is judged before anything is deployed. Argo CD looks
//! after none of these: they lie in namespaces that it does not look at.

use charttrust::watch::MOST;
use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{SOON, Story};
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::setup::story;
use crate::table::with_argo;

fn api(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Application");
    let resource = ApiResource::from_gvk_with_plural(&kind, "applications");
    Api::namespaced_with(client.clone(), namespace, &resource)
}

struct Argo<'a> {
    story: &'a Story,
    api: Api<DynamicObject>,
}

impl Argo<'_> {
    fn source(&self, chart: &str, version: &str) -> Value {
        json!({"repoURL": self.story.repository.url(), "chart": chart, "targetRevision": version})
    }

    async fn create(&self, name: &str, spec: &Value) -> Result<(), String> {
        let mut object = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": self.story.namespace}, "spec": spec,
        });
        // Its definition asks for both.
        object["spec"]["project"] = json!("default");
        object["spec"]["destination"] = json!({"namespace": self.story.namespace});
        let object = serde_json::from_value(object).unwrap();
        let created = self.api.create(&PostParams::default(), &object).await;
        created.map(drop).map_err(|error| error.to_string())
    }

    async fn change(&self, name: &str, change: &Value) -> Result<(), String> {
        let (params, patch) = (PatchParams::default(), Patch::Merge(change));
        let patched = self.api.patch(name, &params, &patch).await;
        patched.map(drop).map_err(|error| error.to_string())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_judged_by_what_it_asks_for() {
    let (story, _door) = story("argo-door", Version::V4).await;
    with_argo().await;
    let key = story.trusted_key("platform").await;
    let rule = story.rule("*", &[&key], json!({"verify": {"level": "Signature"}}));
    let strict = json!({"mode": "Enforce", "rules": [rule]});
    let policy = story.policy("strict", &[&key], strict).await;
    story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story
        .publish(&Source::new("web", "1.1.0"), Some(&key))
        .await;
    story.publish(&Source::new("bare", "1.0.0"), None).await;
    let argo = Argo {
        story: &story,
        api: api(&story.client, &story.namespace),
    };

    let refused = eventually(SOON, "what is not signed is refused", async || {
        let asked = json!({"source": argo.source("bare", "1.0.0")});
        match argo.create("bare", &asked).await {
            Err(said) if said.contains("denied the request") => Ok(said),
            Err(said) => Err(said),
            Ok(()) => {
                let gone = argo.api.delete("bare", &DeleteParams::default()).await;
                Err(format!("it went in; {:?}", gone.is_ok()))
            }
        }
    })
    .await;
    let told = format!(
        "release {}/argocd.bare (chart bare 1.0.0): Unsigned by policy {policy}, rule any",
        story.namespace
    );
    assert!(
        refused.contains("applications.charttrust.io") && refused.contains(&told),
        "{refused}"
    );

    let web = json!({"source": argo.source("web", "1.0.0")});
    story.done("create what is signed", argo.create("web", &web).await);
    // Whatever else changes, and whatever it asks for already, is nobody's business here.
    let label = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"project": "shop"}});
    story.done("change something else", argo.change("web", &label).await);
    let newer = json!({"spec": {"source": {"targetRevision": "1.1.0"}}});
    story.done("ask for what is signed", argo.change("web", &newer).await);
    for (what, change) in [
        (
            "another chart",
            json!({"spec": {"source": {"chart": "bare", "targetRevision": "1.0.0"}}}),
        ),
        (
            "one more source",
            json!({"spec": {"sources": [argo.source("bare", "1.0.0")]}}),
        ),
        (
            "an operation",
            json!({"operation": {"sync": {"source": argo.source("bare", "1.0.0")}}}),
        ),
        (
            "a range",
            json!({"spec": {"source": {"chart": "bare", "targetRevision": "*"}}}),
        ),
    ] {
        let said = argo.change("web", &change).await.expect_err(what);
        assert!(said.contains("Unsigned"), "{what}: {said}");
    }
    let range = json!({"spec": {"source": {"chart": "bare", "targetRevision": "1.x"}}});
    let said = argo.change("web", &range).await.unwrap_err();
    assert!(
        said.contains("1.0.0, the highest of 1.x now; later ones are not asked about"),
        "{said}"
    );
    let range = json!({"spec": {"source": {"targetRevision": "1.x"}}});
    story.done(
        "ask for a range of what is signed",
        argo.change("web", &range).await,
    );
    let elsewhere = json!({"spec": {"source": {"repoURL": "https://elsewhere.example.com"}}});
    let moved = argo.change("web", &elsewhere).await;
    // Of a place that no rule has nothing is known: it goes in, and the operator says so.
    story.done("ask elsewhere", moved);
}

/// Nobody judges what stands behind the last source that is looked at: what is signed before it lends it nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_with_more_sources_than_are_looked_at_is_refused() {
    let (story, _door) = story("argo-cut", Version::V4).await;
    with_argo().await;
    let key = story.trusted_key("platform").await;
    let rule = story.rule("*", &[&key], json!({"verify": {"level": "Signature"}}));
    let strict = json!({"mode": "Enforce", "admission": {"onUnknown": "Deny"}, "rules": [rule]});
    let policy = story.policy("strict", &[&key], strict).await;
    story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.publish(&Source::new("bare", "1.0.0"), None).await;
    let argo = Argo {
        story: &story,
        api: api(&story.client, &story.namespace),
    };
    let signed = || argo.source("web", "1.0.0");
    let sources = |count: usize| -> Vec<_> { (0..count).map(|_| signed()).collect() };
    let refused = async |name: &str, sources: Vec<Value>| {
        eventually(SOON, "what is cut is refused", async || {
            let asked = json!({"sources": sources});
            match argo.create(name, &asked).await {
                Err(said) if said.contains("LimitExceeded") => Ok(said),
                Err(said) => Err(said),
                Ok(()) => {
                    let gone = argo.api.delete(name, &DeleteParams::default()).await;
                    Err(format!("it went in; {:?}", gone.is_ok()))
                }
            }
        })
        .await
    };
    let behind = [sources(MOST), vec![argo.source("bare", "1.0.0")]].concat();
    let said = refused("behind", behind).await;
    let told = format!("release {}/argocd.behind: ", story.namespace);
    let why = "the Application has more sources, or longer texts of them, than are looked at";
    assert!(
        said.contains(&told) && said.contains(why) && said.contains(&policy),
        "{said}"
    );
    // Long texts take the room of those after them.
    let long = argo.source("web", &format!("1.0.0+{}", "a".repeat(1000)));
    refused("long", vec![long; MOST - 1]).await;

    let within = json!({"sources": sources(MOST - 1)});
    story.done("ask for few", argo.create("few", &within).await);
    let more = json!({"spec": {"sources": sources(MOST + 1)}});
    let said = argo.change("few", &more).await.unwrap_err();
    assert!(said.contains("LimitExceeded"), "{said}");
}
