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
