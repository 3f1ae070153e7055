//! Everything that can be done to one part of a bundle, a signature of the older form or a root: what was bad gives
//! no trust, what was good says nothing else, nothing panics, and each refusal has a word that is documented.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::sigstore::{
    Artifact, BundleRecord, ClaimedBundle, Means, PublicKey, SignerRecord, TrustedRoot,
    VerifiedBundle, verify,
};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use crate::forge::{Content, Key, Log, MANIFEST, SIGN, Shape, World, manifest, noon};
use crate::keyed::public;
use crate::simple::{named, parse as parse_simple, published};
use crate::standing::{today, trusted};

const REASONS: &str = include_str!("../../../../docs/reasons.md");

/// Who signs, and who is believed.
struct Court {
    world: World,
    root: TrustedRoot,
    key: Key,
    public: PublicKey,
}

impl Court {
    fn new() -> Self {
        let (world, key) = (World::called("ours"), Key::new());
        Self {
            root: world.root(),
            public: public(&key),
            world,
            key,
        }
    }

    /// What is found of a signature, or the word of the refusal; by whoever it may be of.
    fn found(&self, claimed: &ClaimedBundle) -> Result<VerifiedBundle, &'static str> {
        let means = if claimed.is_keyed() {
            Means::Key(&self.public, Some(&self.root))
        } else {
            Means::Identity(&self.root)
        };
        let by_bytes = verify(claimed, Artifact::Bytes(MANIFEST), means);
        let by_digest = verify(claimed, Artifact::Digest(manifest()), means);
        let word = |outcome: &Result<VerifiedBundle, _>| {
            let outcome: &Result<_, charttrust_verify::sigstore::Fault> = outcome;
            outcome
                .as_ref()
                .err()
                .map(charttrust_verify::sigstore::Fault::code)
        };
        assert_eq!(word(&by_bytes), word(&by_digest), "bytes and digest");
        by_bytes.map_err(|fault| {
            assert!(fault.detail().len() <= 1024 && !fault.detail().contains('\n'));
            fault.code().said().word()
        })
    }

    fn read(&self, text: &str) -> Result<VerifiedBundle, &'static str> {
        let claimed = ClaimedBundle::parse(text.as_bytes()).map_err(|error| error.said().word())?;
        let _ = (
            claimed.claimed_signer(),
            claimed.claimed_key(),
            claimed.weight(),
        );
        self.found(&claimed)
    }

    /// Whether it counts for the workflow or the key that is trusted.
    fn counts(&self, verified: &VerifiedBundle) -> bool {
        let record = verified.record();
        if !record.kind.is_signature() || record.artifact != manifest() {
            return false;
        }
        match verified.signer() {
            SignerRecord::Identity(_) => trusted().standing(verified, &today()).is_ok(),
            SignerRecord::Key(key) => *key == self.public.fingerprint(),
        }
    }

    /// Good bundles, each of another form.
    fn good(&self) -> Vec<(String, Value)> {
        let mut all = Vec::new();
        for content in [Content::Message, Content::Statement(SIGN)] {
            for (log, is_stamped) in [
                (Log::V1, false),
                (Log::V1, true),
                (Log::V2, true),
                (Log::None, false),
                (Log::None, true),
            ] {
                for is_keyed in [false, true] {
                    if log == Log::None && !is_keyed {
                        continue;
                    }
                    let shape = Shape {
                        content,
                        log,
                        stamped_at: is_stamped.then(noon),
                        key: is_keyed.then_some(&self.key),
                        ..self.world.good()
                    };
                    let name = format!("{content:?} {log:?} {is_stamped} {is_keyed}");
                    all.push((name, shape.bundle()));
                }
            }
        }
        all
    }

    /// Bundles that count for nobody, each for another reason.
    #[expect(clippy::too_many_lines, reason = "a table, a row each")]
    fn bad(&self) -> Vec<(&'static str, Value)> {
        static THEIRS: LazyLock<World> = LazyLock::new(|| World::called("theirs"));
        static SAME_NAME: LazyLock<World> = LazyLock::new(|| World::called("ours"));
        static STRANGER: LazyLock<Key> = LazyLock::new(Key::new);
        let world = &self.world;
        let late = noon() + SignedDuration::from_mins(11);
        let uri = |text: &str| vec![(0x86, text.to_owned())];
        let shapes = [
            (
                "another artifact",
                Shape {
                    artifact: b"another".to_vec(),
                    ..world.good()
                },
            ),
            (
                "by another authority",
                Shape {
                    world: &THEIRS,
                    ..world.good()
                },
            ),
            (
                "by one of the same name",
                Shape {
                    world: &SAME_NAME,
                    ..world.good()
                },
            ),
            (
                "too late",
                Shape {
                    logged_at: late,
                    ..world.good()
                },
            ),
            (
                "stamped too late",
                Shape {
                    log: Log::V2,
                    stamped_at: Some(late),
                    ..world.good()
                },
            ),
            (
                "an SBOM",
                Shape {
                    content: Content::Statement("https://spdx.dev/Document"),
                    ..world.good()
                },
            ),
            (
                "without a log",
                Shape {
                    log: Log::None,
                    ..world.good()
                },
            ),
            (
                "stamped without a log",
                Shape {
                    log: Log::None,
                    stamped_at: Some(noon()),
                    ..world.good()
                },
            ),
            (
                "without a time",
                Shape {
                    log: Log::V2,
                    ..world.good()
                },
            ),
            (
                "another workflow",
                Shape {
                    names: uri(
                        "https://github.com/example-evil/charts/.github/workflows/release.yml@refs/tags/v1.2.3",
                    ),
                    ..world.good()
                },
            ),
            (
                "another issuer",
                Shape {
                    issuer: "https://evil.test".to_owned(),
                    ..world.good()
                },
            ),
            (
                "a certificate of a server",
                Shape {
                    purpose: "1.3.6.1.5.5.7.3.1",
                    ..world.good()
                },
            ),
            (
                "two names",
                Shape {
                    names: [world.good().names, uri("https://evil.test/a/b")].concat(),
                    ..world.good()
                },
            ),
            (
                "no name",
                Shape {
                    names: Vec::new(),
                    ..world.good()
                },
            ),
            (
                "another key",
                Shape {
                    key: Some(&STRANGER),
                    log: Log::None,
                    ..world.good()
                },
            ),
            (
                "another key, logged",
                Shape {
                    key: Some(&STRANGER),
                    stamped_at: Some(noon()),
                    ..world.good()
                },
            ),
            (
                "an SBOM by the key",
                Shape {
                    key: Some(&self.key),
                    log: Log::None,
                    content: Content::Statement("https://spdx.dev/Document"),
                    ..world.good()
                },
            ),
            (
                "another artifact by the key",
                Shape {
                    key: Some(&self.key),
                    log: Log::None,
                    artifact: b"another".to_vec(),
                    ..world.good()
                },
            ),
            (
                "a message about another by the key",
                Shape {
                    key: Some(&self.key),
                    log: Log::None,
                    content: Content::Message,
                    artifact: b"another".to_vec(),
                    ..world.good()
                },
            ),
        ];
        let bundles = shapes.into_iter();
        bundles
            .map(|(name, shape)| (name, shape.bundle()))
            .collect()
    }
}

