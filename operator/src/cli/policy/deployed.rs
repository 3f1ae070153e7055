//! Where deployers say that charts come from: sources of Flux, Applications of Argo CD and `HelmChart`s of k3s, as
//! sources of a policy. Reads only, and no Secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use charttrust_verify::deployer::{ChartOrigin, Place};
use kube::{Client, ResourceExt as _};
use serde_json::Value;

use crate::api::chart_trust_policy::{CaKind, CaRef, NameRef, Source};
use crate::api::release_trust::Owner;
use crate::api::{ReleaseTrust, bounds};
use crate::cli::cluster::{chain, is_name, objects};
use crate::inventory::argocd::Application;
use crate::inventory::flux::{self, HelmRelease, SourceRef};
use crate::inventory::{ReleaseId, argocd, k3s};
use crate::parse;
use crate::watch::{Kept as _, Kind, ObjectName};

/// Where the chart of a release comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) source: Source,
    /// Secrets that lie elsewhere than the operator reads them.
    pub(super) secrets: Vec<ObjectName>,
}

/// What is there of the kinds that deploy, and of what they refer to.
#[derive(Debug, Default)]
pub(super) struct Deployers {
    objects: BTreeMap<(&'static str, ObjectName), Value>,
    /// The namespace in which the operator reads Secrets.
    operator: String,
    /// What could not be read.
    pub(super) unread: Vec<String>,
}

/// Those of Flux, and what they refer to.
const FLUX: [Kind; 4] = [
    flux::HELM_RELEASES,
    flux::HELM_REPOSITORIES,
    flux::OCI_REPOSITORIES,
    flux::HELM_CHARTS,
];

impl Deployers {
    /// Lists them, of whatever version. A cluster may have none of these kinds.
    pub(super) async fn read(client: &Client, operator: &str) -> Self {
        let mut found = Self {
            operator: operator.to_owned(),
            ..Self::default()
        };
        for kind in FLUX
            .into_iter()
            .chain([k3s::HELM_CHARTS, argocd::APPLICATIONS])
        {
            match objects(client, kind).await.map_err(|error| chain(&error)) {
                Ok(objects) => objects.into_iter().for_each(|one| found.add(kind, one)),
                Err(why) => {
                    let (plural, group) = (kind.plural, kind.group);
                    found.unread.push(format!("{plural}.{group}: {why}"));
                }
            }
        }
        found
    }

