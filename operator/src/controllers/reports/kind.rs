//! Which kind of report the cluster knows. Reads only, and what it has found once it does not ask again.

use kube::api::ApiResource;

use crate::clock::Moment;
use crate::controllers::context::Context;
use crate::controllers::error::Error;
use crate::watch::discover;

/// The kind to write, and others in which an earlier choice may have left reports; none as long as the cluster
/// knows none.
pub(super) async fn resources(
    context: &Context,
    moment: Moment,
) -> Result<Vec<ApiResource>, Error> {
    let memory = &context.store.report_kind;
    if let Some(found) = memory.found(moment.tick) {
        return Ok(found);
    }
    let mut all = Vec::new();
    for kind in context.settings.reports.kinds() {
        let found = discover(&context.client, *kind).await;
        all.extend(found.map_err(|error| Error::Api("ask for the kind of reports", error))?);
    }
    if let Some(first) = all.first() {
        let kind = format!("{}/{}", first.api_version, first.kind);
        tracing::info!(kind, "verdicts are reported");
    }
    memory.note(all.clone(), moment.tick);
    Ok(all)
}
