//! Hosts as URLs and `--allow-host` name them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use reqwest::Url;

/// A host that may be private and may speak plain HTTP, as `--allow-host HOST[:PORT]` names it.
///
/// Link-local and metadata addresses stay forbidden for named hosts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AllowedHost {
    host: String,
    port: Option<u16>,
}

impl AllowedHost {
    /// Whether this entry names a host in the form that URLs have, at a port.
    pub(super) fn covers(&self, host: &str, port: u16) -> bool {
        self.host == host && self.port.is_none_or(|own| own == port)
    }
}

impl FromStr for AllowedHost {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Self {
                host: format!("[{address}]"),
                port: None,
            });
        }
        let (host, port) =
            split_port(text).ok_or_else(|| InvalidHost(super::super::text::escaped(text)))?;
        let host = canonical(host).ok_or_else(|| InvalidHost(super::super::text::escaped(text)))?;
        Ok(Self { host, port })
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// A registry and the host of its token service, as `--auth-host REGISTRY=HOST` names them: the credentials
/// of the registry go there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthHost {
    auth: AllowedHost,
    registry: AllowedHost,
}

impl AuthHost {
    /// Whether a token service is the one of a registry.
    pub(in super::super) fn covers(&self, registry: &Url, realm: &Url) -> bool {
        let is_of = |host: &AllowedHost, url: &Url| {
            host_and_port(url).is_some_and(|(name, port)| host.covers(&name, port))
        };
        is_of(&self.registry, registry) && is_of(&self.auth, realm)
    }
}

impl FromStr for AuthHost {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let invalid = || InvalidHost(super::super::text::escaped(text));
        let (registry, auth) = text.split_once('=').ok_or_else(invalid)?;
        Ok(Self {
            auth: auth.parse()?,
            registry: registry.parse()?,
        })
    }
}

/// An audience whose tokens go to a registry or repository, as `--token-audience HOST[:PORT]=AUDIENCE` names
/// them. Without a port it is that of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAudience {
    audience: String,
    host: AllowedHost,
}

impl TokenAudience {
    /// For whom the tokens are.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// Whether a token for this audience may go to a configured address.
    pub fn covers(&self, address: &str, audience: &str) -> bool {
        // Registries are asked over TLS.
        let url = address
            .strip_prefix("oci://")
            .map_or_else(|| address.to_owned(), |rest| format!("https://{rest}"));
        let place = Url::parse(&url).ok();
        let place = place.as_ref().and_then(host_and_port);
        let is_its = |(host, port): (String, u16)| {
            self.host.host == host && self.host.port.unwrap_or(TLS) == port
        };
        self.audience == audience && place.is_some_and(is_its)
    }
}

const TLS: u16 = 443;

impl FromStr for TokenAudience {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let invalid = || InvalidHost(super::super::text::escaped(text));
        let (host, audience) = text.split_once('=').ok_or_else(invalid)?;
        let audience = audience.trim();
        if audience.is_empty() {
            return Err(invalid());
        }
        Ok(Self {
            audience: audience.to_owned(),
            host: host.parse()?,
        })
    }
}

/// The text is not `HOST` or `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not HOST or HOST:PORT")]
pub struct InvalidHost(String);

/// Host (lower case, punycode, IP literals normalised, no final dot) and port of a URL.
pub(super) fn host_and_port(url: &Url) -> Option<(String, u16)> {
    let host = url.host_str()?;
    let host = host.strip_suffix('.').unwrap_or(host);
    let port = url.port_or_known_default().filter(|port| *port != 0)?;
    // One dot at its end says that a name is whole; with two it is none, and stands for no other without them.
    let is_one = !host.is_empty() && !host.ends_with('.');
    is_one.then(|| (host.to_owned(), port))
}

/// The address, if the host of a URL is an IP literal.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// Splits `HOST[:PORT]`; `None` if the port is no number from 1 to 65535.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse().ok().filter(|port| *port != 0)?;
            Some((host, Some(port)))
        }
        _ => Some((text, None)),
    }
}

