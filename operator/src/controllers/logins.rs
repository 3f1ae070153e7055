//! Whose login a source is asked with, where Flux has one: over a server that asks for it.

use std::future::Future;

use charttrust_verify::deployer::ChartOrigin;
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{Answer, Evidence};
use serde_json::{Value, json};
use wiremock::matchers::{any, header};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::context::DeployerSecrets;
use super::deployed::{RELEASES, SOURCES, flux};
use super::release::poll;
use super::store::{Content, Revision};
use super::testing::{Scene, id};
use super::triggers::follow_deployers;
use crate::inventory::helm::Driver;
use crate::inventory::{Mark, RecordId, ReleaseId};
use crate::leader::Leadership;
use crate::watch::ObjectName;

/// A repository without charts, for `ada` and her password alone.
async fn private() -> MockServer {
    let server = MockServer::start().await;
    let index = ResponseTemplate::new(200).set_body_string("apiVersion: v1\nentries: {}");
    Mock::given(header("authorization", "Basic YWRhOmNhbmFyeQ=="))
        .respond_with(index)
        .mount(&server)
        .await;
    let refused = ResponseTemplate::new(401);
    Mock::given(any())
        .respond_with(refused)
        .mount(&server)
        .await;
    server
}

/// A policy with one source, and nothing installed.
async fn scene(secrets: DeployerSecrets, source: Value) -> Scene {
    let loopback = vec!["127.0.0.1".parse().unwrap()];
    let mut scene = Scene::reaching(loopback, None, Leadership::Alone).await;
    scene.context.settings.deployer_secrets = secrets;
    scene.declare_spec(&json!({"rules": [{
        "name": "all", "charts": ["*"], "sources": [source],
        "verify": {"signers": {"keys": ["platform"]}},
    }]}));
    flux(&scene);
    scene
}

/// A tenant has Flux install `web` from an address, with a login in a Secret of his namespace.
fn install(scene: &Scene, namespace: &str, url: &str, password: &str) -> ReleaseId {
    let release = id(namespace, "web");
    let cluster = &scene.cluster;
    cluster.put(&helm_release_at(namespace), helm_release(namespace));
    cluster.put(&repository_at(namespace), repository(namespace, url));
    let secret = json!({
        "metadata": {"namespace": namespace, "name": "login"},
        "data": {"username": base64("ada"), "password": base64(password)},
    });
    cluster.put(&secret_at(namespace), secret);
    scene.install(&release, Driver::Secret);
    let content = Content {
        chart: "web".to_owned(),
        version: "1.0.0".to_owned(),
        manifest: None,
        recorded: None,
        digest: Sha256Digest::of(b"content"),
        evidence: Evidence::default(),
    };
    let revision = Revision {
        resource_version: "1".to_owned(),
        content: Ok(content),
        mark: mark(namespace),
    };
    let record = RecordId::Helm {
        driver: Driver::Secret,
        revision: 1,
    };
    scene.context.store.update(&release, |known| {
        known.revisions.insert(record, revision);
    });
    release
}

fn mark(namespace: &str) -> Mark {
    Mark::Of(ObjectName {
        namespace: namespace.to_owned(),
        name: "web".to_owned(),
    })
}

fn helm_release_at(namespace: &str) -> String {
    format!("{RELEASES}/v2/namespaces/{namespace}/helmreleases/web")
}

fn helm_release(namespace: &str) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": "web"},
        "spec": {"chart": {"spec": {
            "chart": "web", "sourceRef": {"kind": "HelmRepository", "name": "charts"},
        }}},
        "status": {"history": [{"name": "web", "version": 1}]},
    })
}

fn repository_at(namespace: &str) -> String {
    format!("{SOURCES}/v1/namespaces/{namespace}/helmrepositories/charts")
}

fn repository(namespace: &str, url: &str) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": "charts"},
        "spec": {"url": url, "secretRef": {"name": "login"}},
    })
}

fn secret_at(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/secrets/login")
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(text)
}

/// What the source has answered about a release; it is asked now if it is due.
async fn asked(scene: &Scene, release: &ReleaseId, url: &str) -> Answer {
    poll::plan(&scene.context, release, crate::clock::tick());
    let work = scene.context.queues.polls.next().await;
    poll::poll(&scene.context, &work).await;
    drop(work);
    let known = scene.context.store.release(release).unwrap();
    let content = known.contents().next().unwrap();
    content.evidence.answers.get(url).unwrap().clone()
}

fn message(answer: &Answer) -> String {
    match answer {
        Answer::Unavailable { message, .. } => message.clone(),
        Answer::NotFound => "not found".to_owned(),
        other => panic!("{other:?}"),
    }
}

