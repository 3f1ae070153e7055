//! Where charts are published.

use std::path::Path;

use charttrust_verify::policy::{CaRef, ProvenanceAt, Source};
use charttrust_verify::scheme::Scheme;

use super::Problems;
use crate::api::chart_trust_policy::{self as api, CaKind};

/// Says whether a token for an audience may be sent to an address, or else why not and the next step.
pub type TokenRule<'a> = dyn Fn(&str, &str) -> Result<(), String> + 'a;

/// The sources of a rule.
pub(super) fn sources(
    path: &str,
    rule: &api::Rule,
    tokens: &TokenRule<'_>,
    problems: &mut Problems,
) -> Vec<Source> {
    let numbered = rule.sources.iter().enumerate();
    let read = numbered.map(|(index, one)| {
        let path = format!("{path}[{index}]");
        let read = source(&path, one, &rule.charts, problems);
        check_token(&path, (one, &read), tokens, problems);
        read
    });
    read.collect()
}

fn check_token(
    path: &str,
    (source, read): (&api::Source, &Source),
    tokens: &TokenRule<'_>,
    problems: &mut Problems,
) {
    let Some(audience) = &read.token_audience else {
        return;
    };
    if source.credentials_secret_ref.is_some() {
        let message = "stands instead of credentialsSecretRef, remove one of them";
        problems.add(format!("{path}.kubernetesToken"), message);
    }
    let path = format!("{path}.kubernetesToken.audience");
    problems.take(&path, tokens(&read.url, audience));
}

fn source(path: &str, source: &api::Source, charts: &[String], problems: &mut Problems) -> Source {
    let own = source.repository.as_deref();
    let own = own.map(|repository| of_one_chart(&source.url, repository, charts));
    let own = own.and_then(|own| problems.take(&format!("{path}.repository"), own));
    problems.take(&format!("{path}.url"), repository(&source.url));
    for (index, mirror) in source.mirrors.iter().enumerate() {
        problems.take(&format!("{path}.mirrors[{index}]"), repository(mirror));
    }
    Source {
        url: own.unwrap_or_else(|| source.url.clone()),
        mirrors: source.mirrors.clone(),
        credentials_secret: source
            .credentials_secret_ref
            .as_ref()
            .map(|named| named.name.clone()),
        token_audience: source
            .kubernetes_token
            .as_ref()
            .map(|token| token.audience.clone()),
        deployer_secret: None,
        ca: source.ca_ref.as_ref().map(authority),
        provenance: source.provenance.as_ref().map(|elsewhere| {
            problems.take(&format!("{path}.provenance.url"), folder(&elsewhere.url));
            provenance(elsewhere)
        }),
    }
}

fn provenance(elsewhere: &api::ProvenanceSource) -> ProvenanceAt {
    let secret = elsewhere.credentials_secret_ref.as_ref();
    ProvenanceAt {
        url: elsewhere.url.clone(),
        credentials_secret: secret.map(|named| named.name.clone()),
    }
}

fn authority(ca: &api::CaRef) -> CaRef {
    match ca.kind {
        CaKind::ConfigMap => CaRef::ConfigMap(ca.name.clone()),
        CaKind::Secret => CaRef::Secret(ca.name.clone()),
    }
}

/// The address of a repository that holds one chart under another name: `REPOSITORY#CHART`. No configured
/// address has a fragment, so that it is confused with none.
fn of_one_chart(url: &str, repository: &str, charts: &[String]) -> Result<String, RepositoryError> {
    let is_oci = |url| Scheme::split(url).is_some_and(|(scheme, _)| scheme == Scheme::Oci);
    if !is_oci(url) || !is_oci(repository) {
        return Err(RepositoryError::Scheme);
    }
    address(repository)?;
    match charts {
        [chart] if !chart.contains(['*', '?']) => {
            Ok(format!("{}#{chart}", repository.trim_end_matches('/')))
        }
        _ => Err(RepositoryError::SeveralCharts),
    }
}

/// Why the repository of one chart cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
enum RepositoryError {
    /// It is no address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Only registries have a repository for each chart.
    #[error("stands beside an oci:// url only, and begins with oci:// itself")]
    Scheme,
    /// Which of them it holds is not said.
    #[error("holds one chart: name exactly that one in the charts of the rule")]
    SeveralCharts,
}

/// Whether a URL is where charts are published: the folder, not the index in it, below which the index would
/// be looked for again.
///
/// # Errors
/// Why it is not, with the next step, to follow what names it.
pub fn repository(url: &str) -> Result<(), AddressError> {
    address(url)?;
    if url.trim_end_matches('/').ends_with("/index.yaml") {
        return Err(AddressError::Index);
    }
    Ok(())
}

/// Whether a URL is a folder of files that are asked for by their names.
fn folder(url: &str) -> Result<(), FolderError> {
    address(url)?;
    if !matches!(Scheme::split(url), Some((Scheme::Http | Scheme::Https, _))) {
        return Err(FolderError::Scheme);
    }
    let last = Path::new(url.trim_end_matches('/'));
    if last
        .extension()
        .is_some_and(|extension| extension == "prov")
    {
        return Err(FolderError::File);
    }
    Ok(())
}

/// Why a URL is no folder of statements.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
enum FolderError {
    /// It is no address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A file in place of its folder.
    #[error("names a .prov file, name the folder that it lies in")]
    File,
    /// A registry has no folders.
    #[error("is no folder that is asked over HTTP, begin it with https://")]
    Scheme,
}

