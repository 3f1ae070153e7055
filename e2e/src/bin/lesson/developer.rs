//! Lesson 1: a developer signs.

use crate::Result;
use crate::lab::{Lab, Task};

pub(crate) async fn tasks(lab: &Lab) -> Result<Vec<Task>> {
    let (shown, told) = lab.charttrust("key show team-news.asc").await?;
    let has_end = told.contains("ends 2");
    let (signed, _) = lab
        .charttrust("verify newsletter-0.3.1.tgz --key team-news.asc")
        .await?;
    let tampered = "verify tampered/newsletter-0.3.1.tgz --key team-news.asc";
    let (_, tampered) = lab.charttrust(tampered).await?;
    let index = lab.text("charts/index.yaml").unwrap_or_default();
    let is_beside = lab.text("charts/newsletter-0.3.1.tgz.prov").is_some();
    let key = lab.key("team-news").await?;
    let scope = key.as_ref().and_then(|key| key.spec.scope.as_ref());
    let charts = scope.and_then(|scope| scope.charts.as_deref());
    let is_scoped = charts.is_some_and(|charts| charts == ["newsletter"]);
    let is_listed = lab.lists("platform", "team-news").await?;
    let seen = lab.release("shop", "newsletter").await?;
    let is_proven = seen.word == "SignatureVerified" && seen.signer.contains("team-news");
    Ok(vec![
        Task::new(
            "A key of your own",
            "team-news.asc has to hold a key that may sign, and that ends: gpg --armor --export team-news > team-news.asc",
            shown == Some(0) && has_end,
        ),
        Task::new(
            "Sign what is released",
            "charttrust sign newsletter-0.3.1.tgz --key FINGERPRINT, of the key in team-news.asc",
            signed == Some(0),
        ),
        Task::new(
            "See what a signature is good for",
            "tampered/newsletter-0.3.1.tgz has to be another archive beside the same .prov, so that verify says DigestMismatch",
            tampered.contains("DigestMismatch"),
        ),
        Task::new(
            "Publish both files",
            "copy the archive and its .prov into charts/, and make the index anew",
            index.contains("newsletter-0.3.1.tgz") && is_beside && signed == Some(0),
        ),
        Task::new(
            "Have the key declared",
            "a TrustedKey team-news whose scope is the chart newsletter and nothing else, listed by the policy platform",
            is_scoped && is_listed,
        ),
        Task::new(
            "Roll it out",
            "helm4 upgrade newsletter, then kubectl get rtrust -n shop newsletter: SignatureVerified, by team-news",
            is_proven && seen.version == "0.3.1",
        ),
    ])
}
