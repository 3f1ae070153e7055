//! Reads what the API server calls in a release. Writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::discovery::Scope;
use kube::error::DiscoveryError;
use kube::{Client, discovery};

use super::callers::{Callers, Kind, kind};
use super::observed::Observed;
use super::placement::Placement;
use super::policies::{self, Labels};
use super::reading::{self, GatherError, unless_forbidden};
use super::servers::{self, Asked, Call, Offer, Offered, Server, Servers};
use crate::inventory::ReleaseId;
use crate::watch::within_deadline;

/// What the API server calls in a release, of what serves there.
///
/// Whoever installs a webhook need not be Helm: many are registered by what they run. So all of them
/// are looked at, and those count that the release or its Service stands behind. Of definitions there
/// are many and large ones: of these only those that the release lists.
pub(super) async fn servers(
    client: &Client,
    placement: &Placement<'_>,
    release: &ReleaseId,
    observed: &Observed,
    (callers, now): (&Callers, Timestamp),
) -> Result<Servers, GatherError> {
    let mut found = Servers::default();
    if observed.workloads.is_empty() {
        return Ok(found);
    }
    let namespace = placement.namespace();
    found.unread.extend_from_slice(&callers.unread);
    let of = |object| servers::calls(object, release, namespace, now);
    let mut calls: Vec<_> = callers.objects.iter().flat_map(of).collect();
    for name in definitions(observed, placement) {
        let live = reading::find(client, &kind(DEFINITION), None, &name).await;
        let live = unless_forbidden(live, &mut found.unread)?;
        calls.extend(
            live.map(|live| servers::calls(&live, release, namespace, now))
                .into_iter()
                .flatten(),
        );
    }
    let calls = leading(client, placement, calls, &mut found).await?;
    found.all = asked(client, calls, observed).await?;
    Ok(found)
}

const DEFINITION: Kind = [
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
];
const NAMESPACE: Kind = ["", "v1", "Namespace", "namespaces"];
const SERVICE: Kind = ["", "v1", "Service", "services"];

/// Names of the definitions that the release lists.
fn definitions(observed: &Observed, placement: &Placement) -> BTreeSet<String> {
    let Ok(listed) = observed.listed(placement) else {
        return BTreeSet::new();
    };
    let [_, _, wanted, _] = DEFINITION;
    let all = listed.objects.iter().chain(&listed.hooks);
    let names = all.filter(|object| object.kind == wanted && !object.generated);
    names.map(|object| object.name.clone()).collect()
}

/// The calls whose Service is there and leads to Pods.
async fn leading(
    client: &Client,
    placement: &Placement<'_>,
    calls: Vec<Call>,
    found: &mut Servers,
) -> Result<Vec<(Call, Server)>, GatherError> {
    let namespace = Some(placement.namespace());
    let names: BTreeSet<String> = calls.iter().map(|call| call.service.clone()).collect();
    let mut services = BTreeMap::new();
    for name in names {
        let live = reading::find(client, &kind(SERVICE), namespace, &name).await;
        let live = unless_forbidden(live, &mut found.unread)?;
        services.extend(live.map(|live| (name, live)));
    }
    let server = |call: Call| {
        let service = services.get(&call.service)?;
        let server = Server::of(&call, service, |service| placement.owns(service))?;
        Some((call, server))
    };
    Ok(calls.into_iter().filter_map(server).collect())
}

/// Those of the calls that are made at all, and that a workload of the release answers.
async fn asked(
    client: &Client,
    calls: Vec<(Call, Server)>,
    observed: &Observed,
) -> Result<Vec<Server>, GatherError> {
    let is_served = |server: &Server| {
        let mut workloads = observed.workloads.iter();
        workloads.any(|workload| server.is_served_by(workload))
    };
    let mut found = Vec::new();
    let mut offered = Offered::default();
    for (call, server) in calls.into_iter().filter(|(_, server)| is_served(server)) {
        if let Some(asked) = &call.asked {
            offer(client, asked, &mut offered).await?;
        }
        if call.asked.is_none_or(|asked| asked.fits(&offered)) {
            found.push(server);
        }
    }
    Ok(found)
}

/// Reads what of the cluster a webhook could be asked about.
async fn offer(client: &Client, asked: &Asked, offered: &mut Offered) -> Result<(), GatherError> {
    for group in asked.groups() {
        if !offered.groups.contains_key(group) {
            let offers = offers(client, group).await?;
            offered
                .groups
                .extend(offers.map(|offers| (group.to_owned(), offers)));
        }
    }
    if asked.namespaces.is_some() && offered.namespaces.is_none() {
        offered.namespaces = namespaces(client).await?;
    }
    Ok(())
}

/// The resources of a group; `None` if that is not known. An aggregated API that does not answer is no
/// reason to contain nothing.
async fn offers(client: &Client, group: &str) -> Result<Option<Vec<Offer>>, GatherError> {
    let found = match within_deadline(discovery::group(client, group)).await {
        Ok(found) => found,
        Err(kube::Error::Discovery(DiscoveryError::MissingApiGroup(_))) => {
            return Ok(Some(Vec::new()));
        }
        Err(error) => {
            tracing::debug!(group, %error, "what a webhook is asked about is not known");
            return Ok(None);
        }
    };
    let versions = found.versions();
    let offers = versions.flat_map(|version| {
        let all = found.versioned_resources(version).into_iter();
        all.map(|(resource, can)| Offer {
            version: version.to_owned(),
            resource: resource.plural,
            is_namespaced: can.scope == Scope::Namespaced,
            below: can
                .subresources
                .into_iter()
                .map(|(one, _)| one.plural)
                .collect(),
        })
    });
    Ok(Some(offers.collect()))
}

/// The labels of every namespace; `None` if they may not be read.
async fn namespaces(client: &Client) -> Result<Option<Vec<Labels>>, GatherError> {
    let labels = |object| vec![policies::labels(&object, &["metadata", "labels"])];
    match reading::select(client, &kind(NAMESPACE), None, labels).await {
        Ok(all) => Ok(Some(all)),
        Err(error) => error.forbidden().map(|_| None),
    }
}
