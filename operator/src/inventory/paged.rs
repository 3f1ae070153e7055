//! Records page by page: where thousands are to be read, a list for each costs the API server, and whoever waits for it,
//! more than all else about them.

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::ListParams;

use super::helm::{Driver, OF_SECRET_TYPE, Packed, RecordKey, key_of, payload_of};
use crate::watch::{Part, within_deadline};

/// Records in Secrets, in the order of the API server.
pub struct Page {
    /// Those that have what Helm writes.
    pub records: Vec<(RecordKey, Packed)>,
    /// What the next page is asked for by, if there is one.
    pub next: Option<String>,
}

/// Some of the records in Secrets that may be judged; `next` of a page asks for the one after it.
///
/// Of those that Helm calls superseded, which are most and seldom judged, there are none.
///
/// # Errors
/// If the API server does not list them.
pub async fn page(client: &Client, part: &Part, next: Option<String>) -> kube::Result<Page> {
    let params = ListParams {
        continue_token: next,
        ..ListParams::default()
            .fields(OF_SECRET_TYPE)
            .labels(NOT_SUPERSEDED)
            .limit(RECORDS)
    };
    let secrets = part.api::<Secret>(client);
    let page = within_deadline(secrets.list(&params)).await?;
    let records = page.items.into_iter().filter_map(|secret| {
        let key = key_of(Driver::Secret, &secret.metadata)?;
        Some((key, payload_of(secret)?.into()))
    });
    Ok(Page {
        records: records.collect(),
        next: page.metadata.continue_.filter(|next| !next.is_empty()),
    })
}

const NOT_SUPERSEDED: &str = "status!=superseded";

/// Records on a page. Anybody may write some of a mebibyte, and two pages are in memory at a time.
const RECORDS: u32 = 16;
