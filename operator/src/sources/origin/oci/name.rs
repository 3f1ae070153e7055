//! Registries, repositories and tags as `oci://` addresses name them.

use reqwest::Url;

/// A registry and a path in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Scheme, host and port of the API.
    pub(super) registry: Url,
    /// Without slashes at its ends.
    pub(super) path: String,
}

impl Address {
    /// Reads `oci://HOST[:PORT]/PATH`; `None` if it is none.
    pub(super) fn parse(url: &Url) -> Option<Self> {
        let rest = url.as_str().strip_prefix("oci://")?;
        url.host_str().filter(|host| !host.is_empty())?;
        // Only a scheme that the URL standard knows has its host made canonical.
        let plain = Url::parse(&format!("https://{rest}")).ok()?;
        let path = plain.path().trim_matches('/').to_owned();
        let mut registry = plain;
        registry.set_path("/");
        registry.set_query(None);
        registry.set_fragment(None);
        if registry.host_str().is_some_and(is_docker_hub) && registry.port().is_none() {
            registry.set_host(Some(DOCKER_HUB)).ok()?;
        }
        Some(Self { registry, path })
    }

    /// The name of the repository of a chart; `None` if no repository can have it.
    pub(super) fn repository(&self, chart: &str) -> Option<String> {
        let name = match self.path.as_str() {
            "" => chart.to_owned(),
            path => format!("{path}/{chart}"),
        };
        (is_name(&name) && !chart.contains('/')).then_some(name)
    }

    /// The name of the repository that the address is of; `None` if no repository can have it.
    pub(super) fn whole(&self) -> Option<String> {
        is_name(&self.path).then(|| self.path.clone())
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME && name.split('/').all(is_segment)
}

/// Where Docker Hub answers: `docker.io` itself redirects to a page for people.
pub(super) const DOCKER_HUB: &str = "registry-1.docker.io";

/// Whether a host is one of the names of Docker Hub.
pub(super) fn is_docker_hub(host: &str) -> bool {
    matches!(host, "docker.io" | "index.docker.io" | DOCKER_HUB)
}

/// The tags that a version may have, the likeliest first; none if no tag can be written so.
///
/// Tags have no `+`: Helm writes `_`. Some publishers put a `v` before the version, others take one away.
pub(super) fn tags(version: &str) -> Vec<String> {
    let tag = version.replace('+', "_");
    let other = match tag.strip_prefix('v') {
        Some(without) => without.to_owned(),
        None => format!("v{tag}"),
    };
    let tags = [tag, other].into_iter();
    tags.filter(|tag| is_tag(tag)).collect()
}

/// Whether a registry may have a version under the tag of another spelling of it.
pub fn is_spelling(spelling: &str, version: &str) -> bool {
    let tag = spelling.replace('+', "_");
    tags(version).contains(&tag)
}

fn is_segment(segment: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    !matches!(segment, "" | "." | "..") && segment.chars().all(is_letter)
}

fn is_tag(tag: &str) -> bool {
    let is_first = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let is_letter = |letter: char| is_first(letter) || letter == '.' || letter == '-';
    tag.len() <= LONGEST_TAG && tag.starts_with(is_first) && tag.chars().all(is_letter)
}

/// Of the distribution specification.
const LONGEST_TAG: usize = 128;

/// Of the distribution specification, for host and repository together.
const LONGEST_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<(String, String)> {
        let address = Address::parse(&Url::parse(text).ok()?)?;
        Some((address.registry.to_string(), address.path))
    }

