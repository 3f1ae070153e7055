//! What the operator has found out about a release before, and has signed.
//!
//! Reads one `ReleaseTrust`. It lies where tenants may have rights: only what carries a signature by the
//! operator's seal is believed, and the webhook can make none.

use std::time::Duration;

use charttrust_verify::seal::PublicSeal;
use charttrust_verify::witness::FirstVerification;
use kube::{Api, Client};

use crate::api::ReleaseTrust;
use crate::controllers::signed;
use crate::controllers::store::Content;
use crate::inventory::ReleaseId;

/// What is known of a release.
#[derive(Clone, Debug, Default)]
pub(super) struct Before {
    /// Of the content that was judged last.
    pub content: Option<Content>,
    /// What was verified of it and of others.
    pub witnesses: Vec<FirstVerification>,
    /// Whether this is all that the operator knows of it.
    pub is_whole: bool,
}

/// How long an installation waits for it.
const LONGEST: Duration = Duration::from_millis(500);

impl Before {
    /// Reads it. Without the public half of the seal nothing can be believed.
    pub(super) async fn read(client: &Client, seal: Option<&PublicSeal>, id: &ReleaseId) -> Self {
        let Some(seal) = seal else {
            return Self::default();
        };
        let api = Api::<ReleaseTrust>::namespaced(client.clone(), &id.namespace);
        let found = tokio::time::timeout(LONGEST, api.get_opt(&id.name)).await;
        match found {
            Ok(Ok(found)) => Self::of(found.as_ref(), seal, id),
            Ok(Err(_)) | Err(_) => Self::default(),
        }
    }

    fn of(trust: Option<&ReleaseTrust>, seal: &PublicSeal, id: &ReleaseId) -> Self {
        let status = trust.and_then(|trust| trust.status.as_ref());
        let Some(status) = status.filter(|status| status.evidence.is_some()) else {
            // Of a release that is new nobody knows more.
            return Self {
                is_whole: true,
                ..Self::default()
            };
        };
        match signed(id, status, seal) {
            Some((content, mut witnesses)) => {
                let known = content.iter();
                witnesses.extend(known.flat_map(|known| known.evidence.first_verifications()));
                Self {
                    content,
                    witnesses,
                    is_whole: true,
                }
            }
            None => Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::Config;
    use serde_json::{Value, json};
    use wiremock::matchers::any;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    #[tokio::test]
    async fn what_cannot_be_read_or_believed_is_not_all_that_the_operator_knows() {
        let server = MockServer::start().await;
        let client = Client::try_from(Config::new(server.uri().parse().unwrap())).unwrap();
        let id = ReleaseId {
            namespace: "shop".into(),
            name: "web".into(),
        };
        let seal = PublicSeal::new(&[7; 32]);
        let is_whole = async |code: u16, body: Value| {
            server.reset().await;
            let answer = ResponseTemplate::new(code).set_body_json(body);
            Mock::given(any()).respond_with(answer).mount(&server).await;
            let read = Before::read(&client, Some(&seal), &id).await;
            assert!(read.content.is_none() && read.witnesses.is_empty());
            read.is_whole
        };
        let failed = |code: u16, reason: &str| json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "code": code, "reason": reason});
        let trust = |status: Value| {
            let object = json!({
                "apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust",
                "metadata": {"namespace": "shop", "name": "web"}, "spec": {}, "status": status,
            });
            serde_json::from_value::<ReleaseTrust>(object.clone()).unwrap();
            object
        };
        // Of what is new, or was not looked at yet, nobody knows more.
        assert!(is_whole(404, failed(404, "NotFound")).await);
        assert!(is_whole(200, trust(json!({}))).await);
        // Whoever may write it, and cannot sign.
        let forged = json!({"evidence": {"content": "sha256:00", "tag": "AAAA"}});
        assert!(!is_whole(200, trust(forged)).await);
        assert!(!is_whole(500, failed(500, "InternalError")).await);
        assert!(!is_whole(403, failed(403, "Forbidden")).await);
        assert!(!Before::read(&client, None, &id).await.is_whole);
    }
}
