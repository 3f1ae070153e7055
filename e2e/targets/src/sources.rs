//! What repositories and registries answer.

use std::net::IpAddr;
use std::sync::LazyLock;

use charttrust::sources::foreign;
use charttrust::sources::{AllowedHost, AuthHost, Limits, docker_login};
use charttrust_verify::digest::Sha256Digest;
use reqwest::Url;
use serde_json::{Value, json};

use crate::{Target, joined, parts};

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "index",
        reads: "the index of a repository, YAML or JSON",
        holds: "Within limits; JSON is read by the reader of YAML as the same; cut short it lists nothing more.",
        longest: 4096,
        check: index,
        seeds: indexes,
    },
    Target {
        name: "manifest",
        reads: "manifests, indexes, referrers and lists of tags of a registry",
        holds: "A chart has one archive, and a manifest is not also an index; each digest stands in the text.",
        longest: 4096,
        check: manifest,
        seeds: manifests,
    },
    Target {
        name: "challenge",
        reads: "`WWW-Authenticate` and `Link` of a registry",
        holds: "Credentials go to the registry's own origin or one that was named; the next page is the registry's.",
        longest: 1024,
        check: challenge,
        seeds: challenges,
    },
    Target {
        name: "docker-config",
        reads: "a `.dockerconfigjson`, for the address of a source",
        holds: "No login for another host; no error holds anything of it.",
        longest: 2048,
        check: docker_config,
        seeds: docker_configs,
    },
    Target {
        name: "address",
        reads: "the address of a source, a redirect or a token service",
        holds: "Nothing but https to public addresses is asked where no host was named, by the rules of another reader.",
        longest: 512,
        check: address,
        seeds: addresses,
    },
];

fn limits() -> Limits {
    Limits {
        index_entry_bytes: 4096,
        index_text_bytes: 1024,
        index_versions: 16,
        ..Limits::default()
    }
}

fn indexes() -> Vec<Vec<u8>> {
    let digest = "ab".repeat(32);
    let yaml = format!(
        "apiVersion: v1\ngenerated: 2026-11-18T00:00:00Z\nentries:\n  web:\n  - version: 1.2.3\n    urls: [web-1.2.3.tgz]\n    \
         digest: {digest}\n    annotations: {{a: \"b\"}}\n  - version: 1.2.2\n    urls:\n    - https://a.example/web.tgz\n  db: []\n"
    );
    let aliases =
        "apiVersion: v1\nentries:\n  web: &all\n  - {version: 1.0.0, urls: [a]}\n  db: *all\n";
    let listed = json!({"apiVersion": "v1", "entries": {"web": [
        {"version": "1.2.3", "urls": ["a"], "digest": format!("sha256:{digest}")}, {"version": "1.2.3"}]}});
    vec![
        yaml.into_bytes(),
        aliases.as_bytes().to_vec(),
        listed.to_string().into_bytes(),
    ]
}

fn index(bytes: &[u8]) {
    let limits = limits();
    let Some(listing) = foreign::index(bytes, &limits) else {
        return;
    };
    assert_eq!(
        foreign::index(bytes, &limits).as_ref(),
        Some(&listing),
        "read in two ways"
    );
    assert!(listing.versions.len() <= limits.index_versions);
    let texts = listing.versions.iter().map(|(_, version)| version.len());
    assert!(texts.sum::<usize>() <= limits.index_text_bytes);
    assert!(listing.cost <= 16 * 1024, "{}", listing.cost);
    for (chart, version, _) in &listing.claimed {
        let same = listing
            .versions
            .iter()
            .filter(|(own, other)| (own, other) == (chart, version));
        assert_eq!(
            same.count(),
            1,
            "{chart} {version} is listed twice, and found"
        );
    }
    let cut = &bytes[..bytes.len() / 2];
    if bytes.first() == Some(&b'{') {
        assert_eq!(foreign::index(cut, &limits), None, "half a JSON is read");
        let as_yaml = [b"# YAML\n", bytes].concat();
        if let Some(as_yaml) = foreign::index(&as_yaml, &limits) {
            assert_eq!(
                as_yaml.versions, listing.versions,
                "by the reader of YAML it lists others"
            );
        }
    }
}

