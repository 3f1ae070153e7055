//! The plain manifests of the operator, rendered from its chart by real Helm.

use crate::helm::Helm;
use crate::stage::{CHART, OPERATOR, OPERATOR_NAMESPACE, path};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// One file below `operator/install`.
#[derive(Debug)]
pub struct Manifest {
    /// Its path below the root of the repository.
    pub path: &'static str,
    /// What it should hold.
    pub text: String,
}

/// What every file should hold.
pub async fn render(helm: &Helm) -> Result<Vec<Manifest>> {
    let mut manifests = Vec::new();
    for (path, head, templates) in FILES {
        let text = format!("{GENERATED}{head}{}", template(helm, templates).await?);
        manifests.push(Manifest { path, text });
    }
    Ok(manifests)
}

/// The files with what stands before the templates, and the templates.
const FILES: [(&str, &str, &[&str]); 4] = [
    (
        "operator/install/rbac.yaml",
        NAMESPACE,
        &["rbac.yaml", "user-roles.yaml"],
    ),
    (
        "operator/install/operator.yaml",
        "",
        &[
            "deployment.yaml",
            "service.yaml",
            "poddisruptionbudget.yaml",
        ],
    ),
    (
        "operator/install/quarantine/rbac.yaml",
        "",
        &["quarantine-rbac.yaml"],
    ),
    (
        "operator/install/quarantine/fence.yaml",
        "",
        &["fence.yaml"],
    ),
];

const GENERATED: &str = "# Rendered from operator/chart by `make manifests`.\n";

const NAMESPACE: &str =
    "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: charttrust-system\n";

async fn template(helm: &Helm, templates: &[&str]) -> Result<String> {
    let mut text = String::new();
    for template in templates {
        let file = format!("templates/{template}");
        let quarantines = format!("quarantine.enabled={}", template.starts_with("quarantine"));
        let rendered = helm
            .run(&[
                "template",
                OPERATOR,
                &path(CHART),
                "--namespace",
                OPERATOR_NAMESPACE,
                // The fence stands where it is served.
                "--kube-version",
                "1.36.3",
                "--set",
                &quarantines,
                "--set",
                "image.registry=registry.example.com",
                "--show-only",
                &file,
            ])
            .await?;
        text.push_str(&rendered);
    }
    Ok(plain(&text))
}

/// Without what only Helm's own objects carry, and without the gaps that templates leave.
fn plain(rendered: &str) -> String {
    let of_helm = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("helm.sh/chart:")
            || line == "app.kubernetes.io/managed-by: Helm"
            || line.starts_with("# Source: ")
            || line.is_empty()
    };
    let lines = rendered.lines().filter(|line| !of_helm(line));
    lines.flat_map(|line| [line.trim_end(), "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_helm_needs_is_left_out() {
        let rendered = "---\n# Source: charttrust/templates/a.yaml\nkind: Role\n  labels:\n    \
            app.kubernetes.io/managed-by: Helm\n    helm.sh/chart: a-1\n    a: b  \n\n";
        assert_eq!(plain(rendered), "---\nkind: Role\n  labels:\n    a: b\n");
    }
}
