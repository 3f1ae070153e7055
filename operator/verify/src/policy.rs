//! What people declare: which releases must be vouched for, by whom and how strictly.
//!
//! Values only. `operator/src/parse` builds them from a `ChartTrustPolicy`; they cannot be wrong
//! in form, so nothing here is checked again.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use jiff::Timestamp;

use crate::digest::Sha256Digest;
pub use crate::glob::Pattern;
use crate::key::Key;
use crate::verdict::Reason;
use crate::version::Constraint;

/// One `ChartTrustPolicy`, ready to judge by.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Name of the object.
    pub name: String,
    /// Stops looks at sources, events and new quarantines. Judging goes on.
    pub suspended: bool,
    /// Which releases the policy is about. Unreadable selections select everything.
    pub selection: Selection,
    /// What it demands of them.
    pub demands: Demands,
    /// Failures that are forgiven for a time.
    pub exceptions: Vec<Exception>,
}

/// What a policy demands.
#[derive(Clone, Debug)]
pub enum Demands {
    /// The first rule whose charts match decides.
    Rules(Vec<Rule>),
    /// The object has a field that cannot be used and may be about any chart, so it is judged as if it
    /// trusted nobody.
    TrustNobody {
        /// Why, naming the field.
        problem: String,
    },
}

/// Which releases a policy selects.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Labels that the release's namespace must have; `None` selects every namespace.
    pub namespaces: Option<LabelSelector>,
    /// Namespaces that are never selected.
    pub excluded_namespaces: BTreeSet<String>,
    /// Releases by `name` or `namespace/name`; empty selects all.
    pub releases: Vec<ReleasePattern>,
}

/// One rule of a policy.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Unique in its policy.
    pub name: String,
    /// The charts it decides about.
    pub charts: Vec<Pattern>,
    /// The versions it allows; a requirement, not a filter.
    pub versions: Option<Constraint>,
    /// Where the charts are published.
    pub sources: Vec<Source>,
    /// How strictly, and whom to believe.
    pub verify: Verify,
    /// Archives pinned by digest.
    pub pins: Vec<Pin>,
    /// Why the rule cannot be used, naming the field. Then it trusts nobody, and other rules stand.
    pub problem: Option<String>,
}

/// Where charts are published. Credentials are named, never held.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// The configured URL. Key scopes are compared with this, never with redirects or mirrors.
    /// The repository of one chart in a registry is `oci://REPOSITORY#CHART`.
    pub url: String,
    /// Other addresses of the same charts, asked in order when the first does not answer.
    pub mirrors: Vec<String>,
    /// Secret with the credentials, in the operator's namespace.
    pub credentials_secret: Option<String>,
    /// In place of a Secret: a token of the operator's `ServiceAccount` for this audience.
    pub token_audience: Option<String>,
    /// In place of both, and never by a policy: a Secret that what deploys a release logs in with.
    pub deployer_secret: Option<SecretName>,
    /// Object with `ca.crt`, in the operator's namespace.
    pub ca: Option<CaRef>,
    /// Where the signed statements are, if they do not lie beside the archives.
    pub provenance: Option<ProvenanceAt>,
}

/// A folder of signed statements, `<chart>-<version>.tgz.prov` each.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProvenanceAt {
    /// Its address.
    pub url: String,
    /// Secret with its own credentials, in the operator's namespace.
    pub credentials_secret: Option<String>,
}

impl Source {
    /// An address that is asked without anything else.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            mirrors: Vec::new(),
            credentials_secret: None,
            token_audience: None,
            deployer_secret: None,
            ca: None,
            provenance: None,
        }
    }

    /// Whether it says itself what is shown to whom it asks.
    pub fn has_login(&self) -> bool {
        self.credentials_secret.is_some() || self.token_audience.is_some()
    }
}

/// A Secret, by where it lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The object that holds a source's certificate authority.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CaRef {
    /// A ConfigMap of this name.
    ConfigMap(String),
    /// A Secret of this name.
    Secret(String),
}

/// The `verify` part of a rule.
#[derive(Clone, Debug)]
pub struct Verify {
    /// How much is checked.
    pub level: Level,
    /// Whom to believe.
    pub signers: Signers,
    /// What the expiry of a key means for signatures made before it.
    pub expired_keys: ExpiredKeys,
    /// Whether subcharts need signatures of their own.
    pub dependencies: Dependencies,
}