/// Whether a URL names a place in the one way in which scopes compare it: nothing in it changes
/// when a client cleans it up.
pub(super) fn address(url: &str) -> Result<(), AddressError> {
    let (_, rest) = Scheme::split(url).ok_or(AddressError::Scheme)?;
    let (host, path) = split_host(rest);
    if host.is_empty() || url.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(AddressError::Malformed);
    }
    // It would stand in status, events and logs, where a password has no place.
    if host.contains('@') {
        return Err(AddressError::User);
    }
    if url.contains(['?', '#']) {
        return Err(AddressError::Query);
    }
    // `https://charts.example.com/a/../b` is another place for a client than for the scope of a
    // key, which compares text.
    if path.split('/').any(is_dots) {
        return Err(AddressError::Dots);
    }
    Ok(())
}

fn split_host(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

fn is_dots(segment: &str) -> bool {
    // Clients take `%2e` for a dot (WHATWG URL, "double-dot path segment").
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    matches!(plain.as_str(), "." | "..")
}

/// Why a URL is no address of a source.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressError {
    /// It climbs.
    #[error("has a . or .. in its path, write the path out")]
    Dots,
    /// The index in place of the repository.
    #[error("names an index.yaml, name the folder that it lies in")]
    Index,
    /// No host, or characters that no URL has.
    #[error("is no address, write it as https://charts.example.com/path")]
    Malformed,
    /// A query or fragment.
    #[error("has a query or fragment, remove it, and give credentials by credentialsSecretRef")]
    Query,
    /// Another scheme.
    #[error("is no address of a chart source, begin it with {}", Scheme::listed())]
    Scheme,
    /// A user or password.
    #[error("has a user in it, remove it, and give credentials by credentialsSecretRef")]
    User,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_repositories_and_registries_are_accepted() {
        for url in [
            "https://charts.example.com",
            "https://charts.example.com:8443/team/",
            "http://127.0.0.1:8080",
            "oci://ghcr.io/example/charts",
            "oci://[::1]:5000/a..b/c@d",
        ] {
            assert_eq!(address(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn a_repository_is_named_by_its_folder() {
        for url in [
            "https://a.example/index.yaml",
            "https://a.example/b/index.yaml/",
        ] {
            assert_eq!(repository(url), Err(AddressError::Index), "{url}");
        }
        for url in ["https://a.example", "https://a.example/my-index.yaml/b"] {
            assert_eq!(repository(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn a_repository_of_its_own_holds_the_one_chart_of_the_rule() {
        let (base, own) = ("oci://ghcr.io/a", "oci://ghcr.io/a/helm-shop");
        let one = vec!["shop".to_owned()];
        let expected = Ok("oci://ghcr.io/a/helm-shop#shop".to_owned());
        assert_eq!(of_one_chart(base, own, &one), expected);
        for (url, repository, charts, error) in [
            (
                "https://a.example",
                own,
                vec!["shop"],
                RepositoryError::Scheme,
            ),
            (
                base,
                "https://a.example/b",
                vec!["shop"],
                RepositoryError::Scheme,
            ),
            (base, own, vec!["shop-*"], RepositoryError::SeveralCharts),
            (base, own, vec!["sho?"], RepositoryError::SeveralCharts),
            (
                base,
                own,
                vec!["shop", "forum"],
                RepositoryError::SeveralCharts,
            ),
            (base, own, vec![], RepositoryError::SeveralCharts),
            (
                base,
                "oci://ghcr.io/a/../b",
                vec!["shop"],
                AddressError::Dots.into(),
            ),
            (
                base,
                "oci://me@ghcr.io/a",
                vec!["shop"],
                AddressError::User.into(),
            ),
            (
                base,
                "oci://ghcr.io/a#b",
                vec!["shop"],
                AddressError::Query.into(),
            ),
        ] {
            let charts: Vec<_> = charts.into_iter().map(str::to_owned).collect();
            let told = of_one_chart(url, repository, &charts);
            assert_eq!(told, Err(error), "{url} {repository} {charts:?}");
        }
    }

    #[test]
    fn a_folder_of_statements_is_asked_over_http() {
        for url in ["https://a.example/prov", "http://127.0.0.1:8080"] {
            assert_eq!(folder(url), Ok(()), "{url}");
        }
        for (url, error) in [
            ("oci://a.example/prov", FolderError::Scheme),
            ("https://a.example/web-1.0.0.tgz.prov", FolderError::File),
            ("https://a.example/a/../b", AddressError::Dots.into()),
            ("https://me@a.example", AddressError::User.into()),
            ("https://a.example?x=1", AddressError::Query.into()),
            ("ftp://a.example", AddressError::Scheme.into()),
        ] {
            assert_eq!(folder(url), Err(error), "{url}");
        }
    }

    #[test]
    fn addresses_that_mean_two_things_are_refused() {
        for (url, error) in [
            ("", AddressError::Scheme),
            ("charts.example.com", AddressError::Scheme),
            ("HTTPS://charts.example.com", AddressError::Scheme),
            ("file:///etc", AddressError::Scheme),
            ("https://", AddressError::Malformed),
            ("https:///a", AddressError::Malformed),
            ("https://a.example b", AddressError::Malformed),
            ("https://a.example\\@b.example", AddressError::Malformed),
            ("https://me:secret@a.example", AddressError::User),
            ("https://a.example?x=1", AddressError::Query),
            ("https://a.example/#x", AddressError::Query),
            ("https://a.example/team/../b", AddressError::Dots),
            ("https://a.example/team/%2E%2e/b", AddressError::Dots),
            ("https://a.example/.", AddressError::Dots),
        ] {
            assert_eq!(address(url), Err(error), "{url}");
        }
    }
}
