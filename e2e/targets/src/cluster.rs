//! Objects of a cluster: what the API server asks at the door, what deploys, what people declare.

use std::collections::BTreeMap;

use charttrust::api::{ChartTrustPolicy, Quarantine, TrustedIdentity, TrustedKey};
use charttrust::door::{Answer, Review, Subject};
use charttrust::inventory::argocd::{Application, Requested};
use charttrust::inventory::flux::{self, HelmRelease};
use charttrust::inventory::k3s::HelmChart;
use charttrust::parse;
use charttrust::quarantine::incident::Incidents;
use charttrust::quarantine::{ANNOTATION, Annotation, Carried};
use charttrust::watch::{Kept, Picked};
use charttrust_verify::finding::is_deceptive;
use charttrust_verify::sigstore::Root;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{Target, vectors};

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "review",
        reads: "an `AdmissionReview`, and the record of Helm or the Application in it",
        holds: "What another reader sees as a record that is created is judged as one; an answer names the question it belongs to.",
        longest: 8192,
        check: review,
        seeds: reviews,
    },
    Target {
        name: "deployers",
        reads: "objects of Flux, Argo CD and k3s",
        holds: "Of the fields that are kept it is the same as of the whole object.",
        longest: 4096,
        check: deployers,
        seeds: deployer_objects,
    },
    Target {
        name: "declared",
        reads: "policies, keys, identities and quarantines, as people write them",
        holds: "Read twice it is the same; what is told of it cannot deceive whoever reads it.",
        longest: 4096,
        check: declared,
        seeds: declarations,
    },
    Target {
        name: "annotation",
        reads: "what a contained object carries of how it was, and the list of incidents",
        holds: "What is read and written again is read as the same.",
        longest: 2048,
        check: annotation,
        seeds: annotations,
    },
];

fn reviews() -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let engine = base64::prelude::BASE64_STANDARD;
    let record = r#"{"name": "web", "version": 1, "namespace": "shop", "info": {"status": "pending-install"},
        "chart": {"metadata": {"name": "web", "version": "1.0.0", "apiVersion": "v2"}}}"#;
    let object = json!({
        "metadata": {"name": "sh.helm.release.v1.web.v1", "labels": {"owner": "helm", "status": "pending-install"}, "annotations": {}},
        "type": TYPE,
        "data": {"release": engine.encode(engine.encode(record))},
    });
    let of = |group: &str, kind: &str, object: Value| {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "kind": {"group": group, "version": "v1", "kind": kind},
            "namespace": "shop", "operation": "CREATE", "subResource": "", "object": object}})
    };
    let map = json!({"metadata": {"name": "sh.helm.release.v1.web.v12"}, "data": {"release": engine.encode(record)}});
    let application = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": {"source":
        {"repoURL": "https://charts.example.com", "chart": "web", "targetRevision": "1.2.3"}},
        "operation": {"sync": {"revision": "1.2.4"}}});
    let all = [
        of("", "Secret", object),
        of("", "ConfigMap", map),
        of("argoproj.io", "Application", application),
    ];
    all.map(|review| review.to_string().into_bytes()).to_vec()
}

const TYPE: &str = "helm.sh/release.v1";

fn review(bytes: &[u8]) {
    let Ok(read) = Review::read(bytes) else {
        return;
    };
    let uid = read.uid().to_owned();
    assert!((1..=128).contains(&uid.len()));
    let refused = Answer {
        refusal: Some("no\u{202e}".to_owned()),
        warnings: Vec::new(),
    };
    for (answer, allowed) in [(Answer::default(), true), (refused, false)] {
        let body = serde_json::from_slice::<Value>(&Review::answered(&uid, &answer));
        let body = body.unwrap_or_else(|error| panic!("the answer is no JSON: {error}"));
        assert_eq!(body["response"]["uid"], uid.as_str());
        assert_eq!(body["response"]["allowed"], allowed);
    }
    judged_as(&read.subject, bytes);
}

