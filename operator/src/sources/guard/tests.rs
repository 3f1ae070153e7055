//! The address rule on URLs as people and attackers write them.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn check(named: &[&str], url: &str) -> Result<Reach, Refused> {
    let named = named.iter().map(|host| host.parse().unwrap()).collect();
    let url = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
    Guard::new(named).check(&url, &url, Load::Nothing)
}

#[test]
fn urls_of_ordinary_repositories_pass() {
    for url in [
        "https://charts.example.com",
        "https://charts.example.com:8443/a/index.yaml?x=1",
        "https://93.184.215.14/",
        "https://[2606:4700::1111]/",
        "https://xn--mnchen-3ya.example/",
        "HTTPS://CHARTS.EXAMPLE.COM./",
    ] {
        assert_eq!(check(&[], url), Ok(Reach::Public), "{url}");
    }
}

#[test]
fn hostile_urls_are_refused_whoever_is_named() {
    for url in FORBIDDEN.split_whitespace() {
        assert_eq!(check(&[], url), Err(Refused::ForbiddenAddress), "{url}");
        let host = Url::parse(url).unwrap().host_str().unwrap().to_owned();
        assert_eq!(
            check(&[&host], url),
            Err(Refused::ForbiddenAddress),
            "{url} named"
        );
    }
}

#[test]
fn private_urls_are_refused_unless_named() {
    for url in PRIVATE.split_whitespace() {
        assert_eq!(check(&[], url), Err(Refused::PrivateAddress), "{url}");
        let host = Url::parse(url).unwrap().host_str().unwrap().to_owned();
        assert_eq!(check(&[&host], url), Ok(Reach::Named), "{url} named");
    }
}

/// Whoever owns a public repository has no part of what was allowed to others.
#[test]
fn only_a_source_that_is_named_sends_us_to_a_host_that_is_named() {
    let named = ["10.0.0.7:8080", "charts.internal", "10.0.0.8"];
    let named = named.iter().map(|host| host.parse().unwrap()).collect();
    let guard = Guard::new(named);
    let check = |configured: &str, url: &str| {
        let [configured, url] = [configured, url].map(|url| Url::parse(url).unwrap());
        guard.check(&configured, &url, Load::Nothing)
    };
    for url in [
        "https://10.0.0.8/x",
        "http://charts.internal/x",
        "http://10.0.0.7:8080/x",
    ] {
        for own in ["http://charts.internal", "http://10.0.0.7:8080"] {
            assert_eq!(check(own, url), Ok(Reach::Named), "{own} to {url}");
        }
        for public in ["https://charts.example.com", "http://10.0.0.7:8081"] {
            assert_eq!(
                check(public, url),
                Err(Refused::OfOthers),
                "{public} to {url}"
            );
        }
    }
    for (from, to, sent) in [
        ("https://a.example", "https://b.example", Ok(())),
        (
            "https://a.example",
            "http://charts.internal",
            Err(Refused::OfOthers),
        ),
        (
            "https://a.example",
            "https://charts.internal",
            Err(Refused::OfOthers),
        ),
        (
            "http://10.0.0.7:8081",
            "http://10.0.0.7:8080",
            Err(Refused::OfOthers),
        ),
        ("http://10.0.0.8", "http://charts.internal", Ok(())),
        ("http://10.0.0.8", "https://b.example", Ok(())),
    ] {
        let [asked, named] = [from, to].map(|url| Url::parse(url).unwrap());
        assert_eq!(guard.may_send(&asked, &named), sent, "{from} names {to}");
    }
    let resolved = check("https://charts.example.com", "https://charts.internal/x");
    assert_eq!(resolved, Ok(Reach::Public), "as any host that nobody named");
}

#[test]
fn other_schemes_are_refused() {
    for url in [
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://127.0.0.1/",
        "unix:///var/run/docker.sock",
        "data:text/plain,x",
        "ws://example.com",
        "ldap://example.com",
        "oci://example.com/charts",
        "dict://127.0.0.1:11211/",
        "jar:http://127.0.0.1!/",
        "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    ] {
        assert_eq!(
            check(&["127.0.0.1", "example.com"], url),
            Err(Refused::Scheme),
            "{url}"
        );
    }
}

#[test]
fn user_information_is_refused() {
    for url in [
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://:password@example.com/",
        "https://example.com@169.254.169.254/",
        "https://example.com%40evil@127.0.0.1/",
        "https://a:b@[::1]/",
    ] {
        assert_eq!(
            check(&["127.0.0.1", "example.com"], url),
            Err(Refused::UserInfo),
            "{url}"
        );
    }
}

#[test]
fn a_url_without_host_or_with_port_zero_is_refused() {
    assert_eq!(check(&[], "https://example.com:0/"), Err(Refused::Host));
    for url in ["https://./", "https://a../", "https://127.0.0.1../"] {
        assert_eq!(check(&[], url), Err(Refused::Host), "{url}");
    }
    assert!(Url::parse("https:///").is_err());
}

#[test]
fn plain_http_needs_a_named_host() {
    assert_eq!(
        check(&[], "http://charts.example.com/"),
        Err(Refused::PlainHttp)
    );
    assert_eq!(check(&[], "http://127.0.0.1/"), Err(Refused::PlainHttp));
    assert_eq!(
        check(&["other.example.com"], "http://charts.example.com/"),
        Err(Refused::PlainHttp)
    );
    assert_eq!(
        check(&["charts.example.com"], "http://charts.example.com/"),
        Ok(Reach::Named)
    );
    assert_eq!(
        check(&["charts.example.com:8080"], "http://charts.example.com/"),
        Err(Refused::PlainHttp)
    );
    assert_eq!(
        check(&["charts.example.com:80"], "http://charts.example.com./"),
        Ok(Reach::Named)
    );
}

