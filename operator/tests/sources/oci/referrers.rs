//! What refers to a manifest in a registry: found whichever way it was published, and bounded.

use charttrust::sources::{
    Asked, Cause, ClaimedSignature, FetchError, Fetcher, Form, Signatures, Signed,
};
use charttrust_verify::digest::Sha256Digest;
use serde_json::{Value, json};
use wiremock::{Request, ResponseTemplate};

use crate::registry::*;
use crate::server::{CHART, GZIP, SIGNED, VERSION, fetcher};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const IMAGE: &str = "application/vnd.oci.image.config.v1+json";
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SPDX: &str = "application/spdx+json";

/// The chart's manifest.
fn subject() -> Sha256Digest {
    Sha256Digest::of(b"the manifest of the chart")
}

fn tag() -> String {
    subject().to_string().replace(':', "-")
}

fn sig() -> String {
    format!("{}.sig", tag())
}

/// Where bundles are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listed {
    ByRegistry,
    ByTag,
}

const BOTH: [Listed; 2] = [Listed::ByRegistry, Listed::ByTag];

impl Registry {
    /// Lists these descriptors.
    fn list(&self, how: Listed, descriptors: &[Value]) {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": descriptors});
        let index = index.to_string().into_bytes();
        match how {
            Listed::ByRegistry => self.content.list_referrers(index),
            Listed::ByTag => {
                self.content.tag(&tag(), index);
            }
        }
    }

    /// A manifest, and a descriptor of it that says nothing else.
    fn refer(&self, manifest: &Value) -> Value {
        let bytes = manifest.to_string().into_bytes();
        let digest = self.content.untagged(&bytes);
        descriptor(MANIFEST, &digest, bytes.len())
    }

