//! The manifest by which krew installs the plugin `kubectl charttrust`.

use serde_json::{Value, json};

use super::binary::Machine;
use super::{SENTENCE, VERSION};

/// The manifest for the archive of this name and digest below an address.
pub(super) fn manifest(machine: Machine, url: &str, name: &str, digest: &str) -> Value {
    json!({
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "charttrust"},
        "spec": {
            "version": format!("v{VERSION}"),
            "homepage": url,
            "shortDescription": SENTENCE.trim_end_matches('.'),
            "description": DESCRIPTION,
            "caveats": CAVEATS,
            "platforms": [{
                "selector": {"matchLabels": {"os": "linux", "arch": machine.name()}},
                "uri": format!("{url}/{name}"),
                "sha256": digest.trim_start_matches("sha256:"),
                "files": [{"from": "charttrust", "to": "."}, {"from": "LICENSE", "to": "."}],
                "bin": "charttrust",
            }],
        },
    })
}

const DESCRIPTION: &str = "\
Tells whether the charts behind the Helm releases of a cluster are still
trusted, and why: keys and policies are declared, every release is matched
with the signed archive it came from, and judged again when a key is revoked.

  kubectl charttrust status
  kubectl charttrust why shop/payments
  kubectl charttrust verify payments-2.4.1.tgz --key platform.yaml
";
const CAVEATS: &str = "\
`status`, `why`, `revoke` and `quarantine` ask the operator's objects:
install the chart `charttrust` into the cluster first. `verify`, `sign`,
`key` and `explain` need no cluster.
";
