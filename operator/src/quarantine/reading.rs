//! How things are read from the API server: lists in pages, one object, and why it could not be done.

use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client};
use serde_json::Value;

use super::resources::{is_unknown, named};
use crate::watch::{PAGE, each, is_name, within_deadline};

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {what}")]
pub struct GatherError {
    pub(super) what: String,
    pub(super) source: kube::Error,
}

/// A kind that may not be read, and what the server says.
pub(super) type Forbidden = (String, String);

impl GatherError {
    fn of_list(resource: &ApiResource, source: kube::Error) -> Self {
        let what = format!("{LIST_OF}{}", resource.kind);
        Self { what, source }
    }

    /// Whether a right is missing.
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(&self.source, kube::Error::Api(status) if status.is_forbidden())
    }

    /// The kind that may not be listed, if that is what is wrong. A server asks for the right before it
    /// looks whether there is such a kind at all.
    pub(super) fn forbidden(self) -> Result<Forbidden, Self> {
        match self {
            Self {
                what,
                source: kube::Error::Api(status),
            } if status.is_forbidden() => {
                let kind = what.strip_prefix(LIST_OF).unwrap_or(&what);
                Ok((kind.to_owned(), status.message.clone()))
            }
            other => Err(other),
        }
    }
}

/// Without the right to list one optional kind the rest is contained, and that is told.
pub(super) fn unless_forbidden<T: Default>(
    found: Result<T, GatherError>,
    unread: &mut Vec<Forbidden>,
) -> Result<T, GatherError> {
    match found {
        Ok(found) => Ok(found),
        Err(error) => {
            unread.push(error.forbidden()?);
            Ok(T::default())
        }
    }
}

const LIST_OF: &str = "the list of ";

/// Everything of a kind. A kind that the server does not know has no objects.
pub(super) async fn list(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
) -> Result<Vec<Value>, GatherError> {
    select(client, resource, namespace, |object| vec![object]).await
}

/// What is needed of everything of a kind, in pages.
pub(super) async fn select<T>(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
    needed: impl Fn(Value) -> Vec<T>,
) -> Result<Vec<T>, GatherError> {
    let api = &api(client, resource, namespace);
    let mut found = Vec::new();
    let page = |params| async move { api.list(&params).await };
    let take = |object| found.extend(needed(named(&object, resource)));
    let listed = each(ListParams::default().limit(PAGE), page, take).await;
    unless_unknown(resource, listed)?;
    Ok(found)
}

/// A kind that the server does not know has no objects.
pub(super) fn unless_unknown(
    resource: &ApiResource,
    listed: kube::Result<()>,
) -> Result<(), GatherError> {
    match listed {
        Err(error) if !is_unknown(&error) => Err(GatherError::of_list(resource, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// One object, if it is there. Whoever writes a chart may list one by a name that none can have, in a hook that
/// no server ever sees.
pub(super) async fn find(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
    name: &str,
) -> Result<Option<Value>, GatherError> {
    if !is_name(name) {
        return Ok(None);
    }
    let found = within_deadline(api(client, resource, namespace).get_opt(name)).await;
    let found = found.map_err(|source| GatherError {
        what: format!("{} {name}", resource.kind),
        source,
    })?;
    Ok(found.map(|live| named(&live, resource)))
}

fn api(client: &Client, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_cluster::FakeCluster;
    use crate::quarantine::resources;
    use crate::quarantine::target::Target;

    /// In a hook that only `helm test` applies, a chart lists what no server ever sees; and a request for what
    /// cannot be asked for would end all that is to be read.
    #[tokio::test]
    async fn what_no_object_can_be_called_is_not_there() {
        let cluster = FakeCluster::default();
        let (_server, client) = cluster.clone().start().await;
        let resource = resources::of(Target::of("batch", "Job").unwrap());
        let path = "/apis/batch/v1/namespaces/shop/jobs/web";
        cluster.put(
            path,
            serde_json::json!({"metadata": {"namespace": "shop", "name": "web"}}),
        );
        let find = async |name| find(&client, &resource, Some("shop"), name).await;
        assert!(find("web").await.unwrap().is_some());
        let requests = cluster.requests();
        let long = "a".repeat(254);
        for name in [
            "a b",
            "a\n",
            "é",
            "",
            "..",
            "../jobs/web",
            "web?a=b",
            "web/status",
            "WEB",
            &long,
        ] {
            assert_eq!(find(name).await.unwrap(), None, "{name:?}");
        }
        assert_eq!(cluster.requests(), requests, "nobody is asked");
    }
}