    /// A bundle as cosign 3 pushes it.
    fn bundle(&self, bytes: &[u8]) -> Value {
        let layer = descriptor(BUNDLE, &self.content.blob(bytes), bytes.len());
        let mut config = descriptor(EMPTY, &self.content.blob(b"{}"), 2);
        config["artifactType"] = BUNDLE.into();
        json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE, "config": config,
            "layers": [layer], "subject": descriptor(MANIFEST, &subject(), 7),
        })
    }

    /// Signatures as cosign 2 pushes them: payloads, each with what is said beside it.
    fn simple(&self, payloads: &[(&[u8], &str)]) {
        let layer = |(payload, signature): &(&[u8], &str)| {
            let mut layer = descriptor(SIMPLE, &self.content.blob(payload), payload.len());
            layer["annotations"] = json!({"dev.cosignproject.cosign/signature": signature});
            layer
        };
        let layers: Vec<_> = payloads.iter().map(layer).collect();
        let config = descriptor(IMAGE, &self.content.blob(b"{}"), 2);
        let image =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.tag(&sig(), &image);
    }

    async fn signatures(&self) -> Result<Signatures, FetchError> {
        self.signatures_by(&fetcher()).await
    }

    async fn signatures_by(&self, fetcher: &Fetcher<Vec<u8>>) -> Result<Signatures, FetchError> {
        let signed = Signed {
            chart: CHART,
            version: VERSION,
            manifest: Some(subject()),
        };
        fetcher
            .signatures(&self.source(), signed, Asked::now())
            .await
    }

    /// The bytes of what was found, and why the rest was left out.
    async fn found(&self) -> (Vec<String>, Vec<Cause>) {
        let signatures = self.signatures().await.unwrap();
        let all = signatures.claimed.iter();
        let text = |one: &ClaimedSignature| String::from_utf8_lossy(&one.bytes).into_owned();
        for one in all.clone() {
            assert_eq!(one.digest, Sha256Digest::of(&one.bytes));
        }
        let left_out = signatures.left_out.iter().map(FetchError::cause);
        (all.map(text).collect(), left_out.collect())
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn every_form_is_found_and_all_of_them_are_told() {
    for how in BOTH {
        let registry = Registry::empty().await;
        let first = registry.refer(&registry.bundle(b"first"));
        let second = registry.refer(&registry.bundle(b"second"));
        registry.list(how, &[first, second]);
        registry.simple(&[(b"payload", "by ada"), (b"payload", "by bob")]);
        let signatures = registry.signatures().await.unwrap();
        assert_eq!(signatures.left_out, []);
        let forms = signatures.claimed.iter().map(|one| match &one.form {
            Form::Bundle => one.manifest.map(|_| "bundle".to_owned()),
            Form::Simple(beside) => beside.get("dev.cosignproject.cosign/signature").cloned(),
        });
        let forms: Vec<_> = forms.flatten().collect();
        assert_eq!(forms, ["bundle", "bundle", "by ada", "by bob"]);
        let expected = texts(&["first", "second", "payload", "payload"]);
        assert_eq!(registry.found().await, (expected, vec![]), "{how:?}");
    }
}

#[tokio::test]
async fn where_there_is_none_three_places_were_asked_and_then_two() {
    let (registry, fetcher) = (Registry::empty().await, fetcher());
    assert_eq!(
        registry.signatures_by(&fetcher).await,
        Ok(Signatures::default())
    );
    let places = [
        "GET referrers/sha256:".to_owned(),
        format!("GET manifests/{}", tag()),
        format!("GET manifests/{}", sig()),
    ];
    assert_eq!(registry.asked().await, places);
    // That it keeps no list is remembered.
    registry.signatures_by(&fetcher).await.unwrap();
    assert_eq!(registry.asked().await[3..], places[1..]);
}

/// Changes a manifest, and what its descriptor says.
type Change = fn(&mut Value, &mut Value);

/// Puts something into a registry, and describes it.
type Publish = fn(&Registry) -> Value;

/// Bundles that no descriptor or type may hide.
const BUNDLES: &[(&str, Change)] = &[
    ("as the specification has it", |_, said| {
        said["artifactType"] = BUNDLE.into();
    }),
    ("nothing is said", |_, _| {}),
    ("null", |_, said| said["artifactType"] = Value::Null),
    ("an empty type", |_, said| said["artifactType"] = "".into()),
    ("the type of an empty configuration", |_, said| {
        said["artifactType"] = EMPTY.into();
    }),
    ("the type of a configuration", |_, said| {
        said["artifactType"] = IMAGE.into();
    }),
    ("an unknown type", |_, said| {
        said["artifactType"] = "application/x-own".into();
    }),
    ("no annotations, though cosign writes some", |_, said| {
        said["annotations"] = json!({});
    }),
    ("the type in the configuration alone", |it, _| {
        it.as_object_mut().unwrap().remove("artifactType");
    }),
    ("the type of the configuration", |it, _| {
        it.as_object_mut().unwrap().remove("artifactType");
        it["config"] = json!({"mediaType": BUNDLE, "digest": subject(), "size": 2});
    }),
    ("the layer alone says it", |it, _| {
        it["artifactType"] = "".into();
        it["config"]["artifactType"] = Value::Null;
    }),
    ("no media type in the list", |_, said| {
        said.as_object_mut().unwrap().remove("mediaType");
    }),
    ("no subject", |it, _| {
        it.as_object_mut().unwrap().remove("subject");
    }),
    ("an earlier version of the format", |it, _| {
        it["layers"][0]["mediaType"] =
            "application/vnd.dev.sigstore.bundle+json;version=0.2".into();
    }),
];

/// What is published beside charts and is no signature; whether it is asked for.
const OTHERS: &[(&str, Change, bool)] = &[
    (
        "another type that is known",
        |_, said| said["artifactType"] = SPDX.into(),
        false,
    ),
    (
        "an index",
        |_, said| said["mediaType"] = INDEX.into(),
        false,
    ),
    (
        "no digest of SHA-256",
        |_, said| said["digest"] = "sha512:00".into(),
        false,
    ),
    (
        "no digest",
        |_, said| {
            said.as_object_mut().unwrap().remove("digest");
        },
        false,
    ),
    (
        "something unknown",
        |it, _| {
            it["artifactType"] = "application/x-own".into();
            it["config"]["artifactType"] = Value::Null;
            it["layers"][0]["mediaType"] = "application/x-own".into();
        },
        true,
    ),
    (
        "a list of nothing",
        |it, _| {
            it["artifactType"] = Value::Null;
            it["config"] = Value::Null;
            it["layers"] = json!([]);
        },
        true,
    ),
];

async fn changed(how: Listed, change: Change) -> Registry {
    let registry = Registry::empty().await;
    let mut manifest = registry.bundle(b"a bundle");
    // Once for the manifest, and once for what is said of it.
    change(&mut manifest, &mut json!({}));
    let mut said = registry.refer(&manifest);
    change(&mut manifest, &mut said);
    registry.list(how, &[said]);
    registry
}

#[tokio::test]
async fn a_descriptor_hides_a_bundle_only_by_naming_something_else() {
    for how in BOTH {
        for (what, change) in BUNDLES {
            let registry = changed(how, *change).await;
            let found = registry.found().await;
            assert_eq!(found, (texts(&["a bundle"]), vec![]), "{how:?}: {what}");
        }
        for (what, change, is_asked) in OTHERS {
            let registry = changed(how, *change).await;
            assert_eq!(registry.found().await, (vec![], vec![]), "{how:?}: {what}");
            let asked = registry.asked().await;
            let line = "GET manifests/sha256:".to_owned();
            assert_eq!(asked.contains(&line), *is_asked, "{how:?}: {what}");
        }
    }
}

/// No request narrows the list: the registry would compare descriptors.
#[tokio::test]
async fn a_registry_is_asked_for_all_that_refers_to_a_manifest() {
    let registry = Registry::empty().await;
    registry.list(Listed::ByRegistry, &[]);
    registry.signatures().await.unwrap();
    let requests = registry.server.received_requests().await.unwrap();
    assert_eq!(requests[0].url.query(), None);
}

#[tokio::test]
async fn thirty_two_are_looked_into_and_more_are_told() {
    for how in BOTH {
        for (count, is_more) in [(32, false), (33, true)] {
            let registry = Registry::empty().await;
            let refer = |at: usize| registry.refer(&registry.bundle(format!("{at}").as_bytes()));
            let all: Vec<_> = (0..count).map(refer).collect();
            // Each is counted once, however often it is listed.
            registry.list(how, &[all.clone(), all].concat());
            let (found, left_out) = registry.found().await;
            assert_eq!(found.len(), 32, "{how:?} {count}");
            let expected: &[Cause] = if is_more {
                &[Cause::LimitExceeded]
            } else {
                &[]
            };
            assert_eq!(left_out, expected, "{how:?} {count}");
        }
    }
}

/// Whoever may push rubbish could hide what is signed behind it.
#[tokio::test]
async fn what_says_that_it_is_a_bundle_comes_before_what_says_nothing() {
    let registry = Registry::empty().await;
    let rubbish = |at: usize| registry.refer(&json!({"schemaVersion": 2, "layers": [], "at": at}));
    let mut all: Vec<_> = (0..40).map(rubbish).collect();
    let mut said = registry.refer(&registry.bundle(b"a bundle"));
    said["artifactType"] = BUNDLE.into();
    all.push(said);
    registry.list(Listed::ByRegistry, &all);
    let expected = (texts(&["a bundle"]), vec![Cause::LimitExceeded]);
    assert_eq!(registry.found().await, expected);
}

#[tokio::test]
async fn thirty_two_signatures_of_the_older_form_are_looked_at_and_more_are_told() {
    for (count, expected) in [(32, vec![]), (33, vec![Cause::LimitExceeded])] {
        let registry = Registry::empty().await;
        registry.simple(&vec![(&b"payload"[..], "by ada"); count]);
        let (found, left_out) = registry.found().await;
        assert_eq!((found.len(), left_out), (32, expected));
        let asked = registry.asked().await;
        let blobs = asked.iter().filter(|line| line.contains(" blobs/"));
        assert_eq!(blobs.count(), 1, "the same bytes are fetched once");
    }
}

/// What lies in place of a good bundle beside another good one, and why it is left out.
const LEFT_OUT: &[(&str, Publish, Cause)] = &[
    (
        "a manifest that is not there",
        |_| descriptor(MANIFEST, &subject(), 7),
        Cause::SourceUnavailable,
    ),
    (
        "an index of an index",
        |registry| {
            registry.refer(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}))
        },
        Cause::SourceUnavailable,
    ),
    (
        "no manifest",
        |registry| registry.refer(&json!("text")),
        Cause::SourceUnavailable,
    ),
    (
        "no layers",
        |registry| registry.refer(&json!({"schemaVersion": 2})),
        Cause::SourceUnavailable,
    ),
    (
        "a bundle without one",
        |registry| {
            registry.refer(&json!({"schemaVersion": 2, "artifactType": BUNDLE, "layers": []}))
        },
        Cause::SourceUnavailable,
    ),
    (
        "a layer that is not there",
        |registry| {
            let mut it = registry.bundle(b"absent");
            it["layers"][0]["digest"] = subject().to_string().into();
            registry.refer(&it)
        },
        Cause::SourceUnavailable,
    ),
    (
        "a layer of no SHA-256",
        |registry| {
            let mut it = registry.bundle(b"absent");
            it["layers"][0]["digest"] = "sha512:00".into();
            registry.refer(&it)
        },
        Cause::SourceUnavailable,
    ),
    (
        "other bytes than its digest says",
        |registry| {
            let it = registry.bundle(b"honest");
            registry
                .content
                .blob_as(&Sha256Digest::of(b"honest"), b"forged");
            registry.refer(&it)
        },
        Cause::SourceUnavailable,
    ),
    (
        "more bytes than its manifest says",
        |registry| {
            let it = registry.bundle(b"honest");
            registry
                .content
                .blob_as(&Sha256Digest::of(b"honest"), &vec![b'x'; 2 << 20]);
            registry.refer(&it)
        },
        Cause::SourceUnavailable,
    ),
    (
        "fewer bytes than its manifest says",
        |registry| {
            let mut it = registry.bundle(b"honest");
            it["layers"][0]["size"] = 7.into();
            registry.refer(&it)
        },
        Cause::SourceUnavailable,
    ),
    (
        "more than a mebibyte",
        |registry| {
            let mut it = registry.bundle(b"honest");
            it["layers"][0]["size"] = ((1 << 20) + 1).into();
            registry.refer(&it)
        },
        Cause::LimitExceeded,
    ),
    (
        "a manifest of more than a mebibyte",
        |registry| {
            let mut it = registry.bundle(b"honest");
            it["more"] = "x".repeat(1 << 20).into();
            registry.refer(&it)
        },
        Cause::LimitExceeded,
    ),
];