/// Where all parts of a document lie.
fn places(document: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match document {
        Value::Object(fields) => {
            for (name, part) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                places(part, &format!("{at}/{name}"), all);
            }
        }
        Value::Array(parts) => {
            for (number, part) in parts.iter().enumerate() {
                places(part, &format!("{at}/{number}"), all);
            }
        }
        _ => {}
    }
}

fn pointers(document: &Value) -> Vec<String> {
    let mut all = Vec::new();
    places(document, "", &mut all);
    all
}

/// A text in other words: encodings, spaces, what is cut off or added.
fn respelled(text: &str) -> Vec<(&'static str, String)> {
    use base64::Engine as _;
    let standard = base64::prelude::BASE64_STANDARD;
    let mut all = vec![
        ("empty", String::new()),
        ("one space", " ".to_owned()),
        ("space before", format!(" {text}")),
        ("space after", format!("{text} ")),
        ("line after", format!("{text}\n")),
        ("line within", {
            let mut cut = text.to_owned();
            let middle = (0..=text.len() / 2)
                .rev()
                .find(|at| text.is_char_boundary(*at));
            cut.insert(middle.unwrap_or(0), '\n');
            cut
        }),
        ("upper case", text.to_uppercase()),
        ("lower case", text.to_lowercase()),
        ("twice", text.repeat(2)),
        ("NUL after", format!("{text}\0")),
        ("mark before", format!("\u{feff}{text}")),
        ("reversed", text.chars().rev().collect()),
        ("zero before", format!("0{text}")),
        ("plus before", format!("+{text}")),
        ("minus before", format!("-{text}")),
        ("fraction", format!("{text}.0")),
        ("exponent", format!("{text}e0")),
        ("largest", u64::MAX.to_string()),
        ("larger", format!("{}0", u64::MAX)),
        ("long", "A".repeat(70_000)),
        ("quotes", "\"".repeat(50)),
        ("percent", text.replace('/', "%2F")),
        ("without padding", text.trim_end_matches('=').to_owned()),
        ("more padding", format!("{text}=")),
        ("base64url", text.replace('+', "-").replace('/', "_")),
        ("first half", text.chars().take(text.len() / 2).collect()),
    ];
    if let Ok(bytes) = standard.decode(text)
        && !bytes.is_empty()
    {
        all.push(("hexadecimal", hex::encode(&bytes)));
        all.push(("HEXADECIMAL", hex::encode_upper(&bytes)));
        all.push(("base64 of base64", standard.encode(text)));
        let mut more = bytes.clone();
        more.push(0);
        all.push(("a byte more", standard.encode(&more)));
        all.push(("a byte less", standard.encode(&bytes[..bytes.len() - 1])));
        all.push(("zeros", standard.encode(vec![0; bytes.len()])));
        // The bits that base64 does not use.
        if let Some(trimmed) = text.strip_suffix('=') {
            let at = trimmed.trim_end_matches('=').len() - 1;
            let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let place = alphabet.find(&text[at..=at]).unwrap();
            let other = &alphabet[place ^ 1..=place ^ 1];
            all.push((
                "unused bits",
                format!("{}{other}{}", &text[..at], &text[at + 1..]),
            ));
        }
    }
    all
}