    #[test]
    fn an_address_is_a_registry_and_a_path() {
        for (text, registry, path) in [
            (
                "oci://ghcr.io/example/charts",
                "https://ghcr.io/",
                "example/charts",
            ),
            (
                "oci://ghcr.io/example/charts/",
                "https://ghcr.io/",
                "example/charts",
            ),
            ("oci://ghcr.io", "https://ghcr.io/", ""),
            ("oci://GHCR.io:443/a", "https://ghcr.io/", "a"),
            ("oci://127.0.0.1:5000/a", "https://127.0.0.1:5000/", "a"),
            ("oci://0x7f.1:5000/a", "https://127.0.0.1:5000/", "a"),
            ("oci://[::1]:5000/a", "https://[::1]:5000/", "a"),
            (
                "oci://münchen.example/a",
                "https://xn--mnchen-3ya.example/",
                "a",
            ),
            (
                "oci://docker.io/bitnamicharts",
                "https://registry-1.docker.io/",
                "bitnamicharts",
            ),
            (
                "oci://index.docker.io/a",
                "https://registry-1.docker.io/",
                "a",
            ),
            (
                "oci://registry-1.docker.io/a",
                "https://registry-1.docker.io/",
                "a",
            ),
            ("oci://docker.io:8443/a", "https://docker.io:8443/", "a"),
            ("oci://notdocker.io/a", "https://notdocker.io/", "a"),
            ("oci://a.example/b?c=d#e", "https://a.example/", "b"),
        ] {
            let expected = (registry.to_owned(), path.to_owned());
            assert_eq!(address(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn user_information_stays_for_the_guard_to_refuse() {
        let (registry, _) = address("oci://me:canary@a.example/b").unwrap();
        assert_eq!(registry, "https://me:canary@a.example/");
    }

    #[test]
    fn what_has_another_scheme_or_no_host_is_no_address() {
        for text in ["https://a.example/b", "oci:a/b", "oci:///b", "oci://a b/c"] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[test]
    fn a_chart_has_its_repository_below_the_path() {
        for (path, chart, expected) in [
            (
                "example/charts",
                "payments",
                Some("example/charts/payments"),
            ),
            ("", "payments", Some("payments")),
            ("A.b_c-d", "x1", Some("A.b_c-d/x1")),
            // Records say what they like.
            ("example", "", None),
            ("example", "..", None),
            ("example", "../other", None),
            ("example", "other/payments", None),
            ("example", "a%2e", None),
            ("example", "a?b", None),
            ("example", "a b", None),
            ("example/../other", "a", None),
            ("example//charts", "a", None),
        ] {
            let registry = Url::parse("https://a.example").unwrap();
            let path = path.to_owned();
            let address = Address { registry, path };
            assert_eq!(address.repository(chart).as_deref(), expected, "{chart}");
        }
        let registry = Url::parse("https://a.example").unwrap();
        let path = "x".repeat(200);
        let address = Address { registry, path };
        assert!(address.repository(&"x".repeat(54)).is_some());
        assert!(address.repository(&"x".repeat(55)).is_none());
    }

    #[test]
    fn a_version_is_looked_for_under_its_tags() {
        for (version, expected) in [
            ("2.4.1", &["2.4.1", "v2.4.1"][..]),
            ("v2.4.1", &["v2.4.1", "2.4.1"]),
            ("2.4.1+build.7", &["2.4.1_build.7", "v2.4.1_build.7"]),
            ("2.4.1-rc.1+a+b", &["2.4.1-rc.1_a_b", "v2.4.1-rc.1_a_b"]),
            ("", &["v"]),
            ("../x", &[]),
            ("1 2", &[]),
            ("1.2.3@sha256:0", &[]),
        ] {
            assert_eq!(tags(version), expected, "{version}");
        }
        assert_eq!(tags(&"1".repeat(128)).len(), 1);
        assert_eq!(tags(&"1".repeat(129)).len(), 0);
    }

    #[test]
    fn one_version_has_few_spellings() {
        for (spelling, version, expected) in [
            ("1.2.3", "1.2.3", true),
            ("v1.2.3", "1.2.3", true),
            ("1.2.3", "v1.2.3", true),
            ("v1.2.3+a.1", "1.2.3+a.1", true),
            ("vv1.2.3", "1.2.3", false),
            ("V1.2.3", "1.2.3", false),
            ("1.2", "1.2.0", false),
            ("latest", "1.2.3", false),
            ("", "", false),
        ] {
            assert_eq!(is_spelling(spelling, version), expected, "{spelling}");
        }
    }
}
