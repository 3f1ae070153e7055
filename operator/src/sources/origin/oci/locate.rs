//! Where one version of a chart lies in a registry: its tag resolved once, and everything after by digest.

use charttrust_verify::digest::Sha256Digest;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use reqwest::{StatusCode, Url};

use super::client::{Client, Question};
use super::manifest::{ACCEPTED, Blob, Chart, Config, Content, Flaw};
use super::memory::Resolved;
use super::name;
use super::refusal::NotThere;
use super::tags::{self, Listed};
use super::token::denied;
use crate::sources::credentials::fingerprint;
use crate::sources::error::{Amount, FetchError, Part};
use crate::sources::http::{Head, How};
use crate::sources::located::{Located, Manifest, Statement, Wanted};
use crate::sources::singleflight::NotBefore;
use crate::sources::text::{escaped, redacted};

/// Finds a version, from an answer of the registry that is recent enough.
///
/// # Errors
/// `ChartNotFound` only if the registry itself says that there is no such manifest, and lists all its tags
/// without it. Whatever else it answers may come of what we are not shown.
pub(in crate::sources) async fn locate(
    client: Client<'_>,
    wanted: Wanted<'_>,
    not_before: NotBefore,
) -> Result<Located, FetchError> {
    let [kind, digest] = Manifest::key(wanted.manifest.as_ref());
    let version = wanted.version.as_bytes();
    let key = fingerprint(&[&client.repository.key(), version, kind, digest]);
    let entry = client.registries.resolved.entry(key);
    // An index is shared by all its charts for a while; a tag is of one version, and is asked for anew.
    let now = NotBefore {
        answer: not_before.failure,
        ..not_before
    };
    let resolved = entry.fetch(now, |kept| resolve(client, wanted, kept));
    let resolved = resolved.await?;
    let Chart {
        archive,
        manifest,
        provenance,
    } = resolved.value.chart;
    let listed = |blob: Blob| Statement::Listed {
        url: client.repository.blob(&blob.digest),
        digest: blob.digest,
        size: blob.size,
    };
    Ok(Located {
        at: resolved.at,
        archive: client.repository.blob(&archive.digest),
        claimed_digest: Some(archive.digest),
        is_moved: resolved.value.is_moved,
        manifest: Some(manifest),
        size: Some(archive.size),
        provenance: provenance.map_or(Statement::None, listed),
    })
}

async fn resolve(
    client: Client<'_>,
    wanted: Wanted<'_>,
    kept: Option<Resolved>,
) -> Result<Resolved, FetchError> {
    let deployed = match wanted.manifest {
        Some(Manifest::Exactly(digest)) => {
            return match kept {
                Some(kept) => Ok(kept),
                None => exactly(client, digest).await,
            };
        }
        Some(Manifest::Deployed(digest)) => Some(digest),
        None => None,
    };
    if let Some(kept) = kept {
        match digest_of(client, &kept.tag).await? {
            Some(digest) if digest == kept.digest => return Ok(kept),
            Some(digest) => {
                let tagged = at_digest(client, kept.tag, digest).await?;
                return as_deployed(client, deployed, tagged).await;
            }
            None => {}
        }
    }
    let tags = name::tags(wanted.version);
    let missing = match tagged(client, &tags).await? {
        Ok(tagged) => return as_deployed(client, deployed, tagged).await,
        Err(missing) => missing,
    };
    if let Some(digest) = deployed
        && let Some(chart) = of_digest(client, digest).await?
    {
        return Ok(Resolved {
            chart,
            digest,
            is_moved: true,
            tag: digest.to_string(),
        });
    }
    Err(absent(client, wanted, &tags, missing).await)
}

/// What the first of the tags that is there stands for, or what the registry says of none.
async fn tagged(
    client: Client<'_>,
    tags: &[String],
) -> Result<Result<Resolved, NotThere>, FetchError> {
    let mut missing = NotThere::Manifest;
    for tag in tags {
        match manifest(client, tag).await? {
            Answer::Found { bytes, digest } => {
                return Ok(Ok(Resolved {
                    chart: chart(client, tag, &bytes).await?,
                    digest,
                    is_moved: false,
                    tag: tag.clone(),
                }));
            }
            Answer::NotThere(NotThere::Manifest) => {}
            Answer::NotThere(NotThere::Unclear) => missing = NotThere::Unclear,
        }
    }
    Ok(Err(missing))
}

