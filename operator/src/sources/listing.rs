//! What a source lists: every version of every chart, or of the one chart of a repository in a registry.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::error::FetchError;
use super::located::{Listed, Wanted};
use super::origin::{Asking, Origin};
use super::{Fetcher, Source};

impl<T: Send + Sync + 'static> Fetcher<T> {
    /// What a source lists, each once, in the order of names. A registry lists the tags of one chart, some of
    /// which may be no versions.
    ///
    /// # Errors
    /// As for [`Fetcher::fetch`]; for a registry also if no chart is named.
    pub async fn listed(
        &self,
        source: &Source,
        chart: Option<&str>,
    ) -> Result<BTreeSet<Listed>, FetchError> {
        let wanted = Wanted {
            chart: chart.unwrap_or_default(),
            version: "",
            manifest: None,
        };
        let origin = Origin::main(source, wanted)?;
        let asking = Asking {
            catalogues: &self.0.catalogues,
            origin: &origin,
            registries: &self.0.registries,
            web: &self.0.web,
        };
        let mut listed = asking.listed(wanted.chart, Instant::now()).await?;
        listed.retain(|one| chart.is_none_or(|chart| one.chart == chart));
        Ok(listed)
    }
}
