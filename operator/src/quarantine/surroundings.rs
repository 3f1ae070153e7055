//! What there is around a release, of which its record says nothing. Writes nothing.

use std::sync::Arc;

use futures::FutureExt as _;
use serde_json::Value;
use tokio::time::Instant;

use super::callers::Callers;
use super::neighbourhood::{Neighbourhood, Neighbourhoods};
use super::observed::Need;
use super::reading::GatherError;
use super::{actions, resources};
use crate::api::quarantine_words::QuarantineAction;
use crate::watch::is_name;

/// What else there is in a namespace, and of the whole cluster what the API server calls.
pub(super) struct Surroundings {
    /// What lives in the namespace, where an action has to know it.
    pub(super) neighbours: Arc<Neighbourhood>,
    /// Its autoscalers, or why they are not known.
    pub(super) autoscalers: Result<Vec<Value>, GatherError>,
    /// What the API server calls.
    pub(super) callers: Arc<Callers>,
}

impl Surroundings {
    /// All of it at the same time.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub(super) async fn of(
        neighbourhoods: &Neighbourhoods,
        namespace: &str,
        actions: &[QuarantineAction],
        since: Instant,
    ) -> Result<Self, GatherError> {
        let neighbours = async {
            if actions::needs(actions)(Need::Neighbours) {
                neighbourhoods.of(namespace).await
            } else {
                Ok(Arc::default())
            }
        };
        let autoscaler = resources::autoscaler();
        let autoscalers = neighbourhoods.rare((&autoscaler, Some(namespace)), since, |_| true);
        let autoscalers = autoscalers.map(Ok);
        let callers = neighbourhoods.callers(since);
        let (neighbours, autoscalers, callers) =
            futures::try_join!(neighbours, autoscalers, callers)?;
        Ok(Self {
            neighbours,
            autoscalers,
            callers,
        })
    }
}

/// Whether anybody looks there; an Application may name anything as the place that it deploys to.
pub(super) fn is_seen(neighbourhoods: &Neighbourhoods, namespace: &str) -> bool {
    neighbourhoods.reach().covers(namespace) && is_name(namespace)
}
