//! Charts that `charttrust verify` fetches from a registry, through the guard as the operator does.

use charttrust_verify::chart::Chart;
use charttrust_verify::evidence::{Answer, ArchiveFacts, Bound, Claimed};
use charttrust_verify::scheme::Scheme;
use charttrust_verify::verdict::{Cause, Reason, Verdict};

use super::Verify;
use super::inputs::UsageError;
use super::logins;
use crate::cli::runtime;
use crate::evidence::{Gathered, fetcher, gather};
use crate::sources::{Asked, Limits, Settings, Source, is_spelling};

/// A chart as `helm pull` names it: `oci://HOST/PATH/CHART:VERSION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// What a policy would name as source.
    pub(super) source: String,
    pub(super) chart: String,
    pub(super) version: String,
}

/// What a registry has at an address.
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
        let Some((Scheme::Oci, rest)) = Scheme::split(&text) else {
            return Ok(None);
        };
        if arguments.prov.is_some() || arguments.source.is_some() {
            return Err(UsageError::SaidTwice(text.into_owned()));
        }
        let address = Self::parse(rest);
        address
            .map(Some)
            .ok_or_else(|| UsageError::Address(text.into_owned()))
    }

    fn parse(rest: &str) -> Option<Self> {
        let (path, last) = rest.rsplit_once('/')?;
        let (chart, tag) = last.split_once(':')?;
        let is_whole = ![path, chart, tag].contains(&"");
        (is_whole && !last.contains('@')).then(|| Self {
            source: format!("oci://{path}"),
            chart: chart.to_owned(),
            // Tags have no `+`, and versions no `_`.
            version: tag.replace('_', "+"),
        })
    }
}

/// Asks the registry, with the login that Helm or Docker have for it.
pub(super) fn fetch(arguments: &Verify, address: &Address) -> Result<Fetched, UsageError> {
    let fetcher = fetcher(Settings {
        allowed_hosts: arguments.allow_host.clone(),
        auth_hosts: arguments.auth_host.clone(),
        limits: Limits::default(),
        user_agent: concat!("charttrust/", env!("CARGO_PKG_VERSION")).to_owned(),
    });
    let login = logins::find(&address.source)?;
    let is_logged_in = login.is_some();
    let source = Source {
        url: address.source.clone(),
        mirrors: Vec::new(),
        credentials: login,
        ca: None,
    };
    let claimed = Claimed {
        chart: &address.chart,
        version: &address.version,
    };
    let runtime = runtime().map_err(UsageError::Runtime)?;
    let gathered = runtime.block_on(gather(&fetcher, &source, claimed, Asked::now()));
    Ok(match gathered {
        Gathered::Found(found) => {
            let chart = Box::new(found.chart().clone());
            let own = &chart.metadata.version;
            // Some publishers put a `v` before the version: the operator asks for either tag of the version
            // that the chart says, and whoever names the tag means that version.
            let is_its = is_spelling(&address.version, own);
            let version = if is_its { own } else { &address.version }.clone();
            let claimed = Claimed {
                version: &version,
                ..claimed
            };
            match found.of_version(claimed).bound(Bound::NotCompared) {
                Answer::Archive(facts) => Fetched::Archive(chart, facts, version),
                answer => nothing(address, answer),
            }
        }
        Gathered::Other(other) => match nothing(address, other.answer) {
            Fetched::Nothing(verdict @ Verdict::Unknown(Cause::SourceUnavailable), message)
                if !is_logged_in =>
            {
                let message =
                    format!("{message}; asked without a login: `helm registry login` keeps one");
                Fetched::Nothing(verdict, message)
            }
            fetched => fetched,
        },
    })
}

fn nothing(address: &Address, answer: Answer) -> Fetched {
    let Address {
        source,
        chart,
        version,
    } = address;
    let unclear = || format!("{source} has no archive of {chart} {version} that can be judged");
    match answer {
        Answer::Ambiguous { message } => {
            Fetched::Nothing(Verdict::Untrusted(Reason::ArchiveAmbiguous), message)
        }
        Answer::Archive(_) => {
            Fetched::Nothing(Verdict::Unknown(Cause::SourceUnavailable), unclear())
        }
        Answer::NotFound => {
            let message = format!("{source} lists no version {version} of chart {chart}");
            Fetched::Nothing(Verdict::Untrusted(Reason::ChartNotFound), message)
        }
        Answer::Unavailable { cause, message } => {
            Fetched::Nothing(Verdict::Unknown(cause), message)
        }
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
            ("ghcr.io/a/payments@sha256:00", None),
            ("ghcr.io/a/payments:1@sha256:00", None),
        ] {
            let expected = expected.map(|(source, chart, version)| Address {
                source: source.to_owned(),
                chart: chart.to_owned(),
                version: version.to_owned(),
            });
            assert_eq!(Address::parse(rest), expected, "{rest}");
        }
    }
}
