//! What becomes of contained releases when the operator is uninstalled, and installed again.

use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::operator::{Operator, binary};
use charttrust_e2e::stage::{Opening, Power, Setting, Stage, install_chart, workloads::automatic};

use crate::lifecycle::Installation;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_contained_without_an_operator_and_the_next_one_contains_it_again() {
    let cluster = Cluster::start(env!("CARGO_BIN_EXE_testbed")).unwrap();
    // It lasts as long as the program, as the one that stories share.
    let cluster: &'static Cluster = Box::leak(Box::new(cluster));
    let installation = Installation {
        cluster,
        helm: Helm::new(Version::V4).unwrap().on(cluster.kubeconfig()),
    };
    let upgrade = async |values: &str| {
        let set = ["--set", values];
        let done = install_chart(&installation.helm, cluster.kubeconfig(), &set).await;
        done.unwrap();
    };
    let stage = Stage::set(cluster, Setting::new(binary(), Power::Contains)).await;
    let scene = Opening::of_every_kind("uninstalled")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    let before = scene.workloads().await;
    scene.revoke().await;
    scene.quarantine_has("web", "Active=True/Contained").await;

    // While the policy would contain it again at once.
    upgrade("quarantine.enabled=true,quarantine.onUninstall=Restore").await;
    installation.goes().await;
    assert_eq!(scene.workloads().await, before);
    stage.operator(Operator::kill);

    let stage = Stage::set(cluster, Setting::new(binary(), Power::Contains)).await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    assert_eq!(scene.replicas().await, 0);

    // Switched off meanwhile, so that nobody could restore.
    stage.operator(Operator::kill);
    upgrade("quarantine.enabled=false,quarantine.onUninstall=Restore").await;
    let (removed, hook) = tokio::join!(installation.uninstall(), installation.play_kubelet());
    removed.expect_err("Helm heeds the hook");
    let said = String::from_utf8_lossy(&hook.stderr);
    assert!(
        said.contains(&format!("\n  {}/web\n", scene.namespace)),
        "{said}"
    );
    assert!(said.contains("charttrust restore --all"), "{said}");
    assert_eq!(scene.replicas().await, 0);
    let mut restore = tokio::process::Command::new(binary());
    restore
        .args(["restore", "--all", "--yes"])
        .env("KUBECONFIG", cluster.kubeconfig());
    let restored = restore.output().await.unwrap();
    assert!(restored.status.success(), "{restored:?}");
    assert_eq!(scene.workloads().await, before);
    installation.goes().await;
}
