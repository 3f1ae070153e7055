//! Flux: which record a `HelmRelease` has made, and where it takes the chart from. From objects to values.

use std::sync::Arc;

use charttrust_verify::deployer::{ChartOrigin, Login, Place};
use charttrust_verify::policy::SecretName;
use charttrust_verify::scheme::Scheme;
use serde_json::Value;

use super::ReleaseId;
use super::fields::{is_object_name, is_there, text};
use super::manifest::{Manifest, Trace};
use crate::watch::{EACH, Kept, Kind, ObjectName, Path};

/// What deploys.
pub const HELM_RELEASES: Kind = Kind {
    group: "helm.toolkit.fluxcd.io",
    kind: "HelmRelease",
    plural: "helmreleases",
};
/// Repositories over HTTP, and registries with a path.
pub const HELM_REPOSITORIES: Kind = source("HelmRepository", "helmrepositories");
/// The repository of one chart in a registry.
pub const OCI_REPOSITORIES: Kind = source("OCIRepository", "ocirepositories");
/// A chart of a repository.
pub const HELM_CHARTS: Kind = source("HelmChart", "helmcharts");

const fn source(kind: &'static str, plural: &'static str) -> Kind {
    let group = "source.toolkit.fluxcd.io";
    Kind {
        group,
        kind,
        plural,
    }
}

/// A `HelmRelease`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelmRelease {
    /// The namespace of its records.
    storage: Option<String>,
    /// The release that it has deployed last.
    deployed: Option<String>,
    /// Which revision that was.
    revision: Option<u64>,
    /// Whether it deploys into another cluster, whatever its record here is called.
    is_elsewhere: bool,
    /// The manifests of a registry that it has deployed, or has tried to.
    manifests: Vec<Manifest>,
    /// Whether it has the chart packed anew, with values from several of its files.
    is_repacked: bool,
    chart: Chart,
}

/// Where a `HelmRelease` says that its chart is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Chart {
    /// A chart of a source.
    Of(String, SourceRef),
    /// What a source has.
    Ref(SourceRef),
    /// In no way that we know.
    Unclear,
}

/// A reference to an object of source-controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRef {
    /// Its kind.
    pub kind: String,
    /// Where it is.
    pub name: ObjectName,
    /// Whether it lies in another namespace than who refers to it.
    is_of_others: bool,
}

/// An object of source-controller, as far as it says where charts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// At an address.
    At(At),
    /// A chart of another source.
    Chart(Of),
}

/// A chart of another source, if it says which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Of {
    /// Its name and the source.
    pub chart: Option<(String, SourceRef)>,
    /// Whether it is packed anew, with values from several of its files.
    is_repacked: bool,
}

/// An address, with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    url: Option<String>,
    /// In a registry, what was resolved there last.
    manifest: Option<Manifest>,
    /// What is shown there, if anything is.
    secret: Option<SecretName>,
}

/// What is known of an object that another refers to, or what follows its name.
pub type Found = Result<Arc<Source>, String>;

impl Kept for HelmRelease {
    const PATHS: &'static [Path] = &[
        &["spec", "storageNamespace"],
        &["spec", "kubeConfig", crate::watch::PRESENT],
        &["spec", "chart", "spec", "chart"],
        &["spec", "chart", "spec", "sourceRef", "kind"],
        &["spec", "chart", "spec", "sourceRef", "name"],
        &["spec", "chart", "spec", "sourceRef", "namespace"],
        &["spec", "chart", "spec", "valuesFiles", EACH],
        &["spec", "chartRef", "kind"],
        &["spec", "chartRef", "name"],
        &["spec", "chartRef", "namespace"],
        &["status", "storageNamespace"],
        &["status", "history", EACH, "name"],
        &["status", "history", EACH, "version"],
        &["status", "history", EACH, "ociDigest"],
        &["status", "lastAttemptedRevisionDigest"],
    ];

    fn of(object: &Value) -> Option<Self> {
        let own = text(object, "/metadata/namespace");
        let storage = text(object, "/status/storageNamespace")
            .or_else(|| text(object, "/spec/storageNamespace"))
            .or_else(|| own.clone());
        let of_chart = text(object, "/spec/chart/spec/chart")
            .zip(SourceRef::of(object, "/spec/chart/spec/sourceRef"));
        let by_ref = SourceRef::of(object, "/spec/chartRef");
        Some(Self {
            storage,
            // By what Flux has deployed and not by what its spec asks for: the release name may come
            // from a target namespace, a prefix or a shortened hash.
            deployed: text(object, "/status/history/0/name"),
            revision: object
                .pointer("/status/history/0/version")
                .and_then(Value::as_u64),
            is_elsewhere: is_there(object, "/spec/kubeConfig"),
            manifests: manifests(object),
            is_repacked: has_any(object, "/spec/chart/spec/valuesFiles"),
            chart: match (of_chart, by_ref) {
                (Some((chart, source)), None) => Chart::Of(chart, source),
                (None, Some(source)) => Chart::Ref(source),
                // Flux refuses both; should it not, nobody knows which it takes.
                (Some(_), Some(_)) | (None, None) => Chart::Unclear,
            },
        })
    }
}

