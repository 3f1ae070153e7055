//! Addresses that sources have named, as each was first: what is told of equal failures is the same, however
//! often a source names another address.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::credentials::Fingerprint;
use super::error::{FetchError, Part};

/// What failed at which addresses since it last succeeded.
#[derive(Debug, Default)]
pub(super) struct Named(Mutex<BTreeMap<Fingerprint, Failed>>);

/// The address that a failure of a kind was first about, for each part.
type Failed = BTreeMap<(Part, &'static str), String>;

impl Named {
    /// The failure, with the address that an equal one was about before. An address that is ours to choose is
    /// told as it is.
    pub(super) fn told(
        &self,
        key: Fingerprint,
        part: Part,
        error: FetchError,
        is_ours: impl FnOnce(&str) -> bool,
    ) -> FetchError {
        let mut told = error;
        let kind = told.kind();
        let Some(address) = told.named_address() else {
            return told;
        };
        if is_ours(address) {
            return told;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MOST || all.contains_key(&key) {
            let failed = all.entry(key).or_default();
            let first = failed.entry((part, kind));
            address.clone_from(first.or_insert_with(|| address.clone()));
        } else {
            ELSEWHERE.clone_into(address);
        }
        told
    }

    /// It has succeeded: the next failure is another one.
    pub(super) fn forget(&self, key: &Fingerprint) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(key);
    }
}

/// Most charts of sources whose addresses are remembered.
const MOST: usize = 1024;

/// What is told where there are too many.
const ELSEWHERE: &str = "an address that the source names";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::credentials::fingerprint;

    fn status(url: &str, code: u16) -> FetchError {
        FetchError::Status {
            code,
            retry_after: None,
            url: url.to_owned(),
        }
    }

    fn told(named: &Named, key: &[u8], part: Part, error: FetchError) -> String {
        let is_ours = |address: &str| address == "ours";
        named
            .told(fingerprint(&[key]), part, error, is_ours)
            .to_string()
    }

    #[test]
    fn equal_failures_are_told_alike_until_it_succeeds() {
        let named = Named::default();
        let archive = |url, code| told(&named, b"a", Part::Archive, status(url, code));
        assert_eq!(archive("1", 404), "1 answered 404");
        assert_eq!(archive("2", 404), "1 answered 404");
        assert_eq!(
            archive("3", 503),
            "1 answered 503",
            "what it answers is a fact"
        );
        assert_eq!(archive("ours", 404), "ours answered 404");
        let timeout = FetchError::Timeout("4".to_owned());
        let other = told(&named, b"a", Part::Archive, timeout);
        assert_eq!(other, "4 did not answer in time", "another failure");
        let other = told(&named, b"a", Part::Provenance, status("5", 404));
        assert_eq!(other, "5 answered 404", "of another part");
        let other = told(&named, b"b", Part::Archive, status("6", 404));
        assert_eq!(other, "6 answered 404", "of another chart");
        named.forget(&fingerprint(&[b"a"]));
        assert_eq!(archive("7", 404), "7 answered 404");
    }

    #[test]
    fn too_many_are_told_without_their_addresses() {
        let named = Named::default();
        for number in 0..MOST {
            let key = number.to_string();
            let first = told(&named, key.as_bytes(), Part::Archive, status("1", 404));
            assert_eq!(first, "1 answered 404");
        }
        let next = told(&named, b"next", Part::Archive, status("1", 404));
        assert_eq!(next, "an address that the source names answered 404");
        let known = told(&named, b"0", Part::Archive, status("2", 404));
        assert_eq!(known, "1 answered 404");
    }
}
