//! `charttrust key import`: a TrustedKey of a key that was published somewhere. Reads the named file, or asks
//! the named address through the guard.

use std::path::Path;

use charttrust_verify::chart;
use charttrust_verify::finding::error_chain;
use charttrust_verify::limits::ArchiveLimits;
use charttrust_verify::openpgp::{Excerpt, Fingerprint};
use charttrust_verify::scheme::Scheme;
use clap::Args;

use super::show::{self, Described};
use crate::api::TrustedKey;
use crate::api::trusted_key::{PublicKey, TrustedKeySpec};
use crate::cli::cluster::{Failure, chain, is_name};
use crate::cli::manifest::manifest;
use crate::cli::screen::{plain, say, tell};
use crate::cli::status::shown;
use crate::cli::verify::inputs::{self, Kind};
use crate::cli::{TRUSTED, UNTRUSTED};
use crate::evidence::fetcher;
use crate::sources::{AllowedHost, Limits, Settings};
use crate::{clock, parse};

/// Prints a TrustedKey of a key, for kubectl apply.
///
/// A key is trusted because its owner has told you the fingerprint, never because an address serves it: what
/// has another fingerprint is refused.
///
/// Exit code 0: the key could vouch for charts; 1: it could not, and is printed all the same; 2: the arguments
/// cannot be used, or the key has another fingerprint; 3: the address gives no usable answer.
#[derive(Args, Clone, Debug)]
pub struct Import {
    /// Where the key is: a file, armored or binary, or an https:// address.
    #[arg(value_name = "FILE|URL", required_unless_present = "sign_key", value_parser = place)]
    pub place: Option<String>,
    /// The fingerprint of the primary key, as its owner has told it.
    #[arg(long, value_name = "FPR", value_parser = fingerprint)]
    pub fingerprint: Fingerprint,
    /// Name of the TrustedKey; default: key- and the key ID.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub name: Option<String>,
    /// Who answers for the key; free text for people.
    #[arg(long, value_name = "TEXT")]
    pub owner: Option<String>,
    /// Takes the address from the annotation artifacthub.io/signKey of this archive.
    #[arg(long, value_name = "CHART.tgz", conflicts_with = "place")]
    pub sign_key: Option<std::path::PathBuf>,
    /// Allows addresses on this host to be private, loopback or plain HTTP. Repeatable.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub allow_host: Vec<AllowedHost>,
}

/// People paste what gpg prints.
pub(in crate::cli) fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    let digits: String = text.split_whitespace().collect();
    let digits = digits.strip_prefix("0x").unwrap_or(&digits);
    digits
        .parse()
        .map_err(|error: charttrust_verify::openpgp::FingerprintError| error.to_string())
}

