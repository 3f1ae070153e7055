//! The form in which the API server asks and is answered (`admission.k8s.io/v1`). Pure.

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use crate::inventory::argocd::{APPLICATIONS, Requested};
use crate::inventory::helm::Driver;
use crate::inventory::submitted::{Submitted, SubmittedRecord};
use crate::watch::{Kept as _, Picked};

/// What the API server asks.
pub struct Review {
    uid: String,
    /// What is to be created.
    pub subject: Subject,
}

/// What is to be created.
pub enum Subject {
    /// An Application of Argo CD, which leaves no record.
    Application(Box<Requested>),
    /// A record of Helm.
    Record(Box<SubmittedRecord>),
    /// Anything else: nobody has to ask us about it.
    Other,
}

/// Why a request is no review. What it holds is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// It is not the JSON that is asked for.
    #[error("the body is no AdmissionReview of admission.k8s.io/v1")]
    Form,
    /// Nobody could tell to which question an answer belongs.
    #[error("the AdmissionReview has no uid, or one of more than {LONGEST_UID} bytes")]
    Uid,
}

/// A uid of the API server has 36 bytes.
const LONGEST_UID: usize = 128;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<O> {
    api_version: String,
    kind: String,
    request: WireRequest<O>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireRequest<O> {
    uid: String,
    kind: Kind,
    #[serde(default)]
    namespace: String,
    operation: String,
    #[serde(default)]
    sub_resource: String,
    object: Option<O>,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    group: String,
    kind: String,
}

impl<O> Wire<O> {
    /// Of which question it is, if it is one.
    fn uid(&self) -> Result<String, ReviewError> {
        if self.api_version != API_VERSION || self.kind != KIND {
            return Err(ReviewError::Form);
        }
        let uid = &self.request.uid;
        if uid.is_empty() || uid.len() > LONGEST_UID {
            return Err(ReviewError::Uid);
        }
        Ok(uid.clone())
    }
}

impl Kind {
    fn is_application(&self) -> bool {
        (self.group.as_str(), self.kind.as_str()) == (APPLICATIONS.group, APPLICATIONS.kind)
    }
}

impl Review {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`ReviewError`].
    pub fn read(body: &[u8]) -> Result<Self, ReviewError> {
        // What the parser says may quote what stands there.
        if let Ok(wire) = serde_json::from_slice::<Wire<Submitted<'_>>>(body)
            && !wire.request.kind.is_application()
        {
            let uid = wire.uid()?;
            let record = record(wire.request);
            let subject = record.map_or(Subject::Other, |record| Subject::Record(Box::new(record)));
            return Ok(Self { uid, subject });
        }
        // An Application may have anything where a record has its data.
        let wire = serde_json::from_slice::<Wire<Picked<Requested>>>(body);
        let wire = wire.map_err(|_| ReviewError::Form)?;
        let uid = wire.uid()?;
        if !wire.request.kind.is_application() {
            return Err(ReviewError::Form);
        }
        let asked = application(wire.request).map(Box::new);
        let subject = asked.map_or(Subject::Other, Subject::Application);
        Ok(Self { uid, subject })
    }

    /// The body of the answer.
    pub fn answered(uid: &str, answer: &Answer) -> Vec<u8> {
        let refusal = answer.refusal.as_deref();
        let answered = Answered {
            api_version: API_VERSION,
            kind: KIND,
            response: Response {
                uid,
                allowed: refusal.is_none(),
                status: refusal.map(|message| Status {
                    code: 403,
                    reason: "Forbidden",
                    message,
                }),
                warnings: &answer.warnings,
            },
        };
        // Invariant: strings and numbers can be written.
        serde_json::to_vec(&answered).unwrap_or_default()
    }

    /// Of which question it is.
    pub fn uid(&self) -> &str {
        &self.uid
    }
}

/// What is asked for by an Application that is made or changed. Which changes are asked about, the configuration
/// says.
fn application(request: WireRequest<Picked<Requested>>) -> Option<Requested> {
    let is_asked = ["CREATE", "UPDATE"].contains(&request.operation.as_str())
        && request.sub_resource.is_empty();
    let object = request.object.filter(|_| is_asked)?;
    Requested::of(&object.value)
}

