//! The provenance file beside an archive, and what each answer for it means.

use std::sync::Arc;

use charttrust_verify::digest::Sha256Digest;
use reqwest::Url;

use super::credentials::fingerprint;
use super::error::{Amount, FetchError, Part};
use super::http::{Ask, Found, How, Reply, Validator, Web};
use super::located::{Located, Statement, Wanted};
use super::origin::Asking;
use super::singleflight::{Cache, NotBefore};
use super::site::Site;
use super::target::Proof;
use super::text::redacted;

/// What a source answered when it was asked for a provenance file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProvenanceAnswer {
    /// There is a file, and it cannot be a provenance file.
    Malformed(&'static str),
    /// The source says that there is none.
    Missing,
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

/// Which provenance file is asked for, and how recent what its folder says has to be.
#[derive(Clone, Copy)]
pub(super) struct Sought<'a> {
    pub(super) folders: &'a Folders,
    pub(super) not_before: NotBefore,
    pub(super) proof: &'a Proof,
    pub(super) wanted: Wanted<'a>,
}

/// What folders of provenance files have answered: a source and all its mirrors ask theirs once.
pub(super) struct Folders(Cache<Provenance>);

/// The provenance file of an archive, from the folder that the source names for it, or else as the origin has
/// it.
pub(super) async fn provenance(
    asking: Asking<'_>,
    located: &Located,
    sought: Sought<'_>,
    kept: Option<Provenance>,
) -> Provenance {
    let Some((folder, url)) = sought.proof.file(sought.wanted) else {
        return of_origin(asking, located, kept).await;
    };
    let folders = sought.folders;
    let named = folders.ask((asking.web, folder), &url, sought.not_before);
    let named = named.await;
    if named.is_present() || !sought.proof.may_be_beside() {
        return named;
    }
    let beside = of_origin(asking, located, kept).await;
    if beside.is_present() { beside } else { named }
}

impl Folders {
    pub(super) fn new(entries: usize) -> Self {
        Self(Cache::new(entries, FOLDER_BYTES))
    }

    /// What a folder says of one file, silence too.
    async fn ask(
        &self,
        (web, folder): (&Web, &Site),
        url: &Url,
        not_before: NotBefore,
    ) -> Provenance {
        let key = fingerprint(&[&folder.key, url.as_str().as_bytes()]);
        let entry = self.0.entry(key);
        let asking = entry.fetch(not_before, async |kept| {
            Ok(in_folder((web, folder), url, kept.as_ref()).await)
        });
        match asking.await {
            Ok(answer) => {
                self.0.set_cost(key, answer.value.cost());
                answer.value
            }
            // Whatever it says is an answer, and none an error.
            Err(error) => Provenance::unavailable(url, error),
        }
    }
}

async fn in_folder(
    (web, folder): (&Web, &Site),
    url: &Url,
    kept: Option<&Provenance>,
) -> Provenance {
    let kept = known_at(url, kept);
    let ask = Ask {
        part: Part::Provenance,
        site: folder,
        url,
        validator: kept.and_then(|kept| kept.validator.as_ref()),
        how: How::Get,
    };
    heard(web, url, kept, web.get(ask).await).await
}

async fn of_origin(asking: Asking<'_>, located: &Located, kept: Option<Provenance>) -> Provenance {
    match &located.provenance {
        Statement::Beside(places) => match places.split_first() {
            Some((first, others)) => beside(asking, first, others, kept.as_ref()).await,
            None => Provenance::none(located),
        },
        Statement::Listed { url, digest, size } => {
            let kept = kept.filter(|kept| kept.url == *url && kept.is_present());
            match kept {
                // The address is that of a digest.
                Some(kept) => kept,
                None => listed(asking, url, *digest, *size).await,
            }
        }
        Statement::None => Provenance::none(located),
    }
}

/// What lies at the first of the places that has one.
async fn beside(
    asking: Asking<'_>,
    first: &Url,
    others: &[Url],
    kept: Option<&Provenance>,
) -> Provenance {
    let first = at_origin(asking, first, kept).await;
    if first.is_present() {
        return first;
    }
    for place in others {
        let other = at_origin(asking, place, kept).await;
        // Servers that ignore the query answer with the archive.
        if other.is_message() {
            return other;
        }
    }
    first
}

/// What the origin says to be there: if it is not, the origin is at fault, and the chart not unsigned.
async fn listed(asking: Asking<'_>, url: &Url, digest: Sha256Digest, size: u64) -> Provenance {
    let answer = match download(asking, url, digest, size).await {
        Ok(bytes) => judge(url, bytes),
        Err(error) => ProvenanceAnswer::Unavailable(error),
    };
    Provenance {
        answer,
        url: url.clone(),
        validator: None,
    }
}

async fn download(
    asking: Asking<'_>,
    url: &Url,
    digest: Sha256Digest,
    size: u64,
) -> Result<Vec<u8>, FetchError> {
    let limit = asking.web.limits.provenance_bytes;
    if size > limit {
        return Err(FetchError::TooLarge {
            limit: Amount::Bytes(limit),
            part: Part::Provenance,
            url: redacted(url),
        });
    }
    let unusable = |why| FetchError::unusable(Part::Provenance, url, why);
    let Reply::Found(mut found) = asking.get(Part::Provenance, url, None).await? else {
        return Err(unusable("it is said to be unchanged"));
    };
    let bytes = found.body.read_exactly(size).await?;
    if Sha256Digest::of(&bytes) != digest {
        return Err(unusable("it has another digest than its manifest says"));
    }
    Ok(bytes)
}

