//! Has API servers leave out what lies in the ranges of others, where they can (KEP-5866: alpha in Kubernetes 1.36, off
//! by default).
//!
//! Such a server hashes the namespace of each object and sends what lies between the hashes that a list or watch names.
//! Its hash does not cut namespaces evenly (see [`Range`]), so what is named is everything but the hash of each
//! namespace that is known to belong to others. One that is not known yet is sent, and left out here, as everything is
//! of a server that does not know the parameter: it ignores it.
//!
//! Whoever may choose names can find two of one hash. Both are of one range then: our own cut is made of the same hash.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::Request;
use axum::http::uri::{InvalidUri, PathAndQuery, Uri};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::client::Body;
use kube::runtime::watcher;
use kube::{Api, Client};
use tower::service_fn;

use super::range::{Range, fnv};
use super::{LeanMeta, code_of, pages};

/// So many hashes are left out at most. Each takes some 90 bytes of a request, of which servers written in Go take a
/// mebibyte.
const MOST: usize = 512;

/// The namespaces of other ranges, as far as they are known.
#[derive(Debug)]
pub struct Others {
    range: Range,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// What is left out.
    hashes: BTreeSet<u64>,
    /// The server does not take what we name.
    is_refused: bool,
}

/// They are of a range.
impl PartialEq for Others {
    fn eq(&self, other: &Self) -> bool {
        self.range == other.range
    }
}

impl Eq for Others {}

impl Others {
    /// Those of all ranges but this one. Nothing is known of them yet.
    pub fn than(range: Range) -> Self {
        Self {
            range,
            known: Mutex::default(),
        }
    }

    /// The range of which they are the others.
    pub fn range(&self) -> Range {
        self.range
    }

    /// Learns which namespaces there are, so that the first lists leave out something.
    pub async fn learn(&self, client: &Client) {
        let api = Api::<LeanMeta<Namespace>>::all(client.clone());
        let saw =
            |namespace: LeanMeta<Namespace>| namespace.metadata.name.map(|name| self.saw(&name));
        if let Err(error) = pages(&api, ListParams::default(), saw).await {
            tracing::warn!(%error, "namespaces cannot be listed: what lies in those of other ranges is sent as well");
        }
    }

    /// Hears of a namespace.
    pub fn saw(&self, namespace: &str) {
        let mut known = self.known();
        if known.hashes.len() < MOST && !self.range.contains(namespace) {
            known.hashes.insert(fnv(namespace));
        }
    }

    /// Hears why a list or a watch failed. A server, or whoever stands before it, that does not take what is named is
    /// asked without from then on.
    pub(super) fn failed(&self, error: &watcher::Error) {
        let says_so = error.to_string().contains("shard selector");
        let is_size = code_of(error).is_some_and(|code| [400, 413, 414, 431].contains(&code));
        let mut known = self.known();
        if (says_so || is_size) && !known.hashes.is_empty() && !known.is_refused {
            tracing::warn!(%error, "API servers do not leave out what lies in other ranges");
            known.is_refused = true;
        }
    }

    /// A client whose lists and watches leave out what lies in these namespaces.
    pub(super) fn spared(self: &Arc<Self>, client: &Client) -> Client {
        let (others, sending) = (Arc::clone(self), client.clone());
        let service = service_fn(move |request| {
            let (request, sending) = (others.named_in(request), sending.clone());
            async move { sending.send(request).await }
        });
        Client::new(service, client.default_namespace())
    }

    fn named_in(&self, mut request: Request<Body>) -> Request<Body> {
        let with =
            |selector: String| with_query(request.uri(), &format!("shardSelector={selector}"));
        if let Some(Ok(uri)) = self.selector().map(with) {
            *request.uri_mut() = uri;
        }
        request
    }