    fn add(&mut self, kind: Kind, object: Value) {
        let said = |at: &str| {
            object
                .pointer(at)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let name = said("/metadata/namespace").zip(said("/metadata/name"));
        if let Some((namespace, name)) = name {
            let id = (id(kind), ObjectName { namespace, name });
            self.objects.insert(id, object);
        }
    }

    /// What they say of the releases, by namespace and name; and what cannot be taken from them. Whoever may write
    /// a deployer anywhere may name the release of somebody else in it: of a release that no such deployer has made
    /// it says nothing, and where several say that they have made one, all have to say the same.
    pub(super) fn told(&self, trusts: &[ReleaseTrust]) -> (BTreeMap<ReleaseId, Told>, Vec<String>) {
        let releases: Vec<_> = self.of(flux::HELM_RELEASES, HelmRelease::of);
        let charts: Vec<_> = self.of(k3s::HELM_CHARTS, k3s::HelmChart::of);
        let applications = self.of_argo();
        let (mut told, mut left) = (BTreeMap::new(), Vec::new());
        for trust in trusts {
            let status = trust.status.as_ref();
            let of = status.and_then(|status| status.release.as_ref());
            let (Some(of), Some(namespace)) = (of, trust.namespace()) else {
                continue;
            };
            let release = ReleaseId {
                namespace,
                name: trust.name_any(),
            };
            let own = ObjectName {
                namespace: release.namespace.clone(),
                name: release.name.clone(),
            };
            let said: Vec<_> = match of.owner {
                Owner::Flux => {
                    let all = releases.iter().filter(|(_, one, _)| one.deploys(&release));
                    all.map(|(name, one, _)| (*name, self.of_flux(one, &of.chart)))
                        .collect()
                }
                Owner::K3s => {
                    let is_it = |one: &k3s::HelmChart| one.has_begun() && one.deploys(&release);
                    let all = charts.iter().filter(|(_, one, _)| is_it(one));
                    all.map(|(name, one, object)| (*name, self.of_k3s(one, &of.chart, object)))
                        .collect()
                }
                Owner::ArgoCD => {
                    let origin = applications.get(&release);
                    vec![(&own, origin.and_then(|origin| of_argo(origin, &of.chart)))]
                }
                Owner::Helm => continue,
            };
            match agreed(&said) {
                Ok(None) => {}
                Ok(Some(one)) => drop(told.insert(release, one)),
                Err(why) => left.push(format!("release {release}: {why}")),
            }
        }
        (told, left)
    }

    fn of<V>(
        &self,
        kind: Kind,
        read: impl Fn(&Value) -> Option<V>,
    ) -> Vec<(&ObjectName, V, &Value)> {
        let all = self.objects.iter().filter(|((of, _), _)| *of == id(kind));
        all.filter_map(|((_, name), object)| Some((name, read(object)?, object)))
            .collect()
    }

    fn of_flux(&self, release: &HelmRelease, chart: &str) -> Option<Told> {
        let find = |source: &SourceRef| {
            let found = self.find(source).and_then(flux::Source::of);
            found
                .map(Arc::new)
                .ok_or_else(|| "does not exist".to_owned())
        };
        let ChartOrigin::Place(place) = release.origin(&find) else {
            return None;
        };
        let mut source = of_place(&place, chart)?;
        let referred = self.find(release.source()?)?;
        let place = match flux::Source::of(referred)? {
            flux::Source::At(_) => referred,
            flux::Source::Chart(of) => self.find(&of.chart?.1)?,
        };
        let secrets = [
            ("/spec/secretRef/name", Use::Login),
            ("/spec/certSecretRef/name", Use::Authority),
        ];
        let secrets = secrets.map(|(at, of)| self.with_secret(&mut source, place, at, of));
        Some(Told {
            source,
            secrets: secrets.into_iter().flatten().collect(),
        })
    }

    /// Where the charts of Applications come from. Several that have one name in common say nothing of it, unless
    /// they say the same.
    fn of_argo(&self) -> BTreeMap<ReleaseId, ChartOrigin> {
        let mut told = BTreeMap::<_, ChartOrigin>::new();
        let applications: Vec<_> = self.of(argocd::APPLICATIONS, Application::of);
        let origins = applications
            .iter()
            .flat_map(|(name, application, _)| argocd::origins(name, application));
        for (release, origin) in origins {
            let known = told.entry(release).or_insert_with(|| origin.clone());
            if *known != origin {
                *known = ChartOrigin::Unknown("is one of several".to_owned());
            }
        }
        told
    }

    fn of_k3s(&self, chart: &k3s::HelmChart, of: &str, object: &Value) -> Option<Told> {
        let ChartOrigin::Place(place) = chart.origin() else {
            return None;
        };
        let mut source = of_place(&place, of)?;
        let logins = ["/spec/authSecret/name", "/spec/dockerRegistrySecret/name"];
        let secrets = logins.map(|at| self.with_secret(&mut source, object, at, Use::Login));
        Some(Told {
            source,
            secrets: secrets.into_iter().flatten().collect(),
        })
    }

    /// Names the Secret of an object in the source, as it is to be called where the operator reads it. One that lies
    /// elsewhere has its namespace before its name: whoever writes the object may name what he likes, and the
    /// operator's own of that name is not for his server.
    fn with_secret(
        &self,
        source: &mut Source,
        object: &Value,
        at: &str,
        of: Use,
    ) -> Option<ObjectName> {
        let name = object.pointer(at)?.as_str()?.to_owned();
        let namespace = object.pointer("/metadata/namespace")?.as_str()?.to_owned();
        let secret = ObjectName { namespace, name };
        let name = copy_of(&secret, &self.operator);
        match of {
            Use::Authority => {
                let kind = CaKind::Secret;
                source.ca_ref = Some(CaRef { kind, name });
            }
            Use::Login => source.credentials_secret_ref = Some(NameRef { name }),
        }
        Some(secret)
    }

    fn find(&self, source: &SourceRef) -> Option<&Value> {
        let mut kinds = FLUX.into_iter();
        let kind = kinds.find(|kind| kind.kind == source.kind)?;
        self.objects.get(&(id(kind), source.name.clone()))
    }
}

/// What a Secret is called in the operator's namespace.
pub(super) fn copy_of(secret: &ObjectName, operator: &str) -> String {
    let ObjectName { namespace, name } = secret;
    if namespace == operator {
        name.clone()
    } else {
        format!("{namespace}.{name}")
    }
}

/// What all that say to have made a release say, if a policy can have that.
fn agreed(said: &[(&ObjectName, Option<Told>)]) -> Result<Option<Told>, String> {
    let Some(((name, first), others)) = said.split_first() else {
        return Ok(None);
    };
    if let Some((other, _)) = others.iter().find(|(_, one)| one != first) {
        return Err(format!(
            "{name} and {other} both say that they deploy it, and name different places: name its repository with \
             --source"
        ));
    }
    let Some(told) = first else { return Ok(None) };
    match usable(&told.source) {
        Ok(()) => Ok(Some(told.clone())),
        Err(why) => Err(format!(
            "{name} names a place that no policy can have: {why}"
        )),
    }
}

/// Whether a policy takes a source.
fn usable(source: &Source) -> Result<(), String> {
    let urls = [Some(&source.url), source.repository.as_ref()];
    for url in urls.into_iter().flatten() {
        if url.len() > bounds::URL {
            return Err(format!("its address has more than {} bytes", bounds::URL));
        }
        parse::repository(url).map_err(|error| format!("{url} {error}"))?;
    }
    let login = source
        .credentials_secret_ref
        .as_ref()
        .map(|named| &named.name);
    let authority = source.ca_ref.as_ref().map(|named| &named.name);
    let mut names = [login, authority].into_iter().flatten();
    let is_odd =
        |name: &str| !is_name(name) || name.ends_with(['-', '.']) || name.len() > bounds::NAME;
    match names.find(|name| is_odd(name)) {
        Some(name) => Err(format!("Secret {name:?} cannot be called so")),
        None => Ok(()),
    }
}

/// Two kinds are called `HelmChart`.
fn id(kind: Kind) -> &'static str {
    if kind == k3s::HELM_CHARTS {
        kind.group
    } else {
        kind.kind
    }
}

/// Its login lies in no object that it names.
fn of_argo(origin: &ChartOrigin, of: &str) -> Option<Told> {
    let ChartOrigin::Place(place) = origin else {
        return None;
    };
    Some(Told {
        source: of_place(place, of)?,
        secrets: Vec::new(),
    })
}

/// A place as a source has it; one of a registry may have a chart of another name.
fn of_place(place: &Place, chart: &str) -> Option<Source> {
    let (address, name) = place.parts()?;
    let whole = format!("{address}/{name}");
    let own = (name != chart).then_some(whole);
    // Only a registry keeps a chart under another name.
    if own.is_some() && !address.starts_with("oci://") {
        return None;
    }
    Some(Source {
        repository: own,
        ..bare(address)
    })
}

/// A source that is asked without a login.
pub(super) fn bare(url: &str) -> Source {
    Source {
        url: url.to_owned(),
        repository: None,
        mirrors: Vec::new(),
        credentials_secret_ref: None,
        kubernetes_token: None,
        ca_ref: None,
        provenance: None,
    }
}

/// What a Secret is for.
#[derive(Clone, Copy)]
enum Use {
    Authority,
    Login,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name(namespace: &str, name: &str) -> ObjectName {
        ObjectName {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn deployers(objects: &[(Kind, Value)]) -> Deployers {
        let mut all = Deployers::default();
        for (kind, object) in objects {
            all.add(*kind, object.clone());
        }
        all
    }

    fn trust(owner: &str, release: &str, chart: &str) -> ReleaseTrust {
        let namespace = if owner == "ArgoCD" { "argocd" } else { "shop" };
        serde_json::from_value(json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust",
            "metadata": {"namespace": namespace, "name": release}, "spec": {},
            "status": {"release": {"revision": 1, "chart": chart, "version": "1.0.0", "owner": owner,
                "resourceVersion": "1"}},
        }))
        .unwrap()
    }