impl HelmRelease {
    /// Whether it says that it has deployed this release.
    pub fn deploys(&self, release: &ReleaseId) -> bool {
        !self.is_elsewhere
            && self.deployed.as_ref() == Some(&release.name)
            && self.may_have_made(release)
    }

    /// Whether nothing that it says speaks against a record of this release that names it: a record is there
    /// before Flux writes the status. Which cluster its `kubeConfig` leads to nobody knows: it may be this one.
    pub fn may_have_made(&self, release: &ReleaseId) -> bool {
        let deployed = self.deployed.as_ref();
        self.storage.as_ref() == Some(&release.namespace)
            && deployed.is_none_or(|deployed| *deployed == release.name)
    }

    /// The release that it says it has deployed last, in this cluster.
    pub fn release(&self) -> Option<ReleaseId> {
        let (namespace, name) = (self.storage.clone()?, self.deployed.clone()?);
        (!self.is_elsewhere).then_some(ReleaseId { namespace, name })
    }

    /// The revision that it says it has deployed last.
    pub fn revision(&self) -> Option<u64> {
        self.revision
    }

    /// What was done with the chart before it was deployed, as it and what it refers to say.
    pub fn traces(&self, find: &impl Fn(&SourceRef) -> Found) -> Vec<Trace> {
        let manifests = self.manifests.iter().cloned();
        let mut traces: Vec<_> = manifests.map(Trace::Manifest).collect();
        let source = self.source().and_then(|source| find(source).ok());
        let is_repacked = match source.as_deref() {
            Some(Source::At(at)) => {
                traces.extend(at.manifest.clone().map(Trace::Manifest));
                self.is_repacked
            }
            Some(Source::Chart(of)) => of.is_repacked,
            None => self.is_repacked,
        };
        traces.extend(is_repacked.then_some(Trace::Repacked));
        traces
    }

    /// What it refers to.
    pub fn source(&self) -> Option<&SourceRef> {
        match &self.chart {
            Chart::Of(_, source) | Chart::Ref(source) => Some(source),
            Chart::Unclear => None,
        }
    }

    /// Where it takes the chart from, by what is known of objects that are referred to.
    pub fn origin(&self, find: &impl Fn(&SourceRef) -> Found) -> ChartOrigin {
        let place = match &self.chart {
            Chart::Of(chart, source) => below(chart, source, find),
            Chart::Ref(source) => at(source, find),
            Chart::Unclear => Err("does not say in a known way where its chart is".to_owned()),
        };
        // Whoever writes a HelmRelease may name any source, and reads of it only what he may read himself:
        // addresses of other namespaces may have tokens in their paths.
        let told = |place: Place| match self.source() {
            Some(source) if source.is_of_others => place.told_as(source.to_string()),
            Some(_) | None => place,
        };
        let place = place.map(told);
        place.map_or_else(ChartOrigin::Unknown, ChartOrigin::Place)
    }
}

