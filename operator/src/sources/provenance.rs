//! The provenance file beside an archive, and what each answer for it means.

use std::sync::Arc;

use reqwest::Url;

use super::error::{FetchError, Part};
use super::http::{Ask, Found, Reply, Validator, Web};
use super::site::Site;
use super::urls;

/// What a source answered when it was asked for a provenance file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProvenanceAnswer {
    /// There is a file, and it cannot be a provenance file.
    Malformed(&'static str),
    /// The source says that there is none; its status code, 404 or 410.
    Missing(u16),
    /// The file, not yet judged.
    Present(Arc<[u8]>),
    /// The source gave no usable answer, or too large a one.
    Unavailable(FetchError),
}

/// An answer and how to recognise it.
#[derive(Clone)]
pub(super) struct Provenance {
    pub(super) answer: ProvenanceAnswer,
    url: Url,
    validator: Option<Validator>,
}

/// The provenance file of an archive.
///
/// It is looked for beside the path of the archive; if it is not there and the URL has a query,
/// where Helm looks as well.
pub(super) async fn provenance(
    web: &Web,
    site: &Site,
    archive: &Url,
    kept: Option<Provenance>,
) -> Provenance {
    let first = ask(web, site, urls::provenance(archive), kept.as_ref()).await;
    let second = urls::provenance_as_helm(archive).filter(|_| !first.is_present());
    let Some(second) = second else { return first };
    let second = ask(web, site, second, kept.as_ref()).await;
    // Servers that ignore the query answer with the archive.
    if second.is_message() { second } else { first }
}

async fn ask(web: &Web, site: &Site, url: Url, kept: Option<&Provenance>) -> Provenance {
    let kept = kept.filter(|kept| kept.url == url && kept.is_present());
    let validator = kept.and_then(|kept| kept.validator.as_ref());
    let reply = web
        .get(Ask {
            part: Part::Provenance,
            site,
            url: &url,
            validator,
        })
        .await;
    let (answer, validator) = match (reply, kept) {
        (Ok(Reply::Unchanged), Some(kept)) => return kept.clone(),
        (Ok(Reply::Found(found)), _) => {
            let validator = found.validator.clone();
            (read(web, &url, found).await, validator)
        }
        (Ok(Reply::Unchanged), None) => (unusable(&url, "it is said to be unchanged"), None),
        (
            Err(FetchError::Status {
                code: code @ (404 | 410),
                ..
            }),
            _,
        ) => (ProvenanceAnswer::Missing(code), None),
        (Err(error), _) => (ProvenanceAnswer::Unavailable(error), None),
    };
    Provenance {
        answer,
        url,
        validator,
    }
}

impl Provenance {
    fn is_present(&self) -> bool {
        matches!(self.answer, ProvenanceAnswer::Present(_))
    }

    fn is_message(&self) -> bool {
        let ProvenanceAnswer::Present(bytes) = &self.answer else {
            return false;
        };
        bytes.windows(MESSAGE.len()).any(|window| window == MESSAGE)
    }
}

async fn read(web: &Web, url: &Url, found: Box<Found>) -> ProvenanceAnswer {
    if found.html {
        return unusable(url, "it is HTML");
    }
    match found.body.read(web.limits.provenance_bytes).await {
        Ok(bytes) => judge(url, bytes),
        Err(error) => ProvenanceAnswer::Unavailable(error),
    }
}

fn judge(url: &Url, bytes: Vec<u8>) -> ProvenanceAnswer {
    let text = bytes
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(&bytes)
        .trim_ascii_start();
    match text.first() {
        Some(b'<') => unusable(url, "it is HTML"),
        Some(_) => ProvenanceAnswer::Present(bytes.into()),
        None => ProvenanceAnswer::Malformed("the provenance file is empty"),
    }
}

fn unusable(url: &Url, why: &str) -> ProvenanceAnswer {
    ProvenanceAnswer::Unavailable(FetchError::unusable(Part::Provenance, url, why))
}

const MESSAGE: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
