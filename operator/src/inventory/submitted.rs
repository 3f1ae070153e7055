//! A record on its way to the API server, as an admission review shows the object; or one that is stored there, read
//! as if it came.

use std::borrow::Cow;
use std::collections::BTreeMap;

use charttrust_verify::release::Record;
use charttrust_verify::wiped::Wiped;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::GetParams;
use kube::core::Request;
use serde::Deserialize;

use super::ReleaseId;
use super::helm::{self, Driver, ReadError, RecordKey, RecordMeta, SECRET_TYPE, Writer};
use crate::watch::within_deadline;

/// A Secret or `ConfigMap` that somebody asks the API server to create. Nothing of it is shown, not by `Debug`
/// either: it holds the values of a release, or whatever else people keep in Secrets.
#[derive(Deserialize)]
pub struct Submitted<'a> {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default, rename = "type")]
    type_: Option<String>,
    #[serde(default)]
    immutable: Option<bool>,
    #[serde(default, borrow)]
    data: Option<Data<'a>>,
}

/// What is read of its metadata. Annotations by their names: somebody may write 256 KiB into them.
#[derive(Default, Deserialize)]
#[serde(default)]
#[expect(
    clippy::zero_sized_map_values,
    reason = "a set cannot be read from an object"
)]
struct Metadata {
    annotations: Option<BTreeMap<String, serde::de::IgnoredAny>>,
    labels: Option<BTreeMap<String, String>>,
    name: Option<String>,
}

/// The one entry that Helm writes.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    release: Option<Text<'a>>,
}

/// A text as it stands in what was read: base64 has nothing that JSON escapes.
#[derive(Default, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A record of Helm that is to be stored.
pub struct SubmittedRecord {
    /// Which revision of which release it is, by its object.
    pub key: RecordKey,
    /// What its metadata say.
    pub meta: RecordMeta,
    /// Who has written it.
    pub writer: Writer,
    payload: Option<Wiped<Vec<u8>>>,
}

impl Submitted<'_> {
    /// The record that it is, if it is one: of a Secret by its type, and in both by the name that Helm gives.
    pub fn record(self, driver: Driver, namespace: &str) -> Option<SubmittedRecord> {
        if driver == Driver::Secret && self.type_.as_deref() != Some(SECRET_TYPE) {
            return None;
        }
        let (name, revision) = helm::parse_object_name(self.metadata.name.as_deref()?)?;
        let key = RecordKey {
            release: ReleaseId {
                namespace: namespace.to_owned(),
                name,
            },
            driver,
            revision,
        };
        let metadata = ObjectMeta {
            annotations: self.metadata.annotations.map(|all| {
                let names = all.into_keys();
                names.map(|name| (name, String::new())).collect()
            }),
            labels: self.metadata.labels,
            ..ObjectMeta::default()
        };
        let payload = self.data.and_then(|data| data.release);
        let payload = payload.and_then(|text| helm::stored_bytes(driver, &text.0));
        Some(SubmittedRecord {
            key,
            meta: RecordMeta::of(&metadata),
            writer: helm::writer(&metadata, self.immutable),
            payload,
        })
    }
}

