//! `make bench`: the least that a new record costs whoever answers it. Watches records, makes an object for each and
//! fills its status, without a look at the record.
//!
//! `watch-floor NAMESPACE`, with the cluster of KUBECONFIG; says when it watches.

use charttrust::api::ReleaseTrust;
use charttrust::api::release_trust::{ReleaseTrustSpec, ReleaseTrustStatus};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt as _};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const RECORDS: &str = "type=helm.sh/release.v1";

#[tokio::main]
async fn main() -> Result {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [namespace] = arguments.as_slice() else {
        return Err("watch-floor NAMESPACE".into());
    };
    let client = Client::try_default().await?;
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    let trusts = Api::<ReleaseTrust>::namespaced(client, namespace);
    let all = secrets
        .list_metadata(&ListParams::default().fields(RECORDS))
        .await?;
    let mut version = all.metadata.resource_version.unwrap_or_default();
    loop {
        let params = WatchParams::default().fields(RECORDS);
        let watch = secrets.watch(&params, &version).await?;
        println!("watching");
        let mut watch = std::pin::pin!(watch);
        while let Some(event) = watch.try_next().await? {
            let secret = match event {
                WatchEvent::Added(secret) => secret,
                WatchEvent::Error(error) => return Err(error.message.into()),
                WatchEvent::Modified(_) | WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {
                    continue;
                }
            };
            version = secret.resource_version().unwrap_or_default();
            let release = secret.labels().get("name").ok_or("no record")?.clone();
            tokio::spawn(answer(trusts.clone(), release));
        }
    }
}

/// Somebody else may have answered already.
async fn answer(trusts: Api<ReleaseTrust>, release: String) -> Result {
    let object = ReleaseTrust::new(&release, ReleaseTrustSpec::default());
    let mut object = trusts.create(&PostParams::default(), &object).await?;
    object.status = Some(ReleaseTrustStatus {
        observed_generation: Some(1),
        ..ReleaseTrustStatus::default()
    });
    trusts
        .replace_status(&release, &PostParams::default(), &object)
        .await?;
    Ok(())
}
