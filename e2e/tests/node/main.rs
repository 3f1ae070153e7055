//! The page about a real node, typed as it stands there, on a node with Pods that run.

mod pods;
mod shop;

use std::os::unix::fs::symlink;
use std::time::Duration;

use charttrust_e2e::lasting;
use charttrust_e2e::node::Node;
use charttrust_e2e::operator::binary;
use charttrust_e2e::page::{Desk, Step, steps};
use charttrust_e2e::release::{Commit, VERSION, image};
use charttrust_e2e::stage::{kubectl, path, root};

use crate::shop::Shop;

const PAGE: &str = "docs/node.md";
/// The page with the command that installs.
const INSTALL: &str = "docs/install.md";

#[tokio::test(flavor = "multi_thread")]
async fn what_charttrust_does_on_a_real_node() {
    let node = Node::start().await.unwrap();
    let binary = binary();
    let program = std::fs::read(&binary).unwrap();
    let image = image(&program, &commit()).unwrap();
    let name = format!("charttrust:{VERSION}");
    node.push(&name, &image).await.unwrap();
    let kubeconfig = node.cluster().kubeconfig();
    let desk = Desk::new(kubeconfig, &binary);
    symlink(root().join("operator"), desk.folder().join("operator")).unwrap();

    let install = chapter("Install it");
    is_the_documented(&install[2].command);
    desk.types_all(PAGE, &install).await;
    pods::are_confined(node.cluster(), 2).await;
    desk.types_all(PAGE, &chapter("Upgrade it")).await;
    pods::are_confined(node.cluster(), 4).await;

    let shop = Shop::open(node.cluster(), desk.folder()).await;
    desk.types_all(PAGE, &chapter("At the door")).await;
    desk.types_all(PAGE, &chapter("The key was stolen")).await;
    let at_work = shop.addresses().await;
    shop.all_answer(&at_work).await;
    desk.types_all(PAGE, &chapter("Cut its network instead"))
        .await;
    // By address, so that it is not only the name that cannot be asked for.
    lasting(LONG, || shop.nobody_answers(&at_work))
        .await
        .unwrap();
    desk.types_all(PAGE, &chapter("Remove it")).await;
    assert_eq!(shop.addresses().await, at_work, "no Pod has ended");
    shop.all_answer(&at_work).await;
    let left = ["get", "networkpolicy,quarantine", "-A", "-o", "name"];
    assert_eq!(kubectl(kubeconfig, &left).await.unwrap(), "");
}

/// The page that says how to install has the same command, but for the ends of its lines.
fn is_the_documented(command: &str) {
    let page = std::fs::read_to_string(path(INSTALL)).unwrap();
    let page = page.replace("\\\n", " ");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(page.lines().any(|line| words(line) == command), "{command}");
}

/// The commands of a chapter of the page.
fn chapter(name: &str) -> Vec<Step> {
    let page = std::fs::read_to_string(path(PAGE)).unwrap();
    let (_, rest) = page.split_once(&format!("\n## {name}\n")).unwrap();
    let steps = steps(rest.split("\n## ").next().unwrap());
    assert!(steps.len() > 2, "{name}: {steps:?}");
    steps
}

/// Of no commit: the image is that of the program that was built last.
fn commit() -> Commit {
    Commit {
        id: "0".repeat(40),
        epoch: 0,
    }
}

/// How long nothing is let through before it counts as blocked.
const LONG: Duration = Duration::from_secs(5);
