//! Charts that `charttrust verify` fetches from a registry or a repository, through the guard as the operator
//! does.

use charttrust_verify::chart::Chart;
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{Answer, ArchiveFacts, Bound, Claimed, SubchartId};
use charttrust_verify::scheme::Scheme;
use charttrust_verify::verdict::{Cause, Reason, Verdict};

use super::Verify;
use super::inputs::UsageError;
use super::logins;
use crate::evidence::{Fetcher, Forms, Gathered, fetcher, gather, unavailable};
use crate::sources::{Asked, FetchError, Limits, Listed, Manifest, Settings, Source, is_spelling};

/// A chart as `helm pull` names it: `oci://HOST/PATH/CHART:VERSION`, with the digest of a manifest after it or in
/// place of the version, or the address of its archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// What a policy would name as source; of a repository that has another name than its chart, with `#` and the
    /// chart's.
    pub(super) source: String,
    pub(super) named: Named,
    /// The manifest that is meant, whatever its tag stands for.
    pub(super) manifest: Option<Sha256Digest>,
}

/// Which chart is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A chart and its version, or the digest of its manifest where no version is named.
    Chart(Listed),
    /// What its archive is called without `.tgz`. Both parts may have dashes in them: the index knows.
    File(String),
}

/// What a source has.
pub(super) enum Fetched {
    /// An archive, what is signed about it, and the version that it is asked for as.
    Archive(Box<Chart>, Box<ArchiveFacts>, String),
    /// None that could be judged.
    Nothing(Verdict, String),
}

impl Address {
    /// The address that is named in place of a file; `None` if it is a file, or the address of something
    /// else.
    pub(super) fn of(arguments: &Verify) -> Result<Option<Self>, UsageError> {
        let text = arguments.chart.to_string_lossy();
        let Some((scheme, rest)) = Scheme::split(&text) else {
            return Ok(None);
        };
        if arguments.prov.is_some() || arguments.source.is_some() {
            return Err(UsageError::SaidTwice(text.into_owned()));
        }
        let address = if scheme == Scheme::Oci {
            let address = Self::parse(rest).map_err(|flaw| flaw.about(&text))?;
            address.of_chart(arguments.chart_name.as_deref())
        } else {
            Self::archive(&text).ok_or_else(|| UsageError::Archive(text.to_string()))?
        };
        Ok(Some(address))
    }

    fn parse(rest: &str) -> Result<Self, Flaw> {
        let (path, last) = rest.rsplit_once('/').ok_or(Flaw::NoVersion)?;
        let (named, manifest) = match last.split_once('@') {
            Some((named, digest)) => {
                let digest = digest.parse::<Sha256Digest>();
                (named, Some(digest.map_err(|_| Flaw::Digest)?))
            }
            None => (last, None),
        };
        let (chart, version) = match (named.split_once(':'), manifest) {
            // Tags have no `+`, and versions no `_`.
            (Some((chart, tag)), _) => (chart, tag.replace('_', "+")),
            (None, Some(digest)) => (named, digest.to_string()),
            (None, None) => return Err(Flaw::NoVersion),
        };
        if [path, chart, &version].contains(&"") {
            return Err(Flaw::NoVersion);
        }
        Ok(Self {
            source: format!("oci://{path}"),
            named: Named::Chart(Listed {
                chart: chart.to_owned(),
                version,
            }),
            manifest,
        })
    }

    /// The same for a chart that has been named.
    fn of_chart(self, name: Option<&str>) -> Self {
        match (self.named, name) {
            (Named::Chart(own), Some(name)) if own.chart != name => Self {
                source: format!("{}/{}#{name}", self.source, own.chart),
                named: Named::Chart(Listed {
                    chart: name.to_owned(),
                    ..own
                }),
                manifest: self.manifest,
            },
            (named, _) => Self { named, ..self },
        }
    }

    /// What is asked for: now, and by the digest if one is named.
    pub(super) fn asked(&self) -> Asked {
        Asked {
            manifest: self.manifest.map(Manifest::Exactly),
            ..Asked::now()
        }
    }

    /// What was asked, as people and keys name it.
    pub(super) fn place(&self) -> &str {
        self.source.split('#').next().unwrap_or_default()
    }

    fn archive(url: &str) -> Option<Self> {
        let (folder, file) = url.rsplit_once('/')?;
        let stem = file.strip_suffix(".tgz")?;
        let is_whole = !stem.is_empty() && !url.contains(['?', '#']) && !folder.ends_with('/');
        is_whole.then(|| Self {
            source: folder.to_owned(),
            named: Named::File(stem.to_owned()),
            manifest: None,
        })
    }
}

/// Why an address in a registry names no chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// What follows the `@` is no digest.
    Digest,
    /// It is not whole.
    NoVersion,
}

impl Flaw {
    fn about(self, address: &str) -> UsageError {
        match self {
            Self::Digest => UsageError::Digest(address.to_owned()),
            Self::NoVersion => UsageError::Address(address.to_owned()),
        }
    }
}