fn place(text: &str) -> Result<String, String> {
    let is_asked = |scheme| matches!(scheme, Scheme::Http | Scheme::Https);
    let scheme = Scheme::split(text).map(|(scheme, _)| scheme);
    if text.contains("://") && !scheme.is_some_and(is_asked) {
        return Err(
            "no key is fetched from there: name a file, or begin with https://, or with http:// and \
             --allow-host"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

fn name(text: &str) -> Result<String, String> {
    if is_name(text) {
        Ok(text.to_owned())
    } else {
        Err("write lower-case letters, digits, - and .".to_owned())
    }
}

/// Runs the command and gives its exit code.
///
/// # Errors
/// If the key cannot be had, or is another one.
pub(super) async fn run(arguments: &Import) -> Result<u8, Failure> {
    let place = place_of(arguments)?;
    let material = material(&place, &arguments.allow_host).await?;
    let unusable = |why: String| Failure::Asked(format!("{}: {why}", plain(&place)));
    let object = object(arguments, &material).map_err(unusable)?;
    // By the function by which the operator reads it.
    let inline = object.spec.public_key.inline.clone().unwrap_or_default();
    let key = parse::key(&object, inline.as_bytes());
    let key = key.map_err(|problem| unusable(problem.to_string()))?;
    say(&manifest("TrustedKey", &object, &object.spec))?;
    let described = Described::of(&key.certificate, clock::now());
    tell(&shown(described.lines()));
    Ok(if described.could_sign {
        TRUSTED
    } else {
        UNTRUSTED
    })
}

fn object(arguments: &Import, material: &[u8]) -> Result<TrustedKey, String> {
    let fingerprint = &arguments.fingerprint;
    let excerpt = Excerpt::of(material, fingerprint);
    let excerpt = excerpt.map_err(|error| error_chain(&error))?;
    let default = || format!("key-{}", fingerprint.key_id().to_lowercase());
    let name = arguments.name.clone().unwrap_or_else(default);
    let spec = TrustedKeySpec {
        fingerprint: fingerprint.to_string(),
        public_key: PublicKey {
            inline: Some(excerpt.armored()),
            ..PublicKey::default()
        },
        owner: arguments.owner.clone(),
        ..TrustedKeySpec::default()
    };
    Ok(TrustedKey::new(&name, spec))
}

/// Where the key is.
fn place_of(arguments: &Import) -> Result<String, Failure> {
    match (&arguments.sign_key, &arguments.place) {
        (Some(archive), _) => signed_by(archive, &arguments.fingerprint),
        (None, Some(place)) => Ok(place.clone()),
        // Invariant: clap asks for one of them.
        (None, None) => Ok(String::new()),
    }
}

/// The key material, from where it is.
async fn material(place: &str, allowed: &[AllowedHost]) -> Result<Vec<u8>, Failure> {
    if place.contains("://") {
        fetched(place, allowed).await
    } else {
        show::read(Path::new(place))
    }
}

async fn fetched(url: &str, allowed: &[AllowedHost]) -> Result<Vec<u8>, Failure> {
    let fetcher = fetcher(Settings {
        allowed_hosts: allowed.to_vec(),
        auth_hosts: Vec::new(),
        limits: Limits::default(),
        user_agent: concat!("charttrust/", env!("CARGO_PKG_VERSION")).to_owned(),
    });
    let answer = fetcher.key(url, |bytes| Ok(bytes.to_vec())).await;
    answer.map_err(|error| Failure::Unanswered(chain(&error)))
}

/// The address that an archive names for the key that has signed it.
fn signed_by(archive: &Path, wanted: &Fingerprint) -> Result<String, Failure> {
    let asked = |problem: String| Failure::Asked(format!("{}: {problem}", archive.display()));
    let bytes = inputs::read_whole(archive, Kind::Archive);
    let bytes = bytes.map_err(|error| Failure::Asked(chain(&error)))?;
    let chart = chart::read(&bytes, &ArchiveLimits::default());
    let chart = chart.map_err(|error| asked(error_chain(&error)))?;
    let annotation = chart.metadata.annotations.get(SIGN_KEY);
    let annotation = annotation.ok_or_else(|| asked(format!("has no annotation {SIGN_KEY}")))?;
    address(annotation, wanted).map_err(asked)
}

/// What Artifact Hub shows beside a chart.
const SIGN_KEY: &str = "artifacthub.io/signKey";

/// The address in an annotation, whose fingerprint must be the one that is wanted: two that differ are an
/// error of one of them, and nobody here knows of which.
fn address(annotation: &str, wanted: &Fingerprint) -> Result<String, String> {
    #[derive(serde::Deserialize)]
    struct SignKey {
        fingerprint: String,
        url: String,
    }
    let read = serde_saphyr::from_str::<SignKey>(annotation);
    let read = read.map_err(|_| format!("{SIGN_KEY} does not have fingerprint and url"))?;
    let named = fingerprint(&read.fingerprint);
    match named {
        Ok(named) if named == *wanted && read.url.contains("://") => Ok(read.url),
        Ok(named) if named == *wanted => {
            Err(format!("{SIGN_KEY} names no address: {}", plain(&read.url)))
        }
        _ => Err(format!(
            "{SIGN_KEY} names the key {}, and you the key {wanted}: ask the owner which is right",
            plain(&read.fingerprint)
        )),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        import: Import,
    }

    const FILE: &str = "ed25519.asc";

    fn vector(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/verify/tests/openpgp/vectors/");
        std::fs::read(format!("{folder}{name}")).unwrap()
    }

    fn own() -> Fingerprint {
        let all = charttrust_verify::openpgp::load_all(&vector(FILE)).unwrap();
        all[0].fingerprint().clone()
    }

    fn parsed(arguments: &[&str]) -> Result<Import, clap::Error> {
        let all = ["import"].iter().chain(arguments);
        Ok(Line::try_parse_from(all)?.import)
    }

    #[test]
    fn a_key_becomes_an_object_that_the_operator_reads() {
        let fingerprint = own().to_string();
        let arguments = parsed(&[FILE, "--fingerprint", &fingerprint, "--owner", "Shop"]).unwrap();
        let ring = [vector(FILE), vector("rsa2048.asc")].concat();
        let object = object(&arguments, &ring).unwrap();
        let yaml = manifest("TrustedKey", &object, &object.spec);
        let read: TrustedKey = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(read.spec, object.spec, "{yaml}");
        assert_eq!(read.spec.owner.as_deref(), Some("Shop"));
        assert!(read.metadata.name.unwrap().starts_with("key-"), "{yaml}");
        assert_eq!(
            charttrust_verify::openpgp::load_all(read.spec.public_key.inline.unwrap().as_bytes())
                .unwrap()
                .len(),
            1,
            "only the one"
        );
    }

    #[test]
    fn another_key_is_refused() {
        let other = "0".repeat(40);
        let arguments = parsed(&[FILE, "--fingerprint", &other]).unwrap();
        let why = object(&arguments, &vector(FILE)).unwrap_err();
        assert!(why.contains(own().as_str()), "{why}");
        // A key ID can be forged.
        let id = own().key_id().to_owned();
        let short = parsed(&[FILE, "--fingerprint", &id]).unwrap_err();
        assert!(short.to_string().contains("can be forged"), "{short}");
        assert!(parsed(&[FILE]).is_err(), "without a fingerprint");
    }

    #[test]
    fn a_fingerprint_may_be_written_as_gpg_prints_it() {
        let spaced = "1111 2222 3333 4444 5555  6666 7777 8888 9999 0000";
        let plain = "1111222233334444555566667777888899990000";
        assert_eq!(fingerprint(spaced).unwrap().as_str(), plain);
        assert_eq!(fingerprint(&format!("0x{plain}")).unwrap().as_str(), plain);
    }

    #[test]
    fn the_annotation_of_artifact_hub_must_name_the_same_key() {
        let own = own();
        let text =
            |fingerprint: &str, url: &str| format!("fingerprint: {fingerprint}\nurl: {url}\n");
        let url = "https://charts.example.com/key.asc";
        assert_eq!(address(&text(own.as_str(), url), &own).unwrap(), url);
        for (annotation, part) in [
            (text(&"0".repeat(40), url), "ask the owner which is right"),
            (text(own.as_str(), "/etc/passwd"), "names no address"),
            (
                "https://charts.example.com".to_owned(),
                "does not have fingerprint and url",
            ),
        ] {
            let why = address(&annotation, &own).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }
}
