//! Cleartext messages, keys and signatures of `OpenPGP`.

use std::sync::LazyLock;

use charttrust_verify::openpgp::{
    Certificate, Excerpt, SignatureRecord, limits, load, load_all, parse_cleartext,
    skipped_versions, verify,
};
use jiff::Timestamp;
use pgp::composed::CleartextSignedMessage;

use crate::{Target, vectors};

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "cleartext",
        reads: "a message with a cleartext signature, such as a provenance file",
        holds: "The text is canonical and within limits; written anew it is read as the same; rPGP, where it reads the file too, reads the same text.",
        longest: 4096,
        check: cleartext,
        seeds: messages,
    },
    Target {
        name: "keyring",
        reads: "keys and keyrings, armored or binary",
        holds: "Loaded one by one or all together they say the same; an excerpt says what the whole said; a key learns nothing from itself.",
        longest: 8192,
        check: keyring,
        seeds: keys,
    },
    Target {
        name: "signature",
        reads: "the packets of a signature block over a known text, against known keys",
        holds: "What verifies is a signature that its signer has made: same key, same dates, same algorithms.",
        longest: 2048,
        check: signature,
        seeds: packets,
    },
];

fn messages() -> Vec<Vec<u8>> {
    let mut all = vectors::all("openpgp/vectors", ".prov");
    all.extend(vectors::all("openpgp/vectors", ".yaml.asc"));
    all.into_iter().map(|(_, bytes)| bytes).collect()
}

fn cleartext(bytes: &[u8]) {
    let Ok(message) = parse_cleartext(bytes) else {
        return;
    };
    let text = message.text();
    assert!(bytes.len() <= limits::MESSAGE_BYTES);
    assert!((1..=limits::SIGNATURES).contains(&message.signatures().len()));
    assert!(message.weight() <= bytes.len() * 4);
    for line in text.split('\n') {
        assert_eq!(line.trim_end_matches([' ', '\t']), line, "blanks at an end");
        let is_odd = |letter: char| letter.is_control() && letter != '\t';
        assert!(!line.contains(is_odd), "a control character: {line:?}");
    }
    let whole = String::from_utf8_lossy(bytes);
    let again = written(text, &whole);
    let again = parse_cleartext(again.as_bytes()).map(|again| again.text().to_owned());
    assert_eq!(again.as_deref(), Ok(text), "not read as it was written");
    // rPGP wants nothing behind the block, and takes time that is quadratic in empty lines.
    if text.lines().count() < 200
        && let Ok((theirs, _)) = CleartextSignedMessage::from_string(whole.trim_end())
    {
        assert_eq!(
            theirs.signed_text(),
            text.replace('\n', "\r\n"),
            "rPGP reads another text"
        );
    }
}

/// A message of the text with the signature block of another.
pub(crate) fn written(text: &str, other: &str) -> String {
    let escape = |line: &str| if line.starts_with('-') { "- " } else { "" };
    let lines = text
        .split('\n')
        .map(|line| format!("{}{line}\n", escape(line)));
    let escaped = lines.collect::<Vec<_>>().concat();
    let block = other
        .lines()
        .skip_while(|line| *line != BEGIN)
        .collect::<Vec<_>>();
    format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\n\n{escaped}{}\n",
        block.join("\n")
    )
}

const BEGIN: &str = "-----BEGIN PGP SIGNATURE-----";

fn keys() -> Vec<Vec<u8>> {
    let armored = vectors::all("openpgp/vectors", ".asc");
    let is_key = |bytes: &&Vec<u8>| bytes.starts_with(b"-----BEGIN PGP PUBLIC KEY");
    let armored: Vec<_> = armored.into_iter().map(|(_, bytes)| bytes).collect();
    let binary = armored
        .iter()
        .filter(is_key)
        .map(|bytes| vectors::unarmored(&String::from_utf8_lossy(bytes), "PGP PUBLIC KEY BLOCK"));
    let mut all: Vec<_> = binary.collect();
    all.extend(armored);
    for end in [".pub", ".gpg", ".kbx", ".rev"] {
        all.extend(
            vectors::all("openpgp/vectors", end)
                .into_iter()
                .map(|(_, bytes)| bytes),
        );
    }
    all
}