/// The form of a host that the URL parser gives, if the text is nothing but a host.
fn canonical(host: &str) -> Option<String> {
    if host.is_empty()
        || host.contains(['/', '\\', '?', '#', '@', '*'])
        || host.contains(char::is_whitespace)
    {
        return None;
    }
    let url = Url::parse(&format!("http://{host}/")).ok()?;
    let bare = url.port().is_none() && url.path() == "/";
    host_and_port(&url).filter(|_| bare).map(|(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_named_with_and_without_port() {
        for (text, shown) in [
            ("harbor.example.com", "harbor.example.com"),
            ("Harbor.Example.com.", "harbor.example.com"),
            ("harbor.example.com:8443", "harbor.example.com:8443"),
            ("localhost:80", "localhost:80"),
            ("127.0.0.1:443", "127.0.0.1:443"),
            ("127.1", "127.0.0.1"),
            ("::1", "[::1]"),
            ("[::1]", "[::1]"),
            ("[0:0::1]:5000", "[::1]:5000"),
            ("münchen.example", "xn--mnchen-3ya.example"),
        ] {
            assert_eq!(
                text.parse::<AllowedHost>().unwrap().to_string(),
                shown,
                "{text}"
            );
        }
    }

    #[test]
    fn anything_but_a_host_is_refused() {
        for text in [
            "",
            ":80",
            "a:0",
            "a:65536",
            "a:x",
            "a:",
            "*",
            "*.example.com",
            "https://a",
            "a/b",
            "u@a",
            "a b",
            "a:1:2",
            "[::1",
            "a?b",
            "a#b",
            "a\\b",
            ".",
            "..",
            "a..",
            "a..:80",
            "127.0.0.1..",
            "a\n",
        ] {
            assert!(text.parse::<AllowedHost>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_token_goes_to_its_host_and_port_and_is_for_its_audience() {
        let pair: TokenAudience = "charts.example=charts.test".parse().unwrap();
        let with_port: TokenAudience = "127.0.0.1:5000=https://a.test/x=y".parse().unwrap();
        assert_eq!(with_port.audience(), "https://a.test/x=y");
        for (pair, address, audience, expected) in [
            (&pair, "oci://charts.example/a", "charts.test", true),
            (&pair, "https://charts.example/a", "charts.test", true),
            (&pair, "https://CHARTS.example:443", "charts.test", true),
            (&pair, "oci://charts.example/a#b", "charts.test", true),
            (&pair, "oci://charts.example:5000/a", "charts.test", false),
            (&pair, "http://charts.example/a", "charts.test", false),
            (&pair, "oci://charts.example/a", "charts.test2", false),
            (&pair, "oci://charts.example/a", "", false),
            (&pair, "oci://a.charts.example/a", "charts.test", false),
            (
                &pair,
                "oci://charts.example.evil.example/a",
                "charts.test",
                false,
            ),
            (
                &pair,
                "oci://evil.example/charts.example",
                "charts.test",
                false,
            ),
            (
                &pair,
                "oci://charts.example@evil.example/a",
                "charts.test",
                false,
            ),
            (&pair, "nonsense", "charts.test", false),
            (
                &with_port,
                "oci://127.0.0.1:5000/a",
                "https://a.test/x=y",
                true,
            ),
            (
                &with_port,
                "http://127.0.0.1:5000/a",
                "https://a.test/x=y",
                true,
            ),
            (&with_port, "oci://127.0.0.1/a", "https://a.test/x=y", false),
        ] {
            assert_eq!(
                pair.covers(address, audience),
                expected,
                "{address} {audience}"
            );
        }
        for text in ["", "a", "a=", "a= ", "=b", "a b=c", "https://a=b"] {
            assert!(text.parse::<TokenAudience>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_entry_with_port_covers_this_port_only() {
        let named: AllowedHost = "a.example:8080".parse().unwrap();
        assert!(named.covers("a.example", 8080));
        assert!(!named.covers("a.example", 80));
        assert!(!named.covers("b.a.example", 8080));
    }

    #[test]
    fn an_entry_without_port_covers_every_port_of_this_host() {
        let named: AllowedHost = "a.example".parse().unwrap();
        assert!(named.covers("a.example", 1) && named.covers("a.example", 443));
        assert!(!named.covers("a.example.com", 443));
    }
}