/// What can be put in the place of a part.
fn replaced(part: &Value) -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("null", Value::Null),
        ("number", json!(0)),
        ("negative", json!(-1)),
        ("float", json!(1.5)),
        ("truth", json!(true)),
        ("no list", json!([])),
        ("no object", json!({})),
        ("list of it", json!([part])),
        ("object of it", json!({"value": part})),
        ("text of it", json!(part.to_string())),
    ];
    match part {
        Value::String(text) => {
            let respelled = respelled(text).into_iter();
            all.extend(respelled.map(|(how, text)| (how, Value::String(text))));
            if let Ok(number) = text.parse::<i64>() {
                all.push(("as a number", json!(number)));
                all.push(("one more", json!((number.wrapping_add(1)).to_string())));
                all.push(("one less", json!((number.wrapping_sub(1)).to_string())));
                all.push(("negated", json!((number.wrapping_neg()).to_string())));
            }
        }
        Value::Array(parts) => {
            all.push(("twice", json!(repeated(parts, 2))));
            all.push(("many", json!(repeated(parts, 40))));
            all.push(("reversed", parts.iter().rev().cloned().collect()));
        }
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or_default();
            all.push(("as a text", json!(number.to_string())));
            all.push(("one more", json!(number.wrapping_add(1))));
            all.push(("largest", json!(i64::MAX)));
            all.push(("largest unsigned", json!(u64::MAX)));
        }
        Value::Object(fields) => {
            let mut more = fields.clone();
            more.insert("unknown".to_owned(), json!({"a": [1]}));
            all.push(("with something else", Value::Object(more)));
        }
        Value::Bool(_) | Value::Null => {}
    }
    all
}

fn repeated(parts: &[Value], count: usize) -> Vec<Value> {
    let all = std::iter::repeat_n(parts, count);
    all.flatten().cloned().collect()
}

fn with(document: &Value, at: &str, part: Value) -> Value {
    let mut changed = document.clone();
    *changed.pointer_mut(at).unwrap() = part;
    changed
}

fn without(document: &Value, at: &str) -> Option<Value> {
    let (above, name) = at.rsplit_once('/')?;
    let mut changed = document.clone();
    match changed.pointer_mut(above)? {
        Value::Object(fields) => _ = fields.remove(&name.replace("~1", "/").replace("~0", "~")),
        Value::Array(parts) => _ = parts.remove(name.parse().ok()?),
        _ => return None,
    }
    Some(changed)
}