const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
const ARCHIVE: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn manifests() -> Vec<Vec<u8>> {
    let blob = |kind: &str, letter: &str| json!({"mediaType": kind, "digest": format!("sha256:{}", letter.repeat(64)), "size": 7});
    let chart = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": blob(CONFIG, "a"),
        "layers": [blob(PROVENANCE, "b"), blob(ARCHIVE, "c")], "annotations": {"org.opencontainers.image.version": "1.2.3"}});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [blob(MANIFEST, "d"),
        {"mediaType": MANIFEST, "digest": format!("sha256:{}", "e".repeat(64)), "size": 9,
         "artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json"}]});
    let tags = json!({"name": "charts/web", "tags": ["1.2.3", "1.2.4_build"]});
    [chart, index, tags]
        .map(|body| body.to_string().into_bytes())
        .to_vec()
}

fn manifest(bytes: &[u8]) {
    let value = serde_json::from_slice::<Value>(bytes).ok();
    let lower = String::from_utf8_lossy(bytes);
    let is_there =
        |digest: &Sha256Digest| lower.contains(&digest.to_string()) || lower.contains('\\');
    let (layers, children) = (foreign::layers(bytes), foreign::children(bytes));
    assert!(
        layers.is_none() || children.is_none(),
        "a manifest and an index"
    );
    if let Some(layers) = layers {
        assert_eq!(layers.manifest, Sha256Digest::of(bytes));
        assert!(is_there(&layers.archive) && layers.provenance.as_ref().is_none_or(is_there));
        // Another reader wants UTF-8 also where nobody reads.
        let Some(value) = value else { return };
        let all = value["layers"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let archives = all
            .iter()
            .filter(|layer| layer["digest"] == layers.archive.to_string().as_str());
        assert!(archives.count() >= 1, "{layers:?} is of no layer");
        let is_size = |layer: &Value| {
            layer["size"].as_u64() == Some(layers.archive_bytes) || layer["size"].is_null()
        };
        assert!(all.iter().any(is_size));
        assert!(value["manifests"].is_null(), "it lists manifests as well");
    }
    for child in children.iter().flatten() {
        assert!(is_there(child));
    }
    if let Some([named, unclear]) = foreign::referring(bytes) {
        assert!(named.iter().chain(&unclear).all(is_there));
        assert!(
            named.len() <= 64 && unclear.len() <= 64,
            "{} and {}",
            named.len(),
            unclear.len()
        );
    }
    if let Some(tags) = foreign::tags(bytes) {
        assert!(tags.iter().map(String::len).sum::<usize>() <= bytes.len());
    }
}

static REGISTRY: LazyLock<Url> =
    LazyLock::new(|| url("https://registry.example/v2/a/tags/list?n=10"));
static NAMED: LazyLock<Vec<AuthHost>> = LazyLock::new(|| {
    let named = "registry.example=auth.example:444".parse();
    vec![named.unwrap_or_else(|error| panic!("{error}"))]
});

fn url(text: &str) -> Url {
    Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn challenges() -> Vec<Vec<u8>> {
    let lines = [
        r#"Bearer realm="https://auth.example:444/token",service="registry.example",scope="repository:a/b:pull,push""#,
        r#"Basic realm="a, b", Bearer realm="https://registry.example/t",service=x"#,
        r#"bearer Realm="https://evil.example/v2/token", Digest x=y"#,
        r#"Bearer realm="http://registry.example/token",service="a\"b""#,
        r#"Bearer realm="https://me:canary@registry.example/token""#,
    ];
    let links = [
        r#"</v2/a/tags/list?last=x&n=2>; rel="next""#,
        "<https://evil.example/v2/a/tags/list?last=x>; rel=next",
        r#"</x>; title="y"; REL="next""#,
        "<//evil.example/>;rel=next",
    ];
    let pairs = lines.iter().zip(links.iter().cycle());
    pairs
        .map(|(line, link)| joined(&[line.as_bytes(), link.as_bytes()]))
        .collect()
}

fn challenge(bytes: &[u8]) {
    let [challenge, link] = parts(bytes).map(std::str::from_utf8);
    let (Ok(challenge), Ok(link)) = (challenge, link) else {
        return;
    };
    if let Some(login) = foreign::login(&REGISTRY, challenge, &NAMED) {
        assert!(login.may_ask || !login.may_send);
        assert!(login.realm.is_some() || !login.may_ask);
        if let Some(realm) = login.realm.as_ref().filter(|_| login.may_send) {
            let own = (
                realm.scheme(),
                realm.host_str(),
                realm.port_or_known_default(),
            );
            let is_own = own == ("https", Some("registry.example"), Some(443));
            let is_named = own == ("https", Some("auth.example"), Some(444));
            // A final dot makes it no other host.
            let is_own = is_own || own == ("https", Some("registry.example."), Some(443));
            let is_named = is_named || own == ("https", Some("auth.example."), Some(444));
            assert!(is_own || is_named, "credentials go to {realm}");
            assert!(realm.username().is_empty() && realm.password().is_none());
        }
    }
    match foreign::next_page(&REGISTRY, link) {
        Some(Ok(next)) => {
            assert_eq!(
                (next.scheme(), next.host_str(), next.port()),
                ("https", Some("registry.example"), None)
            );
            assert_ne!(next, *REGISTRY, "the same page again");
        }
        Some(Err(told)) => assert!(told.len() < 1024),
        None => {}
    }
}

/// What no message may hold.
const CANARY: &str = "canary-7f3a";

fn docker_configs() -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let auth = base64::prelude::BASE64_STANDARD.encode(format!("me:{CANARY}"));
    let configs = [
        json!({"auths": {"registry.example": {"auth": auth}, "other.example": {"username": "x", "password": CANARY}}}),
        json!({"auths": {"https://registry.example/v1/": {"identitytoken": CANARY}}, "credsStore": "desktop"}),
        json!({"auths": {"registry.example/charts": {"auth": auth}, "docker.io": {}}, "credHelpers": {"registry.example": "gcr"}}),
    ];
    let joined = |config: Value| {
        joined(&[
            b"oci://registry.example/charts/web",
            config.to_string().as_bytes(),
        ])
    };
    configs.map(joined).to_vec()
}

fn docker_config(bytes: &[u8]) {
    let [source, config] = parts(bytes);
    let Ok(source) = std::str::from_utf8(source) else {
        return;
    };
    match docker_login(config, source) {
        // The host of the source is told, and nothing of the file.
        Err(_) if source.contains(CANARY) => {}
        Err(error) => assert!(!error.to_string().contains(CANARY), "{error}"),
        Ok(_) => {
            // Whose it is: a login for a registry that no key of the file names is somebody else's.
            let text = String::from_utf8_lossy(config).to_lowercase();
            let rest = source.split_once("://").map_or(source, |(_, rest)| rest);
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = host.rsplit('@').next().unwrap_or_default();
            let name = host.split(':').next().unwrap_or_default();
            let is_hub = name.ends_with("docker.io");
            let is_plain = name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || b".-".contains(&byte));
            let is_named = text.contains(name) || text.contains(['\\', '%']);
            assert!(
                is_named || is_hub || !is_plain || !text.is_ascii(),
                "a login for {source}"
            );
        }
    }
}