/// Helm writes its own status by UPDATE: who meddled with that has left releases in `pending-install`.
fn record(request: WireRequest<Submitted<'_>>) -> Option<SubmittedRecord> {
    let driver = match (request.kind.group.as_str(), request.kind.kind.as_str()) {
        ("", "Secret") => Driver::Secret,
        ("", "ConfigMap") => Driver::ConfigMap,
        _ => return None,
    };
    let is_new = request.operation == "CREATE" && request.sub_resource.is_empty();
    let object = request.object.filter(|_| is_new)?;
    object.record(driver, &request.namespace)
}

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'a> {
    api_version: &'a str,
    kind: &'a str,
    response: Response<'a>,
}

#[derive(Serialize)]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    reason: &'a str,
    message: &'a str,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(change: impl FnOnce(&mut Value)) -> Value {
        let mut review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "7f0b2891-916f-4ed6-b7cd-27bff1815a8c",
                "kind": {"group": "", "version": "v1", "kind": "Secret"},
                "resource": {"group": "", "version": "v1", "resource": "secrets"},
                "namespace": "shop",
                "operation": "CREATE",
                "userInfo": {"username": "somebody"},
                "object": {
                    "metadata": {"name": "sh.helm.release.v1.web.v1", "labels": {"status": "pending-install"}},
                    "type": "helm.sh/release.v1",
                    "data": {"release": "AAAA"},
                },
                "oldObject": null,
                "dryRun": false,
            },
        });
        change(&mut review);
        review
    }

    fn read(change: impl FnOnce(&mut Value)) -> Result<Review, ReviewError> {
        Review::read(&serde_json::to_vec(&asked(change)).unwrap())
    }

    fn is_record(change: impl FnOnce(&mut Value)) -> bool {
        matches!(read(change).unwrap().subject, Subject::Record(_))
    }

    #[test]
    fn only_the_creation_of_a_record_is_looked_at() {
        assert!(is_record(|_| {}));
        for (field, value) in [
            ("operation", json!("UPDATE")),
            ("operation", json!("DELETE")),
            ("subResource", json!("status")),
            ("object", json!(null)),
            ("kind", json!({"group": "", "kind": "Pod"})),
            ("kind", json!({"group": "example.com", "kind": "Secret"})),
        ] {
            let told = value.to_string();
            assert!(
                !is_record(|review| review["request"][field] = value),
                "{field} {told}"
            );
        }
        assert!(!is_record(
            |review| review["request"]["object"]["type"] = json!("Opaque")
        ));
        // A ConfigMap has no type.
        assert!(is_record(|review| {
            review["request"]["kind"]["kind"] = json!("ConfigMap");
            review["request"]["object"]["type"] = json!(null);
        }));
    }

    /// T19: of a record that is being deleted, is kept by finalizers, has a generated name or was made by
    /// server-side apply.
    #[test]
    fn what_else_an_object_carries_decides_nothing() {
        for more in [
            json!({"deletionTimestamp": "2026-11-30T00:00:00Z", "finalizers": ["example.com/a"]}),
            json!({"finalizers": ["example.com/a"], "ownerReferences": [{"kind": "Pod", "name": "a"}]}),
            json!({"generateName": "sh.helm.release.v1."}),
            json!({"managedFields": [{"manager": "kubectl", "operation": "Apply"}], "generation": 7}),
            json!({"annotations": {"charttrust.io/ignore": "true"}, "deletionGracePeriodSeconds": 0}),
        ] {
            assert!(
                is_record(|review| {
                    json_patch::merge(&mut review["request"]["object"]["metadata"], &more);
                }),
                "{more}"
            );
        }
        for (field, value) in [
            ("dryRun", json!(false)),
            (
                "options",
                json!({"kind": "PatchOptions", "fieldManager": "kubectl", "force": true}),
            ),
            (
                "requestKind",
                json!({"group": "", "version": "v1", "kind": "Secret"}),
            ),
            ("oldObject", json!({"metadata": {"name": "older"}})),
            (
                "userInfo",
                json!({"username": "system:admin", "groups": ["system:masters"]}),
            ),
        ] {
            assert!(
                is_record(|review| review["request"][field] = value.clone()),
                "{field}"
            );
        }
    }

    #[test]
    fn an_application_is_read_as_far_as_it_asks_for_charts() {
        let read = |operation: &str, sub: &str, object: Value| {
            let review = read(|review| {
                review["request"]["kind"] = json!({"group": "argoproj.io", "kind": "Application"});
                review["request"]["operation"] = json!(operation);
                review["request"]["subResource"] = json!(sub);
                review["request"]["object"] = object;
            });
            match review.unwrap().subject {
                Subject::Application(requested) => {
                    let charts = requested.charts();
                    Some(
                        charts
                            .map(|one| (one.chart.unwrap(), one.version))
                            .collect::<Vec<_>>(),
                    )
                }
                Subject::Record(_) => panic!("no record"),
                Subject::Other => None,
            }
        };
        let source = |chart: &str, version: &str| json!({"repoURL": "https://a.example", "chart": chart, "targetRevision": version});
        let of = |more: Value| {
            let mut object = json!({"metadata": {"namespace": "argocd", "name": "web"},
                "spec": {"source": source("web", "1.x"), "other": [[[{}]]]}});
            json_patch::merge(&mut object, &more);
            object
        };
        let pair = |chart: &str, version: &str| (chart.to_owned(), version.to_owned());
        let web = || vec![pair("web", "1.x")];
        assert_eq!(read("CREATE", "", of(json!({}))), Some(web()));
        assert_eq!(read("UPDATE", "", of(json!({}))), Some(web()));
        let shaped = of(json!({"data": 5, "type": {}, "metadata": {"labels": {"a": "b"}}}));
        assert_eq!(read("CREATE", "", shaped), Some(web()));
        assert_eq!(read("DELETE", "", of(json!({}))), None);
        assert_eq!(read("UPDATE", "status", of(json!({}))), None);
        // An operation deploys what it names, whatever the spec says.
        let synced = of(json!({"operation": {"sync": {"revision": "2.0.0"}}}));
        assert_eq!(
            read("UPDATE", "", synced),
            Some(vec![pair("web", "1.x"), pair("web", "2.0.0")])
        );
        let other = of(json!({"operation": {"sync": {"source": source("evil", "6.6.6")}}}));
        assert_eq!(
            read("UPDATE", "", other),
            Some(vec![pair("web", "1.x"), pair("evil", "6.6.6")])
        );
        let several = json!({"spec": {"sources": [source("web", "1.0.0"), {"repoURL": "https://git.example", "path": "a"},
            source("db", "2.0.0")]}, "operation": {"sync": {"revisions": ["1.1.0", "abc", "2.1.0"]}}});
        let expected = [
            ("web", "1.0.0"),
            ("db", "2.0.0"),
            ("web", "1.1.0"),
            ("db", "2.1.0"),
        ];
        let expected = expected
            .map(|(chart, version)| pair(chart, version))
            .to_vec();
        assert_eq!(read("CREATE", "", of(several)), Some(expected));
        let git = of(json!({"spec": {"source": {"chart": null, "path": "a"}}}));
        assert_eq!(read("CREATE", "", git), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_review_is_refused_without_quoting_it() {
        let deep = "[".repeat(200_000).into_bytes();
        for body in [
            &b"password"[..],
            b"",
            b"{}",
            b"[]",
            &deep,
            b"{\"request\":null}",
        ] {
            assert_eq!(Review::read(body).err(), Some(ReviewError::Form));
        }
        let form = |change: fn(&mut Value)| read(change).err();
        assert_eq!(form(|r| r["kind"] = json!("Pod")), Some(ReviewError::Form));
        assert_eq!(
            form(|r| r["apiVersion"] = json!("admission.k8s.io/v1beta1")),
            Some(ReviewError::Form)
        );
        assert_eq!(
            form(|r| r["request"]["uid"] = json!("")),
            Some(ReviewError::Uid)
        );
        let longest = "u".repeat(LONGEST_UID);
        assert!(read(|r| r["request"]["uid"] = json!(longest)).is_ok());
        let longer = "u".repeat(LONGEST_UID + 1);
        assert_eq!(
            read(|r| r["request"]["uid"] = json!(longer)).err(),
            Some(ReviewError::Uid)
        );
    }

    #[test]
    fn the_answer_names_the_question() {
        let answered = |answer: &Answer| -> Value {
            serde_json::from_slice(&Review::answered("u-1", answer)).unwrap()
        };
        let response = |response: Value| json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        let passed = Answer::default();
        assert_eq!(
            answered(&passed),
            response(json!({"uid": "u-1", "allowed": true}))
        );
        let refused = Answer {
            refusal: Some("no".to_owned()),
            warnings: vec!["w".to_owned()],
        };
        let status = json!({"code": 403, "reason": "Forbidden", "message": "no"});
        let expected = json!({"uid": "u-1", "allowed": false, "status": status, "warnings": ["w"]});
        assert_eq!(answered(&refused), response(expected));
    }
}
