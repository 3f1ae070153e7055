//! The trusted roots that were read: each is kept once, however many signers are believed by it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::sigstore::{Root, RootError, TrustedRoot};

/// A root as it was asked for.
#[derive(Clone, Debug)]
pub struct FoundRoot {
    /// The root, or why there is none.
    pub root: Root,
    /// Whether the API server did not answer, so that it is to be asked again.
    pub is_unanswered: bool,
}

/// Those that somebody is believed by now.
#[derive(Debug, Default)]
pub struct Roots {
    compiled_in: OnceLock<Root>,
    read: Mutex<BTreeMap<Sha256Digest, Weak<TrustedRoot>>>,
}

impl Roots {
    /// The root that is compiled in; read when somebody is believed by it.
    pub fn compiled_in(&self) -> Root {
        let root = self.compiled_in.get_or_init(|| {
            let read = TrustedRoot::public_good();
            read.map_or_else(
                |error| Root::Unknown(error.to_string()),
                |root| Root::Known(Arc::new(root)),
            )
        });
        root.clone()
    }

    /// Whether none was read yet.
    #[cfg(test)]
    pub fn are_unread(&self) -> bool {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        self.compiled_in.get().is_none() && read.is_empty()
    }

    /// The root that these bytes are.
    ///
    /// # Errors
    /// Why they are none.
    pub fn read(&self, bytes: &[u8]) -> Result<Arc<TrustedRoot>, RootError> {
        let digest = Sha256Digest::of(bytes);
        let mut all = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(&digest).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let root = Arc::new(TrustedRoot::parse(bytes)?);
        all.retain(|_, known| known.strong_count() > 0);
        all.insert(digest, Arc::downgrade(&root));
        Ok(root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_root_is_kept_once_and_no_longer_than_somebody_is_believed_by_it() {
        let roots = Roots::default();
        let Root::Known(public) = roots.compiled_in() else {
            panic!("none is compiled in")
        };
        assert!(public.date().is_some());
        let json = crate::controllers::testing::ROOT.as_bytes();
        let one = roots.read(json).unwrap();
        assert!(Arc::ptr_eq(&one, &roots.read(json).unwrap()));
        drop(one);
        assert!(roots.read(b"{}").is_err());
        let all = roots.read.lock().unwrap();
        assert!(all.values().all(|known| known.strong_count() == 0));
    }
}