/// That it is taken for what another reader sees in it.
fn judged_as(subject: &Subject, bytes: &[u8]) {
    // The API server writes UTF-8; another reader wants it also where nobody reads.
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let request = &value["request"];
    let text = |at: &str| {
        request
            .pointer(at)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (group, kind) = (text("/kind/group"), text("/kind/kind"));
    let is_new = text("/operation") == "CREATE" && text("/subResource").is_empty();
    let name = text("/object/metadata/name");
    let is_secret = kind == "Secret" && text("/object/type") == TYPE;
    let is_kind = group.is_empty() && (is_secret || kind == "ConfigMap");
    let wanted = is_kind && is_new && is_record(name) && request["object"].is_object();
    match subject {
        Subject::Record(record) => {
            assert!(wanted, "no record, and judged as one");
            assert_eq!(record.key.object_name(), name);
            assert_eq!(record.key.release.namespace, text("/namespace"));
        }
        Subject::Application(requested) => {
            assert_eq!((group, kind), ("argoproj.io", "Application"));
            assert_eq!(text("/object/metadata/name"), requested.name.name);
            assert!(requested.charts().count() <= 256);
        }
        Subject::Other => assert!(!wanted, "a record that nobody judges"),
    }
}

/// Whether Helm gives such names to its records.
fn is_record(name: &str) -> bool {
    let rest = name.strip_prefix("sh.helm.release.v1.");
    rest.and_then(|rest| rest.rsplit_once(".v"))
        .is_some_and(|(release, revision)| {
            let number = revision.parse::<u32>();
            !release.is_empty() && number.is_ok_and(|number| number.to_string() == revision)
        })
}

fn deployer_objects() -> Vec<Vec<u8>> {
    let release = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": {"chart": {"spec": {"chart": "web",
        "version": "1.x", "sourceRef": {"kind": "HelmRepository", "name": "own", "namespace": "flux-system"}}}, "storageNamespace": "shop"},
        "status": {"storageNamespace": "shop", "history": [{"name": "web", "version": 3, "ociDigest": format!("sha256:{}", "a".repeat(64))}],
        "lastAttemptedRevisionDigest": "sha256:00"}});
    let by_ref = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": {"chartRef": {"kind": "OCIRepository", "name": "web"},
        "url": "oci://registry.example/charts/web", "secretRef": {"name": "s"}, "kubeConfig": {}},
        "status": {"artifact": {"revision": format!("1.2.3@sha256:{}", "b".repeat(64))}}});
    let chart = json!({"metadata": {"namespace": "kube-system", "name": "traefik"}, "spec": {"chart": "traefik", "repo": "https://charts.example.com",
        "targetNamespace": "shop", "chartContent": "H4sI"}, "status": {"jobName": "helm-install-traefik"}});
    let application = json!({"metadata": {"namespace": "argocd", "name": "web"}, "spec": {"destination": {"namespace": "shop"}, "sources": [
        {"repoURL": "registry.example/charts", "chart": "web", "targetRevision": "1.2.3"}, {"repoURL": "https://git.example/x", "path": "."}]},
        "status": {"history": [{"id": 0, "revision": "1.2.3", "source": {"repoURL": "https://charts.example.com", "chart": "web"}}],
        "operationState": {"phase": "Succeeded", "syncResult": {"revisions": ["1.2.3"], "sources": [{"chart": "web", "repoURL": "https://charts.example.com"}]}},
        "sync": {"revision": "1.2.3"}}});
    [release, by_ref, chart, application]
        .map(|object| object.to_string().into_bytes())
        .to_vec()
}

fn deployers(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    // The API server sends no field twice.
    let text = value.to_string();
    if let Some(release) = kept::<HelmRelease>(&text, &value) {
        let find = |_: &flux::SourceRef| Err("is not there".to_owned());
        let _ = (release.release(), release.revision());
        let _ = (release.origin(&find), release.traces(&find));
    }
    kept::<flux::Source>(&text, &value);
    if let Some(chart) = kept::<HelmChart>(&text, &value) {
        let _ = (chart.release(), chart.has_begun(), chart.origin());
    }
    if let Some(application) = kept::<Application>(&text, &value) {
        assert!(application.claims().count() <= 256);
    }
    if let Some(requested) = kept::<Requested>(&text, &value) {
        assert!(requested.charts().count() <= 256);
    }
}

/// What is kept of an object, by the fields that are picked out of its text.
fn kept<T: Kept>(text: &str, whole: &Value) -> Option<T> {
    let picked = serde_json::from_str::<Picked<T>>(text).ok()?;
    let kept = T::of(&picked.value);
    if is_plain(whole) {
        let of_whole = T::of(whole);
        assert_eq!(
            kept, of_whole,
            "the fields that are picked say something else"
        );
    }
    kept
}