#[tokio::test]
async fn what_cannot_be_had_is_left_out_and_told_and_hides_nothing_else() {
    for how in BOTH {
        for (what, publish, cause) in LEFT_OUT {
            let registry = Registry::empty().await;
            let (bad, good) = (
                publish(&registry),
                registry.refer(&registry.bundle(b"good")),
            );
            registry.list(how, &[bad, good]);
            registry.simple(&[(b"payload", "by ada")]);
            let expected = (texts(&["good", "payload"]), vec![*cause]);
            assert_eq!(registry.found().await, expected, "{how:?}: {what}");
        }
    }
}

#[tokio::test]
async fn all_signatures_together_have_a_limit() {
    let registry = Registry::empty().await;
    let refer = |at: u8| registry.refer(&registry.bundle(&vec![at; (1 << 20) - 4096]));
    let all: Vec<_> = (0..6).map(refer).collect();
    registry.list(Listed::ByRegistry, &all);
    let (found, left_out) = registry.found().await;
    assert_eq!((found.len(), left_out), (4, vec![Cause::LimitExceeded]));
}

/// What lies under the tag of the older form, and is none.
#[tokio::test]
async fn what_is_no_image_under_the_older_tag_is_told() {
    for document in [
        json!("text"),
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}),
        json!({"schemaVersion": 2}),
    ] {
        let registry = Registry::empty().await;
        registry.list(
            Listed::ByRegistry,
            &[registry.refer(&registry.bundle(b"good"))],
        );
        registry.tag(&sig(), &document);
        let expected = (texts(&["good"]), vec![Cause::SourceUnavailable]);
        assert_eq!(registry.found().await, expected, "{document}");
    }
    // Other layers are none of ours.
    let registry = Registry::empty().await;
    let image = registry.content.manifest(&[("application/x-own", b"own")]);
    registry.tag(&sig(), &image);
    assert_eq!(registry.found().await, (vec![], vec![]));
}