async fn at_origin(asking: Asking<'_>, url: &Url, kept: Option<&Provenance>) -> Provenance {
    let kept = known_at(url, kept);
    let validator = kept.and_then(|kept| kept.validator.as_ref());
    let reply = asking.get(Part::Provenance, url, validator).await;
    heard(asking.web, url, kept, reply).await
}

/// The file that is known of an address.
fn known_at<'a>(url: &Url, kept: Option<&'a Provenance>) -> Option<&'a Provenance> {
    kept.filter(|kept| kept.url == *url && kept.is_present())
}

/// What an answer says about the file at an address, of which an earlier one may be known.
async fn heard(
    web: &Web,
    url: &Url,
    kept: Option<&Provenance>,
    reply: Result<Reply, FetchError>,
) -> Provenance {
    let (answer, validator) = match (reply, kept) {
        (Ok(Reply::Unchanged), Some(kept)) => return kept.clone(),
        (Ok(Reply::Found(found)), _) => {
            let validator = found.validator.clone();
            (read(web, url, found).await, validator)
        }
        (Ok(Reply::Unchanged), None) => (unusable(url, "it is said to be unchanged"), None),
        // Only these say that there is none. 401 and 403 may hide one: S3 answers 403 for whatever is not
        // there to somebody who may not list.
        (
            Err(FetchError::Status {
                code: 404 | 410, ..
            }),
            _,
        ) => (ProvenanceAnswer::Missing, None),
        (Err(error), _) => (ProvenanceAnswer::Unavailable(error), None),
    };
    Provenance {
        answer,
        url: url.clone(),
        validator,
    }
}

impl Provenance {
    /// Bytes of memory that it takes beside itself.
    pub(super) fn cost(&self) -> usize {
        let file = match &self.answer {
            ProvenanceAnswer::Present(bytes) => bytes.len(),
            _ => 0,
        };
        file + self.url.as_str().len() + self.validator.as_ref().map_or(0, Validator::cost)
    }

    fn unavailable(url: &Url, error: FetchError) -> Self {
        Self {
            answer: ProvenanceAnswer::Unavailable(error),
            url: url.clone(),
            validator: None,
        }
    }

    /// The origin names no place for one.
    fn none(located: &Located) -> Self {
        Self {
            answer: ProvenanceAnswer::Missing,
            url: located.archive.clone(),
            validator: None,
        }
    }

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

async fn read(web: &Web, url: &Url, mut found: Box<Found>) -> ProvenanceAnswer {
    if found.html {
        return unusable(url, "it is HTML");
    }
    match found.body.read(web.limits.provenance_bytes).await {
        Ok(bytes) => judge(url, bytes),
        // A page or an index is what it is, however large.
        Err(error @ FetchError::TooLarge { .. }) => {
            let beginning = found.body.beginning().await.to_vec();
            match judge(url, beginning) {
                named @ ProvenanceAnswer::Unavailable(_) => named,
                _ => ProvenanceAnswer::Unavailable(error),
            }
        }
        Err(error) => ProvenanceAnswer::Unavailable(error),
    }
}

fn judge(url: &Url, bytes: Vec<u8>) -> ProvenanceAnswer {
    match Body::of(&bytes) {
        Body::Empty => ProvenanceAnswer::Malformed(EMPTY),
        Body::Mistaken(why) => unusable(url, why),
        Body::Statement => ProvenanceAnswer::Present(bytes.into()),
    }
}

/// What lies where a provenance file should, by its beginning: no server can be trusted to name the type, and
/// whoever has saved its answer has no type at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    Empty,
    /// What servers answer, with 200, for whatever they lack: it says neither that there is a provenance
    /// file, nor that there is none.
    Mistaken(&'static str),
    /// What may be a signed statement.
    Statement,
}

impl Body {
    /// Whether these bytes are a page for people.
    pub(super) fn is_page(bytes: &[u8]) -> bool {
        text(bytes).starts_with(b"<")
    }

    /// Of these bytes, or of their beginning.
    pub fn of(bytes: &[u8]) -> Self {
        let text = text(bytes);
        match text.first() {
            Some(b'<') => Self::Mistaken("it is HTML"),
            Some(b'{' | b'[') => Self::Mistaken("it is JSON"),
            Some(_) if is_index(text) => Self::Mistaken("it is the repository's index"),
            Some(_) => Self::Statement,
            None => Self::Empty,
        }
    }
}

/// Without what may stand before the first letter.
fn text(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.trim_ascii_start()
}

fn is_index(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n').take(INDEX_LINES);
    lines.any(|line| line.starts_with(b"entries:"))
}

/// An index begins with its `apiVersion` and a few fields; a signed chart has no `entries`.
const INDEX_LINES: usize = 16;

fn unusable(url: &Url, why: &str) -> ProvenanceAnswer {
    ProvenanceAnswer::Unavailable(FetchError::unusable(Part::Provenance, url, why))
}

/// What is said of an empty one.
pub const EMPTY: &str = "the provenance file is empty";

/// Bytes of files in folders that are kept beside what was fetched; one that is forgotten is asked for again.
const FOLDER_BYTES: usize = 4 << 20;

const MESSAGE: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