/// Asks one source, with the login that Helm or Docker have for it.
pub(super) struct Asking {
    fetcher: Fetcher,
    is_logged_in: bool,
    source: Source,
}

impl Asking {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// If a file with logins cannot be used.
    pub(super) fn of(arguments: &Verify, source: &str) -> Result<Self, UsageError> {
        let fetcher = fetcher(Settings {
            allowed_hosts: arguments.allow_host.clone(),
            auth_hosts: arguments.auth_host.clone(),
            limits: Limits::default(),
            user_agent: concat!("charttrust/", env!("CARGO_PKG_VERSION")).to_owned(),
        });
        let login = match Scheme::split(source) {
            Some((Scheme::Oci, _)) => logins::find(source.split('#').next().unwrap_or_default())?,
            _ => None,
        };
        Ok(Self {
            fetcher,
            is_logged_in: login.is_some(),
            source: Source {
                credentials: login,
                ..Source::at(source)
            },
        })
    }

    /// What the source lists, of one chart or of all.
    ///
    /// # Errors
    /// That it gave no usable answer.
    pub(super) async fn listed(&self, chart: Option<&str>) -> Result<Vec<Listed>, (Cause, String)> {
        let listed = self.fetcher.listed(&self.source, chart).await;
        let listed = listed.map_err(|error| (cause(&error), self.hinted(error.to_string())))?;
        Ok(listed.into_iter().collect())
    }

    /// Which chart an address means.
    ///
    /// # Errors
    /// What is said of one that is not there.
    pub(super) async fn find(&self, named: &Named) -> Result<Listed, (Verdict, String)> {
        let stem = match named {
            Named::Chart(listed) => return Ok(listed.clone()),
            Named::File(stem) => stem,
        };
        let listed = self.listed(None).await;
        let listed = listed.map_err(|(cause, message)| (Verdict::Unknown(cause), message))?;
        let is_it = |one: &&Listed| format!("{}-{}", one.chart, one.version) == *stem;
        let mut found = listed.iter().filter(is_it);
        let url = &self.source.url;
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one.clone()),
            (None, _) => Err((
                Verdict::Untrusted(Reason::ChartNotFound),
                format!("the index of {url} lists no chart and version of {stem}.tgz"),
            )),
            (Some(_), Some(_)) => Err((
                Verdict::Untrusted(Reason::ArchiveAmbiguous),
                format!("the index of {url} has two charts whose archive is {stem}.tgz"),
            )),
        }
    }

    /// Asks for one version, or takes what was answered after a moment.
    pub(super) async fn fetch(&self, wanted: &Listed, asked: (Asked, Forms)) -> Fetched {
        let claimed = Claimed {
            chart: &wanted.chart,
            version: &wanted.version,
        };
        match gather(&self.fetcher, &self.source, claimed, asked).await {
            Gathered::Found(found) => {
                let chart = Box::new(found.chart().clone());
                let own = &chart.metadata.version;
                // Some publishers put a `v` before the version: the operator asks for either tag of the version
                // that the chart says, and whoever names the tag means that version. Whoever names nothing but a
                // digest means what lies there.
                let is_spelled = self.is_registry() && is_spelling(&wanted.version, own);
                let is_its = is_spelled || wanted.version.parse::<Sha256Digest>().is_ok();
                let version = if is_its { own } else { &wanted.version }.clone();
                let claimed = Claimed {
                    version: &version,
                    ..claimed
                };
                match found.of_version(claimed).bound(Bound::NotCompared) {
                    Answer::Archive(facts) => Fetched::Archive(chart, facts, version),
                    answer => self.nothing(wanted, answer),
                }
            }
            Gathered::Other(other) => self.nothing(wanted, other.answer),
        }
    }

    /// What is asked.
    fn url(&self) -> &str {
        &self.source.url
    }

    /// Asks the repository of a subchart, with the login of the source if it is that itself.
    pub(super) async fn subchart(&self, id: &SubchartId, asked: (Asked, Forms)) -> Answer {
        let about = (id.name.as_str(), id.version.as_str());
        let sent = self.fetcher.may_send(self.url(), &id.repository, about);
        if let Err(refused) = sent {
            return unavailable(Cause::SourceUnavailable, refused.to_string());
        }
        let is_own = self.url() == id.repository;
        let source = Source {
            credentials: self.source.credentials.clone().filter(|_| is_own),
            ..Source::at(id.repository.as_str())
        };
        let claimed = Claimed {
            chart: &id.name,
            version: &id.version,
        };
        match gather(&self.fetcher, &source, claimed, asked).await {
            Gathered::Found(found) => found.of_subchart(),
            Gathered::Other(nothing) => nothing.answer,
        }
    }

    fn is_registry(&self) -> bool {
        matches!(Scheme::split(&self.source.url), Some((Scheme::Oci, _)))
    }

    /// What a registry shows may depend on who asks.
    fn hinted(&self, message: String) -> String {
        if self.is_registry() && !self.is_logged_in {
            format!("{message}; asked without a login: `helm registry login` keeps one")
        } else {
            message
        }
    }

    fn nothing(&self, wanted: &Listed, answer: Answer) -> Fetched {
        let Listed { chart, version } = wanted;
        let source = &self.source.url;
        match answer {
            Answer::Ambiguous { message } => {
                Fetched::Nothing(Verdict::Untrusted(Reason::ArchiveAmbiguous), message)
            }
            Answer::Archive(_) => {
                let message =
                    format!("{source} has no archive of {chart} {version} that can be judged");
                Fetched::Nothing(Verdict::Unknown(Cause::SourceUnavailable), message)
            }
            Answer::NotFound => {
                let message = format!("{source} lists no version {version} of chart {chart}");
                Fetched::Nothing(Verdict::Untrusted(Reason::ChartNotFound), message)
            }
            Answer::Unavailable {
                cause: cause @ Cause::SourceUnavailable,
                message,
            } => Fetched::Nothing(Verdict::Unknown(cause), self.hinted(message)),
            Answer::Unavailable { cause, message } => {
                Fetched::Nothing(Verdict::Unknown(cause), message)
            }
        }
    }
}