/// A chart of a repository.
fn below(
    chart: &str,
    source: &SourceRef,
    find: &impl Fn(&SourceRef) -> Found,
) -> Result<Place, String> {
    if source.kind != HELM_REPOSITORIES.kind {
        return Err(format!(
            "takes its chart from {source}, which is no chart repository"
        ));
    }
    match &*seek(source, find)? {
        Source::At(at) => at.place(source, |url| Place::new(url, chart)),
        Source::Chart(_) => Err(unusable(source)),
    }
}

/// What a source has.
fn at(source: &SourceRef, find: &impl Fn(&SourceRef) -> Found) -> Result<Place, String> {
    if ![OCI_REPOSITORIES.kind, HELM_CHARTS.kind].contains(&source.kind.as_str()) {
        return Err(format!(
            "takes its chart from {source}, a kind that charttrust does not know"
        ));
    }
    match &*seek(source, find)? {
        Source::At(at) => at.place(source, Place::of_repository),
        Source::Chart(of) => match &of.chart {
            Some((chart, of)) => below(chart, of, find),
            None => Err(unusable(source)),
        },
    }
}

fn seek(source: &SourceRef, find: &impl Fn(&SourceRef) -> Found) -> Found {
    find(source).map_err(|why| format!("takes its chart from {source}, which {why}"))
}

fn unusable(source: &SourceRef) -> String {
    format!("takes its chart from {source}, which does not say in a known way where that is")
}

impl At {
    /// The place that it is, for whoever refers to it as this.
    fn place(
        &self,
        named: &SourceRef,
        place: impl Fn(&str) -> Option<Place>,
    ) -> Result<Place, String> {
        let place = self.url.as_deref().and_then(place);
        let login = self.secret.clone().map(|secret| Login {
            named_by: named.to_string(),
            secret: Some(secret),
        });
        let place = place.ok_or_else(|| unusable(named))?;
        Ok(place.with_login(login))
    }
}

impl SourceRef {
    fn of(object: &Value, at: &str) -> Option<Self> {
        let said = |field: &str| text(object, &format!("{at}/{field}"));
        let own = text(object, "/metadata/namespace");
        let namespace = said("namespace").or_else(|| own.clone())?;
        Some(Self {
            kind: said("kind")?,
            is_of_others: own.as_ref() != Some(&namespace),
            name: ObjectName {
                namespace,
                name: said("name")?,
            },
        })
    }
}

impl std::fmt::Display for SourceRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

impl Kept for Source {
    const PATHS: &'static [Path] = &[
        &["spec", "url"],
        &["spec", "chart"],
        &["spec", "sourceRef", "kind"],
        &["spec", "sourceRef", "name"],
        &["spec", "secretRef", "name"],
        &["spec", "certSecretRef", "name"],
        &["spec", "valuesFiles", EACH],
        &["status", "artifact", "revision"],
    ];

    fn of(object: &Value) -> Option<Self> {
        let of = SourceRef::of(object, "/spec/sourceRef");
        if of.is_some() {
            return Some(Self::Chart(Of {
                chart: text(object, "/spec/chart").zip(of),
                is_repacked: has_any(object, "/spec/valuesFiles"),
            }));
        }
        let url = text(object, "/spec/url");
        // Of a repository over HTTP it is the revision of the index, which changes with every chart.
        let is_registry =
            |url: &String| Scheme::split(url).is_some_and(|(it, _)| it == Scheme::Oci);
        let revision = text(object, "/status/artifact/revision");
        let revision = revision.filter(|_| url.as_ref().is_some_and(is_registry));
        let manifest = revision.and_then(|revision| Manifest::of_revision(&revision));
        Some(Self::At(At {
            url,
            manifest,
            secret: secret(object),
        }))
    }
}

/// Whether a list has anything in it.
fn has_any(object: &Value, at: &str) -> bool {
    let list = object.pointer(at).and_then(Value::as_array);
    list.is_some_and(|list| !list.is_empty())
}

/// The Secret with a login, else the one with a client certificate. A name that no object has is none: it is to
/// be part of a path.
fn secret(object: &Value) -> Option<SecretName> {
    let named = |at: &str| text(object, at).filter(|name| is_object_name(name));
    let name = named("/spec/secretRef/name").or_else(|| named("/spec/certSecretRef/name"))?;
    let namespace = text(object, "/metadata/namespace")?;
    Some(SecretName { namespace, name })
}