/// Whom a rule believes: the union of names and selector. Empty believes nobody.
#[derive(Clone, Debug)]
pub struct Signers {
    /// Names of `TrustedKey` objects.
    pub keys: BTreeSet<String>,
    /// Labels of `TrustedKey` objects.
    pub selector: Option<LabelSelector>,
    /// Names of `TrustedIdentity` objects.
    pub identities: BTreeSet<String>,
    /// Labels of `TrustedIdentity` objects.
    pub identity_selector: Option<LabelSelector>,
    /// How many distinct signers are needed.
    pub threshold: NonZeroU32,
}

impl Signers {
    /// Whether the rule lists this key, by name or by labels.
    pub fn list(&self, key: &Key) -> bool {
        self.list_key(&key.name, &key.labels)
    }

    /// Whether the rule lists the `TrustedKey` of this name and labels, of whatever type.
    pub fn list_key(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        is_listed((&self.keys, self.selector.as_ref()), name, labels)
    }

    /// Whether the rule lists the `TrustedIdentity` of this name and labels.
    pub fn list_identity(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        is_listed(
            (&self.identities, self.identity_selector.as_ref()),
            name,
            labels,
        )
    }
}

/// A list is the union of names and selector.
fn is_listed(
    (names, selector): (&BTreeSet<String>, Option<&LabelSelector>),
    name: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    let by_labels = |selector: &LabelSelector| selector.matches(labels);
    names.contains(name) || selector.is_some_and(by_labels)
}

/// How much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Nothing, on purpose.
    None,
    /// What `helm verify` checks.
    Signature,
    /// Also that the running release is what was signed.
    Strict,
}

/// What the expiry of a key means for signatures made before it. Governs expiry only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiredKeys {
    /// A signature made while the key was alive stays good.
    AcceptIfSignedBefore,
    /// Nothing signed by an expired key is good.
    Reject,
}

/// Whether subcharts need signatures of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependencies {
    /// The parent's signature covers them.
    Inherit,
    /// Each must itself be signed.
    Verify,
}

/// An archive pinned by digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Chart name.
    pub chart: String,
    /// Exact version.
    pub version: String,
    /// Digest of the archive.
    pub digest: Sha256Digest,
}

/// A failure that is forgiven for a time.
#[derive(Clone, Debug)]
pub struct Exception {
    /// Unique in its policy.
    pub name: String,
    /// The releases it is for.
    pub releases: Vec<ReleasePattern>,
    /// The reasons it forgives; all failing reasons must be among them.
    pub reasons: BTreeSet<Reason>,
    /// From this instant on it forgives nothing.
    pub expires_at: Timestamp,
    /// Why, for people.
    pub justification: String,
}

/// A glob of a release: `name`, or `namespace/name` if it has a slash.
#[derive(Clone, Debug)]
pub struct ReleasePattern {
    glob: Pattern,
    has_namespace: bool,
    /// The only namespace in which it matches anything, if it names one.
    namespace: Option<String>,
}

/// A Kubernetes label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector(pub Vec<Requirement>);

/// One requirement of a label selector; all must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The label is absent.
    DoesNotExist(String),
    /// The label is present, whatever its value.
    Exists(String),
    /// The label has one of these values.
    In(String, BTreeSet<String>),
    /// The label is absent or has none of these values.
    NotIn(String, BTreeSet<String>),
}

impl Policy {
    /// The rule that decides about `chart`, if the policy applies to this release at all.
    ///
    /// `Err` carries the problem of a policy or rule that cannot be read: it applies to whatever it may
    /// have meant to select, and trusts nobody.
    pub fn rule_for(&self, release: &ReleaseRef<'_>, chart: &str) -> Option<Result<&Rule, &str>> {
        if !self.selection.selects(release) {
            return None;
        }
        match &self.demands {
            Demands::TrustNobody { problem } => Some(Err(problem)),
            Demands::Rules(rules) => {
                let rule = rules.iter().find(|rule| rule.covers(chart))?;
                Some(rule.problem.as_deref().map_or(Ok(rule), Err))
            }
        }
    }
}

