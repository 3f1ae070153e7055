//! `charttrust status --unaccounted`: what runs with Helm's marks and has no record. Reads only.

use std::collections::BTreeSet;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::{Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cluster::Failure;
use super::leading::Operator;
use super::screen::{Format, Table, say};
use super::{SCHEMA_VERSION, TRUSTED, UNKNOWN};
use crate::api::ReleaseTrust;
use crate::api::release_trust::Owner;
use crate::inventory::ReleaseId;
use crate::inventory::argocd::{self, Application};
use crate::inventory::workloads::claim;
use crate::leader::{Discovering, Unaccounted};
use crate::watch::{Kept as _, Kind, Reach, each};

/// A workload of whose release there is no record.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
struct Workload {
    namespace: String,
    kind: &'static str,
    name: String,
    /// The release that it says to be of; `-` of an Application that deploys no chart.
    release: String,
}

/// For programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    schema_version: u32,
    workloads: &'a [Workload],
}

/// Lists them, and gives the exit code: of nothing it is known what it is made of.
///
/// # Errors
/// If workloads or verdicts cannot be listed.
pub(super) async fn list(
    client: &Client,
    operator: &Operator,
    namespace: Option<&str>,
    output: Option<Format>,
) -> Result<u8, Failure> {
    let lease = operator.lease(client).await;
    let discovering = lease.as_ref().ok();
    let discovering = discovering.and_then(|lease| Discovering::of(&lease.metadata));
    let seen = Reach::of(discovering.unwrap_or_default().namespaces);
    let asked = match namespace {
        Some(namespace) => Reach::of([namespace.to_owned()]),
        None => seen.clone(),
    };
    let known = Known {
        releases: releases(client, &seen).await?,
        seen,
    };
    let mut found = Vec::new();
    found.extend(of_kind::<CronJob>(client, &asked, &known).await?);
    found.extend(of_kind::<DaemonSet>(client, &asked, &known).await?);
    found.extend(of_kind::<Deployment>(client, &asked, &known).await?);
    found.extend(of_kind::<Job>(client, &asked, &known).await?);
    found.extend(of_kind::<StatefulSet>(client, &asked, &known).await?);
    found.extend(applications(client, &asked).await?);
    found.sort();
    say(&match output {
        Some(format) => format.write(&Report {
            schema_version: SCHEMA_VERSION,
            workloads: &found,
        })?,
        None => text(&found),
    })?;
    Ok(if found.is_empty() { TRUSTED } else { UNKNOWN })
}

/// How much the leader says to be without a record, if it looks for that.
pub(super) async fn told(client: &Client, operator: &Operator) -> Option<Unaccounted> {
    let lease = operator.lease(client).await.ok()?;
    Unaccounted::of(&lease.metadata)
}

/// What the operator knows.
struct Known {
    /// Where it looks.
    seen: Reach,
    /// The releases that it has found.
    releases: BTreeSet<ReleaseId>,
}

impl Known {
    /// Whether there is no record of a release, as far as anybody has looked.
    fn misses(&self, release: &ReleaseId) -> bool {
        self.seen.covers(&release.namespace) && !self.releases.contains(release)
    }
}

async fn releases(client: &Client, seen: &Reach) -> Result<BTreeSet<ReleaseId>, Failure> {
    let mut found = BTreeSet::new();
    for part in seen.parts() {
        let trusts = &part.api::<ReleaseTrust>(client);
        let page = |params| async move { trusts.list(&params).await };
        let listed = each(ListParams::default().limit(PAGE), page, |trust| {
            found.extend(recorded(&trust));
        });
        listed
            .await
            .map_err(Failure::api("list the ReleaseTrusts"))?;
    }
    Ok(found)
}

/// The release of which a verdict says that there is a record. An Application of Argo CD leaves none, so that a
/// workload that names one as its release has none either.
fn recorded(trust: &ReleaseTrust) -> Option<ReleaseId> {
    let release = trust.status.as_ref().and_then(|it| it.release.as_ref());
    let is_application = release.is_some_and(|it| it.owner == Owner::ArgoCD);
    (!is_application).then(|| ReleaseId {
        namespace: trust.namespace().unwrap_or_default(),
        name: trust.name_any(),
    })
}