    fn helm_release(release: &str, chart: &Value) -> (Kind, Value) {
        let mut object = json!({
            "metadata": {"namespace": "flux", "name": release}, "spec": {},
            "status": {"storageNamespace": "shop", "history": [{"name": release, "version": 1}]},
        });
        json_patch::merge(&mut object["spec"], chart);
        (flux::HELM_RELEASES, object)
    }

    fn of(kind: Kind, called: &str, spec: &Value) -> (Kind, Value) {
        (
            kind,
            json!({"metadata": {"namespace": "flux", "name": called}, "spec": spec}),
        )
    }

    fn by_repository(chart: &str, of: &str) -> Value {
        json!({"chart": {"spec": {"chart": chart, "sourceRef": {"kind": "HelmRepository", "name": of}}}})
    }

    #[test]
    fn each_deployer_tells_the_source_and_where_its_secret_lies() {
        let private = json!({"url": "https://charts.example.com/", "secretRef": {"name": "login"},
            "certSecretRef": {"name": "ca"}});
        let all = deployers(&[
            of(flux::HELM_REPOSITORIES, "charts", &private),
            of(
                flux::HELM_REPOSITORIES,
                "open",
                &json!({"url": "oci://a.example/charts"}),
            ),
            of(
                flux::OCI_REPOSITORIES,
                "other",
                &json!({"url": "oci://a.example/x/helm-other"}),
            ),
            helm_release("web", &by_repository("web", "charts")),
            helm_release("api", &by_repository("api", "open")),
            helm_release(
                "other",
                &json!({"chartRef": {"kind": "OCIRepository", "name": "other"}}),
            ),
            helm_release("lost", &by_repository("lost", "gone")),
            (
                k3s::HELM_CHARTS,
                json!({"metadata": {"namespace": "kube-system", "name": "dns"},
                    "spec": {"chart": "dns", "repo": "https://k3s.example.com", "targetNamespace": "shop",
                        "authSecret": {"name": "k3s-login"}}, "status": {"jobName": "x"}}),
            ),
        ]);
        let trusts = [
            trust("Flux", "web", "web"),
            trust("Flux", "api", "api"),
            trust("Flux", "other", "other"),
            trust("Flux", "lost", "lost"),
            trust("K3s", "dns", "dns"),
            trust("Helm", "manual", "manual"),
        ];
        let (told, left) = all.told(&trusts);
        assert_eq!(left, [""; 0]);
        let names: Vec<_> = told.keys().map(|id| id.name.as_str()).collect();
        assert_eq!(names, ["api", "dns", "other", "web"]);
        let of = |release: &str| {
            &told[&ReleaseId {
                namespace: "shop".to_owned(),
                name: release.to_owned(),
            }]
        };
        let web = of("web");
        assert_eq!(web.source.url, "https://charts.example.com");
        let login = web.source.credentials_secret_ref.as_ref().unwrap();
        assert_eq!(login.name, "flux.login");
        assert_eq!(web.source.ca_ref.as_ref().unwrap().name, "flux.ca");
        assert_eq!(web.secrets, [name("flux", "login"), name("flux", "ca")]);
        assert_eq!(of("api").source, bare("oci://a.example/charts"));
        let other = of("other");
        assert_eq!(other.source.url, "oci://a.example/x");
        let own = other.source.repository.as_deref();
        assert_eq!(own, Some("oci://a.example/x/helm-other"));
        assert_eq!(of("dns").secrets, [name("kube-system", "k3s-login")]);
    }

