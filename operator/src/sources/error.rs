//! Why a source gave no archive.

use std::fmt;
use std::time::Duration;

use reqwest::Url;

use super::guard::Refused;
use super::text::redacted;

/// Why a fetch from a source failed.
///
/// `Display` is fit for a status: it holds no credentials, no query strings and no control
/// characters, is bounded, and is the same for equal failures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// What the source has can be read in several ways.
    #[error("{url}: {why}, and nothing says which one counts")]
    Ambiguous {
        /// What was asked for, redacted.
        url: String,
        /// What there are several of.
        why: &'static str,
    },
    /// The valid, current index of the source does not list this version of the chart.
    #[error("{url} does not list version {version} of chart {chart}")]
    ChartNotFound {
        /// The chart asked for.
        chart: String,
        /// The version asked for.
        version: String,
        /// The index, redacted.
        url: String,
    },
    /// The credentials or the CA of the source cannot be used.
    #[error("the {0} of the source cannot be used")]
    Credentials(&'static str),
    /// The source does not show what was asked for to whom we are. It may as well not exist.
    #[error("{url} answered {code}: {step}")]
    Denied {
        /// HTTP status code.
        code: u16,
        /// What to do.
        step: &'static str,
        /// What was asked for, redacted.
        url: String,
    },
    /// The index lists one version twice, so no answer would be the right one.
    #[error("{url} lists version {version} of chart {chart} more than once")]
    Duplicate {
        /// The chart asked for.
        chart: String,
        /// The version asked for.
        version: String,
        /// The index, redacted.
        url: String,
    },
    /// The address of the source is no URL. It is not shown: it may hold a password.
    #[error("{0} cannot be parsed")]
    InvalidUrl(&'static str),
    /// No connection, or one that broke.
    #[error("{url}: {why}")]
    Network {
        /// What was asked for, redacted.
        url: String,
        /// A short, constant word for the failure.
        why: String,
    },
    /// No repository or tag of a registry can be named so.
    #[error("{url}: no registry can have version {version} of chart {chart}")]
    NoReference {
        /// The chart asked for.
        chart: String,
        /// The version asked for.
        version: String,
        /// The source, redacted.
        url: String,
    },
    /// The other side does not speak TLS.
    #[error("{0} does not speak TLS; `--allow-host` lets its host be asked over plain HTTP")]
    NotTls(String),
    /// An index names an archive in an OCI registry.
    #[error("{0} is in an OCI registry; name the registry as a source of the rule")]
    Oci(String),
    /// A registry names a token service elsewhere, to which the credentials would go.
    #[error(
        "{url} sends its askers to {realm} for a token; credentials go there only if \
         `--auth-host` names that host for this registry"
    )]
    Realm {
        /// The token service, redacted.
        realm: String,
        /// The registry, redacted.
        url: String,
    },
    /// The address rule or the redirect rule forbids this request.
    #[error("{url}: {refused}")]
    Refused {
        /// What would have been asked, redacted.
        url: String,
        /// The rule.
        refused: Refused,
    },
    /// The server has asked to be left alone for longer than until now.
    #[error("{url} is not asked again yet: its server answered {code} and said how long to wait")]
    Resting {
        /// HTTP status code of that answer.
        code: u16,
        /// How long it is left alone from now on.
        retry_after: Duration,
        /// What would have been asked for, redacted.
        url: String,
    },
    /// The answer was another status than 200.
    #[error("{url} answered {code}")]
    Status {
        /// HTTP status code.
        code: u16,
        /// How long the source asks to be left alone, capped.
        retry_after: Option<Duration>,
        /// What was asked for, redacted.
        url: String,
    },
    /// The source did not answer in time.
    #[error("{0} did not answer in time")]
    Timeout(String),
    /// The answer is larger than a limit.
    #[error("{url}: {part} is larger than {limit}")]
    TooLarge {
        /// The limit with its unit.
        limit: Amount,
        /// Which part of the source is too large.
        part: Part,
        /// What was asked for, redacted.
        url: String,
    },
    /// More redirects than allowed.
    #[error("{url} redirects more than {limit} times")]
    TooManyRedirects {
        /// The limit.
        limit: usize,
        /// What was asked for first, redacted.
        url: String,
    },
    /// The answer is not what was asked for.
    #[error("{url} is not a usable {part}: {why}")]
    Unusable {
        /// Which part of the source it should have been.
        part: Part,
        /// What was asked for, redacted.
        url: String,
        /// What is wrong with it.
        why: String,
    },
}

impl FetchError {
    /// An answer that is not what was asked for.
    pub(super) fn unusable(part: Part, url: &Url, why: &str) -> Self {
        Self::Unusable {
            part,
            url: redacted(url),
            why: why.to_owned(),
        }
    }

