//! `make bench`: what a first start costs at least. Reads every record, downloads each chart once with its statement,
//! hashes it, makes an object for each release and fills its status with as much as the operator has to say of one that is
//! trusted: no signature is looked at, nothing is judged, and nothing followed.
//!
//! `cold-floor NAMESPACE REPOSITORY`, with the cluster of KUBECONFIG; prints how many milliseconds it takes.

use std::collections::BTreeMap;
use std::time::Instant;

use charttrust::api::ReleaseTrust;
use charttrust::api::release_trust::{ReleaseTrustSpec, ReleaseTrustStatus};
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::limits::RecordLimits;
use charttrust_verify::release;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// As many as the operator has workers.
const AT_A_TIME: usize = 8;
/// As the operator asks.
const PAGE: u32 = 50;

#[tokio::main]
async fn main() -> Result {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [namespace, repository] = arguments.as_slice() else {
        return Err("cold-floor NAMESPACE REPOSITORY".into());
    };
    let client = Client::try_default().await?;
    let begun = Instant::now();
    let charts = records(&client, namespace).await?;
    let archives: BTreeMap<_, _> = charts.values().cloned().collect();
    let http = reqwest::Client::builder().no_proxy().build()?;
    let downloads = archives.into_iter().map(|(chart, version)| {
        let at = format!("{repository}/{chart}-{version}.tgz");
        download(http.clone(), at)
    });
    let downloads = futures::stream::iter(downloads).buffer_unordered(AT_A_TIME);
    let _: Vec<_> = downloads.try_collect().await?;
    let trusts = Api::<ReleaseTrust>::namespaced(client, namespace);
    let writes = charts.into_keys().map(|name| write(trusts.clone(), name));
    let writes = futures::stream::iter(writes).buffer_unordered(AT_A_TIME);
    let _: Vec<_> = writes.try_collect().await?;
    println!("{}", begun.elapsed().as_millis());
    Ok(())
}

/// Name and version of the chart of each release.
async fn records(client: &Client, namespace: &str) -> Result<BTreeMap<String, (String, String)>> {
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    let mut page = ListParams::default()
        .fields("type=helm.sh/release.v1")
        .limit(PAGE);
    let mut charts = BTreeMap::new();
    loop {
        let list = secrets.list(&page).await?;
        for mut secret in list.items {
            let payload = secret
                .data
                .take()
                .and_then(|mut data| data.remove("release"));
            let payload = payload.ok_or("a record without a payload")?;
            let record = release::decode(&payload.0, &RecordLimits::default())?;
            let metadata = record.chart.metadata;
            charts.insert(record.name, (metadata.name, metadata.version));
        }
        page.continue_token = list.metadata.continue_.filter(|next| !next.is_empty());
        if page.continue_token.is_none() {
            return Ok(charts);
        }
    }
}

async fn download(http: reqwest::Client, at: String) -> Result<[Sha256Digest; 2]> {
    let one = async |at: String| -> Result<Sha256Digest> {
        let answer = http.get(at).send().await?.error_for_status()?;
        Ok(Sha256Digest::of(&answer.bytes().await?))
    };
    Ok([one(at.clone()).await?, one(format!("{at}.prov")).await?])
}

async fn write(trusts: Api<ReleaseTrust>, name: String) -> Result {
    let mut object = ReleaseTrust::new(&name, ReleaseTrustSpec::default());
    object = trusts.create(&PostParams::default(), &object).await?;
    object.status = Some(verdict()?);
    trusts
        .replace_status(&object.name_any(), &PostParams::default(), &object)
        .await?;
    Ok(())
}

/// What the operator writes of a release that one signature makes trusted, by its length.
fn verdict() -> Result<ReleaseTrustStatus> {
    let condition = |type_: &str, reason: &str, message: &str| {
        json!({
            "type": type_, "status": "True", "reason": reason, "message": message, "observedGeneration": 1,
            "lastTransitionTime": "2026-11-18T00:00:00Z",
        })
    };
    let (digest, seal) = (format!("sha256:{:064}", 0), format!("{:043}", 0));
    let status = json!({
        "observedGeneration": 1,
        "release": {
            "driver": "Secret", "revision": 1, "chart": "chart-0", "version": "1.0.0", "owner": "Helm",
            "resourceVersion": "12345",
        },
        "signer": "bench-12345-few",
        "conditions": [
            condition("Ready", "Evaluated", ""),
            condition("Trusted", "SignatureVerified", "content as signed"),
            condition("Fresh", "LookSucceeded", ""),
        ],
        "signers": [{
            "fingerprint": format!("{:040}", 0), "signedAt": "2026-11-18T00:00:00Z", "algorithm": "RSA-2048/SHA512",
            "verified": true,
        }],
        "evidence": {
            "content": seal,
            "sources": [{
                "url": "http://127.0.0.1:31675", "archive": digest, "provenance": digest, "binding": "Same",
                "firstVerified": "2026-11-18T00:00:00Z",
            }],
            "tag": seal,
        },
        "policies": [{
            "policy": "bench-12345-policy", "rule": "all", "verdict": "Trusted", "reason": "SignatureVerified",
        }],
    });
    Ok(serde_json::from_value(status)?)
}