/// The document with a field of it in other words, or a second time: before and after the first.
#[expect(clippy::too_many_lines, reason = "a list of changes of one text")]
fn refielded(document: &Value, at: &str, others: &[&Value]) -> Vec<(String, String)> {
    let Some((above, name)) = at.rsplit_once('/') else {
        return Vec::new();
    };
    let Some(Value::Object(fields)) = document.pointer(above) else {
        return Vec::new();
    };
    let name = name.replace("~1", "/").replace("~0", "~");
    let part = &fields[&name];
    let rest: Map<String, Value> = fields
        .iter()
        .filter(|(other, _)| **other != name)
        .map(|(name, part)| (name.clone(), part.clone()))
        .collect();
    let rest = Value::Object(rest).to_string();
    let rest = rest[1..rest.len() - 1].to_owned();
    let object = |entries: &[(String, String)]| {
        let mut all: Vec<_> = entries
            .iter()
            .map(|(name, text)| format!("{name}:{text}"))
            .collect();
        if !rest.is_empty() {
            all.push(rest.clone());
        }
        format!("{{{}}}", all.join(","))
    };
    let mark = "\u{1}mark\u{1}";
    let frame = if above.is_empty() {
        format!("{}", json!(mark))
    } else {
        with(document, above, json!(mark)).to_string()
    };
    let framed = |text: String| frame.replacen(&json!(mark).to_string(), &text, 1);
    let quoted = |name: &str| json!(name).to_string();
    let snake: String = name
        .chars()
        .flat_map(|c| {
            let low = c.to_ascii_lowercase();
            if c.is_ascii_uppercase() {
                vec!['_', low]
            } else {
                vec![low]
            }
        })
        .collect();
    let escaped = format!(
        "\"\\u{:04x}{}\"",
        u32::from(name.chars().next().unwrap()),
        &name[1..]
    );
    let text = part.to_string();
    let mut all = Vec::new();
    for (how, other) in [
        ("snake case", quoted(&snake)),
        ("upper case", quoted(&name.to_uppercase())),
        ("a space after the name", quoted(&format!("{name} "))),
    ] {
        if other != quoted(&name) {
            all.push((how.to_owned(), framed(object(&[(other, text.clone())]))));
        }
    }
    all.push((
        "ESCAPED".to_owned(),
        framed(object(&[(escaped.clone(), text.clone())])),
    ));
    let (null, empty) = (Value::Null, json!(""));
    for (number, other) in others
        .iter()
        .copied()
        .chain([&null, &empty, part])
        .enumerate()
    {
        for (how, second) in [
            ("", quoted(&name)),
            ("escaped ", escaped.clone()),
            ("snake ", quoted(&snake)),
        ] {
            let (one, two) = ((quoted(&name), text.clone()), (second, other.to_string()));
            all.push((
                format!("{how}twice, {number} after"),
                framed(object(&[one.clone(), two.clone()])),
            ));
            all.push((
                format!("{how}twice, {number} before"),
                framed(object(&[two, one])),
            ));
        }
    }
    all
}

/// Every change of one part; `others` are what parts may be swapped with.
fn mutations(document: &Value, others: &[(&str, &Value)]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for at in pointers(document) {
        let part = document.pointer(&at).unwrap();
        if let Some(dropped) = without(document, &at) {
            all.push((format!("{at} dropped"), dropped.to_string()));
        }
        for (how, part) in replaced(part) {
            all.push((format!("{at} {how}"), with(document, &at, part).to_string()));
        }
        let here: Vec<_> = others
            .iter()
            .filter_map(|(name, other)| Some((name, other.pointer(&at)?)))
            .filter(|(_, other)| *other != part)
            .collect();
        if !at.is_empty() {
            for (name, other) in &here {
                let swapped = with(document, &at, (*other).clone()).to_string();
                all.push((format!("{at} of {name}"), swapped));
            }
        }
        let here: Vec<_> = here.iter().map(|(_, other)| *other).take(2).collect();
        for (how, text) in refielded(document, &at, &here) {
            all.push((format!("{at} {how}"), text));
        }
    }
    let text = document.to_string();
    for (how, text) in [
        ("a mark before", format!("\u{feff}{text}")),
        ("a second document", format!("{text}{text}")),
        ("rubbish after", format!("{text}x")),
        ("NUL after", format!("{text}\0")),
        ("a comment", format!("/**/{text}")),
        ("in a list", format!("[{text}]")),
        ("cut off", text[..text.len() - 1].to_owned()),
    ] {
        all.push((how.to_owned(), text));
    }
    all
}

/// Whether a record says nothing that the other does not say. Of an entry without its promise the index within its tree
/// is what is proven.
fn is_part_of(record: &BundleRecord, of: &BundleRecord) -> bool {
    record.signer == of.signer
        && record.kind == of.kind
        && record.artifact == of.artifact
        && record.times.iter().all(|one| of.times.contains(one))
        && record
            .logs
            .iter()
            .all(|one| of.logs.iter().any(|it| it.log == one.log))
        && record
            .authorities
            .iter()
            .all(|one| of.authorities.contains(one))
}