/// Which Secrets were asked for by their names.
async fn secrets_read(scene: &Scene) -> Vec<String> {
    let all = scene.asked().await.into_iter();
    let by_name = all.filter(|path| path.contains("/secrets/"));
    by_name
        .map(|path| path.trim_end_matches('?').to_owned())
        .collect()
}

async fn was_shown_something(server: &MockServer) -> bool {
    let requests = server.received_requests().await.unwrap();
    let mut requests = requests.iter();
    requests.any(|request| request.headers.contains_key("authorization"))
}

/// Runs a test once it is known where Flux takes the charts of all releases from.
async fn while_followed(scene: &Scene, test: impl Future<Output = ()>) {
    let deployers = &scene.context.cache.deployers;
    let is_known = |release: &ReleaseId| {
        let found = deployers.of(release, &mark(&release.namespace)).deployers;
        let mut origins = found.iter().map(|one| &one.origin);
        origins.any(|origin| matches!(origin, ChartOrigin::Place(_)))
    };
    let followed = async {
        while !scene.context.store.release_ids().iter().all(is_known) {
            tokio::task::yield_now().await;
        }
        test.await;
    };
    let watches = follow_deployers(&scene.context);
    scene.following(watches, followed).await;
}

#[tokio::test]
async fn a_login_of_flux_is_used_for_its_release_and_read_at_each_look() {
    let server = private().await;
    let url = server.uri();
    let scene = scene(DeployerSecrets::Read, json!({"url": url})).await;
    let release = install(&scene, "shop", &url, "canary");
    while_followed(&scene, async {
        let answer = asked(&scene, &release, &url).await;
        assert_eq!(message(&answer), "not found");
        assert_eq!(secrets_read(&scene).await, [secret_at("shop")]);
    })
    .await;
}

/// Without the flag no Secret is read, and whoever reads the message knows which one the policy lacks.
#[tokio::test]
async fn without_the_flag_no_secret_is_read_and_the_one_that_a_source_needs_is_named() {
    let server = private().await;
    let url = server.uri();
    let scene = scene(DeployerSecrets::Unread, json!({"url": url})).await;
    let release = install(&scene, "shop", &url, "canary");
    while_followed(&scene, async {
        let told = message(&asked(&scene, &release, &url).await);
        for part in [
            "HelmRepository shop/charts logs in with Secret login in namespace shop",
            "credentialsSecretRef",
            "namespace charttrust-system",
            "--read-deployer-secrets",
        ] {
            assert!(told.contains(part), "{told}");
        }
        assert!(!told.contains("canary") && !told.contains("ada"), "{told}");
        assert_eq!(secrets_read(&scene).await, [""; 0]);
        assert!(!was_shown_something(&server).await);
    })
    .await;
}

/// Whoever may write objects of Flux has no Secret read that is not his own, and none shown anywhere else.
#[tokio::test]
async fn no_other_secret_is_read_and_none_is_shown_elsewhere() {
    let (server, other) = (private().await, private().await);
    let (url, elsewhere) = (server.uri(), other.uri());
    let plain = || json!({"url": url});
    let mirrored = json!({"url": url, "mirrors": [elsewhere]});
    let own = json!({"url": url, "credentialsSecretRef": {"name": "own"}});
    let is_of_others = json!({"spec": {"chart": {"spec": {"sourceRef": {"namespace": "bank"}}}}});
    let another_chart = json!({"spec": {"chart": {"spec": {"chart": "other"}}}});
    let named = |name: &str| json!({"spec": {"secretRef": {"name": name}}});
    let moved = json!({"spec": {"url": elsewhere}});
    let below = json!({"spec": {"url": format!("{url}/charts")}});
    for (source, release, repository, told) in [
        (plain(), json!({}), moved.clone(), "401"),
        (plain(), json!({}), below, "401"),
        (mirrored, json!({}), moved, "401"),
        (plain(), another_chart, json!({}), "401"),
        (
            plain(),
            is_of_others,
            json!({}),
            "in another namespace than what deploys",
        ),
        (plain(), json!({}), named("../../bank/secrets/login"), "401"),
        (plain(), json!({}), named("login?x=y"), "401"),
        (
            own,
            json!({}),
            json!({}),
            "Secret own does not exist in namespace charttrust-system",
        ),
    ] {
        let scene = scene(DeployerSecrets::Read, source.clone()).await;
        install(&scene, "bank", &url, "canary");
        let web = install(&scene, "shop", &url, "canary");
        let change = |path: String, changes: &Value| {
            let mut object = scene.cluster.find(&path).unwrap();
            json_patch::merge(&mut object, changes);
            scene.cluster.put(&path, object);
        };
        change(helm_release_at("shop"), &release);
        change(repository_at("shop"), &repository);
        while_followed(&scene, async {
            let message = message(&asked(&scene, &web, &url).await);
            assert!(message.contains(told), "{release} {repository}: {message}");
            let read = secrets_read(&scene).await;
            assert_eq!(read, [""; 0], "{source} {release} {repository}");
        })
        .await;
    }
    assert!(!was_shown_something(&server).await && !was_shown_something(&other).await);
}

