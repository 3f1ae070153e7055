//! Every form in which cosign publishes signatures of a chart, in both kinds of registries: what `cosign verify` says,
//! and what we say.

use charttrust_e2e::registry::Kind;
use charttrust_e2e::sigstore::Version::{self, V2, V3};

use crate::ours;
use crate::setup::{Place, Pushed, Signer, on_the_command_line, world};

/// A way to sign and to verify, and what comes of it.
pub(crate) struct Form {
    /// Name of the chart.
    pub(crate) name: &'static str,
    pub(crate) by: Version,
    pub(crate) signer: Signer,
    sign: &'static [&'static str],
    /// What `cosign verify` needs to be told besides whom to believe.
    verify: &'static [&'static str],
    says: Says,
    /// Our word.
    pub(crate) word: &'static str,
}

/// What `cosign verify` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Good,
    No,
}

const GOOD: &str = "ArchiveVerified";

pub(crate) const FORMS: &[Form] = &[
    // Bundles, which cosign 3 writes.
    Form {
        name: "key-bundle-alone",
        by: V3,
        signer: Signer::Key,
        sign: &["--signing-config", "{none}"],
        verify: &["--insecure-ignore-tlog"],
        says: Says::Good,
        word: GOOD,
    },
    Form {
        name: "key-bundle-alone-strict",
        by: V3,
        signer: Signer::Key,
        sign: &["--signing-config", "{none}"],
        verify: &[],
        says: Says::No,
        word: GOOD,
    },
    Form {
        name: "key-bundle",
        by: V3,
        signer: Signer::Key,
        sign: &["--signing-config", "{all}"],
        verify: &[],
        says: Says::Good,
        word: GOOD,
    },
    Form {
        name: "key-bundle-older-log",
        by: V3,
        signer: Signer::Key,
        sign: &["--signing-config", "{older}"],
        verify: &[],
        says: Says::Good,
        word: GOOD,
    },
    Form {
        name: "job-bundle",
        by: V3,
        signer: Signer::Job,
        sign: &["--signing-config", "{all}"],
        verify: &[],
        says: Says::Good,
        word: GOOD,
    },
    Form {
        name: "job-bundle-older-log",
        by: V3,
        signer: Signer::Job,
        sign: &["--signing-config", "{older}"],
        verify: &[],
        says: Says::Good,
        word: GOOD,
    },
    Form {
        name: "job-bundle-unlogged",
        by: V3,
        signer: Signer::Job,
        sign: &["--signing-config", "{unlogged}"],
        verify: &["--insecure-ignore-tlog", "--use-signed-timestamps"],
        says: Says::Good,
        word: "TransparencyMissing",
    },
    // `.sig` tags by cosign 3.
    Form {
        name: "key-sig-alone",
        by: V3,
        signer: Signer::Key,
        sign: &[
            "--new-bundle-format=false",
            "--use-signing-config=false",
            "--tlog-upload=false",
        ],
        verify: &["--insecure-ignore-tlog"],
        says: Says::Good,
        word: GOOD,
    },
    Form {
        name: "key-sig",
        by: V3,
        signer: Signer::Key,
        sign: &[
            "--new-bundle-format=false",
            "--use-signing-config=false",
            "--rekor-url",
            "{rekor1}",
        ],
        verify: &[],
        says: Says::Good,
        word: GOOD,
    },
    Form {
        name: "job-sig",
        by: V3,
        signer: Signer::Job,
        sign: &[
            "--new-bundle-format=false",
            "--use-signing-config=false",
            "--rekor-url",
            "{rekor1}",
            "--fulcio-url",
            "{fulcio}",
        ],
        verify: &[],
        says: Says::Good,
        word: GOOD,
    },
    // cosign 2.
    Form {
        name: "two-key-sig-alone",
        by: V2,
        signer: Signer::Key,
        sign: &["--tlog-upload=false"],
        verify: &["--insecure-ignore-tlog"],
        says: Says::Good,
        word: GOOD,
    },
    Form {
        name: "two-key-sig",
        by: V2,
        signer: Signer::Key,
        sign: &["--rekor-url", "{rekor1}"],
        verify: &[],
        says: Says::Good,
        word: GOOD,
    },
    Form {
        name: "two-job-sig",
        by: V2,
        signer: Signer::Job,
        sign: &["--rekor-url", "{rekor1}", "--fulcio-url", "{fulcio}"],
        verify: &[],
        says: Says::Good,
        word: GOOD,
    },
    Form {
        name: "two-job-sig-stamped",
        by: V2,
        signer: Signer::Job,
        sign: &[
            "--rekor-url",
            "{rekor1}",
            "--fulcio-url",
            "{fulcio}",
            "--timestamp-server-url",
            "{stamping}",
        ],
        verify: &["--use-signed-timestamps"],
        says: Says::Good,
        word: GOOD,
    },
    Form {
        name: "two-key-bundle",
        by: V2,
        signer: Signer::Key,
        sign: &["--new-bundle-format", "--signing-config", "{older}"],
        verify: &["--new-bundle-format"],
        says: Says::Good,
        word: GOOD,
    },
    Form {
        name: "two-job-bundle",
        by: V2,
        signer: Signer::Job,
        sign: &["--new-bundle-format", "--signing-config", "{older}"],
        verify: &["--new-bundle-format"],
        says: Says::Good,
        word: GOOD,
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_keeps_no_list_has_every_form() {
    every_form(Kind::Distribution).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_with_the_referrers_api_has_every_form() {
    every_form(Kind::WithReferrers).await;
}

async fn every_form(kind: Kind) {
    let place = Place::new(kind).await;
    let mut different = Vec::new();
    for form in FORMS {
        let pushed = place.push(form.name).await;
        let (said, told) = form.signed_and_verified(&pushed).await;
        let signers = world().await.believed(form.signer);
        let judged = ours::judged(&place.registry, &pushed, &signers).await;
        let reference = pushed.reference(&place.registry);
        let (told_by_us, _) = on_the_command_line(&reference, form.signer).await;
        let row = format!(
            "{:26} cosign {said:?}, we {} and {told_by_us}",
            form.name, judged.word
        );
        println!("{row}");
        let ours = [judged.word.as_str(), &told_by_us];
        if said != form.says || ours != [form.word; 2] {
            different.push(format!("{row}\n{told}\n{judged:?}"));
        }
    }
    assert!(different.is_empty(), "{kind:?}\n{}", different.join("\n\n"));
}

impl Form {
    /// Whether it is a form of its own, and not one that is verified otherwise.
    pub(crate) fn is_kept(&self) -> bool {
        self.name != "key-bundle-alone-strict"
    }

    pub(crate) async fn sign(&self, pushed: &Pushed) -> Result<String, String> {
        let by = self.signer.signs();
        // cosign 2 asks for a stamp of a log of certificates, which this Sigstore does not have.
        let unlogged = match (self.by, self.signer) {
            (V2, Signer::Job) => &["--insecure-skip-verify"][..],
            _ => &[],
        };
        let fixed = [
            "sign",
            "-y",
            "--allow-http-registry",
            "--trusted-root",
            "{root}",
        ];
        let words = [&fixed, by, unlogged, self.sign, &[pushed.image.as_str()]].concat();
        world().await.run(self.by, &words, &[]).await
    }

    async fn signed_and_verified(&self, pushed: &Pushed) -> (Says, String) {
        if let Err(error) = self.sign(pushed).await {
            return (Says::No, format!("it does not sign: {error}"));
        }
        let believed = self.signer.is_believed();
        let fixed = [
            "verify",
            "--allow-http-registry",
            "--trusted-root",
            "{root}",
        ];
        let words = [&fixed, believed, self.verify, &[pushed.image.as_str()]].concat();
        match world().await.run(self.by, &words, &[]).await {
            Ok(told) => (Says::Good, told),
            Err(error) => (Says::No, error),
        }
    }
}