fn is_documented(word: &str) {
    assert!(
        REASONS.contains(&format!("| `{word}` |")),
        "{word} is not documented"
    );
}

/// Runs over all of them at once, on as many processors as there are.
fn each<T: Sync>(all: &[T], check: impl Fn(&T) + Sync) {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..processors {
            let check = &check;
            scope.spawn(move || all.iter().skip(first).step_by(processors).for_each(check));
        }
    });
}

#[test]
fn no_change_of_a_good_bundle_says_anything_else() {
    let court = Court::new();
    let (good, bad) = (court.good(), court.bad());
    let again = court.good();
    for (index, (name, bundle)) in good.iter().enumerate() {
        let text = bundle.to_string();
        let verified = court
            .read(&text)
            .unwrap_or_else(|word| panic!("{name}: {word}"));
        assert!(court.counts(&verified), "{name}");
        let whole: Vec<&Value> = [&good, &again]
            .into_iter()
            .flatten()
            .map(|(_, bundle)| bundle)
            .chain(bad.iter().map(|(_, bundle)| bundle))
            .collect();
        let mut others: Vec<(&str, &Value)> = vec![("the same again", &again[index].1)];
        others.extend(bad.iter().map(|(name, other)| (*name, other)));
        let every_third = good.iter().step_by(3);
        others.extend(every_third.map(|(name, other)| (name.as_str(), other)));
        let all = mutations(bundle, &others);
        each(&all, |(how, text)| match court.read(text) {
            Err(word) => {
                is_documented(word);
                // Nobody makes a good signature look like that of another chart by changing one part of it.
                let is_swapped = how.contains(" of ") || how.contains("twice");
                assert!(
                    is_swapped || word != "DigestMismatch",
                    "{name}: {how}: {word}"
                );
            }
            Ok(found) => {
                let is_same = is_part_of(found.record(), verified.record());
                let is_other = how.contains(" of ") && is_of_another(&found, &whole, &court);
                assert!(
                    is_same || is_other,
                    "{name}: {how}: {:?}\n{:?}",
                    found.record(),
                    verified.record()
                );
            }
        });
    }
}

/// A part that is a whole signature of its own makes the bundle that one, which is worth no more for it.
fn is_of_another(found: &VerifiedBundle, whole: &[&Value], court: &Court) -> bool {
    let read = |bundle: &&Value| court.read(&bundle.to_string()).ok();
    let mut records = whole.iter().filter_map(read);
    records.any(|one| {
        let is_worth_as_much = court.counts(&one) == court.counts(found);
        is_worth_as_much && is_part_of(found.record(), one.record())
    })
}

#[test]
fn no_change_of_a_bad_bundle_gives_trust() {
    let court = Court::new();
    let (good, bad) = (court.good(), court.bad());
    for (name, bundle) in &bad {
        let counts = |text: &str| court.read(text).is_ok_and(|found| court.counts(&found));
        assert!(!counts(&bundle.to_string()), "{name}");
        // Parts of bad ones only: those of good ones can be put together to a good one.
        let others: Vec<_> = bad.iter().map(|(name, other)| (*name, other)).collect();
        let mut all = mutations(bundle, &others);
        // And the parts of good ones that are no signature by themselves.
        for (of, other) in &good {
            for at in pointers(bundle) {
                // A signature by the key needs nothing else to be one.
                let wholes = ["/dsseEnvelope", "/messageSignature"];
                let signatures = ["/dsseEnvelope/signatures", "/messageSignature/signature"];
                let is_whole = at.is_empty()
                    || wholes.contains(&at.as_str())
                    || signatures.iter().any(|it| at.starts_with(it));
                let Some(part) = other.pointer(&at).filter(|_| !is_whole) else {
                    continue;
                };
                all.push((
                    format!("{at} of good {of}"),
                    with(bundle, &at, part.clone()).to_string(),
                ));
            }
        }
        each(&all, |(how, text)| assert!(!counts(text), "{name}: {how}"));
    }
}

/// A signature of the older form as one document; annotations that hold documents are changed within.
fn simple_document(payload: &[u8], annotations: &BTreeMap<String, String>) -> Value {
    let mut all = json!({"payload": String::from_utf8_lossy(payload), "annotations": annotations});
    for name in [
        "dev.sigstore.cosign/bundle",
        "dev.sigstore.cosign/rfc3161timestamp",
    ] {
        if let Some(text) = annotations.get(name) {
            all["annotations"][name] = serde_json::from_str(text).unwrap();
        }
    }
    all["payload"] = serde_json::from_slice(payload).unwrap();
    all
}