#[test]
fn a_name_that_looks_like_a_named_one_is_another() {
    for url in [
        "http://localhost.evil.example/",
        "http://evil.example/#localhost",
        "http://evil.example/localhost",
        "http://xlocalhost/",
        "http://localhost%2eevil.example/",
        "http://localhost。evil.example/",
    ] {
        assert_eq!(check(&["localhost"], url), Err(Refused::PlainHttp), "{url}");
    }
}

#[test]
fn credentials_over_plain_http_reach_only_loopback() {
    let guard = Guard::new(vec![
        "charts.example.com".parse().unwrap(),
        "10.0.0.1".parse().unwrap(),
        "127.0.0.1".parse().unwrap(),
    ]);
    let check = |url: &str| {
        let url = Url::parse(url).unwrap();
        guard.check(&url, &url, Load::Credentials)
    };
    assert_eq!(check("http://charts.example.com/"), Ok(Reach::Loopback));
    assert_eq!(check("http://10.0.0.1/"), Err(Refused::CredentialsInClear));
    assert_eq!(check("http://127.0.0.1/"), Ok(Reach::Loopback));
    assert_eq!(check("https://10.0.0.1/"), Ok(Reach::Named));
    assert_eq!(check("https://elsewhere.example.com/"), Ok(Reach::Public));
}

#[test]
fn the_table_of_hostile_urls_has_at_least_sixty_forms() {
    assert!(FORBIDDEN.split_whitespace().count() + PRIVATE.split_whitespace().count() >= 60);
}

proptest! {
    #[test]
    fn every_spelling_of_an_address_is_judged_alike(bits: u32) {
        let address = Ipv4Addr::from_bits(bits);
        let [a, b, c, d] = address.octets();
        let expected = Reach::Public.allows(address.into()).map(|()| Reach::Public);
        for host in [
            format!("{address}"),
            format!("{bits}"),
            format!("{bits:#x}"),
            format!("{bits:#X}").replace("0X", "0x"),
            format!("0{bits:o}"),
            format!("0{a:o}.{b:#x}.{c}.0{d:o}"),
            format!("{a}.{}", bits & 0x00ff_ffff),
            format!("{address}."),
            format!("[::ffff:{address}]"),
            format!("[64:ff9b::{address}]"),
        ] {
            prop_assert_eq!(check(&[], &format!("https://{host}/")), expected, "{}", host);
        }
    }

    #[test]
    fn an_address_is_never_judged_kinder_without_a_name(bits: u128) {
        let address = IpAddr::from(Ipv6Addr::from_bits(bits));
        if Reach::Public.allows(address).is_ok() {
            prop_assert!(Reach::Named.allows(address).is_ok());
        }
    }
}

const FORBIDDEN: &str = "
    https://169.254.169.254/latest/meta-data/ https://169.254.169.254./ https://2852039166/ https://0xa9fea9fe/
    https://0xA9FEA9FE/ https://0251.0376.0251.0376/ https://0xa9.0xfe.0xa9.0xfe/ https://169.254.43518/
    https://169.16689662/ https://025177524776/ https://%31%36%39.254.169.254/ https://169。254。169。254/
    https://169.254.169.254/ https://①⑥⑨.②⑤④.①⑥⑨.②⑤④/ https://[::ffff:169.254.169.254]/ https://[::ffff:a9fe:a9fe]/
    https://[0:0:0:0:0:ffff:a9fe:a9fe]/ https://[::169.254.169.254]/ https://[64:ff9b::169.254.169.254]/
    https://[64:ff9b:1::a9fe:a9fe]/ https://[::ffff:0:a9fe:a9fe]/ https://[2002:a9fe:a9fe::]/ https://[2001:0:a9fe:a9fe::1]/
    https://[fe80::1]/ https://[fd00:ec2::254]/ https://[fd20:ce::254]/ https://[fec0::1]/ https://[ff02::1]/
    https://[::]/ https://0/ https://0.0.0.0/ https://0x0/ https://00000/ https://0.1.2.3/
    https://100.100.100.200/ https://168.63.129.16/ https://192.0.0.192/ https://192.0.2.1/ https://198.51.100.1/
    https://203.0.113.1/ https://198.18.0.1/ https://224.0.0.1/ https://239.255.255.250/ https://255.255.255.255/
    https://240.0.0.1/ https://[2001:db8::1]/ https://[3fff::1]/ https://[100::1]/
";

const PRIVATE: &str = "
    https://127.0.0.1/ https://127.0.0.1:6443/ https://127.1/ https://127.0.1/ https://2130706433/ https://0x7f000001/
    https://0x7f.1/ https://0177.0.0.1/ https://017700000001/ https://127.127.127.127/ https://[::1]/
    https://[0:0:0:0:0:0:0:1]/ https://[::ffff:127.0.0.1]/ https://[::ffff:7f00:1]/ https://[::127.0.0.1]/
    https://[64:ff9b::7f00:1]/ https://127。0。0。1/ https://①②⑦.⓪.⓪.①/ https://%31%32%37.0.0.1/ https://127.0.0.1./
    https://10.0.0.1/ https://10.96.0.1:443/ https://172.16.0.1/ https://172.31.255.255/ https://192.168.1.1/
    https://0xc0a80101/ https://3232235777/ https://100.64.0.1/ https://[fd12:3456::1]/ https://[fc00::1]/
    https://[::ffff:10.0.0.1]/ https://[::ffff:c0a8:101]/ https://[64:ff9b::10.0.0.1]/
";
