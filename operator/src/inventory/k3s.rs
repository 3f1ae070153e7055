//! k3s and RKE2: which release a `HelmChart` deploys, and where it takes the chart from. From objects to
//! values.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use charttrust_verify::deployer::{ChartOrigin, Place};
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::scheme::Scheme;
use serde_json::Value;

use super::ReleaseId;
use super::fields::{is_there, text};
use crate::watch::{Kept, Kind, Path};

/// What deploys.
pub const HELM_CHARTS: Kind = Kind {
    group: "helm.cattle.io",
    kind: "HelmChart",
    plural: "helmcharts",
};

/// A `HelmChart` of k3s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelmChart {
    /// The release that it is named after, in the namespace that it is for.
    release: Option<ReleaseId>,
    /// Whether the controller has taken it on.
    has_begun: bool,
    chart: Option<String>,
    repo: Option<String>,
    /// The archive that lies in the object, if one does.
    inline: Option<ChartOrigin>,
}

impl Kept for HelmChart {
    const PATHS: &'static [Path] = &[
        &["spec", "targetNamespace"],
        &["spec", "chart"],
        &["spec", "repo"],
        &["spec", "chartContent"],
        &["status", "jobName"],
    ];

    fn of(object: &Value) -> Option<Self> {
        let own = || text(object, "/metadata/namespace");
        let namespace = text(object, "/spec/targetNamespace").or_else(own);
        let release = namespace.zip(text(object, "/metadata/name"));
        Some(Self {
            release: release.map(|(namespace, name)| ReleaseId { namespace, name }),
            has_begun: is_there(object, "/status/jobName"),
            chart: text(object, "/spec/chart"),
            repo: text(object, "/spec/repo"),
            inline: is_there(object, CONTENT).then(|| ChartOrigin::Inline(archive(object))),
        })
    }
}

impl HelmChart {
    /// Whether it is about this release.
    pub fn deploys(&self, release: &ReleaseId) -> bool {
        self.release() == Some(release)
    }

    /// The release that it is about.
    pub fn release(&self) -> Option<&ReleaseId> {
        self.release.as_ref()
    }

    /// Whether the controller has made a Job of it. One that it leaves alone has deployed nothing.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Where it takes the chart from.
    pub fn origin(&self) -> ChartOrigin {
        if let Some(inline) = &self.inline {
            // It takes the place of `chart`.
            return inline.clone();
        }
        let is_oci =
            |chart: &&String| Scheme::split(chart).is_some_and(|(scheme, _)| scheme == Scheme::Oci);
        let place = match (self.repo.as_deref(), self.chart.as_ref()) {
            (Some(repo), Some(chart)) => Place::new(repo, chart),
            (None, Some(chart)) if is_oci(&chart) => Place::of_repository(chart),
            (None, Some(chart)) if Scheme::split(chart).is_some() => {
                let why =
                    "names an archive, and no repository that a policy could have as a source";
                return ChartOrigin::Unknown(why.to_owned());
            }
            (_, None) | (None, Some(_)) => None,
        };
        let unclear = || ChartOrigin::Unknown("names no chart repository".to_owned());
        place.map_or_else(unclear, ChartOrigin::Place)
    }
}

const CONTENT: &str = "/spec/chartContent";

/// The digest of the archive in an object; `None` of what k3s could not read either.
fn archive(object: &Value) -> Option<Sha256Digest> {
    let text = object.pointer(CONTENT)?.as_str()?;
    let lines: String = text.split_ascii_whitespace().collect();
    let bytes = BASE64_STANDARD.decode(lines).ok()?;
    Some(Sha256Digest::of(&bytes))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::watch::Picked;

    fn helm_chart(changes: &Value) -> HelmChart {
        let mut object = json!({
            "kind": "HelmChart", "metadata": {"namespace": "kube-system", "name": "web"},
            "spec": {"chart": "web", "repo": "https://charts.example.com", "targetNamespace": "shop"},
            "status": {"jobName": "helm-install-web"},
        });
        json_patch::merge(&mut object, changes);
        let picked: Picked<HelmChart> = serde_json::from_str(&object.to_string()).unwrap();
        let picked = HelmChart::of(&picked.value).unwrap();
        assert_eq!(Some(&picked), HelmChart::of(&object).as_ref(), "{object}");
        picked
    }

    #[test]
    fn every_form_in_which_a_helm_chart_names_its_chart_is_resolved() {
        let place = |url, chart| ChartOrigin::Place(Place::new(url, chart).unwrap());
        let not = |why: &str| ChartOrigin::Unknown(why.to_owned());
        let archive = "names an archive, and no repository that a policy could have as a source";
        let nothing = "names no chart repository";
        let inline = || ChartOrigin::Inline(Some(Sha256Digest::of(b"archive")));
        for (spec, expected) in [
            (json!({}), place("https://charts.example.com", "web")),
            (
                json!({"repo": null, "chart": "oci://a.example/b/web"}),
                place("oci://a.example/b", "web"),
            ),
            (
                json!({"repo": "", "chart": "oci://a.example/b/web:1.0.0"}),
                place("oci://a.example/b", "web"),
            ),
            (
                json!({"repo": null, "chart": "https://a.example/web-1.0.0.tgz"}),
                not(archive),
            ),
            (json!({"repo": null, "chart": "stable/web"}), not(nothing)),
            (
                json!({"repo": null, "chart": "/charts/web.tgz"}),
                not(nothing),
            ),
            (json!({"repo": null, "chart": null}), not(nothing)),
            (json!({"chart": null}), not(nothing)),
            (json!({"repo": "ftp://a.example"}), not(nothing)),
            (json!({"chartContent": "YXJjaGl2ZQ=="}), inline()),
            (
                json!({"chartContent": "YXJj\naGl2ZQ==\n", "chart": null, "repo": null}),
                inline(),
            ),
            (json!({"chartContent": "?"}), ChartOrigin::Inline(None)),
            (
                json!({"chartContent": ""}),
                place("https://charts.example.com", "web"),
            ),
        ] {
            let chart = helm_chart(&json!({"spec": spec}));
            assert_eq!(chart.origin(), expected, "{spec}");
        }
    }

    #[test]
    fn a_helm_chart_deploys_into_its_target_namespace() {
        let id = |namespace: &str| ReleaseId {
            namespace: namespace.to_owned(),
            name: "web".to_owned(),
        };
        assert!(helm_chart(&json!({})).deploys(&id("shop")));
        for (changes, expected) in [
            (json!({"metadata": {"name": "x"}}), false),
            (json!({"spec": {"targetNamespace": null}}), false),
            (
                json!({"spec": {"targetNamespace": null}, "metadata": {"namespace": "shop"}}),
                true,
            ),
            (
                json!({"spec": {"targetNamespace": ""}, "metadata": {"namespace": "shop"}}),
                true,
            ),
        ] {
            assert_eq!(
                helm_chart(&changes).deploys(&id("shop")),
                expected,
                "{changes}"
            );
        }
        assert!(helm_chart(&json!({})).has_begun());
        assert!(!helm_chart(&json!({"status": null})).has_begun());
    }
}
