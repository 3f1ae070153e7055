//! What we wrote last, so that a watch that lags does not make us write it again.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use kube::api::PostParams;
use kube::core::ClusterResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Context, Error, FIELD_MANAGER};
use crate::watch::within_deadline;

/// A status as it was written, and the resource version that it got.
#[derive(Clone, Debug)]
pub struct Written<S> {
    /// Resource version after the write.
    pub resource_version: String,
    /// The status.
    pub status: S,
}

impl<S> Written<S> {
    /// Whether somebody has written since. Resource versions of one kind are numbers that grow
    /// (KEP-5504); one that is no number counts as newer, so that what the server has is believed.
    pub fn is_older_than(&self, watched: Option<&str>) -> bool {
        let number = |text: &str| text.parse::<u64>().ok();
        match (watched.and_then(number), number(&self.resource_version)) {
            (Some(watched), Some(written)) => watched > written,
            _ => true,
        }
    }
}

/// What was written last to objects, by name.
#[derive(Debug)]
pub struct LastWritten<S>(Mutex<BTreeMap<String, Written<S>>>);

impl<S> Default for LastWritten<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S: Clone> LastWritten<S> {
    /// What was written to an object, unless somebody has written since.
    pub fn find(&self, name: &str, watched: Option<&str>) -> Option<Written<S>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(name)
            .filter(|written| !written.is_older_than(watched))
            .cloned()
    }

    /// Notes a write; `None` after a write that failed, so that the server is believed again.
    pub fn note(&self, name: &str, written: Option<Written<S>>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Some(written) => drop(all.insert(name.to_owned(), written)),
            None => drop(all.remove(name)),
        }
    }
}

impl<S: Clone> LastWritten<S> {
    /// Writes a cluster-wide object that carries its new status, on condition that nobody has
    /// written since what `status` was concluded from. An object that is gone needs no status.
    pub(super) async fn write<K>(
        &self,
        context: &Context,
        mut object: K,
        status: S,
        what: &'static str,
    ) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
        K: Clone + Debug + DeserializeOwned + Serialize,
    {
        let name = object.name_any();
        let ours = self.find(&name, object.resource_version().as_deref());
        if let Some(ours) = ours {
            object.meta_mut().resource_version = Some(ours.resource_version);
        }
        object.meta_mut().managed_fields = None;
        let api = Api::<K>::all(context.client.clone());
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PostParams::default()
        };
        let answer = within_deadline(api.replace_status(&name, &params, &object)).await;
        let version = answer.as_ref().ok().and_then(ResourceExt::resource_version);
        self.note(
            &name,
            version.map(|resource_version| Written {
                resource_version,
                status,
            }),
        );
        match answer {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(Error::Api(what, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_wrote_counts_until_a_newer_version_is_seen() {
        let last = LastWritten::default();
        last.note(
            "a",
            Some(Written {
                resource_version: "10".into(),
                status: "ours",
            }),
        );
        let found = |watched| last.find("a", watched).map(|written| written.status);
        assert_eq!(found(Some("9")), Some("ours"));
        assert_eq!(found(Some("10")), Some("ours"));
        assert_eq!(found(Some("11")), None);
        assert_eq!(found(Some("not a number")), None);
        assert_eq!(found(None), None);
        last.note("a", None);
        assert_eq!(found(Some("9")), None);
    }
}
