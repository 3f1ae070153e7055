//! Where a repository keeps its files.

use reqwest::Url;

/// Address of the index of a repository.
pub(super) fn index(base: &Url) -> Url {
    let mut url = folder(base);
    url.set_path(&format!("{}index.yaml", url.path()));
    url
}

/// Address of a file of this very name in a folder.
pub(super) fn file(base: &Url, name: &str) -> Url {
    let mut url = folder(base);
    // Invariant: http:// and https:// URLs have a path.
    if let Ok(mut path) = url.path_segments_mut() {
        // What a record calls its chart leads to no other folder: a slash in it is encoded.
        path.pop_if_empty().push(name);
    }
    url
}

/// Address of an archive as the index lists it; `None` if it is no URL.
///
/// An absolute reference stands as it is. A relative one is resolved against the base URL as a
/// folder, and takes over the query of the base URL, whatever its own: Helm does the same.
pub(super) fn resolve(base: &Url, reference: &str) -> Option<Url> {
    if let Ok(absolute) = Url::parse(reference) {
        return Some(without_fragment(absolute));
    }
    let mut url = folder(base).join(reference).ok()?;
    url.set_query(base.query());
    Some(without_fragment(url))
}

/// Address of the provenance file of an archive: the suffix ends the path, the query stays.
pub(super) fn provenance(archive: &Url) -> Url {
    let mut url = archive.clone();
    url.set_path(&format!("{}.prov", archive.path()));
    url
}

/// Address of a Sigstore bundle of an archive: the suffix ends the path, the query stays.
pub(super) fn signature(archive: &Url) -> Url {
    let mut url = archive.clone();
    url.set_path(&format!("{}.sigstore.json", archive.path()));
    url
}

/// Where Helm looks for the provenance file: the suffix ends the query. `None` without a query.
pub(super) fn provenance_as_helm(archive: &Url) -> Option<Url> {
    let query = archive.query()?;
    let mut url = archive.clone();
    url.set_query(Some(&format!("{query}.prov")));
    Some(url)
}

/// The URL with exactly one slash added, or one taken for it.
fn folder(base: &Url) -> Url {
    let mut url = base.clone();
    let path = base.path();
    url.set_path(&format!("{}/", path.strip_suffix('/').unwrap_or(path)));
    url
}

fn without_fragment(mut url: Url) -> Url {
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn the_index_lies_in_the_folder_of_the_base_url() {
        for (base, expected) in [
            ("https://a.example", "https://a.example/index.yaml"),
            ("https://a.example/", "https://a.example/index.yaml"),
            (
                "https://a.example/charts",
                "https://a.example/charts/index.yaml",
            ),
            (
                "https://a.example/charts/",
                "https://a.example/charts/index.yaml",
            ),
            (
                "https://a.example/charts//",
                "https://a.example/charts//index.yaml",
            ),
            (
                "https://a.example/charts?token=x",
                "https://a.example/charts/index.yaml?token=x",
            ),
            (
                "https://a.example/a%2Fb",
                "https://a.example/a%2Fb/index.yaml",
            ),
        ] {
            assert_eq!(index(&url(base)).as_str(), expected);
        }
    }

    #[test]
    fn a_file_lies_in_its_folder_whatever_it_is_called() {
        for (base, name, expected) in [
            (
                "https://a.example",
                "web-1.0.0.tgz.prov",
                "https://a.example/web-1.0.0.tgz.prov",
            ),
            (
                "https://a.example/prov",
                "w-1+x.tgz.prov",
                "https://a.example/prov/w-1+x.tgz.prov",
            ),
            (
                "https://a.example/prov/",
                "w.prov",
                "https://a.example/prov/w.prov",
            ),
            (
                "https://a.example/prov",
                "../../w.prov",
                "https://a.example/prov/..%2F..%2Fw.prov",
            ),
            (
                "https://a.example/prov",
                "a?b#c.prov",
                "https://a.example/prov/a%3Fb%23c.prov",
            ),
            (
                "https://a.example/prov",
                "a%2Fb.prov",
                "https://a.example/prov/a%252Fb.prov",
            ),
        ] {
            assert_eq!(file(&url(base), name).as_str(), expected);
        }
    }

    /// Base, reference, and where it leads.
    const REFERENCES: &[(&str, &str, &str)] = &[
        (
            "https://a.example/charts",
            "c-1.0.0.tgz",
            "https://a.example/charts/c-1.0.0.tgz",
        ),
        (
            "https://a.example/charts/",
            "c-1.0.0+b.tgz",
            "https://a.example/charts/c-1.0.0+b.tgz",
        ),
        (
            "https://a.example/charts",
            "x/c.tgz",
            "https://a.example/charts/x/c.tgz",
        ),
        (
            "https://a.example/charts",
            "../c.tgz",
            "https://a.example/c.tgz",
        ),
        (
            "https://a.example/charts",
            "/c.tgz",
            "https://a.example/c.tgz",
        ),
        (
            "https://a.example/charts",
            "//b.example/c.tgz",
            "https://b.example/c.tgz",
        ),
        (
            "https://a.example/charts?t=1",
            "c.tgz",
            "https://a.example/charts/c.tgz?t=1",
        ),
        (
            "https://a.example/charts?t=1",
            "c.tgz?u=2",
            "https://a.example/charts/c.tgz?t=1",
        ),
        (
            "https://a.example/charts",
            "c.tgz?u=2",
            "https://a.example/charts/c.tgz",
        ),
        (
            "https://a.example/charts?t=1",
            "https://b.example/c.tgz",
            "https://b.example/c.tgz",
        ),
        (
            "https://a.example",
            "https://b.example/c.tgz?u=2#f",
            "https://b.example/c.tgz?u=2",
        ),
        (
            "https://a.example",
            "http://b.example/c.tgz",
            "http://b.example/c.tgz",
        ),
    ];

    #[test]
    fn references_are_resolved_as_helm_does() {
        for &(base, reference, expected) in REFERENCES {
            assert_eq!(
                resolve(&url(base), reference).unwrap().as_str(),
                expected,
                "{base} {reference}"
            );
        }
    }

    #[test]
    fn the_provenance_suffix_goes_to_the_path_and_the_query_stays() {
        for (archive, ours, helms) in [
            (
                "https://a.example/c.tgz",
                "https://a.example/c.tgz.prov",
                None,
            ),
            (
                "https://a.example/c.tgz?t=1",
                "https://a.example/c.tgz.prov?t=1",
                Some("https://a.example/c.tgz?t=1.prov"),
            ),
            (
                "https://a.example/a%2Fb",
                "https://a.example/a%2Fb.prov",
                None,
            ),
        ] {
            assert_eq!(provenance(&url(archive)).as_str(), ours);
            assert_eq!(
                provenance_as_helm(&url(archive)).as_ref().map(Url::as_str),
                helms
            );
        }
    }
}
