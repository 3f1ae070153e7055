//! What the kernel says of the processes of our Pods.

use std::path::PathBuf;

use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::eventually;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, SOON};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;

/// So many Pods run, each as the chart says: not root, without capabilities, and never to have any; with a filter of
/// system calls, a root that cannot be written, and a limit of memory.
pub(crate) async fn are_confined(cluster: &Cluster, count: usize) {
    let pods = Api::<Pod>::namespaced(cluster.client().await.unwrap(), OPERATOR_NAMESPACE);
    let told = format!("{count} Pods, all Ready, and as many processes");
    let processes = eventually(SOON, &told, async || {
        let pods = pods.list(&ListParams::default()).await;
        let pods = pods.map_err(|error| error.to_string())?.items;
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        let processes = processes();
        if (pods.len(), ready, processes.len()) == (count, count, count) {
            Ok(processes)
        } else {
            Err(format!("{} Pods, {ready} Ready: {processes:?}", pods.len()))
        }
    })
    .await;
    for process in processes {
        let status = std::fs::read_to_string(process.join("status")).unwrap();
        for line in [
            "Uid:\t65532\t65532\t65532\t65532",
            "Gid:\t65532\t65532\t65532\t65532",
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ] {
            assert!(status.contains(&format!("\n{line}\n")), "{line}: {status}");
        }
        let mounts = std::fs::read_to_string(process.join("mountinfo")).unwrap();
        let mut mounts = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        let root = mounts.find(|mount| mount[4] == "/").unwrap();
        assert!(root[5].split(',').any(|option| option == "ro"), "{root:?}");
        assert_eq!(limit(&process), "536870912", "of memory, in bytes");
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    ready.any(|condition| condition.status == "True")
}

/// Those of the image's program: no other process has it at this path.
fn processes() -> Vec<PathBuf> {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let all = all.map(|process| process.path());
    all.filter(|process| {
        let command = std::fs::read(process.join("cmdline")).unwrap_or_default();
        command.starts_with(b"/charttrust\0")
    })
    .collect()
}

/// How much memory a process may take, as its control group has it, of either version.
fn limit(process: &std::path::Path) -> String {
    let groups = std::fs::read_to_string(process.join("cgroup")).unwrap();
    let group = |mark: &str| {
        groups
            .lines()
            .find_map(|line| Some(line.split_once(mark)?.1.to_owned()))
    };
    let file = match group(":memory:") {
        Some(group) => format!("/sys/fs/cgroup/memory{group}/memory.limit_in_bytes"),
        None => format!("/sys/fs/cgroup{}/memory.max", group("0::").unwrap()),
    };
    std::fs::read_to_string(file).unwrap().trim().to_owned()
}
