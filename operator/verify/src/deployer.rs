//! What deploys a release, as its own object says, and where that takes the chart from.
//!
//! A claim of whoever may write that object: it decides which source of a rule counts, and proves nothing.

use std::fmt;

use crate::digest::Sha256Digest;
use crate::evidence::{Answer, Evidence};
use crate::policy::{Level, Rule, SecretName, Source};
use crate::scheme::Scheme;

/// Something that deploys the release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployer {
    /// Its kind, namespace and name, for people.
    pub name: String,
    /// Where it takes the chart from.
    pub origin: ChartOrigin,
}

/// Where a deployer takes a chart from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChartOrigin {
    /// From its own object, which has an archive of this digest in it, or nothing that can be read.
    Inline(Option<Sha256Digest>),
    /// From this place.
    Place(Place),
    /// It cannot be told: why, in words that follow its name.
    Unknown(String),
}

/// A chart at an address, without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In the one form in which addresses are compared.
    address: String,
    chart: String,
    /// What no source has, a query for example: another place then, that cannot be told apart in words.
    is_more: bool,
    /// What people read in place of the address.
    told: Option<String>,
    login: Option<Login>,
}

/// What is shown where a chart is taken from, as the object says that names the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// That object, for people.
    pub named_by: String,
    /// The Secret, in the namespace of that object; `None` where who deploys may refer to it and not read it.
    pub secret: Option<SecretName>,
}

/// No address of a source, and no name of a chart, is longer.
const LONGEST: usize = 1024;

impl Place {
    /// A chart of a repository, or below an address of a registry. `None` if no source can be such a place.
    pub fn new(address: &str, chart: &str) -> Option<Self> {
        let chart = chart.trim_matches('/');
        if chart.is_empty() || address.len().max(chart.len()) > LONGEST {
            return None;
        }
        let (scheme, rest) = Scheme::split(address)?;
        let address = normal(address)?;
        let is_more = rest.contains(['?', '#']);
        // Of a repository in a registry nobody knows where its name begins.
        let whole = (scheme == Scheme::Oci).then(|| format!("{address}/{chart}"));
        let split = whole.as_deref().and_then(|whole| whole.rsplit_once('/'));
        let (address, chart) = split.unwrap_or((&address, chart));
        Some(Self {
            address: address.to_owned(),
            chart: chart.to_owned(),
            is_more,
            told: None,
            login: None,
        })
    }

    /// The same, with a name in place of its address for people who may not read that, nor what is shown there.
    #[must_use]
    pub fn told_as(self, name: String) -> Self {
        let login = self.login.map(|login| Login {
            secret: None,
            ..login
        });
        Self {
            told: Some(name),
            login,
            ..self
        }
    }

    /// The same, with what is shown there.
    #[must_use]
    pub fn with_login(self, login: Option<Login>) -> Self {
        Self { login, ..self }
    }

    /// The repository of one chart in a registry; a tag or digest of it is left out.
    pub fn of_repository(address: &str) -> Option<Self> {
        let (path, last) = address.rsplit_once('/')?;
        Self::new(path, last.split(['@', ':']).next()?)
    }

    /// The address and the name of the chart there, if a source can be such a place. Nothing that people might
    /// not read is left out, as it is where the place is shown.
    pub fn parts(&self) -> Option<(&str, &str)> {
        (!self.is_more).then_some((self.address.as_str(), self.chart.as_str()))
    }

    /// Whether a source, or a mirror of it, is this place for a chart of this name.
    fn is(&self, source: &Source, chart: &str) -> bool {
        let mut mirrors = source.mirrors.iter();
        self.is_main(source, chart) || mirrors.any(|mirror| self.is_below(mirror, chart))
    }

    /// Whether the address of a source itself is this place for a chart of this name.
    fn is_main(&self, source: &Source, chart: &str) -> bool {
        match source.url.split_once('#') {
            Some((repository, only)) => {
                let whole = format!("{}/{}", self.address, self.chart);
                !self.is_more && only == chart && normal(repository) == Some(whole)
            }
            None => self.is_below(&source.url, chart),
        }
    }

    fn is_below(&self, url: &str, chart: &str) -> bool {
        let is_it = self.chart == chart && normal(url).as_ref() == Some(&self.address);
        is_it && !self.is_more
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.told.as_ref().unwrap_or(&self.address);
        write!(f, "{} of {place}", self.chart)
    }
}

/// An address without credentials, query and slashes at its end, its host as clients read it; of the three names
/// of Docker Hub one. `None` for
/// what clients might read in more than one way.
fn normal(address: &str) -> Option<String> {
    let (scheme, rest) = Scheme::split(address)?;
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    if rest.contains(is_odd) {
        return None;
    }
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, path),
        None => (rest, ""),
    };
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.to_ascii_lowercase();
    let port = format!(":{}", scheme.port());
    let host = host.strip_suffix(port.as_str()).unwrap_or(&host);
    if host.is_empty() || host.contains('%') {
        return None;
    }
    let host = match (scheme, host) {
        (Scheme::Oci, "docker.io" | "index.docker.io") => "registry-1.docker.io",
        (_, host) => host,
    };
    let whole = format!("{}://{host}/{path}", scheme.word());
    Some(whole.trim_end_matches('/').to_owned())
}

impl Deployer {
    /// What it logs in with where it takes a chart from, if that is the address of a source itself. A mirror is
    /// shown nothing.
    pub fn login(&self, source: &Source, chart: &str) -> Option<&Login> {
        let ChartOrigin::Place(place) = &self.origin else {
            return None;
        };
        let login = place.login.as_ref();
        login.filter(|_| place.is_main(source, chart))
    }

    /// The sources of a rule that count for a chart, or why none does.
    pub(crate) fn counted<'a>(
        &self,
        rule: &'a Rule,
        (chart, evidence): (&str, &Evidence),
    ) -> Result<Vec<&'a Source>, String> {
        let name = &self.name;
        match &self.origin {
            // The content of the release is compared, whatever archive it has come from.
            ChartOrigin::Inline(_) if rule.verify.level == Level::Strict => {
                Ok(rule.sources.iter().collect())
            }
            ChartOrigin::Inline(digest) => {
                let is_other = |source: &&Source| match evidence.answers.get(&source.url) {
                    Some(Answer::Archive(facts)) => Some(facts.digest) != *digest,
                    Some(_) | None => false,
                };
                let sources = rule.sources.iter();
                let counted: Vec<_> = sources.filter(|source| !is_other(source)).collect();
                if counted.is_empty() {
                    let rule = &rule.name;
                    let message = format!(
                        "{name} has the archive in itself, and no source of rule {rule:?} has that very archive"
                    );
                    return Err(message);
                }
                Ok(counted)
            }
            ChartOrigin::Place(place) => {
                let sources = rule.sources.iter();
                let counted: Vec<_> = sources.filter(|source| place.is(source, chart)).collect();
                if counted.is_empty() {
                    let rule = &rule.name;
                    let message =
                        format!("{name} takes {place}, which is no source of rule {rule:?}");
                    return Err(message);
                }
                Ok(counted)
            }
            ChartOrigin::Unknown(why) => Err(format!("{name} {why}")),
        }
    }
}