/// What the status of a `HelmRelease` says of manifests.
fn manifests(object: &Value) -> Vec<Manifest> {
    let history = object.pointer("/status/history").and_then(Value::as_array);
    let history = history.into_iter().flatten();
    let deployed = history.filter_map(|one| text(one, "/ociDigest"));
    let attempted = text(object, "/status/lastAttemptedRevisionDigest");
    let digests = deployed.chain(attempted);
    digests
        .filter_map(|digest| Manifest::of_revision(&digest))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::watch::Picked;

    fn web() -> ReleaseId {
        ReleaseId {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        }
    }

    fn helm_release(changes: &Value) -> Value {
        let mut object = json!({
            "kind": "HelmRelease", "metadata": {"namespace": "flux", "name": "any"},
            "spec": {"chart": {"spec": {
                "chart": "web", "version": "1.x",
                "sourceRef": {"kind": "HelmRepository", "name": "charts"},
            }}},
            "status": {"storageNamespace": "shop", "history": [{"name": "web", "version": 3}]},
        });
        json_patch::merge(&mut object, changes);
        object
    }

    /// From the whole object, and from what the watch picks of it.
    fn kept<V: Kept>(object: &Value) -> V {
        let picked: Picked<V> = serde_json::from_str(&object.to_string()).unwrap();
        let picked = V::of(&picked.value).unwrap();
        assert_eq!(Some(&picked), V::of(object).as_ref(), "{object}");
        picked
    }

    fn sources() -> BTreeMap<String, Source> {
        let known = [
            (
                "HelmRepository",
                "flux/charts",
                json!({"url": "https://charts.example.com/"}),
            ),
            (
                "HelmRepository",
                "flux/registry",
                json!({"url": "oci://a.example/charts", "type": "oci"}),
            ),
            ("HelmRepository", "flux/empty", json!({})),
            (
                "HelmRepository",
                "flux/odd",
                json!({"url": "ftp://a.example"}),
            ),
            (
                "HelmRepository",
                "other/charts",
                json!({"url": "https://other.example.com"}),
            ),
            (
                "OCIRepository",
                "flux/web",
                json!({"url": "oci://a.example/charts/web"}),
            ),
            (
                "HelmChart",
                "flux/web",
                json!({"chart": "web", "sourceRef": {"kind": "HelmRepository", "name": "charts"}}),
            ),
            (
                "HelmChart",
                "flux/git",
                json!({"chart": "./web", "sourceRef": {"kind": "GitRepository", "name": "git"}}),
            ),
            (
                "HelmChart",
                "flux/half",
                json!({"sourceRef": {"kind": "HelmRepository", "name": "charts"}}),
            ),
        ];
        let object = |(kind, name, spec): (&str, &str, Value)| {
            let namespace = name.split('/').next().unwrap();
            let object = json!({"metadata": {"namespace": namespace}, "spec": spec});
            (format!("{kind} {name}"), kept::<Source>(&object))
        };
        known.into_iter().map(object).collect()
    }

    fn origin(object: &Value) -> ChartOrigin {
        let sources = sources();
        let find = |source: &SourceRef| {
            let found = sources.get(&source.to_string());
            found
                .cloned()
                .map(Arc::new)
                .ok_or_else(|| "does not exist".to_owned())
        };
        kept::<HelmRelease>(object).origin(&find)
    }

    fn source_ref(changes: &Value) -> Value {
        json!({"spec": {"chart": {"spec": {"sourceRef": changes}}}})
    }

    fn chart_ref(kind: &str, name: &str) -> Value {
        json!({"spec": {"chart": null, "chartRef": {"kind": kind, "name": name}}})
    }

    #[test]
    fn every_form_in_which_a_helm_release_names_its_chart_is_resolved() {
        for (changes, url) in [
            (json!({}), "https://charts.example.com"),
            (
                source_ref(&json!({"namespace": "other"})),
                "https://other.example.com",
            ),
            (
                source_ref(&json!({"name": "registry"})),
                "oci://a.example/charts",
            ),
            (chart_ref("OCIRepository", "web"), "oci://a.example/charts"),
            (chart_ref("HelmChart", "web"), "https://charts.example.com"),
        ] {
            let place = Place::new(url, "web").unwrap();
            let expected = match url {
                "https://other.example.com" => place.told_as("HelmRepository other/charts".into()),
                _ => place,
            };
            assert_eq!(
                origin(&helm_release(&changes)),
                ChartOrigin::Place(expected),
                "{changes}"
            );
        }
    }

    /// The name is to be part of a path of the API server.
    #[test]
    fn a_source_names_its_login_beside_itself_or_none() {
        let secret = |spec: Value| {
            let object = json!({"metadata": {"namespace": "flux"}, "spec": spec});
            match kept::<Source>(&object) {
                Source::At(at) => at.secret.map(|secret| (secret.namespace, secret.name)),
                other @ Source::Chart(_) => panic!("{other:?}"),
            }
        };
        let named = |name: &str| Some(("flux".to_owned(), name.to_owned()));
        for (spec, expected) in [
            (json!({"secretRef": {"name": "a.b-c"}}), named("a.b-c")),
            (json!({"certSecretRef": {"name": "tls"}}), named("tls")),
            (
                json!({"secretRef": {"name": "login"}, "certSecretRef": {"name": "tls"}}),
                named("login"),
            ),
            (
                json!({"secretRef": {"name": "x", "namespace": "bank"}}),
                named("x"),
            ),
            (json!({}), None),
            (json!({"secretRef": {"name": ""}}), None),
            (json!({"secretRef": {"name": ".."}}), None),
            (json!({"secretRef": {"name": "../../bank/secrets/x"}}), None),
            (json!({"secretRef": {"name": "a/b"}}), None),
            (json!({"secretRef": {"name": "a?b"}}), None),
            (json!({"secretRef": {"name": "a%2fb"}}), None),
            (json!({"secretRef": {"name": "A"}}), None),
            (json!({"secretRef": {"name": "a".repeat(254)}}), None),
        ] {
            assert_eq!(secret(spec.clone()), expected, "{spec}");
        }
    }

    #[test]
    fn what_names_no_repository_of_charts_is_not_resolved_and_says_why() {
        let both = json!({"spec": {"chartRef": {"kind": "HelmChart", "name": "web"}}});
        let long = json!({"spec": {"chart": {"spec": {"chart": "a".repeat(2000)}}}});
        for (changes, expected) in [
            (
                source_ref(&json!({"name": "gone"})),
                "HelmRepository flux/gone, which does not exist",
            ),
            (
                source_ref(&json!({"name": "empty"})),
                "does not say in a known way where that is",
            ),
            (
                source_ref(&json!({"name": "odd"})),
                "does not say in a known way where that is",
            ),
            (
                source_ref(&json!({"kind": "GitRepository"})),
                "GitRepository flux/charts, which is no",
            ),
            (
                source_ref(&json!({"kind": "Bucket"})),
                "Bucket flux/charts, which is no chart repository",
            ),
            (
                chart_ref("HelmChart", "git"),
                "GitRepository flux/git, which is no chart repository",
            ),
            (
                chart_ref("HelmChart", "half"),
                "does not say in a known way where that is",
            ),
            (
                chart_ref("HelmChart", "gone"),
                "HelmChart flux/gone, which does not exist",
            ),
            (
                chart_ref("OCIRepository", "gone"),
                "OCIRepository flux/gone, which does not exist",
            ),
            (
                chart_ref("ExternalArtifact", "web"),
                "a kind that charttrust does not know",
            ),
            (
                json!({"spec": {"chart": null}}),
                "does not say in a known way where its chart is",
            ),
            (
                json!({"spec": null}),
                "does not say in a known way where its chart is",
            ),
            (both, "does not say in a known way where its chart is"),
            (long, "does not say in a known way where its chart is"),
        ] {
            let ChartOrigin::Unknown(why) = origin(&helm_release(&changes)) else {
                panic!("{changes}")
            };
            assert!(why.contains(expected), "{changes}: {why}");
        }
    }

    #[test]
    fn the_manifests_that_flux_has_deployed_are_those_of_its_history_and_of_its_source() {
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
        let manifest = |revision: &str| Trace::Manifest(Manifest::of_revision(revision).unwrap());
        let object = helm_release(&json!({
            "spec": chart_ref("OCIRepository", "web")["spec"],
            "status": {
                "history": [{"ociDigest": digest("1")}, {"name": "web"}, {"ociDigest": digest("2")}],
                "lastAttemptedRevisionDigest": digest("3"),
            },
        }));
        let source = |url: &str, revision: &str| {
            let object = json!({
                "metadata": {"namespace": "flux"}, "spec": {"url": url},
                "status": {"artifact": {"revision": revision}},
            });
            let source = Arc::new(kept::<Source>(&object));
            move |_: &SourceRef| Ok(Arc::clone(&source))
        };
        let revision = format!("1.0.0@{}", digest("4"));
        let release = kept::<HelmRelease>(&object);
        let known = ["1", "2", "3"].map(|digit| manifest(&digest(digit)));
        let of_registry = release.traces(&source("oci://a.example/web", &revision));
        assert_eq!(of_registry[..3], known);
        assert_eq!(of_registry[3..], [manifest(&revision)]);
        // The revision of an index changes with every chart, and is none of a manifest.
        let of_http = release.traces(&source("https://a.example", &digest("5")));
        assert_eq!(of_http, known);
        let absent = release.traces(&|_: &SourceRef| Err("does not exist".to_owned()));
        assert_eq!(absent, known);
    }

    #[test]
    fn a_chart_with_values_files_is_packed_anew() {
        let files = |files: Value| json!({"spec": {"chart": {"spec": {"valuesFiles": files}}}});
        let absent = |_: &SourceRef| Err("does not exist".to_owned());
        for (changes, is_repacked) in [
            (json!({}), false),
            (files(json!([])), false),
            (files(json!(["values.yaml", "values-prod.yaml"])), true),
        ] {
            let release = kept::<HelmRelease>(&helm_release(&changes));
            let expected = is_repacked.then_some(Trace::Repacked);
            let traces = release.traces(&absent);
            assert_eq!(traces, Vec::from_iter(expected), "{changes}");
        }
        for (files, is_repacked) in [(json!(null), false), (json!(["a.yaml"]), true)] {
            let object = json!({"metadata": {"namespace": "flux"}, "spec": {"chart": "web",
                "valuesFiles": files, "sourceRef": {"kind": "HelmRepository", "name": "charts"}}});
            let chart = Arc::new(kept::<Source>(&object));
            let release = kept::<HelmRelease>(&helm_release(&chart_ref("HelmChart", "web")));
            let traces = release.traces(&|_: &SourceRef| Ok(Arc::clone(&chart)));
            assert_eq!(traces.contains(&Trace::Repacked), is_repacked, "{object}");
        }
    }

    #[test]
    fn a_helm_release_deploys_what_its_history_names_first() {
        let flux = |changes: Value| kept::<HelmRelease>(&helm_release(&changes));
        let base = flux(json!({}));
        assert!(base.deploys(&web()) && base.may_have_made(&web()));
        assert_eq!(base.revision(), Some(3));
        let status = |changes: Value| json!({"status": changes});
        for other in [
            status(json!({"storageNamespace": "bank"})),
            status(json!({"storageNamespace": null})),
            status(json!({"history": [{"name": "other"}, {"name": "web"}]})),
        ] {
            let flux = flux(other.clone());
            assert!(
                !flux.deploys(&web()) && !flux.may_have_made(&web()),
                "{other}"
            );
        }
        for early in [
            status(json!({"history": []})),
            status(json!({"history": null})),
            json!({"spec": {"kubeConfig": {"secretRef": {"name": "far"}}}}),
        ] {
            let flux = flux(early.clone());
            assert!(
                !flux.deploys(&web()) && flux.may_have_made(&web()),
                "{early}"
            );
        }
        for (spec, status, own) in [
            ("shop", "", "flux"),
            ("", "", "shop"),
            ("bank", "shop", "flux"),
        ] {
            let object = json!({
                "metadata": {"namespace": own}, "spec": {"storageNamespace": spec},
                "status": {"storageNamespace": status},
            });
            assert!(flux(object).deploys(&web()), "{spec} {status} {own}");
        }
    }
}