fn is_referrers(request: &Request) -> bool {
    request.url.path().contains("/referrers/")
}

#[tokio::test]
async fn a_registry_without_a_list_has_an_index_under_a_tag() {
    for code in [400, 404, 405] {
        let registry = Registry::deviating(move |request, _| {
            is_referrers(request).then(|| ResponseTemplate::new(code))
        });
        let registry = registry.await;
        registry.list(
            Listed::ByTag,
            &[registry.refer(&registry.bundle(b"a bundle"))],
        );
        assert_eq!(
            registry.found().await,
            (texts(&["a bundle"]), vec![]),
            "{code}"
        );
    }
}

#[tokio::test]
async fn a_list_that_is_not_shown_is_no_empty_one() {
    for (code, body) in [
        (401, ""),
        (403, ""),
        (429, ""),
        (500, ""),
        (503, ""),
        (200, ""),
        (200, "<html>"),
        (200, "{}"),
        (200, r#"{"schemaVersion": 2, "layers": []}"#),
        (
            200,
            r#"{"schemaVersion": 2, "layers": [], "manifests": []}"#,
        ),
        (200, r#"{"manifests": [], "manifests": []}"#),
    ] {
        let registry = Registry::deviating(move |request, _| {
            is_referrers(request).then(|| ResponseTemplate::new(code).set_body_raw(body, INDEX))
        });
        let registry = registry.await;
        let error = registry.signatures().await.unwrap_err();
        assert_eq!(error.cause(), Cause::SourceUnavailable, "{code} {body}");
        assert_eq!(registry.asked().await.len(), 1, "{code} {body}");
    }
}

/// Harbor says of everything that is not there, and of what is not shown, that it is not found.
#[tokio::test]
async fn a_404_without_the_registrys_own_word_counts_once_the_tags_are_read() {
    let unclear = |request: &Request, _: &Content| {
        let is_manifest = request.url.path().contains("/manifests/");
        is_manifest.then(|| refusal(404, "NOT_FOUND"))
    };
    let registry = Registry::deviating(unclear).await;
    assert_eq!(registry.found().await, (vec![], vec![]));
    let hidden = Registry::deviating(move |request, content| {
        let is_list = request.url.path().ends_with("/tags/list");
        unclear(request, content).or_else(|| is_list.then(|| refusal(404, "NOT_FOUND")))
    });
    let error = hidden.await.signatures().await.unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
    let listed = Registry::deviating(unclear).await;
    listed.tag(&tag(), &json!({"schemaVersion": 2, "manifests": []}));
    let error = listed.signatures().await.unwrap_err();
    assert!(
        error.to_string().contains("it is listed, and not there"),
        "{error}"
    );
}

/// Pages of one bundle each, as many as are asked for.
async fn paged(pages: usize) -> Registry {
    let registry = Registry::deviating(move |request, content| {
        if !is_referrers(request) {
            return None;
        }
        let mut query = request.url.query_pairs();
        let page = query.find(|(name, _)| name == "page");
        let page: usize = page.map_or(0, |(_, page)| page.parse().unwrap());
        let bundle = format!("bundle {page}");
        let layer = descriptor(BUNDLE, &content.blob(bundle.as_bytes()), bundle.len());
        let manifest = json!({"schemaVersion": 2, "artifactType": BUNDLE, "layers": [layer]});
        let bytes = manifest.to_string().into_bytes();
        let said = descriptor(MANIFEST, &content.untagged(&bytes), bytes.len());
        let answer = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [said]});
        let answer = ResponseTemplate::new(200).set_body_json(answer);
        Some(if page + 1 < pages {
            let link = format!("<?page={}>; rel=\"next\"", page + 1);
            answer.append_header("link", link.as_str())
        } else {
            answer
        })
    });
    registry.await
}