fn addresses() -> Vec<Vec<u8>> {
    let all = [
        "https://charts.example.com:8443/a/index.yaml?x=1",
        "https://93.184.215.14/",
        "https://[2606:4700::1111]/",
        "https://[::ffff:169.254.169.254]/latest",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://0300.0250.0.1/",
        "https://127.0.0.1.nip.io/",
        "https://[64:ff9b::10.0.0.1]/",
        "https://me@10.0.0.1/",
        "http://charts.example.com/",
        "https://xn--mnchen-3ya.example./",
        "https://１２７.0.0.1/",
        "file:///etc/passwd",
    ];
    all.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // What is named may be private. It may not be what is never allowed.
    if let Ok(host) = text.parse::<AllowedHost>() {
        let again = host.to_string().parse::<AllowedHost>();
        assert_eq!(again.as_ref(), Ok(&host), "{text} is named in two ways");
    }
    let Ok(()) = foreign::may_ask(text, &[]) else {
        return;
    };
    let url = url(text);
    assert_eq!(url.scheme(), "https");
    assert!(url.username().is_empty() && url.password().is_none() && url.port() != Some(0));
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    if let Ok(address) = host.strip_suffix('.').unwrap_or(host).parse::<IpAddr>() {
        assert!(is_public(address), "{text} is {address}");
    }
}

/// By the rules of the standard library, and those that it does not have yet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            let is_own = address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || is_shared;
            let is_none =
                address.is_unspecified() || address.is_broadcast() || address.is_multicast();
            !is_own && !is_none && !address.is_documentation() && first != 0 && first < 240
        }
        IpAddr::V6(address) => {
            let inner = address.to_ipv4_mapped().or_else(|| {
                let [.., high, low] = address.segments();
                let is_translated = address.segments()[..2] == [0x64, 0xff9b];
                is_translated.then(|| (u32::from(high) << 16 | u32::from(low)).into())
            });
            let is_own = address.is_unique_local()
                || address.is_unicast_link_local()
                || address.is_loopback();
            let is_none = address.is_unspecified() || address.is_multicast();
            !is_own && !is_none && inner.is_none_or(|inner| is_public(IpAddr::V4(inner)))
        }
    }
}
