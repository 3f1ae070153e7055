//! Sources that were asked, with what they were asked with.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use charttrust_verify::policy;

use crate::sources::Source;

/// Sources that were asked, with the versions of the objects that say how.
#[derive(Debug, Default)]
pub struct ResolvedSources(Mutex<HashMap<policy::Source, Resolved>>);

/// A source as it was asked.
#[derive(Debug)]
pub struct Resolved {
    /// Which versions of the objects were read.
    pub versions: Versions,
    /// The source with its credentials, unless they could not be read.
    pub source: Option<Source>,
}

/// Resource versions of the Secret, of the object with the authorities and of the Secret for statements.
pub type Versions = [Option<String>; 3];

impl ResolvedSources {
    /// The source as it was asked last, if that was with these versions.
    pub fn find(&self, wanted: &policy::Source, versions: &Versions) -> Option<Source> {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = cache
            .get(wanted)
            .filter(|resolved| resolved.versions == *versions)?;
        found.source.clone()
    }

    /// Every source that was asked, and with which versions.
    pub fn asked(&self) -> Vec<(policy::Source, Versions)> {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = cache.iter();
        all.map(|(source, resolved)| (source.clone(), resolved.versions.clone()))
            .collect()
    }

    /// Keeps what a source was asked with.
    pub fn keep(&self, wanted: &policy::Source, resolved: Resolved) {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= MAX_SOURCES {
            cache.clear();
        }
        cache.insert(wanted.clone(), resolved);
    }
}

/// Most sources kept; more than any cluster has, so that edits cannot fill the memory.
const MAX_SOURCES: usize = 1024;