/// The release as policies see it: by the namespace and name of its `ReleaseTrust`.
#[derive(Clone, Copy, Debug)]
pub struct ReleaseRef<'a> {
    /// Namespace of the stored record.
    pub namespace: &'a str,
    /// Labels of that namespace; `None` when they could not be read.
    pub namespace_labels: Option<&'a BTreeMap<String, String>>,
    /// Name of the release.
    pub name: &'a str,
}

impl Selection {
    /// Whether the release is selected. Unknown namespace labels count as selected, because the
    /// stricter side is the safe one.
    pub fn selects(&self, release: &ReleaseRef<'_>) -> bool {
        !self.excluded_namespaces.contains(release.namespace)
            && self.selects_namespace(release.namespace_labels)
            && any_or_empty(&self.releases, release)
    }

    /// Whether it is certain that nothing outside these namespaces is selected: they are named, by releases
    /// or by the label that Kubernetes gives each namespace.
    pub fn is_within(&self, namespaces: &BTreeSet<String>) -> bool {
        let are_named = |pattern: &ReleasePattern| {
            let named = pattern.namespace.as_ref();
            named.is_some_and(|named| namespaces.contains(named))
        };
        let by_releases = !self.releases.is_empty() && self.releases.iter().all(are_named);
        let requirements = self.namespaces.iter().flat_map(|selector| &selector.0);
        let mut by_label = requirements.filter_map(|requirement| match requirement {
            Requirement::In(label, values) if label == NAME_OF_NAMESPACE => Some(values),
            Requirement::DoesNotExist(_)
            | Requirement::Exists(_)
            | Requirement::In(..)
            | Requirement::NotIn(..) => None,
        });
        by_releases || by_label.any(|values| values.is_subset(namespaces))
    }

    fn selects_namespace(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        match (&self.namespaces, labels) {
            (Some(selector), Some(labels)) => selector.matches(labels),
            // Labels that cannot be read select: a policy that is left out by an outage of the API
            // server would be no policy.
            (None, _) | (_, None) => true,
        }
    }
}

/// The API server writes the name of each namespace into this label of it.
const NAME_OF_NAMESPACE: &str = "kubernetes.io/metadata.name";

fn any_or_empty(patterns: &[ReleasePattern], release: &ReleaseRef<'_>) -> bool {
    patterns.is_empty()
        || patterns
            .iter()
            .any(|p| p.matches(release.namespace, release.name))
}

impl Rule {
    /// Whether this rule decides about the chart.
    pub fn covers(&self, chart: &str) -> bool {
        self.charts.iter().any(|pattern| pattern.matches(chart))
    }

    /// Whether the version is one the rule allows.
    pub fn allows_version(&self, version: &str) -> bool {
        self.versions
            .as_ref()
            .is_none_or(|constraint| constraint.allows(version))
    }

    /// Whether exactly this archive is pinned for this chart and version.
    pub fn pins(&self, chart: &str, version: &str, digest: &Sha256Digest) -> bool {
        self.pins
            .iter()
            .any(|pin| pin.chart == chart && pin.version == version && pin.digest == *digest)
    }
}

impl Exception {
    /// Whether this exception forgives exactly these failures of this release at `now`.
    /// No failures are never forgiven.
    pub fn forgives(
        &self,
        release: &ReleaseRef<'_>,
        failing: &BTreeSet<Reason>,
        now: Timestamp,
    ) -> bool {
        now < self.expires_at
            && !failing.is_empty()
            && failing.is_subset(&self.reasons)
            && self
                .releases
                .iter()
                .any(|p| p.matches(release.namespace, release.name))
    }
}

impl ReleasePattern {
    /// A glob from its text; with a slash it is compared with `namespace/name`.
    pub fn new(text: &str) -> Self {
        let namespace = text.split_once('/').map(|(namespace, _)| namespace);
        let literal = namespace.filter(|text| !text.contains(['*', '?']));
        Self {
            glob: Pattern::new(text),
            has_namespace: namespace.is_some(),
            namespace: literal.map(str::to_owned),
        }
    }

    /// Whether the release matches.
    pub fn matches(&self, namespace: &str, name: &str) -> bool {
        if self.has_namespace {
            self.glob.matches(&format!("{namespace}/{name}"))
        } else {
            self.glob.matches(name)
        }
    }
}

impl LabelSelector {
    /// Whether all requirements hold; an empty selector matches everything.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::DoesNotExist(key) => !labels.contains_key(key),
            Self::Exists(key) => labels.contains_key(key),
            Self::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
        }
    }
}
