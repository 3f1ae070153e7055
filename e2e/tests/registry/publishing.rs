//! The page about publishing in a registry, typed as it stands there.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::binary;
use charttrust_e2e::page::{Desk, steps};
use charttrust_e2e::registry::{Kind, Registry};
use charttrust_e2e::stage::{Story, path};
use charttrust_e2e::tools::{self, Tool};
use serde_json::json;

use crate::setup::cluster;

const PAGE: &str = "docs/publishing-oci.md";

#[tokio::test(flavor = "multi_thread")]
async fn what_publishers_do_in_registries() {
    let story = Story::named(cluster().await, "shop", Version::V4).await;
    let registry = story.done(
        "start a registry",
        Registry::start(Kind::Distribution).await,
    );
    let key = story.make_key("publisher");
    let source = json!({"url": registry.url()});
    let declared =
        json!({"fingerprint": key.key.fingerprint, "publicKey": {"inline": story.public(&key)}});
    story
        .apply::<charttrust::api::TrustedKey>("publisher", declared.clone())
        .await;
    let rule = json!({
        "name": "all", "charts": ["*"], "sources": [source],
        "verify": {"signers": {"keys": ["publisher"]}},
    });
    story
        .policy("charts", &[], json!({"interval": "1s", "rules": [rule]}))
        .await;

    let desk = Desk::new(cluster().await.kubeconfig(), &binary());
    let desk = desk.with_name("registry.example.com", &registry.host());
    let object = json!({
        "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey",
        "metadata": {"name": "publisher"}, "spec": declared,
    });
    std::fs::write(desk.folder().join("publisher.yaml"), object.to_string()).unwrap();
    let secret = std::fs::read(key.signer.keyring()).unwrap();
    std::fs::write(desk.folder().join("secret.gpg"), secret).unwrap();
    symlink(story.keyring.home(), desk.folder().join(".gnupg")).unwrap();
    over_plain_http(desk.folder(), &registry.host());
    for (name, version) in [
        ("payments", "2.4.1"),
        ("search", "2.0.0"),
        ("ledger", "3.0.0+build.7"),
        ("gateway", "v1.4.0"),
    ] {
        chart(&desk.folder().join(name), name, version);
    }

    let page = std::fs::read_to_string(path(PAGE)).unwrap();
    let steps = steps(&page);
    assert!(steps.len() >= 20, "{} commands", steps.len());
    desk.types_all(PAGE, &steps).await;
}

/// What only a test needs: the registry of here speaks plain HTTP.
pub(crate) fn over_plain_http(desk: &Path, host: &str) {
    let (helm, charttrust) = (tools::path(Tool::Helm4).unwrap(), binary());
    let (helm, charttrust) = (helm.display(), charttrust.display());
    for (name, script) in [
        (
            "helm",
            format!(
                "case \"$1\" in push | pull | install | registry) set -- \"$@\" --plain-http ;; esac\nexec {helm} \"$@\"\n"
            ),
        ),
        (
            "charttrust",
            format!(
                "case \"$1\" in sign) ;; *) set -- \"$@\" --allow-host {host} ;; esac\nexec {charttrust} \"$@\"\n"
            ),
        ),
    ] {
        let program = desk.join("bin").join(name);
        // In place of the link to the program itself.
        std::fs::remove_file(&program).unwrap();
        std::fs::write(&program, format!("#!/bin/sh\n{script}")).unwrap();
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, executable).unwrap();
    }
}

/// The folder of a chart.
fn chart(folder: &Path, name: &str, version: &str) {
    std::fs::create_dir_all(folder.join("templates")).unwrap();
    let metadata = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
    std::fs::write(folder.join("Chart.yaml"), metadata).unwrap();
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n";
    std::fs::write(folder.join("templates/config.yaml"), template).unwrap();
}
