//! What we wrote last, so that a watch that lags does not make us write it again.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::core::ClusterResourceScope;
use kube::core::object::HasStatus;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::create_params;
use crate::controllers::error::Error;
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

/// What was written last to objects, and what was told of them last, by name.
#[derive(Debug)]
pub struct LastWritten<S> {
    written: Mutex<BTreeMap<String, Written<S>>>,
    told: Mutex<BTreeMap<String, S>>,
}

impl<S> Default for LastWritten<S> {
    fn default() -> Self {
        Self {
            written: Mutex::default(),
            told: Mutex::default(),
        }
    }
}

impl<S: Clone> LastWritten<S> {
    /// What was written to an object, unless somebody has written since.
    pub fn find(&self, name: &str, watched: Option<&str>) -> Option<Written<S>> {
        let all = lock(&self.written);
        all.get(name)
            .filter(|written| !written.is_older_than(watched))
            .cloned()
    }

    /// Notes a write; `None` after a write that failed, so that the server is believed again.
    pub fn note(&self, name: &str, written: Option<Written<S>>) {
        let mut all = lock(&self.written);
        match written {
            Some(written) => drop(all.insert(name.to_owned(), written)),
            None => drop(all.remove(name)),
        }
    }
}

/// A status to write, and what was there before.
#[derive(Debug)]
pub struct Update<K, S> {
    /// The object as it is to be written on condition that nobody has written since.
    pub object: K,
    /// What was written last, or else what the watch shows.
    pub old: Option<S>,
    /// Of what events have told last, of an object that was deleted meanwhile too.
    pub told: Option<S>,
    /// What to write.
    pub new: S,
}

fn lock<T>(all: &Mutex<T>) -> MutexGuard<'_, T> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Clone + PartialEq> LastWritten<S> {
    /// Whether this process has written none yet.
    pub fn is_first(&self, name: &str) -> bool {
        !lock(&self.told).contains_key(name)
    }

    /// What was written last, or else what the watch shows.
    pub fn known<K>(&self, object: &K) -> Option<S>
    where
        K: Resource<DynamicType = ()> + HasStatus<Status = S>,
    {
        let ours = self.find(
            &object.name_any(),
            object.meta().resource_version.as_deref(),
        );
        ours.map(|ours| ours.status)
            .or_else(|| object.status().cloned())
    }

    /// Concludes the status of a cluster-wide object from the last one, if that says anything new.
    pub fn concluded<K>(
        &self,
        object: &K,
        conclude: impl FnOnce(Option<&S>) -> S,
    ) -> Option<Update<K, S>>
    where
        K: Resource<DynamicType = ()> + HasStatus<Status = S> + Clone,
    {
        let (name, mut object) = (object.name_any(), object.clone());
        let ours = self.find(&name, object.resource_version().as_deref());
        if let Some(ours) = &ours {
            object.meta_mut().resource_version = Some(ours.resource_version.clone());
        }
        let ours = ours.map(|ours| ours.status);
        let old = ours.or_else(|| object.status().cloned());
        let new = conclude(old.as_ref());
        let told = lock(&self.told).get(&name).cloned();
        (old.as_ref() != Some(&new)).then_some(Update {
            object,
            told: told.or_else(|| old.clone()),
            old,
            new,
        })
    }

    /// Writes what was concluded and told, on condition that nobody has written since. An object that is
    /// gone needs no status.
    pub(in crate::controllers) async fn write<K>(
        &self,
        client: &Client,
        update: Update<K, S>,
        what: &'static str,
    ) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope> + HasStatus<Status = S>,
        K: Clone + Debug + DeserializeOwned + Serialize,
    {
        let Update {
            mut object,
            new: status,
            ..
        } = update;
        let name = object.name_any();
        lock(&self.told).insert(name.clone(), status.clone());
        object.meta_mut().managed_fields = None;
        *object.status_mut() = Some(status.clone());
        let api = Api::<K>::all(client.clone());
        let answer = within_deadline(api.replace_status(&name, &create_params(), &object)).await;
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