/// The chart that was deployed, where that is known and the tag stands for another by now. Which manifest that
/// was, somebody says whom nobody has to believe: what is not there or is no chart leaves what the tag has.
async fn as_deployed(
    client: Client<'_>,
    deployed: Option<Sha256Digest>,
    tagged: Resolved,
) -> Result<Resolved, FetchError> {
    let Some(digest) = deployed.filter(|digest| *digest != tagged.digest) else {
        return Ok(tagged);
    };
    let Some(deployed) = of_digest(client, digest).await? else {
        return Ok(Resolved {
            is_moved: true,
            ..tagged
        });
    };
    let of_tag = tagged.chart;
    // Who signs a chart later pushes it again: the tag has the statement then.
    let is_same = deployed.archive.digest == of_tag.archive.digest;
    let signed_since = of_tag.provenance.filter(|_| is_same);
    Ok(Resolved {
        chart: Chart {
            provenance: signed_since.or(deployed.provenance),
            ..deployed
        },
        is_moved: !is_same,
        ..tagged
    })
}

/// The chart of a manifest that somebody has named, if there is one.
async fn of_digest(client: Client<'_>, digest: Sha256Digest) -> Result<Option<Chart>, FetchError> {
    let reference = digest.to_string();
    let found = async {
        match manifest(client, &reference).await? {
            Answer::Found { bytes, .. } => chart(client, &reference, &bytes).await.map(Some),
            Answer::NotThere(_) => Ok(None),
        }
    };
    match found.await {
        Err(
            FetchError::Ambiguous { .. }
            | FetchError::TooLarge { .. }
            | FetchError::Unusable { .. },
        ) => Ok(None),
        found => found,
    }
}

/// What the tag stands for now, if the registry says so for a HEAD, which counts for no quota.
async fn digest_of(client: Client<'_>, tag: &str) -> Result<Option<Sha256Digest>, FetchError> {
    let url = client.repository.manifest(tag);
    let head = client.send(question(&url, How::Head(ACCEPTED))).await?;
    match head.status() {
        StatusCode::OK => Ok(claimed(head.headers())),
        StatusCode::TOO_MANY_REQUESTS => Err(client.web.failure(&head)),
        // Some proxies know no HEAD; whatever it is, a GET tells it as well.
        _ => Ok(None),
    }
}

/// The chart of the manifest that is wanted, whatever a tag stands for.
async fn exactly(client: Client<'_>, digest: Sha256Digest) -> Result<Resolved, FetchError> {
    let reference = digest.to_string();
    let url = client.repository.manifest(&reference);
    match manifest(client, &reference).await? {
        Answer::Found { bytes, .. } => Ok(Resolved {
            chart: chart(client, &reference, &bytes).await?,
            digest,
            is_moved: false,
            tag: reference,
        }),
        // No list has digests: that it is not there may as well be that it is not shown.
        Answer::NotThere(NotThere::Manifest) => {
            let why = "the registry does not have it";
            Err(FetchError::unusable(Part::Manifest, &url, why))
        }
        Answer::NotThere(NotThere::Unclear) => {
            let code = StatusCode::NOT_FOUND;
            Err(denied(&url, code, &client.repository.site))
        }
    }
}

async fn at_digest(
    client: Client<'_>,
    tag: String,
    digest: Sha256Digest,
) -> Result<Resolved, FetchError> {
    let reference = digest.to_string();
    match manifest(client, &reference).await? {
        Answer::Found { bytes, .. } => {
            let chart = chart(client, &reference, &bytes).await?;
            Ok(Resolved {
                chart,
                digest,
                is_moved: false,
                tag,
            })
        }
        Answer::NotThere(_) => {
            let url = client.repository.manifest(&reference);
            let why = "the registry names it, and does not have it";
            Err(FetchError::unusable(Part::Manifest, &url, why))
        }
    }
}

/// What a registry answers for a manifest.
pub(super) enum Answer {
    Found {
        bytes: Vec<u8>,
        digest: Sha256Digest,
    },
    NotThere(NotThere),
}

async fn manifest(client: Client<'_>, reference: &str) -> Result<Answer, FetchError> {
    manifest_within(client, reference, client.web.limits.manifest_bytes).await
}

