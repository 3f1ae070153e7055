//! The list of tags: read to be sure that a version is not there, or to know them all.

use std::ops::ControlFlow;

use reqwest::header::{HeaderMap, LINK};
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::client::{Client, Question};
use super::token::denied;
use crate::sources::error::{Amount, FetchError, Part};
use crate::sources::http::How;
use crate::sources::text::redacted;

/// What a whole list says of some tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// It has one of them.
    Some,
    /// It was read to its end, and has none of them.
    None,
}

/// Looks for tags in the list.
///
/// # Errors
/// If it cannot be read to its end.
pub(super) async fn find(client: Client<'_>, wanted: &[String]) -> Result<Listed, FetchError> {
    let mut found = Listed::None;
    let look = |tags: Vec<String>| {
        if tags.iter().any(|tag| wanted.contains(tag)) {
            found = Listed::Some;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    read(client, look).await?;
    Ok(found)
}

/// Every tag.
///
/// # Errors
/// If the list cannot be read to its end.
pub(in crate::sources::origin) async fn all(client: Client<'_>) -> Result<Vec<String>, FetchError> {
    let mut every = Vec::new();
    let keep = |tags| {
        every.extend(tags);
        ControlFlow::Continue(())
    };
    read(client, keep).await?;
    Ok(every)
}

/// Reads the list page by page, to its end or until somebody has seen enough.
async fn read(
    client: Client<'_>,
    mut look: impl FnMut(Vec<String>) -> ControlFlow<()>,
) -> Result<(), FetchError> {
    let first = client.repository.tags();
    let mut next = Some(first.clone());
    let (mut pages, mut seen) = (0, 0);
    while let Some(url) = next {
        let (tags, link) = page(client, &url).await?;
        (pages, seen) = (pages + 1, seen + tags.len());
        if look(tags).is_break() {
            return Ok(());
        }
        let follow = |link: String| resolve(&url, &link, Part::Tags);
        next = link.map(follow).transpose()?;
        if seen > MOST_TAGS || (pages >= MOST_PAGES && next.is_some()) {
            return Err(FetchError::TooLarge {
                limit: Amount::Tags(seen.min(MOST_TAGS)),
                part: Part::Tags,
                url: redacted(&first),
            });
        }
    }
    Ok(())
}

async fn page(client: Client<'_>, url: &Url) -> Result<(Vec<String>, Option<String>), FetchError> {
    let question = Question {
        part: Part::Tags,
        url,
        validator: None,
        how: How::Get,
    };
    let head = client.send(question).await?;
    match head.status() {
        StatusCode::OK => {}
        code @ StatusCode::FORBIDDEN => return Err(denied(url, code, &client.repository.site)),
        _ => return Err(client.web.failure(&head)),
    }
    let link = next_page(head.headers());
    let body = head
        .into_body()
        .read(client.web.limits.manifest_bytes)
        .await?;
    let unusable = |_| FetchError::unusable(Part::Tags, url, "it is no list of tags");
    Ok((listed(&body).map_err(unusable)?, link))
}

/// The tags of a page.
pub(super) fn listed(body: &[u8]) -> serde_json::Result<Vec<String>> {
    let list = serde_json::from_slice::<List>(body);
    list.map(|list| list.tags.unwrap_or_default())
}

/// `Link: </v2/a/tags/list?last=x>; rel="next"`; RFC 8288 as far as registries use it.
pub(super) fn next_page(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter();
    let mut targets = links.filter_map(|link| {
        let (target, parameters) = link
            .to_str()
            .ok()?
            .trim()
            .strip_prefix('<')?
            .split_once('>')?;
        let is_next = |parameter: &str| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"') == "next"
        };
        parameters
            .split(';')
            .any(is_next)
            .then(|| target.to_owned())
    });
    targets.next()
}

/// The next page is of the same registry, or nobody's.
pub(super) fn resolve(page: &Url, link: &str, part: Part) -> Result<Url, FetchError> {
    let next = page.join(link).ok();
    let own = next.filter(|next| next.origin() == page.origin() && next != page);
    own.ok_or_else(|| FetchError::unusable(part, page, "its next page is elsewhere"))
}

#[derive(Deserialize)]
struct List {
    /// `null` in some registries where it is empty.
    tags: Option<Vec<String>>,
}

const MOST_PAGES: usize = 10;
const MOST_TAGS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_what_the_link_header_names() {
        for (link, expected) in [
            (
                r#"</v2/a/tags/list?last=x&n=2>; rel="next""#,
                Some("/v2/a/tags/list?last=x&n=2"),
            ),
            (
                "<https://a.example/v2/a/tags/list?last=x>; rel=next",
                Some("https://a.example/v2/a/tags/list?last=x"),
            ),
            (r#"</x>; title="y"; REL="next""#, Some("/x")),
            (r#"</x>; rel="prev""#, None),
            ("</x>", None),
            ("/x; rel=next", None),
            ("", None),
        ] {
            let headers = [(LINK, link.parse().unwrap())].into_iter().collect();
            assert_eq!(next_page(&headers).as_deref(), expected, "{link}");
        }
    }

    #[test]
    fn the_next_page_is_of_the_same_registry() {
        let page = Url::parse("https://a.example/v2/a/tags/list?n=1000").unwrap();
        for (link, expected) in [
            (
                "/v2/a/tags/list?last=x",
                Some("https://a.example/v2/a/tags/list?last=x"),
            ),
            ("?last=x", Some("https://a.example/v2/a/tags/list?last=x")),
            ("https://a.example/other", Some("https://a.example/other")),
            ("https://evil.example/v2/a/tags/list?last=x", None),
            ("//evil.example/", None),
            ("http://a.example/v2/a/tags/list?last=x", None),
            ("?n=1000", None),
        ] {
            let next = resolve(&page, link, Part::Tags).ok();
            assert_eq!(next.as_ref().map(Url::as_str), expected, "{link}");
        }
    }
}