#[tokio::test]
async fn ten_pages_are_read_and_more_are_told() {
    let (found, left_out) = paged(10).await.found().await;
    assert_eq!((found.len(), left_out), (10, vec![]));
    let (found, left_out) = paged(11).await.found().await;
    assert_eq!((found.len(), left_out), (10, vec![Cause::LimitExceeded]));
}

#[tokio::test]
async fn the_next_page_of_somebody_else_is_not_asked() {
    let elsewhere = Registry::empty().await;
    let link = format!("<{}/v2/>; rel=\"next\"", elsewhere.server.uri());
    let registry = Registry::deviating(move |request, _| {
        let answer = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []});
        let answer = ResponseTemplate::new(200).set_body_json(answer);
        is_referrers(request).then(|| answer.append_header("link", link.as_str()))
    });
    let error = registry.await.signatures().await.unwrap_err();
    assert!(
        error.to_string().contains("its next page is elsewhere"),
        "{error}"
    );
    assert!(elsewhere.asked().await.is_empty());
}

#[tokio::test]
async fn what_is_known_by_its_digest_is_not_asked_for_again() {
    for (how, looked_at) in [(Listed::ByRegistry, 2), (Listed::ByTag, 2)] {
        let (registry, fetcher) = (Registry::empty().await, fetcher());
        let other = registry.refer(&json!({"schemaVersion": 2, "layers": []}));
        let bundle = registry.refer(&registry.bundle(b"a bundle"));
        registry.list(how, &[other, bundle]);
        registry.simple(&[(b"payload", "by ada")]);
        let first = registry.signatures_by(&fetcher).await;
        let before = registry.asked().await.len();
        assert_eq!(registry.signatures_by(&fetcher).await, first);
        let again = &registry.asked().await[before..];
        assert_eq!(again.len(), looked_at, "{how:?}: {again:?}");
        assert!(
            again
                .iter()
                .all(|line| !line.starts_with("GET manifests/sha256:")),
            "{again:?}"
        );
        // What is listed is what counts now.
        registry.list(how, &[]);
        let now = registry.signatures_by(&fetcher).await.unwrap();
        assert_eq!(now.claimed.len(), 1, "{how:?}");
    }
}