    #[test]
    fn an_application_tells_where_what_it_has_deployed_last_comes_from() {
        let source = |url: &str, chart: &str, version: &str| json!({"repoURL": url, "chart": chart, "targetRevision": version});
        let web = |url: &str| source(url, "web", "1.x");
        let application = |name: &str, spec: Value, status: Value| {
            (
                argocd::APPLICATIONS,
                json!({"metadata": {"namespace": "argocd", "name": name}, "spec": spec, "status": status}),
            )
        };
        let deployed = |sources: &[Value]| {
            let versions: Vec<_> = sources.iter().map(|_| "1.0.0").collect();
            json!({"history": [{"id": 1, "sources": sources, "revisions": versions}]})
        };
        let here = web("https://charts.example.com/");
        let both = [here.clone(), source("a.example/charts", "x/api", "1.0.0")];
        let git = json!({"repoURL": "https://git.example.com", "path": "web"});
        let all = deployers(&[
            application(
                "moved",
                json!({"source": web("https://next.example.com")}),
                deployed(&[here]),
            ),
            application("two", json!({"sources": both}), deployed(&both)),
            application(
                "git",
                json!({"source": git}),
                deployed(std::slice::from_ref(&git)),
            ),
            application(
                "new",
                json!({"source": web("https://new.example.com")}),
                json!({}),
            ),
        ]);
        let trusts = [
            trust("ArgoCD", "argocd.moved", "web"),
            trust("ArgoCD", "argocd.two", "web"),
            trust("ArgoCD", "argocd.two.2", "api"),
            trust("ArgoCD", "argocd.git", "web"),
            trust("ArgoCD", "argocd.new", "web"),
            trust("Helm", "argocd.moved", "web"),
        ];
        let (told, _) = all.told(&trusts);
        let urls = told
            .iter()
            .map(|(id, told)| (id.name.as_str(), told.source.url.as_str()));
        let expected = [
            ("argocd.moved", "https://charts.example.com"),
            ("argocd.two", "https://charts.example.com"),
            ("argocd.two.2", "oci://a.example/charts/x"),
        ];
        assert_eq!(urls.collect::<Vec<_>>(), expected);
    }