/// Whether an object can be what definitions let in: lists are no maps with numbers for names. Longer lists are cut
/// where they are picked.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Array(all) => all.len() <= charttrust::watch::MOST && all.iter().all(is_plain),
        Value::Object(fields) => {
            let is_number = |name: &String| name.parse::<usize>().is_ok();
            !fields.keys().any(is_number) && fields.values().all(is_plain)
        }
        _ => true,
    }
}

fn declarations() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (name, text) in vectors::all_of_repository("examples", ".yaml") {
        let objects = serde_saphyr::from_multiple::<Value>(&String::from_utf8_lossy(&text));
        let objects = objects.unwrap_or_else(|error| panic!("{name}: {error}"));
        all.extend(objects.iter().map(|object| object.to_string().into_bytes()));
    }
    all
}

fn declared(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    if let Some(object) = object::<ChartTrustPolicy>(&value) {
        let read = parse::policy(&object);
        assert_eq!(format!("{read:?}"), format!("{:?}", parse::policy(&object)));
        read.problems
            .iter()
            .for_each(|problem| can_be_shown(&problem.to_string()));
        assert!(read.quarantine.is_none() || read.problems.is_empty());
    }
    if let Some(object) = object::<TrustedKey>(&value) {
        let material = value["spec"]["publicKey"]["inline"]
            .as_str()
            .unwrap_or_default();
        if let Err(problem) = parse::key(&object, material.as_bytes()) {
            can_be_shown(&problem.to_string());
        }
        if let Err(problem) = parse::public_key(&object, material.as_bytes(), root()) {
            can_be_shown(&problem.to_string());
        }
        let _ = (parse::declared_revocation(&object), parse::refresh(&object));
        let _ = parse::remains(&object, Some(material.as_bytes()));
    }
    if let Some(object) = object::<TrustedIdentity>(&value) {
        if let Err(problems) = parse::identity(&object, root()) {
            for problem in problems {
                can_be_shown(&problem.to_string());
            }
        }
        let _ = parse::identity_remains(&object, root(), "a problem");
    }
    if let Some(object) = object::<Quarantine>(&value) {
        let problems = parse::quarantine_problems(&object);
        for problem in problems {
            can_be_shown(&problem.to_string());
        }
    }
    let _ = parse::unreadable_key(&value, "a problem".to_owned());
    let _ = parse::unreadable_identity(&value, "a problem".to_owned());
}

fn root() -> Root {
    Root::Unknown("it was not read".into())
}

fn object<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

/// That a message cannot forge what a terminal shows.
fn can_be_shown(message: &str) {
    let odd = message.chars().find(|letter| is_deceptive(*letter));
    assert_eq!(odd, None, "{message:?}");
}

fn annotations() -> Vec<Vec<u8>> {
    let carried = json!({"incident": "manual/1", "quarantine": "1", "uid": "u", "revision": 3, "time": "2026-11-18T00:00:00Z",
        "original": 3, "whenScaled": "Delete", "owners": [{"manager": "helm", "fieldsV1": {}}]});
    let plain = json!({"incident": "a", "quarantine": "b", "time": "c"});
    let incidents = json!({"EBFE/declared": "{\"withdrawn\":2,\"released\":[\"shop/web\"],\"releasedAt\":{\"shop/web\":3}}"});
    [carried, plain, incidents]
        .map(|text| text.to_string().into_bytes())
        .to_vec()
}

fn annotation(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let carried = |text: &str| {
        let object = json!({"metadata": {"uid": "u", "annotations": {ANNOTATION: text}}});
        Annotation::of(&object)
    };
    if let Carried::Annotation(read) = carried(text) {
        let written = serde_json::to_string(&read);
        let written = written.unwrap_or_else(|error| panic!("it cannot be written: {error}"));
        assert_eq!(carried(&written), Carried::Annotation(read), "{written}");
    }
    if let Ok(data) = serde_json::from_str::<BTreeMap<String, String>>(text) {
        let read = Incidents::read(&data);
        assert_eq!(Incidents::read(&read.data()).data(), read.data());
    }
}