fn keyring(bytes: &[u8]) {
    let (loaded, skipped) = (load_all(bytes), skipped_versions(bytes));
    let Ok(all) = loaded else { return };
    assert!(bytes.len() <= limits::KEY_MATERIAL_BYTES);
    assert!((1..=limits::CERTIFICATES).contains(&all.len()));
    assert!(
        !skipped.contains(&4) && !skipped.contains(&6),
        "{skipped:?}"
    );
    for certificate in &all {
        let fingerprint = certificate.fingerprint();
        let said = said(certificate);
        let alone = load(bytes, fingerprint, &[]);
        assert_eq!(
            alone.map(|one| self::said(&one)).as_ref(),
            Ok(&said),
            "not loaded alone"
        );
        let excerpt = Excerpt::of(bytes, fingerprint);
        let excerpt = excerpt.unwrap_or_else(|error| panic!("no excerpt: {error}"));
        let handed_on = load(excerpt.armored().as_bytes(), fingerprint, &[]);
        assert_eq!(
            handed_on.map(|one| self::said(&one)).as_ref(),
            Ok(&said),
            "an excerpt differs"
        );
        let both = certificate.union(certificate).map(|one| self::said(&one));
        assert_eq!(both.as_ref(), Ok(&said), "two copies say more than one");
        if let Ok(learned) = certificate.learn(certificate, NOW) {
            let after = certificate.apply(&learned).map(|one| self::said(&one));
            assert_eq!(after.as_ref(), Ok(&said), "it learns from itself");
        }
    }
}

/// Everything that a certificate says for people, at several times.
fn said(certificate: &Certificate) -> String {
    let turns = certificate.turns(NOW);
    let times = turns.iter().copied().take(8).chain([NOW]);
    let summaries = times.map(|time| {
        let summary = certificate.summary(time);
        assert_eq!(summary.usable.is_ok(), !summary.signing_keys.is_empty());
        assert!(summary.user_ids.len() <= limits::USER_IDS);
        let is_odd = |id: &String| id.contains(charttrust_verify::finding::is_deceptive);
        assert!(
            !summary.user_ids.iter().any(is_odd),
            "{:?}",
            summary.user_ids
        );
        format!("{time}: {summary:?}\n")
    });
    summaries.collect::<Vec<_>>().concat()
}

fn packets() -> Vec<Vec<u8>> {
    let texts = messages();
    let texts = texts.iter().map(|bytes| String::from_utf8_lossy(bytes));
    let ours = texts.filter(|text| text.contains("plain-0.1.0.tgz"));
    ours.map(|text| vectors::unarmored(&text, "PGP SIGNATURE"))
        .collect()
}

static KEYS: LazyLock<Vec<Certificate>> = LazyLock::new(|| {
    let names = [
        "ed25519", "nistp256", "nistp384", "nistp521", "rsa2048", "rsa3072", "rsa4096", "split",
    ];
    let load = |name| load_all(&vectors::read(&format!("openpgp/vectors/{name}.asc")));
    let all = names
        .into_iter()
        .map(|name| load(name).unwrap_or_else(|e| panic!("{name}: {e}")));
    all.flatten().collect()
});

/// The text that all of the vectors sign.
static TEXT: LazyLock<String> = LazyLock::new(|| {
    let file = vectors::read("openpgp/vectors/ed25519.prov");
    let message = parse_cleartext(&file).unwrap_or_else(|error| panic!("a vector: {error}"));
    message.text().to_owned()
});

/// What the untouched vectors are found to be.
static MADE: LazyLock<Vec<SignatureRecord>> = LazyLock::new(|| {
    let all = packets().into_iter().flat_map(|packets| verified(&packets));
    let all: Vec<_> = all.collect();
    assert!(all.len() >= 8, "only {} vectors verify", all.len());
    all
});

fn signature(bytes: &[u8]) {
    for record in verified(bytes) {
        assert!(MADE.contains(&record), "nobody has made {record:?}");
    }
}

fn verified(packets: &[u8]) -> Vec<SignatureRecord> {
    use base64::Engine as _;
    let block = base64::prelude::BASE64_STANDARD.encode(packets);
    let file = written(
        &TEXT,
        &format!("{BEGIN}\n\n{block}\n-----END PGP SIGNATURE-----\n"),
    );
    let Ok(message) = parse_cleartext(file.as_bytes()) else {
        return Vec::new();
    };
    assert_eq!(message.text(), *TEXT, "a signature block changes the text");
    let mut all = Vec::new();
    for claimed in message.signatures() {
        let by = KEYS
            .iter()
            .filter_map(|key| verify(&message, claimed, key).ok());
        all.extend(by.map(|one| one.record().clone()));
    }
    all
}

const NOW: Timestamp = Timestamp::constant(1_796_000_000, 0);
