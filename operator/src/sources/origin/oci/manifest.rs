//! What a manifest lists.

use charttrust_verify::digest::Sha256Digest;
use serde::Deserialize;

/// Bytes in a registry, by their digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sources) struct Blob {
    /// SHA-256 that the bytes are said to have.
    pub(in crate::sources) digest: Sha256Digest,
    /// How many there are said to be.
    pub(in crate::sources) size: u64,
}

/// What a chart consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chart {
    /// The archive.
    pub(super) archive: Blob,
    /// SHA-256 of the manifest that lists both.
    pub(super) manifest: Sha256Digest,
    /// The signed statement about it.
    pub(super) provenance: Option<Blob>,
}

/// What lies at a tag or digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// An image manifest, and whether Helm has made it.
    Manifest(Result<Chart, Flaw>, Config),
    /// A list of manifests, by their digests.
    Index(Vec<Sha256Digest>),
}

/// Whose configuration a manifest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Config {
    Helm,
    Other,
}

/// Why there is no one chart in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It can be read in two ways.
    Ambiguous(&'static str),
    /// It holds no chart, or is no manifest.
    Unusable(&'static str),
}

impl Content {
    /// Reads the bytes of a manifest or an index.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        // A field that stands there twice is an error of the parser.
        let document: Document = serde_json::from_slice(bytes)
            .map_err(|_| Flaw::Unusable("it is no manifest, or repeats a field"))?;
        if document.schema_version != 2 {
            return Err(Flaw::Unusable("its schemaVersion is not 2"));
        }
        let says_index = document
            .media_type
            .as_deref()
            .map(|kind| INDEXES.contains(&kind));
        match (document.layers, document.manifests) {
            (Some(_), Some(_)) => Err(Flaw::Ambiguous("it lists layers and manifests as well")),
            (None, None) => Err(Flaw::Unusable("it lists neither layers nor manifests")),
            (Some(_), None) if says_index == Some(true) => Err(Flaw::Ambiguous(
                "it calls itself an index, and lists layers",
            )),
            (None, Some(_)) if says_index == Some(false) => Err(Flaw::Ambiguous(
                "it calls itself no index, and lists manifests",
            )),
            (Some(layers), None) => {
                let is_helm = document
                    .config
                    .is_some_and(|config| config.media_type == CONFIG);
                let config = if is_helm { Config::Helm } else { Config::Other };
                Ok(Self::Manifest(Chart::of(bytes, &layers), config))
            }
            (None, Some(manifests)) => Ok(Self::Index(children(&manifests))),
        }
    }
}

impl Chart {
    /// Layers count by their media type: their order says nothing, since they are sorted by digest.
    fn of(bytes: &[u8], layers: &[Descriptor]) -> Result<Self, Flaw> {
        let of_kind = |kinds: &'static [&str]| {
            let is_one = move |layer: &&Descriptor| kinds.contains(&layer.media_type.as_str());
            layers.iter().filter(is_one)
        };
        let mut archives = of_kind(ARCHIVES);
        let mut statements = of_kind(PROVENANCES);
        let archive = archives
            .next()
            .ok_or(Flaw::Unusable("it holds no Helm chart"))?;
        if archives.next().is_some() {
            return Err(Flaw::Ambiguous("it has several chart archives"));
        }
        let provenance = statements.next();
        if statements.next().is_some() {
            return Err(Flaw::Ambiguous("it has several provenance files"));
        }
        Ok(Self {
            archive: archive.blob()?,
            manifest: Sha256Digest::of(bytes),
            provenance: provenance.map(Descriptor::blob).transpose()?,
        })
    }
}

/// The manifests of an index, each once; what is no image manifest is none of Helm's.
fn children(manifests: &[Descriptor]) -> Vec<Sha256Digest> {
    let mut digests = Vec::new();
    for child in manifests {
        let is_manifest = MANIFESTS.contains(&child.media_type.as_str());
        match child.digest.parse() {
            Ok(digest) if is_manifest && !digests.contains(&digest) => digests.push(digest),
            _ => {}
        }
    }
    digests
}