    /// A `HelmRelease` in a tenant's namespace that says what he likes, and its repository.
    fn forged(release: &str, url: &str, secret: &str) -> [(Kind, Value); 2] {
        let metadata = json!({"namespace": "yard", "name": release});
        let spec = json!({"url": url, "secretRef": {"name": secret}});
        let mut object = helm_release(release, &by_repository(release, release)).1;
        object["metadata"] = metadata.clone();
        object["spec"]["storageNamespace"] = json!("shop");
        [
            (flux::HELM_RELEASES, object),
            (
                flux::HELM_REPOSITORIES,
                json!({"metadata": metadata, "spec": spec}),
            ),
        ]
    }

    /// Whoever may write a `HelmRelease` somewhere names the release of another in it.
    #[test]
    fn nobody_speaks_for_the_release_of_another() {
        let evil = forged("web", "https://evil.example.com", "charts-login");
        for owner in ["Helm", "ArgoCD", "K3s"] {
            let (told, left) = deployers(&evil).told(&[trust(owner, "web", "web")]);
            assert!(
                told.is_empty() && left.is_empty(),
                "{owner}: {told:?} {left:?}"
            );
        }
        // One that has deployed it says something else, or nothing that a policy can have.
        let git = json!({"chart": {"spec": {"chart": "./web", "sourceRef": {"kind": "GitRepository", "name": "x"}}}});
        let open = json!({"url": "https://charts.example.com"});
        let charts = of(flux::HELM_REPOSITORIES, "charts", &open);
        for own in [by_repository("web", "charts"), git] {
            let own = [charts.clone(), helm_release("web", &own)];
            let (told, left) =
                deployers(&[&own[..], &evil].concat()).told(&[trust("Flux", "web", "web")]);
            assert!(told.is_empty(), "{told:?}");
            assert!(
                left[0].contains("flux/web and yard/web both say"),
                "{left:?}"
            );
        }
    }

    /// The operator would send its own Secret of that name to the server that a tenant names.
    #[test]
    fn the_secret_of_somebody_elses_object_has_a_name_of_its_own() {
        for (operator, name) in [
            ("charttrust-system", "yard.charts-login"),
            ("yard", "charts-login"),
        ] {
            let mut all = deployers(&forged("web", "https://evil.example.com", "charts-login"));
            all.operator = operator.to_owned();
            let (told, _) = all.told(&[trust("Flux", "web", "web")]);
            let source = &told.values().next().unwrap().source;
            assert_eq!(source.credentials_secret_ref.as_ref().unwrap().name, name);
        }
    }

    /// One draft is for all.
    #[test]
    fn what_no_policy_takes_is_told_and_spoils_no_draft() {
        let long = format!("https://a.example/{}", "a".repeat(900));
        for (url, secret) in [
            ("https://a.example/a/../b", "a"),
            ("https://a.example/index.yaml", "a"),
            (&long, "a"),
            ("https://a.example", "a b"),
            ("https://a.example", "a\n"),
            ("https://a.example", "a-"),
            ("https://a.example", &"a".repeat(253)),
        ] {
            let all = deployers(&forged("web", url, secret));
            let (told, left) = all.told(&[trust("Flux", "web", "web")]);
            assert!(told.is_empty(), "{url} {secret}: {told:?}");
            assert!(
                left[0].contains("release shop/web: yard/web names a place that no policy"),
                "{left:?}"
            );
        }
    }
}