/// A record that is stored, as if it were to be stored now; nothing if it is gone.
///
/// # Errors
/// If the API server does not give it.
pub async fn stored(client: &Client, key: &RecordKey) -> kube::Result<Option<SubmittedRecord>> {
    let plural = match key.driver {
        Driver::ConfigMap => "configmaps",
        Driver::Secret => "secrets",
    };
    let namespace = &key.release.namespace;
    let request = Request::new(format!("/api/v1/namespaces/{namespace}/{plural}"));
    let request = request.get(&key.object_name(), &GetParams::default());
    let request = request.map_err(kube::Error::BuildRequest)?;
    match within_deadline(client.request_text(request)).await {
        Ok(text) => {
            let text = Wiped::new(text);
            let object: Submitted<'_> =
                serde_json::from_str(&text).map_err(kube::Error::SerdeError)?;
            Ok(object.record(key.driver, namespace))
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

impl SubmittedRecord {
    /// Decodes it when it is its turn, and keeps what `take` makes of it.
    ///
    /// # Errors
    /// [`ReadError::NoPayload`] and [`ReadError::Record`].
    pub async fn decoded<T: Send + 'static>(
        &mut self,
        take: impl FnOnce(Record) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let payload = self.payload.take().ok_or(ReadError::NoPayload)?;
        helm::decoded(payload, take).await
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use serde_json::{Value, json};

    use super::*;

    const RECORD: &str = r#"{"name": "web", "version": 1, "namespace": "shop", "info": {"status": "pending-install"},
        "chart": {"metadata": {"name": "web", "version": "1.0.0", "apiVersion": "v2"}}}"#;

    fn secret(change: impl FnOnce(&mut Value)) -> Option<SubmittedRecord> {
        let of_helm = BASE64_STANDARD.encode(RECORD);
        let mut object = json!({
            "metadata": {
                "name": "sh.helm.release.v1.web.v1",
                "labels": {"owner": "helm", "status": "pending-install"},
            },
            "type": "helm.sh/release.v1",
            "data": {"release": BASE64_STANDARD.encode(of_helm)},
        });
        change(&mut object);
        let text = object.to_string();
        let submitted: Submitted<'_> = serde_json::from_str(&text).unwrap();
        submitted.record(Driver::Secret, "shop")
    }

    #[tokio::test]
    async fn a_record_is_read_from_either_kind_of_object() {
        let mut read = secret(|_| {}).unwrap();
        assert_eq!(read.key.release.to_string(), "shop/web");
        assert_eq!((read.key.revision, read.writer), (1, Writer::Helm));
        assert_eq!(read.meta.claimed_status, "pending-install");
        let name = read.decoded(|record| record.chart.metadata.name).await;
        assert_eq!(name.unwrap(), "web");

        let map = json!({
            "metadata": {"name": "sh.helm.release.v1.web.v12"},
            "data": {"release": BASE64_STANDARD.encode(RECORD)},
        });
        let text = map.to_string();
        let map: Submitted<'_> = serde_json::from_str(&text).unwrap();
        let mut read = map.record(Driver::ConfigMap, "shop").unwrap();
        assert_eq!(read.key.revision, 12);
        assert!(read.decoded(|_| ()).await.is_ok());

        // A tenant may have counted that far, and Helm goes on from there.
        let beyond = json!("sh.helm.release.v1.web.v4294967296");
        let read = secret(|object| object["metadata"]["name"] = beyond).unwrap();
        assert_eq!(read.key.revision, 1 << 32);
    }

    #[test]
    fn what_helm_would_not_read_is_no_record() {
        assert!(secret(|object| object["type"] = json!("Opaque")).is_none());
        for name in [
            "web",
            "sh.helm.release.v1.web.v01",
            "sh.helm.release.v1..v1",
        ] {
            assert!(
                secret(|object| object["metadata"]["name"] = json!(name)).is_none(),
                "{name}"
            );
        }
    }

    #[tokio::test]
    async fn a_record_without_what_helm_writes_cannot_be_read() {
        for (change, what) in [
            (json!(null), "no data"),
            (json!({}), "no entry"),
            (json!({"release": "***"}), "no base64"),
            (json!({"release": "AAAA"}), "no record"),
        ] {
            let mut read = secret(|object| object["data"] = change).unwrap();
            assert!(read.decoded(|_| ()).await.is_err(), "{what}");
        }
    }

    #[test]
    fn a_record_that_a_chart_brings_is_told_by_its_annotations() {
        let hook = json!({"helm.sh/hook": "post-install"});
        let read = secret(|object| object["metadata"]["annotations"] = hook).unwrap();
        assert_eq!(read.writer, Writer::Chart);
        let read = secret(|object| object["immutable"] = json!(true)).unwrap();
        assert_eq!(read.writer, Writer::Chart);
    }
}