fn cause(error: &FetchError) -> Cause {
    match error.cause() {
        crate::sources::Cause::LimitExceeded => Cause::LimitExceeded,
        _ => Cause::SourceUnavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_source_a_chart_and_a_version() {
        for (rest, expected) in [
            (
                "ghcr.io/a/payments:2.4.1",
                Some(("oci://ghcr.io/a", "payments", "2.4.1")),
            ),
            (
                "127.0.0.1:5000/payments:2.4.1",
                Some(("oci://127.0.0.1:5000", "payments", "2.4.1")),
            ),
            (
                "a.example/b/payments:2.4.1_x.7",
                Some(("oci://a.example/b", "payments", "2.4.1+x.7")),
            ),
            (
                "a.example/b/payments:2.4.1+x.7",
                Some(("oci://a.example/b", "payments", "2.4.1+x.7")),
            ),
            ("ghcr.io/a/payments", None),
            ("ghcr.io/a/payments:", None),
            ("ghcr.io/a/:1", None),
            ("payments:1", None),
        ] {
            let expected = expected.map(|(source, chart, version)| Address {
                source: source.to_owned(),
                named: Named::Chart(Listed {
                    chart: chart.to_owned(),
                    version: version.to_owned(),
                }),
                manifest: None,
            });
            let expected = expected.ok_or(Flaw::NoVersion);
            assert_eq!(Address::parse(rest), expected, "{rest}");
        }
    }

    #[test]
    fn an_address_may_name_a_manifest_by_its_digest() {
        let digest = Sha256Digest::of(b"a manifest");
        let host = "127.0.0.1:5000";
        for (last, version) in [
            (format!("payments@{digest}"), digest.to_string()),
            (format!("payments:2.4.1_x@{digest}"), "2.4.1+x".to_owned()),
        ] {
            let address = Address::parse(&format!("{host}/charts/{last}"));
            let expected = Address {
                source: format!("oci://{host}/charts"),
                named: Named::Chart(Listed {
                    chart: "payments".to_owned(),
                    version,
                }),
                manifest: Some(digest),
            };
            assert_eq!(address, Ok(expected), "{last}");
        }
        let text = digest.to_string();
        for (last, flaw) in [
            ("payments@".to_owned(), Flaw::Digest),
            ("payments@sha256:00".to_owned(), Flaw::Digest),
            ("payments:1@sha256:00".to_owned(), Flaw::Digest),
            (format!("payments@{}", &text[7..]), Flaw::Digest),
            (format!("payments@{}", text.to_uppercase()), Flaw::Digest),
            (format!("payments@{text}0"), Flaw::Digest),
            (format!("payments@{text}@{text}"), Flaw::Digest),
            (
                format!("payments@{}", text.replace("256", "512")),
                Flaw::Digest,
            ),
            (format!("@{text}"), Flaw::NoVersion),
            (format!("payments:@{text}"), Flaw::NoVersion),
        ] {
            let address = Address::parse(&format!("{host}/charts/{last}"));
            assert_eq!(address, Err(flaw), "{last}");
        }
    }

    #[test]
    fn the_address_of_an_archive_is_a_source_and_a_file() {
        for (url, expected) in [
            (
                "https://charts.example.com/payments-2.4.1.tgz",
                Some(("https://charts.example.com", "payments-2.4.1")),
            ),
            (
                "http://127.0.0.1:8080/a/b-c-1.0.0-rc.1+x.tgz",
                Some(("http://127.0.0.1:8080/a", "b-c-1.0.0-rc.1+x")),
            ),
            ("https://charts.example.com/payments-2.4.1.tar.gz", None),
            ("https://charts.example.com/.tgz", None),
            (
                "https://charts.example.com/payments-2.4.1.tgz?token=x",
                None,
            ),
            ("https://payments-2.4.1.tgz", None),
        ] {
            let expected = expected.map(|(source, stem)| Address {
                source: source.to_owned(),
                named: Named::File(stem.to_owned()),
                manifest: None,
            });
            assert_eq!(Address::archive(url), expected, "{url}");
        }
    }
}