/// What would lie in a registry.
fn as_published(text: &str) -> Option<(Vec<u8>, BTreeMap<String, String>)> {
    let document: Value = serde_json::from_str(text).ok()?;
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let annotations = document.get("annotations")?.as_object()?.iter();
    let annotations = annotations.map(|(name, value)| (name.clone(), text(value)));
    let payload = document.get("payload").map(text).unwrap_or_default();
    Some((payload.into_bytes(), annotations.collect()))
}

#[test]
fn no_change_of_a_signature_of_the_older_form_says_anything_else() {
    let court = Court::new();
    let payload = named();
    let other = crate::simple::payload(&Sha256Digest::of(b"another").to_string());
    let shape = |payload: &[u8], is_keyed: bool, log: Log, is_stamped: bool| Shape {
        content: Content::Message,
        artifact: payload.to_vec(),
        key: is_keyed.then_some(&court.key),
        stamped_at: is_stamped.then(noon),
        log,
        ..court.world.good()
    };
    for (is_keyed, log, is_stamped) in [
        (false, Log::V1, false),
        (false, Log::V1, true),
        (true, Log::V1, false),
        (true, Log::None, false),
    ] {
        let published_of = |payload: &[u8]| published(&shape(payload, is_keyed, log, is_stamped));
        let (good, again) = (published_of(&payload), published_of(&payload));
        let wrong = published_of(&other);
        let read = |payload: &[u8], annotations: &BTreeMap<String, String>| {
            let claimed = parse_simple(payload, annotations);
            let claimed = claimed.map_err(|error| error.said().word())?;
            court.found(&claimed)
        };
        let verified = read(&payload, &good).unwrap();
        assert_eq!(read(&other, &wrong).unwrap_err(), "DigestMismatch");
        let document = simple_document(&payload, &good);
        let (again, wrong) = (
            simple_document(&payload, &again),
            simple_document(&other, &wrong),
        );
        for (base, others, is_good) in [
            (
                &document,
                vec![("the same again", &again), ("another", &wrong)],
                true,
            ),
            (&wrong, vec![("the right one", &document)], false),
        ] {
            let all = mutations(base, &others);
            each(&all, |(how, text)| {
                let Some((payload, annotations)) = as_published(text) else {
                    return;
                };
                match read(&payload, &annotations) {
                    Err(word) => is_documented(word),
                    Ok(found) => {
                        let is_swapped = how.contains(" of ") || how.contains("twice");
                        let is_same = is_part_of(found.record(), verified.record());
                        assert!(is_good, "{how}: {:?}", found.record());
                        assert!(is_same || is_swapped, "{how}: {:?}", found.record());
                    }
                }
            });
        }
    }
}

#[test]
fn no_change_of_a_root_makes_a_bad_bundle_good_or_a_good_one_say_something_else() {
    let court = Court::new();
    let (good, bad) = (court.good(), court.bad());
    let theirs = World::called("strangers").root_json();
    let all = mutations(&court.world.root_json(), &[("strangers", &theirs)]);
    each(&all, |(how, text)| {
        let Ok(root) = TrustedRoot::parse(text.as_bytes()) else {
            return;
        };
        let _ = (root.authorities(), root.date(), root.described());
        let judged = |bundle: &Value| {
            let claimed = ClaimedBundle::parse(bundle.to_string().as_bytes()).unwrap();
            let means = if claimed.is_keyed() {
                Means::Key(&court.public, Some(&root))
            } else {
                Means::Identity(&root)
            };
            verify(&claimed, Artifact::Digest(manifest()), means)
        };
        for (name, bundle) in good.iter().step_by(3) {
            let Ok(found) = judged(bundle) else { continue };
            let usual = court.read(&bundle.to_string()).unwrap();
            let (found, usual) = (found.record(), usual.record());
            let is_same = (&found.signer, &found.kind, found.artifact)
                == (&usual.signer, &usual.kind, usual.artifact);
            let is_timed = found.times.iter().all(|one| usual.times.contains(one));
            assert!(is_same && is_timed, "{how}: {name}: {found:?}");
        }
        for (name, bundle) in bad.iter().step_by(2) {
            let is_good = judged(bundle).is_ok_and(|found| court.counts(&found));
            assert!(!is_good, "{how}: {name}");
        }
    });
}
