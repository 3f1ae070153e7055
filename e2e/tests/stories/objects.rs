//! Every example and every object of `operator/tests/api`, on a real API server.

use std::path::{Path, PathBuf};

use axum::http::{Method, Request};
use charttrust_e2e::stage::root;
use kube::Client;
use kube::client::Body;
use serde_json::Value;

use crate::setup::stage;

#[tokio::test(flavor = "multi_thread")]
async fn the_server_takes_every_example_without_a_warning() {
    let server = Server::connect().await;
    for (file, text) in files("examples") {
        for object in documents(&text) {
            let answer = server.create(&object, DRY).await;
            answer.is_accepted(&file);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_takes_what_shall_be_accepted() {
    let server = Server::connect().await;
    for (file, text) in files("operator/tests/api/accepts") {
        for object in documents(&text) {
            server.create(&object, DRY).await.is_accepted(&file);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_refuses_what_shall_be_refused_and_says_why() {
    let server = Server::connect().await;
    for (file, text) in files("operator/tests/api/rejects") {
        for object in documents(&text) {
            let answer = server.create(&object, DRY).await;
            assert!(answer.code >= 400, "{} was accepted", file.display());
            answer.says(expected(&text), &file);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_judges_updates_as_they_say() {
    let server = Server::connect().await;
    for (file, text) in files("operator/tests/api/updates") {
        let documents = documents(&text);
        let [first, second] = documents.as_slice() else {
            panic!("{} has not two documents", file.display());
        };
        server.create(first, REAL).await.is_accepted(&file);
        let answer = server.update(second, DRY).await;
        server.delete(first).await;
        match expected(&text) {
            "accepted" => answer.is_accepted(&file),
            reason => answer.says(reason, &file),
        }
    }
}

struct Server(Client);

/// What the server said to one request.
struct Answer {
    code: u16,
    message: String,
    warnings: Vec<String>,
}

const DRY: &str = "fieldValidation=Strict&dryRun=All";
const REAL: &str = "fieldValidation=Strict";

impl Server {
    async fn connect() -> Self {
        Self(stage().await.cluster.client().await.unwrap())
    }

    async fn create(&self, object: &Value, query: &str) -> Answer {
        self.send(
            Method::POST,
            &format!("{}?{query}", collection(object)),
            object,
        )
        .await
    }

    /// By apply, which needs no resource version and meets no conflict with the operator.
    async fn update(&self, object: &Value, query: &str) -> Answer {
        let path = format!("{}?{query}&fieldManager=story&force=true", one(object));
        self.send(Method::PATCH, &path, object).await
    }

    async fn delete(&self, object: &Value) {
        self.send(Method::DELETE, &one(object), &Value::Null).await;
    }

    async fn send(&self, method: Method, path: &str, object: &Value) -> Answer {
        let content_type = match method {
            Method::PATCH => "application/apply-patch+yaml",
            _ => "application/json",
        };
        let body = if object.is_null() {
            Vec::new()
        } else {
            serde_json::to_vec(object).unwrap()
        };
        let request = Request::builder().method(method).uri(path);
        let request = request
            .header("Content-Type", content_type)
            .body(Body::from(body))
            .unwrap();
        let response = self.0.send(request).await.unwrap();
        let warnings = response.headers().get_all("Warning").into_iter();
        let warnings = warnings
            .map(|warning| warning.to_str().unwrap().to_owned())
            .collect();
        let code = response.status().as_u16();
        let body = response.into_body().collect_bytes().await.unwrap();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let message = answer["message"].as_str().unwrap_or_default().to_owned();
        Answer {
            code,
            message,
            warnings,
        }
    }
}

impl Answer {
    fn is_accepted(&self, file: &Path) {
        assert!(self.code < 300, "{}: {}", file.display(), self.message);
        assert!(
            self.warnings.is_empty(),
            "{}: {:?}",
            file.display(),
            self.warnings
        );
    }

    fn says(&self, expected: &str, file: &Path) {
        assert!(
            self.message.contains(expected),
            "{}: {}",
            file.display(),
            self.message
        );
    }
}

fn collection(object: &Value) -> String {
    let namespace = object["metadata"]["namespace"]
        .as_str()
        .unwrap_or("default");
    match object["kind"].as_str() {
        Some("ChartTrustPolicy") => "/apis/charttrust.io/v1alpha1/charttrustpolicies".to_owned(),
        Some("ConfigMap") => format!("/api/v1/namespaces/{namespace}/configmaps"),
        Some("Quarantine") => {
            format!("/apis/charttrust.io/v1alpha1/namespaces/{namespace}/quarantines")
        }
        Some("Secret") => format!("/api/v1/namespaces/{namespace}/secrets"),
        Some("TrustedIdentity") => "/apis/charttrust.io/v1alpha1/trustedidentities".to_owned(),
        Some("TrustedKey") => "/apis/charttrust.io/v1alpha1/trustedkeys".to_owned(),
        other => panic!("no test knows kind {other:?}"),
    }
}

fn one(object: &Value) -> String {
    format!(
        "{}/{}",
        collection(object),
        object["metadata"]["name"].as_str().unwrap()
    )
}

/// The first line of a file, without its `# `.
fn expected(text: &str) -> &str {
    text.lines()
        .next()
        .and_then(|line| line.strip_prefix("# "))
        .unwrap()
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

/// The YAML files of a folder of this repository.
fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "yaml"));
    files.sort();
    assert!(!files.is_empty());
    let read = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).unwrap();
        (file, text)
    };
    files.into_iter().map(read).collect()
}
