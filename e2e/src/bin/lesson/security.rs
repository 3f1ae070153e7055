//! Lesson 3: a security engineer is on call, and a key is stolen.

use charttrust::api::trusted_key::RevocationReason;

use crate::Result;
use crate::lab::{Lab, Task};

pub(crate) async fn tasks(lab: &Lab) -> Result<Vec<Task>> {
    let at_risk = lab.text("at-risk.txt").unwrap_or_default();
    let names = |release: &str| at_risk.contains(release);
    let stolen = lab.key("platform-2027").await?;
    let revocation = stolen.and_then(|key| key.spec.revocation);
    let is_revoked = revocation.is_some_and(|one| one.reason == RevocationReason::Compromised);
    let was_contained = lab.was_contained("finance", "ledger").await?;
    let is_gone = lab.quarantine("finance", "ledger").await?.is_none();
    let is_declared = lab.key("platform-2028").await?.is_some();
    let is_listed = lab.lists("platform", "platform-2028").await?;
    let ledger = lab.release("finance", "ledger").await?;
    let is_proven = ledger.word == "SignatureVerified" && ledger.signer.contains("platform-2028");
    let report = lab.json("incident.json");
    let told = report["trusted"]["reason"] == "SignatureVerified" && report["release"] == "ledger";
    Ok(vec![
        Task::new(
            "Know what rests on the key",
            "charttrust key status platform-2027 > at-risk.txt: it has to name ledger, and no release of another key",
            names("ledger") && !names("search") && !names("forum"),
        ),
        Task::new(
            "Say that it is stolen",
            "charttrust revoke platform-2027 --reason Compromised --yes",
            is_revoked,
        ),
        Task::new(
            "Contain what cannot wait",
            "charttrust quarantine finance/ledger --reason '…' --yes, and wait until it is contained",
            was_contained,
        ),
        Task::new(
            "Make a new key, and have it listed",
            "a TrustedKey platform-2028, which the policy platform lists beside the stolen one",
            is_declared && is_listed,
        ),
        Task::new(
            "Roll out what the new key has signed",
            "sign ledger 3.0.1 by platform-2028, publish it, and upgrade: SignatureVerified",
            is_proven && ledger.version == "3.0.1",
        ),
        Task::new(
            "End the containment",
            "charttrust restore finance/ledger --yes",
            was_contained && is_gone,
        ),
        Task::new(
            "Write it down",
            "charttrust why finance/ledger -o json > incident.json, when it is trusted again",
            told,
        ),
    ])
}