async fn of_kind<K>(client: &Client, asked: &Reach, known: &Known) -> Result<Vec<Workload>, Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + k8s_openapi::Resource,
{
    let mut found = Vec::new();
    for part in asked.parts() {
        let workloads = &part.api::<K>(client);
        let page = |params| async move { workloads.list_metadata(&params).await };
        let listed = each(ListParams::default().limit(PAGE), page, |one| {
            let release = claim(&one.metadata).filter(|release| known.misses(release));
            found.extend(release.map(|release| Workload {
                namespace: one.namespace().unwrap_or_default(),
                kind: K::KIND,
                name: one.name_any(),
                release: release.to_string(),
            }));
        });
        let what = format!("list the {}s", K::KIND);
        listed.await.map_err(Failure::api(what))?;
    }
    Ok(found)
}

/// Applications of Argo CD that deploy something, and no chart. A cluster without the kind has none.
async fn applications(client: &Client, asked: &Reach) -> Result<Vec<Workload>, Failure> {
    let Kind {
        group,
        kind,
        plural,
    } = argocd::APPLICATIONS;
    let gvk = GroupVersionKind::gvk(group, "v1alpha1", kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
    let mut found = Vec::new();
    for part in asked.parts() {
        let all = &part.api_with::<DynamicObject>(client, &resource);
        let page = |params| async move { all.list(&params).await };
        let listed = each(
            ListParams::default().limit(PAGE),
            page,
            |one: DynamicObject| {
                let (namespace, name) = (one.namespace().unwrap_or_default(), one.name_any());
                // Invariant: what was read as JSON can be written as JSON.
                let object = serde_json::to_value(one).unwrap_or_default();
                let application = Application::of(&object).filter(Application::is_unaccounted);
                found.extend(application.map(|_| Workload {
                    namespace,
                    kind,
                    name,
                    release: "-".to_owned(),
                }));
            },
        );
        match listed.await {
            Ok(()) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(found),
            Err(error) => return Err(Failure::api("list the Applications")(error)),
        }
    }
    Ok(found)
}

fn text(found: &[Workload]) -> String {
    if found.is_empty() {
        return "everything that carries Helm's marks has a record\n".to_owned();
    }
    let mut table = Table::new(&["NAMESPACE", "KIND", "NAME", "RELEASE WITHOUT A RECORD"]);
    for one in found {
        table.add([&one.namespace, one.kind, &one.name, &one.release]);
    }
    table.to_string()
}

/// Metadata of so many workloads are some hundred KiB.
const PAGE: u32 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(namespace: &str, name: &str) -> ReleaseId {
        ReleaseId {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn where_nobody_looks_nothing_is_missed() {
        let known = |seen| Known {
            seen,
            releases: BTreeSet::from([id("shop", "web")]),
        };
        let some = known(Reach::of(["shop".to_owned()]));
        let all = known(Reach::Everywhere);
        for (release, in_some, in_all) in [
            (id("shop", "web"), false, false),
            (id("shop", "api"), true, true),
            (id("bank", "web"), false, true),
        ] {
            assert_eq!(
                (some.misses(&release), all.misses(&release)),
                (in_some, in_all)
            );
        }
    }

    #[test]
    fn what_names_an_application_as_its_release_has_no_record() {
        let trust = |owner: &str| -> ReleaseTrust {
            let value = serde_json::json!({
                "apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust",
                "metadata": {"namespace": "argocd", "name": "argocd.web"},
                "spec": {},
                "status": {"release": {"revision": 1, "chart": "web", "version": "1.0.0",
                    "owner": owner, "resourceVersion": "1"}},
            });
            serde_json::from_value(value).unwrap()
        };
        let release = || Some(id("argocd", "argocd.web"));
        assert_eq!(recorded(&trust("ArgoCD")), None);
        for owner in ["Helm", "Flux", "K3s"] {
            assert_eq!(recorded(&trust(owner)), release(), "{owner}");
        }
        let mut unjudged = trust("Helm");
        unjudged.status = None;
        assert_eq!(recorded(&unjudged), release());
    }

    #[test]
    fn each_has_a_line_with_the_release_that_it_names() {
        let one = Workload {
            namespace: "shop".to_owned(),
            kind: "Deployment",
            name: "web".to_owned(),
            release: "shop/web\u{1b}[2J".to_owned(),
        };
        let told = text(&[one]);
        assert!(
            told.ends_with("shop        Deployment   web    shop/web\\u{1b}[2J\n"),
            "{told}"
        );
        assert!(text(&[]).contains("has a record"));
    }
}