/// A registry that lists other rubbish at each look has no status written by it.
#[tokio::test]
async fn equal_failures_are_told_in_equal_words_and_once() {
    let (registry, fetcher) = (Registry::empty().await, fetcher());
    let mut told = Vec::new();
    for look in 0..3 {
        let absent = |at: usize| {
            let digest = Sha256Digest::of(format!("{look} {at}").as_bytes());
            descriptor(MANIFEST, &digest, 7)
        };
        registry.list(Listed::ByRegistry, &[absent(0), absent(1)]);
        let signatures = registry.signatures_by(&fetcher).await.unwrap();
        assert_eq!(signatures.left_out.len(), 1);
        told.push(signatures.left_out);
    }
    assert!(told.iter().all(|it| *it == told[0]), "{told:?}");
}

/// As for everything else that is asked of this repository.
#[tokio::test]
async fn one_token_will_do_for_all_of_it() {
    let (registry, service) = (Registry::empty().await, token_service().await);
    registry.list(
        Listed::ByRegistry,
        &[registry.refer(&registry.bundle(b"a bundle"))],
    );
    registry.log_in(TOKEN, &format!(r#"Bearer realm="{}/token""#, service.uri()));
    assert_eq!(registry.found().await, (texts(&["a bundle"]), vec![]));
    assert_eq!(service.received_requests().await.unwrap().len(), 1);
}

/// A fetch asks for none of it, and says what could be asked about.
#[tokio::test]
async fn whoever_needs_no_signatures_asks_for_none() {
    let registry = Registry::empty().await;
    let digest = registry.push(VERSION, &[(ARCHIVE, GZIP), (PROVENANCE, SIGNED.as_bytes())]);
    let fetched = registry.fetch().await.unwrap();
    assert_eq!(fetched.manifest, Some(digest));
    let expected = [
        "GET manifests/2.4.1",
        "GET blobs/sha256:",
        "GET blobs/sha256:",
    ];
    assert_eq!(registry.asked().await, expected);
    let without = Signed {
        chart: CHART,
        version: VERSION,
        manifest: None,
    };
    let asked = fetcher()
        .signatures(&registry.source(), without, Asked::now())
        .await;
    assert_eq!(asked, Ok(Signatures::default()));
    assert_eq!(registry.asked().await.len(), 3);
}