impl Descriptor {
    fn blob(&self) -> Result<Blob, Flaw> {
        let digest = self.digest.parse();
        let digest = digest.map_err(|_| Flaw::Unusable("it names a layer by no SHA-256"))?;
        let size = self.size;
        Ok(Blob { digest, size })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    schema_version: u64,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
}

/// What is asked for: manifests and lists of them, in both vocabularies.
pub(super) const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

const MANIFESTS: &[&str] = &[
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
const INDEXES: &[&str] = &[
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
/// The second is what Helm wrote while its support of registries was an experiment.
const ARCHIVES: &[&str] = &[
    "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
    "application/tar+gzip",
];
const PROVENANCES: &[&str] = &["application/vnd.cncf.helm.chart.provenance.v1.prov"];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const CHART: &str = ARCHIVES[0];
    const LEGACY: &str = ARCHIVES[1];
    const PROV: &str = PROVENANCES[0];
    const IMAGE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

    fn digest(of: u8) -> Sha256Digest {
        Sha256Digest::from_bytes([of; 32])
    }

    fn descriptor(kind: &str, of: u8) -> Value {
        json!({"mediaType": kind, "digest": digest(of).to_string(), "size": u64::from(of)})
    }

    fn manifest(layers: &[(&str, u8)]) -> Value {
        let layers: Vec<_> = layers
            .iter()
            .map(|(kind, of)| descriptor(kind, *of))
            .collect();
        json!({"schemaVersion": 2, "config": descriptor(CONFIG, 9), "layers": layers})
    }

    fn index(manifests: &[(&str, u8)]) -> Value {
        let manifests: Vec<_> = manifests
            .iter()
            .map(|(kind, of)| descriptor(kind, *of))
            .collect();
        json!({"schemaVersion": 2, "mediaType": INDEXES[0], "manifests": manifests})
    }

    fn parse(document: &Value) -> Result<Content, Flaw> {
        Content::parse(document.to_string().as_bytes())
    }

    fn chart(layers: &[(&str, u8)]) -> Result<(u8, Option<u8>), Flaw> {
        let Content::Manifest(chart, Config::Helm) = parse(&manifest(layers))? else {
            panic!("{layers:?}");
        };
        let of = |blob: Blob| blob.digest.as_bytes()[0];
        chart.map(|chart| (of(chart.archive), chart.provenance.map(of)))
    }

    #[test]
    fn layers_count_by_their_media_type_in_any_order() {
        for (layers, expected) in [
            (&[(CHART, 1)][..], Ok((1, None))),
            (&[(CHART, 1), (PROV, 2)], Ok((1, Some(2)))),
            (&[(PROV, 2), (CHART, 1)], Ok((1, Some(2)))),
            (&[(LEGACY, 1)], Ok((1, None))),
            (&[(PROV, 2), (LEGACY, 1)], Ok((1, Some(2)))),
            (&[(IMAGE, 3), (CHART, 1), ("", 4)], Ok((1, None))),
            (
                &[(CHART, 1), (CHART, 2)],
                Err(Flaw::Ambiguous("it has several chart archives")),
            ),
            (
                &[(CHART, 1), (CHART, 1)],
                Err(Flaw::Ambiguous("it has several chart archives")),
            ),
            (
                &[(LEGACY, 1), (CHART, 2)],
                Err(Flaw::Ambiguous("it has several chart archives")),
            ),
            (
                &[(CHART, 1), (PROV, 2), (PROV, 3)],
                Err(Flaw::Ambiguous("it has several provenance files")),
            ),
            (&[], Err(Flaw::Unusable("it holds no Helm chart"))),
            (&[(IMAGE, 1)], Err(Flaw::Unusable("it holds no Helm chart"))),
            (&[(PROV, 1)], Err(Flaw::Unusable("it holds no Helm chart"))),
        ] {
            assert_eq!(chart(layers), expected, "{layers:?}");
        }
    }

    #[test]
    fn an_index_lists_the_manifests_that_could_be_charts() {
        let (manifest, docker) = (MANIFESTS[0], MANIFESTS[1]);
        for (manifests, expected) in [
            (&[][..], vec![]),
            (&[(manifest, 1), (docker, 2)], vec![digest(1), digest(2)]),
            (&[(manifest, 1), (manifest, 1)], vec![digest(1)]),
            (
                &[(INDEXES[0], 1), (IMAGE, 2), (manifest, 3)],
                vec![digest(3)],
            ),
        ] {
            assert_eq!(parse(&index(manifests)), Ok(Content::Index(expected)));
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_ambiguous() {
        let mut both = manifest(&[(CHART, 1)]);
        both["manifests"] = json!([]);
        let mut index_with_layers = manifest(&[(CHART, 1)]);
        index_with_layers["mediaType"] = INDEXES[0].into();
        let mut manifest_with_manifests = index(&[]);
        manifest_with_manifests["mediaType"] = MANIFESTS[0].into();
        for document in [both, index_with_layers, manifest_with_manifests] {
            let parsed = parse(&document);
            assert!(matches!(parsed, Err(Flaw::Ambiguous(_))), "{document}");
        }
        let twice = r#"{"schemaVersion": 2, "layers": [], "layers": []}"#;
        assert!(matches!(
            Content::parse(twice.as_bytes()),
            Err(Flaw::Unusable(_))
        ));
    }

    #[test]
    fn what_is_no_manifest_is_unusable() {
        let mut of_sha512 = manifest(&[(CHART, 1)]);
        of_sha512["layers"][0]["digest"] = "sha512:00".into();
        let Ok(Content::Manifest(chart, _)) = parse(&of_sha512) else {
            panic!("{of_sha512}");
        };
        assert_eq!(chart, Err(Flaw::Unusable("it names a layer by no SHA-256")));
        let mut negative = manifest(&[(CHART, 1)]);
        negative["layers"][0]["size"] = (-1).into();
        for document in [
            negative,
            json!({}),
            json!({"schemaVersion": 1, "layers": []}),
            json!({"schemaVersion": 2}),
            json!([]),
            json!("text"),
        ] {
            let parsed = parse(&document);
            assert!(matches!(parsed, Err(Flaw::Unusable(_))), "{document}");
        }
        assert!(matches!(Content::parse(b"<html>"), Err(Flaw::Unusable(_))));
        assert!(matches!(Content::parse(b""), Err(Flaw::Unusable(_))));
    }

    #[test]
    fn a_manifest_of_something_else_is_told_from_one_of_helm() {
        let mut other = manifest(&[(CHART, 1)]);
        other["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
        assert!(matches!(
            parse(&other),
            Ok(Content::Manifest(Ok(_), Config::Other))
        ));
        other["config"] = Value::Null;
        assert!(matches!(
            parse(&other),
            Ok(Content::Manifest(Ok(_), Config::Other))
        ));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_read_as_two_archives(order in proptest::sample::subsequence(vec![0, 1, 2, 3, 4], 0..=5)) {
            let all = [(CHART, 1), (LEGACY, 2), (PROV, 3), (PROV, 4), (IMAGE, 5)];
            let layers: Vec<_> = order.iter().map(|at: &usize| all[*at]).collect();
            let count = |kinds: &[&str]| layers.iter().filter(|(kind, _)| kinds.contains(kind)).count();
            let is_one = count(ARCHIVES) == 1 && count(PROVENANCES) <= 1;
            proptest::prop_assert_eq!(chart(&layers).is_ok(), is_one);
        }
    }
}
