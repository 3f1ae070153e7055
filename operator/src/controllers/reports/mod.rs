//! Reports of verdicts in the kinds that dashboards of others read: `Report` of `OpenReports`, or `PolicyReport`
//! of the working group policy. Written where a verdict has changed, and read then only.
//!
//! Decision: they are made of the `ReleaseTrust`s, which are the truth, and looked at by name when one of these
//! changes. What somebody else writes into a report stands until then: to follow reports would cost a watch
//! over all that other tools write into the same kind.

mod assigned;
mod kind;
mod row;

use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Preconditions};

use self::assigned::{Change, Page, name, plan};
use self::row::{Row, SOURCE, row};
use super::context::{Context, Reports};
use super::error::Error;
use super::task::Task;
use crate::api::create_params;
use crate::clock::Moment;
use crate::inventory::ReleaseId;
use crate::watch::within_deadline;

impl Context {
    /// A verdict in a namespace may have changed.
    pub(super) fn report_again(&self, namespace: &str) {
        if self.settings.reports == Reports::None {
            return;
        }
        let task = Task::Report(namespace.to_owned());
        let now = crate::clock::tick();
        let at = self.queues.calm.at(&task, now).max(now + SOON);
        self.queues.tasks.add_at(task, at);
    }
}

/// How soon after a change reports are written; each write takes in all changes of a namespace.
const SOON: std::time::Duration = std::time::Duration::from_secs(2);
/// How soon it is looked again whether the cluster knows the kind.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(30);

/// Brings the reports of a namespace in line with its `ReleaseTrust`s.
pub(super) async fn reconcile(
    context: &Context,
    namespace: &str,
    moment: Moment,
) -> Result<(), Error> {
    if context.cache.trusts.is_refused(namespace) {
        // What cannot be read at this moment need not be gone.
        return Ok(());
    }
    let mut rows = rows(context, namespace);
    let again = || {
        let task = Task::Report(namespace.to_owned());
        context.queues.tasks.add_at(task, moment.tick + AGAIN);
    };
    let resources = kind::resources(context, moment).await?;
    if resources.is_empty() && !rows.is_empty() {
        again();
    }
    for resource in resources {
        // The first is written; in another nothing is to be left.
        let rows = std::mem::take(&mut rows);
        if write(context, (namespace, &resource), rows).await? == Written::Over {
            // The definition may be gone, and come again.
            context.store.report_kind.forget();
            again();
            return Ok(());
        }
    }
    Ok(())
}

/// What became of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// It is as it should be.
    Done,
    /// There is nothing to write to any more.
    Over,
}

async fn write(
    context: &Context,
    (namespace, resource): (&str, &ApiResource),
    rows: Vec<Row>,
) -> Result<Written, Error> {
    let client = context.client.clone();
    let api = Api::<DynamicObject>::namespaced_with(client, namespace, resource);
    let pages = read(&api, assigned::pages_for(rows.len())).await;
    let pages = pages.map_err(|error| Error::Api("read a report", error))?;
    for change in plan(&pages, rows) {
        match apply(&api, resource, &change).await {
            Err(kube::Error::Api(status)) if is_over(&status) => return Ok(Written::Over),
            other => other.map_err(|error| Error::Api("write a report", error))?,
        }
    }
    Ok(Written::Done)
}

/// Whether there is nothing left to report to: the namespace ends, or it or the kind is gone.
fn is_over(status: &kube::core::Status) -> bool {
    let ends = status.message.contains("is being terminated");
    status.is_not_found() || status.is_forbidden() && ends
}

/// What is to be reported of the releases of a namespace, by their names.
fn rows(context: &Context, namespace: &str) -> Vec<Row> {
    let first = ReleaseId {
        namespace: namespace.to_owned(),
        name: String::new(),
    };
    // What follows a name directly in the order of strings.
    let beyond = ReleaseId {
        namespace: format!("{namespace}\0"),
        name: String::new(),
    };
    let shown = context.cache.trusts.range(first..beyond).into_iter();
    let opened = shown.filter_map(|(_, shown)| shown.open().ok());
    opened.filter_map(|trust| row(&trust)).collect()
}

/// The reports that are there: one after the other, as far as they are needed and then as far as they go.
async fn read(api: &Api<DynamicObject>, needed: usize) -> kube::Result<Vec<Page>> {
    let mut pages = Vec::new();
    for number in 1.. {
        let found = within_deadline(api.get_opt(&name(number))).await?;
        if number > needed + MOST_BEYOND || found.is_none() && number > needed {
            break;
        }
        pages.extend(found.map(|object| Page::of(number, &object)));
    }
    Ok(pages)
}

/// Most reports that are looked at beyond those that are needed: whoever may write some could make any number.
const MOST_BEYOND: usize = 16;

async fn apply(
    api: &Api<DynamicObject>,
    resource: &ApiResource,
    change: &Change,
) -> kube::Result<()> {
    match change {
        Change::Create(page) => {
            let object = object(page, resource);
            within_deadline(api.create(&create_params(), &object)).await?;
        }
        Change::Replace(page) => {
            let object = object(page, resource);
            within_deadline(api.replace(&name(page.number), &create_params(), &object)).await?;
        }
        Change::Delete(page) => {
            let params = DeleteParams::default().preconditions(Preconditions {
                resource_version: page.resource_version.clone(),
                uid: None,
            });
            within_deadline(api.delete(&name(page.number), &params)).await?;
        }
    }
    Ok(())
}

fn object(page: &Page, resource: &ApiResource) -> DynamicObject {
    let label = ("app.kubernetes.io/managed-by", "charttrust");
    let mut object = DynamicObject::new(&name(page.number), resource);
    object.metadata.labels = Some([(label.0.to_owned(), label.1.to_owned())].into());
    object
        .metadata
        .resource_version
        .clone_from(&page.resource_version);
    object.data = page.data();
    if resource.group == OPENREPORTS {
        // Only there is a place for it; readers that look for it there take it for all results.
        object.data["source"] = SOURCE.into();
    }
    object
}

const OPENREPORTS: &str = "openreports.io";

#[cfg(test)]
mod tests;