    /// Whether the source does not know whom it was asked by: the credentials may have ended.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Denied { code: 401, .. } | Self::Status { code: 401, .. }
        )
    }

    /// Whether the source shows itself to others, or to nobody.
    pub fn is_denial(&self) -> bool {
        matches!(
            self,
            Self::Denied {
                code: 401 | 403,
                ..
            } | Self::Status {
                code: 401 | 403,
                ..
            }
        )
    }

    /// The word that a verdict uses for this failure.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Ambiguous { .. } => Cause::ArchiveAmbiguous,
            Self::ChartNotFound { .. } => Cause::ChartNotFound,
            Self::TooLarge { .. } => Cause::LimitExceeded,
            Self::Credentials(_)
            | Self::Denied { .. }
            | Self::Duplicate { .. }
            | Self::InvalidUrl(_)
            | Self::Network { .. }
            | Self::NoReference { .. }
            | Self::NotTls(_)
            | Self::Oci(_)
            | Self::Realm { .. }
            | Self::Refused { .. }
            | Self::Resting { .. }
            | Self::Status { .. }
            | Self::Timeout(_)
            | Self::TooManyRedirects { .. }
            | Self::Unusable { .. } => Cause::SourceUnavailable,
        }
    }

    /// Which failure it is, whatever it is about.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Ambiguous { .. } => "Ambiguous",
            Self::ChartNotFound { .. } => "ChartNotFound",
            Self::Credentials(_) => "Credentials",
            Self::Denied { .. } => "Denied",
            Self::Duplicate { .. } => "Duplicate",
            Self::InvalidUrl(_) => "InvalidUrl",
            Self::Network { .. } => "Network",
            Self::NoReference { .. } => "NoReference",
            Self::NotTls(_) => "NotTls",
            Self::Oci(_) => "Oci",
            Self::Realm { .. } => "Realm",
            Self::Refused { .. } => "Refused",
            Self::Resting { .. } => "Resting",
            Self::Status { .. } => "Status",
            Self::Timeout(_) => "Timeout",
            Self::TooLarge { .. } => "TooLarge",
            Self::TooManyRedirects { .. } => "TooManyRedirects",
            Self::Unusable { .. } => "Unusable",
        }
    }

    /// The address in it that a source may have chosen.
    pub(super) fn named_address(&mut self) -> Option<&mut String> {
        match self {
            Self::Ambiguous { url, .. }
            | Self::Denied { url, .. }
            | Self::Network { url, .. }
            | Self::NotTls(url)
            | Self::Oci(url)
            | Self::Realm { realm: url, .. }
            | Self::Refused { url, .. }
            | Self::Resting { url, .. }
            | Self::Status { url, .. }
            | Self::Timeout(url)
            | Self::TooLarge { url, .. }
            | Self::TooManyRedirects { url, .. }
            | Self::Unusable { url, .. } => Some(url),
            // The configured address, and what we have asked for.
            Self::ChartNotFound { .. }
            | Self::Credentials(_)
            | Self::Duplicate { .. }
            | Self::InvalidUrl(_)
            | Self::NoReference { .. } => None,
        }
    }

    /// How long the source asked to be left alone; at most `Limits::retry_after`.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Resting { retry_after, .. } => Some(*retry_after),
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// What a failed fetch means for a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The source has it in several ways, of which none is the right one.
    ArchiveAmbiguous,
    /// The source answered, and does not have this chart in this version.
    ChartNotFound,
    /// The source sent more than the operator is willing to take.
    LimitExceeded,
    /// The source gave no usable answer.
    SourceUnavailable,
}

impl Cause {
    /// The word used in conditions, events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ArchiveAmbiguous => "ArchiveAmbiguous",
            Self::ChartNotFound => "ChartNotFound",
            Self::LimitExceeded => "LimitExceeded",
            Self::SourceUnavailable => "SourceUnavailable",
        }
    }
}

/// One of the things that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The chart archive.
    Archive,
    /// The repository index.
    Index,
    /// A copy of an OpenPGP key.
    Key,
    /// A manifest of a registry.
    Manifest,
    /// The provenance file.
    Provenance,
    /// What refers to a manifest of a registry.
    Referrers,
    /// A Sigstore signature.
    Signature,
    /// The tags of a repository of a registry.
    Tags,
    /// An answer of a registry's token service.
    Token,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Archive => "chart archive",
            Self::Index => "repository index",
            Self::Key => "OpenPGP key",
            Self::Manifest => "manifest",
            Self::Provenance => "provenance file",
            Self::Referrers => "list of referrers",
            Self::Signature => "signature",
            Self::Tags => "list of tags",
            Self::Token => "token",
        })
    }
}

/// A limit with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Bytes of several things together.
    AllBytes(usize),
    /// Bytes on the wire.
    Bytes(u64),
    /// The budget of the YAML parser.
    Budget,
    /// Charts.
    Charts(usize),
    /// Bytes of one entry.
    EntryBytes(usize),
    /// Manifests in an index of a registry.
    Manifests(usize),
    /// What refers to a manifest.
    Referrers(usize),
    /// Signatures in one manifest.
    Signatures(usize),
    /// Tags of a repository.
    Tags(usize),
    /// Bytes of names, versions and URLs.
    TextBytes(usize),
    /// Chart versions.
    Versions(usize),
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllBytes(bytes) => write!(f, "{bytes} bytes, with those before it"),
            Self::Bytes(bytes) => write!(f, "{bytes} bytes"),
            Self::Budget => f.write_str("the budget of the YAML parser"),
            Self::Charts(charts) => write!(f, "{charts} charts"),
            Self::EntryBytes(bytes) => write!(f, "{bytes} bytes an entry"),
            Self::Manifests(manifests) => write!(f, "{manifests} manifests"),
            Self::Referrers(count) => write!(f, "{count} referrers"),
            Self::Signatures(count) => write!(f, "{count} signatures"),
            Self::Tags(tags) => write!(f, "{tags} tags"),
            Self::TextBytes(bytes) => write!(f, "{bytes} bytes of text"),
            Self::Versions(versions) => write!(f, "{versions} chart versions"),
        }
    }
}