/// The bytes of a manifest, so many at most. Their digest is computed; what the registry says it was is only
/// compared.
pub(super) async fn manifest_within(
    client: Client<'_>,
    reference: &str,
    limit: u64,
) -> Result<Answer, FetchError> {
    let url = client.repository.manifest(reference);
    let head = client.send(question(&url, How::Accept(ACCEPTED))).await?;
    let unusable = |why| FetchError::unusable(Part::Manifest, &url, why);
    match head.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => {
            let body = head.into_body().read(limit).await.unwrap_or_default();
            return Ok(Answer::NotThere(NotThere::of(&body)));
        }
        code @ StatusCode::FORBIDDEN => {
            return Err(denied(&url, code, &client.repository.site));
        }
        _ => return Err(client.web.failure(&head)),
    }
    if is_encoded(&head) {
        return Err(unusable("it is encoded, which was not asked for"));
    }
    let claimed = claimed(head.headers());
    let bytes = head.into_body().read(limit).await?;
    let digest = Sha256Digest::of(&bytes);
    if claimed.is_some_and(|claimed| claimed != digest) {
        return Err(unusable("its digest is another than the registry says"));
    }
    if reference
        .parse()
        .is_ok_and(|asked: Sha256Digest| asked != digest)
    {
        return Err(unusable("its digest is another than was asked for"));
    }
    Ok(Answer::Found { bytes, digest })
}

/// The chart of a manifest, or the one that Helm has made among those of an index.
async fn chart(client: Client<'_>, reference: &str, bytes: &[u8]) -> Result<Chart, FetchError> {
    let url = client.repository.manifest(reference);
    let children = match Content::parse(bytes).map_err(|flaw| flawed(&url, flaw))? {
        Content::Manifest(chart, _) => return chart.map_err(|flaw| flawed(&url, flaw)),
        Content::Index(children) => children,
    };
    if children.len() > MOST_CHILDREN {
        return Err(FetchError::TooLarge {
            limit: Amount::Manifests(MOST_CHILDREN),
            part: Part::Manifest,
            url: redacted(&url),
        });
    }
    let mut found = None;
    for digest in children {
        let child = client.repository.manifest(&digest.to_string());
        let Answer::Found { bytes, .. } = manifest(client, &digest.to_string()).await? else {
            let why = "its index lists it, and the registry does not have it";
            return Err(FetchError::unusable(Part::Manifest, &child, why));
        };
        match Content::parse(&bytes).map_err(|flaw| flawed(&child, flaw))? {
            Content::Manifest(chart, Config::Helm) => {
                if found.is_some() {
                    let flaw = Flaw::Ambiguous("it has several charts");
                    return Err(flawed(&url, flaw));
                }
                found = Some(chart.map_err(|flaw| flawed(&child, flaw))?);
            }
            Content::Manifest(_, Config::Other) | Content::Index(_) => {}
        }
    }
    found.ok_or_else(|| flawed(&url, Flaw::Unusable("it holds no Helm chart")))
}

/// Why a version was not found.
async fn absent(
    client: Client<'_>,
    wanted: Wanted<'_>,
    tags: &[String],
    missing: NotThere,
) -> FetchError {
    let (chart, version) = (escaped(wanted.chart), escaped(wanted.version));
    let Some(tag) = tags.first() else {
        let url = redacted(client.repository.registry());
        return FetchError::NoReference {
            chart,
            version,
            url,
        };
    };
    let at = client.repository.manifest(tag);
    if missing == NotThere::Unclear {
        return denied(&at, StatusCode::NOT_FOUND, &client.repository.site);
    }
    match tags::find(client, tags).await {
        Ok(Listed::None) => FetchError::ChartNotFound {
            chart,
            version,
            url: redacted(&client.repository.tags()),
        },
        Ok(Listed::Some) => {
            FetchError::unusable(Part::Manifest, &at, "it is listed, and not there")
        }
        Err(error) => error,
    }
}

fn question<'a>(url: &'a Url, how: How<'a>) -> Question<'a> {
    Question {
        part: Part::Manifest,
        url,
        validator: None,
        how,
    }
}

/// The digest that the registry says. Some say none.
fn claimed(headers: &HeaderMap) -> Option<Sha256Digest> {
    headers
        .get("docker-content-digest")?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

pub(super) fn is_encoded(head: &Head) -> bool {
    let encoding = head.headers().get(CONTENT_ENCODING);
    encoding.is_some_and(|encoding| encoding != "identity")
}

fn flawed(url: &Url, flaw: Flaw) -> FetchError {
    match flaw {
        Flaw::Ambiguous(why) => FetchError::Ambiguous {
            url: redacted(url),
            why,
        },
        Flaw::Unusable(why) => FetchError::unusable(Part::Manifest, url, why),
    }
}

/// Manifests of one index that are looked into; multi-platform images have up to a dozen.
const MOST_CHILDREN: usize = 16;