    /// What is not left out, as a query has it; `None` is everything.
    fn selector(&self) -> Option<String> {
        let known = self.known();
        if known.hashes.is_empty() || known.is_refused {
            return None;
        }
        let ends = known
            .hashes
            .iter()
            .map(|hash| u128::from(*hash))
            .chain([1 << u64::BITS]);
        let mut begin = 0;
        let mut ranges = Vec::new();
        for end in ends {
            if begin < end {
                ranges.push(format!(
                    "shardRange(object.metadata.namespace,%270x{begin:016x}%27,%270x{end:016x}%27)"
                ));
            }
            begin = end + 1;
        }
        Some(ranges.join("%7C%7C"))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address with one more parameter.
fn with_query(uri: &Uri, parameter: &str) -> Result<Uri, InvalidUri> {
    let (path, query) = (uri.path(), uri.query());
    let query = query.map(|query| format!("{query}&")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{path}?{query}{parameter}").parse::<PathAndQuery>()?);
    // Invariant: of an address only what follows the authority was changed.
    Ok(Uri::from_parts(parts).unwrap_or_else(|_| uri.clone()))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::Config;
    use proptest::prelude::*;
    use serde_json::json;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::super::{Cache, Followed, Located, Reach, config, follow_each};
    use super::*;

    fn range() -> Range {
        Range::new(0, 2).unwrap()
    }

    /// A namespace that such a range contains.
    fn name_in(range: Range) -> String {
        let mut names = (0..).map(|number| format!("name-{number}"));
        names.find(|name| range.contains(name)).unwrap()
    }

    /// What a server reads of a request: the hashes that it sends, by the parser of the API server.
    fn sent(selector: &str) -> Vec<(u128, u128)> {
        let number = |text: &str| {
            let digits = text
                .strip_prefix("%270x")
                .unwrap()
                .strip_suffix("%27")
                .unwrap();
            assert!(
                digits.len() == 16 || digits == "10000000000000000",
                "{text}"
            );
            u128::from_str_radix(digits, 16).unwrap()
        };
        let one = |call: &str| {
            let call = call.strip_prefix("shardRange(object.metadata.namespace,");
            let (begin, end) = call
                .unwrap()
                .strip_suffix(')')
                .unwrap()
                .split_once(',')
                .unwrap();
            let (begin, end) = (number(begin), number(end));
            assert!(begin < end, "{selector}");
            (begin, end)
        };
        selector.split("%7C%7C").map(one).collect()
    }

    fn is_sent(selector: Option<&String>, namespace: &str) -> bool {
        let hash = u128::from(fnv(namespace));
        selector.is_none_or(|selector| {
            let mut ranges = sent(selector).into_iter();
            ranges.any(|(begin, end)| begin <= hash && hash < end)
        })
    }

    proptest! {
        #[test]
        fn what_is_ours_or_unknown_is_sent_and_what_is_known_of_others_is_not(
            seen in proptest::collection::vec("[a-z0-9-]{1,20}", 0..40),
            unknown in "[a-z0-9-]{21,30}",
        ) {
            let others = Others::than(range());
            for name in &seen {
                others.saw(name);
            }
            let selector = others.selector();
            for name in &seen {
                prop_assert_eq!(is_sent(selector.as_ref(), name), range().contains(name), "{}", name);
            }
            prop_assert!(is_sent(selector.as_ref(), &unknown));
        }

        /// Hashes beside each other, and the first and last of all.
        #[test]
        fn every_other_hash_is_sent(hashes in proptest::collection::btree_set(
            prop_oneof![0..4_u64, u64::MAX - 3..=u64::MAX, any::<u64>()], 1..20,
        )) {
            let others = Others::than(range());
            others.known().hashes.clone_from(&hashes);
            let ranges = sent(&others.selector().unwrap());
            let is_in = |hash: u64| ranges.iter().any(|(begin, end)| (*begin..*end).contains(&u128::from(hash)));
            for hash in &hashes {
                prop_assert!(!is_in(*hash));
                for beside in [hash.wrapping_sub(1), hash.wrapping_add(1)] {
                    prop_assert_eq!(is_in(beside), !hashes.contains(&beside));
                }
            }
        }
    }

    #[test]
    fn a_request_stays_small_enough_to_be_taken() {
        let others = Others::than(range());
        (0..10_000).for_each(|number| others.saw(&format!("team-{number}")));
        let request = Request::get("https://server/api/v1/secrets?fieldSelector=type%3Da&watch=1");
        let named = others.named_in(request.body(Body::empty()).unwrap());
        let query = named.uri().query().unwrap();
        assert!(
            query.starts_with("fieldSelector=type%3Da&watch=1&shardSelector=shardRange("),
            "{query}"
        );
        assert!(query.len() < 50_000, "{}", query.len());
        assert_eq!(sent(&others.selector().unwrap()).len(), MOST + 1);
    }

    #[test]
    fn without_others_nothing_is_named() {
        let others = Others::than(range());
        others.saw(&name_in(range()));
        let request = Request::get("https://server/api/v1/secrets")
            .body(Body::empty())
            .unwrap();
        assert_eq!(
            others.named_in(request).uri(),
            "https://server/api/v1/secrets"
        );
    }

    impl Located for String {
        fn namespace(&self) -> &str {
            self
        }
    }

    /// Follows Secrets of a server that answers by this status where something is named. Each of its answers is told:
    /// whether something was.
    async fn following(status: u16, test: impl AsyncFnOnce(UnboundedReceiver<bool>)) {
        let server = MockServer::start().await;
        let (asked, told) = unbounded_channel();
        let list = json!({"apiVersion": "v1", "kind": "SecretList", "metadata": {"resourceVersion": "1"}, "items": []});
        let answer = move |request: &wiremock::Request| {
            let is_named = request
                .url
                .query()
                .is_some_and(|query| query.contains("shardSelector"));
            asked.send(is_named).unwrap();
            if is_named {
                return ResponseTemplate::new(status).set_body_string("that is too much");
            }
            ResponseTemplate::new(200).set_body_json(&list)
        };
        let secrets = Mock::given(method("GET")).and(path("/api/v1/secrets"));
        secrets.respond_with(answer).mount(&server).await;
        let client = Client::try_from(Config::new(server.uri().parse().unwrap())).unwrap();
        let reach = Reach::Everywhere.within(range());
        let others = Arc::clone(reach.others().unwrap());
        others.saw(&name_in(Range::new(1, 2).unwrap()));
        let cache = Cache::<String, ()>::of(&reach);
        let keep = |object: &LeanMeta<Secret>| Some((object.metadata.namespace.clone()?, ()));
        let all = Followed::each(&client, &reach, &config());
        tokio::select! {
            () = follow_each(all, &cache, keep, |_| ()) => panic!("it has ended"),
            () = test(told) => {}
        }
    }

    #[tokio::test]
    async fn who_does_not_take_what_is_named_is_asked_without() {
        for status in [400, 413, 414, 431] {
            following(status, async |mut told| {
                assert_eq!(told.recv().await, Some(true), "{status}");
                assert_eq!(told.recv().await, Some(false), "{status}");
            })
            .await;
        }
    }
}