#[tokio::test]
async fn two_tenants_of_one_source_have_their_own_logins_and_failures() {
    let server = private().await;
    let url = server.uri();
    let scene = scene(DeployerSecrets::Read, json!({"url": url})).await;
    let honest = install(&scene, "shop", &url, "canary");
    let wrong = install(&scene, "bank", &url, "guessed");
    while_followed(&scene, async {
        // Whoever comes first hides nothing of who comes next.
        let answer = message(&asked(&scene, &wrong, &url).await);
        assert!(answer.contains("401"), "{answer}");
        assert!(
            answer.contains("asked with Secret login in namespace bank"),
            "{answer}"
        );
        let answer = message(&asked(&scene, &honest, &url).await);
        assert_eq!(answer, "not found");
        for (release, failures) in [(&honest, 0), (&wrong, 1)] {
            let known = scene.context.store.release(release).unwrap();
            let looks: Vec<_> = known.asked.values().map(|look| look.failures).collect();
            assert_eq!(looks, [failures], "{release}");
        }
        let read = secrets_read(&scene).await;
        assert_eq!(read, [secret_at("bank"), secret_at("shop")]);
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_is_named_and_nothing_is_asked() {
    let server = private().await;
    let url = server.uri();
    let data =
        |data: Value| json!({"metadata": {"namespace": "shop", "name": "login"}, "data": data});
    for (secret, refusal, told) in [
        (None, None, "Secret login in namespace shop does not exist"),
        (
            Some(data(json!({}))),
            None,
            "has none of username and password",
        ),
        (
            Some(data(json!({"username": base64("ada"), "ca.crt": "eA=="}))),
            None,
            "has none of",
        ),
        (
            Some(data(json!({".dockerconfigjson": base64("[]")}))),
            None,
            "Secret login in namespace shop: .dockerconfigjson",
        ),
        (
            Some(data(json!({}))),
            Some((403, "Forbidden")),
            "sources.readDeployerSecrets of the chart grants it",
        ),
        (
            Some(data(json!({}))),
            Some((500, "InternalError")),
            "the API server did not give Secret login in namespace shop",
        ),
    ] {
        let scene = scene(DeployerSecrets::Read, json!({"url": url})).await;
        let release = install(&scene, "shop", &url, "canary");
        match secret {
            Some(secret) => drop(scene.cluster.put(&secret_at("shop"), secret)),
            None => scene.cluster.remove(&secret_at("shop")),
        }
        if let Some(refusal) = refusal {
            scene.cluster.refuse("GET", "/secrets/login", refusal);
        }
        while_followed(&scene, async {
            let message = message(&asked(&scene, &release, &url).await);
            assert!(message.contains(told), "{message}");
        })
        .await;
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
}

/// It says who may speak for the source, which is the policy's to say.
#[tokio::test]
async fn an_authority_alone_is_no_login() {
    let server = private().await;
    let url = server.uri();
    let scene = scene(DeployerSecrets::Read, json!({"url": url})).await;
    let release = install(&scene, "shop", &url, "canary");
    let secret =
        json!({"metadata": {"namespace": "shop", "name": "login"}, "data": {"ca.crt": "eA=="}});
    scene.cluster.put(&secret_at("shop"), secret);
    while_followed(&scene, async {
        let message = message(&asked(&scene, &release, &url).await);
        assert!(message.contains("401"), "{message}");
    })
    .await;
    assert!(!was_shown_something(&server).await);
}

/// A login that comes later is used without a restart.
#[tokio::test]
async fn another_login_has_the_source_asked_again() {
    let server = private().await;
    let url = server.uri();
    let scene = scene(DeployerSecrets::Read, json!({"url": url})).await;
    let release = install(&scene, "shop", &url, "canary");
    let mut bare = repository("shop", &url);
    bare["spec"].as_object_mut().unwrap().remove("secretRef");
    scene.cluster.put(&repository_at("shop"), bare);
    while_followed(&scene, async {
        let answer = message(&asked(&scene, &release, &url).await);
        assert!(answer.contains("401"), "{answer}");
        scene
            .cluster
            .put(&repository_at("shop"), repository("shop", &url));
        let is_forgotten = || {
            poll::plan(&scene.context, &release, crate::clock::tick());
            let known = scene.context.store.release(&release).unwrap();
            known.asked.is_empty()
        };
        // By nothing but what the watch has queued.
        loop {
            let work = scene.context.queues.records.next().await;
            assert_eq!(work.item, release);
            if is_forgotten() {
                break;
            }
        }
    })
    .await;
}
