//! Signatures that lie elsewhere than cosign puts them: with copies of a chart, and beside an archive over HTTP.

use charttrust::sources::{self, Asked, Signed};
use charttrust_e2e::charts::Chart;
use charttrust_e2e::registry::Kind;
use charttrust_e2e::repository::Repository;
use charttrust_e2e::sigstore::Version::{self, V2, V3};
use charttrust_verify::chart;
use charttrust_verify::limits::ArchiveLimits;

use crate::ours::{self, Judged};
use crate::setup::{Place, Signer, on_the_command_line, world};

/// A copy of the chart alone has no signatures; one with what refers to it has them, whatever its address.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_signed_if_its_signatures_are_copied() {
    let world = world().await;
    for kind in [Kind::Distribution, Kind::WithReferrers] {
        let place = Place::new(kind).await;
        let pushed = place.push("web").await;
        let words = [
            "sign",
            "-y",
            "--allow-http-registry",
            "--trusted-root",
            "{root}",
            "--identity-token",
            "{token}",
            "--signing-config",
            "{all}",
            &pushed.image,
        ];
        world.run(V3, &words, &[]).await.unwrap();
        let at = |folder: &str| format!("{}/{folder}/web:1.0.0", place.registry.host());
        let (from, alone, whole) = (at("charts"), at("alone"), at("whole"));
        let plain = ["--from-plain-http", "--to-plain-http"];
        place
            .oras(&[&["cp"], &plain[..], &[from.as_str(), alone.as_str()]].concat())
            .await;
        place
            .oras(
                &[
                    &["cp", "--recursive"],
                    &plain[..],
                    &[from.as_str(), whole.as_str()],
                ]
                .concat(),
            )
            .await;
        for (folder, word) in [("alone", "Unsigned"), ("whole", "ArchiveVerified")] {
            let copy = pushed.at(folder);
            let judged = ours::judged(&place.registry, &copy, &world.believed(Signer::Job)).await;
            assert_eq!(judged.word, word, "{kind:?} {folder} {judged:?}");
        }
    }
}

/// `COSIGN_REPOSITORY`: cosign puts signatures into another repository, where nobody is told to look.
#[tokio::test(flavor = "multi_thread")]
async fn signatures_in_another_repository_are_not_found() {
    let world = world().await;
    let place = Place::new(Kind::Distribution).await;
    let pushed = place.push("web").await;
    let other = format!("{}/signatures", place.registry.host());
    let private = world.key.private.to_string_lossy();
    let words = [
        "sign",
        "-y",
        "--allow-http-registry",
        "--key",
        &private,
        "--new-bundle-format=false",
        "--use-signing-config=false",
        "--tlog-upload=false",
        &pushed.image,
    ];
    let cosign = world.cosign(V3);
    cosign
        .run_with(&words, &[("COSIGN_REPOSITORY", &other)])
        .await
        .unwrap();
    let judged = ours::judged(&place.registry, &pushed, &world.believed(Signer::Key)).await;
    assert_eq!(judged.word, "Unsigned", "{judged:?}");
}

/// How an archive is signed, and what `cosign verify-blob` needs to be told.
struct Blob {
    name: &'static str,
    by: Version,
    signer: Signer,
    sign: &'static [&'static str],
    verify: &'static [&'static str],
}

const BLOBS: &[Blob] = &[
    Blob {
        name: "key",
        by: V3,
        signer: Signer::Key,
        sign: &["--signing-config", "{none}"],
        verify: &["--insecure-ignore-tlog"],
    },
    Blob {
        name: "key-logged",
        by: V3,
        signer: Signer::Key,
        sign: &["--signing-config", "{all}"],
        verify: &[],
    },
    Blob {
        name: "job",
        by: V3,
        signer: Signer::Job,
        sign: &["--signing-config", "{all}"],
        verify: &[],
    },
    Blob {
        name: "job-older-log",
        by: V3,
        signer: Signer::Job,
        sign: &["--signing-config", "{older}"],
        verify: &[],
    },
    Blob {
        name: "two-key",
        by: V2,
        signer: Signer::Key,
        sign: &["--new-bundle-format", "--signing-config", "{older}"],
        verify: &["--new-bundle-format"],
    },
    Blob {
        name: "two-job",
        by: V2,
        signer: Signer::Job,
        sign: &["--new-bundle-format", "--signing-config", "{older}"],
        verify: &["--new-bundle-format"],
    },
];

/// `<archive>.sigstore.json`, of a file on the command line and beside an archive over HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_beside_an_archive_is_worth_what_cosign_says() {
    let world = world().await;
    let repository = Repository::start().unwrap();
    for blob in BLOBS {
        let chart = world.package(blob.name).await;
        blob.is_signed_and_verified(&chart).await;
        let archive = chart.archive.to_string_lossy().into_owned();
        let (word, code) = on_the_command_line(&archive, blob.signer).await;
        assert_eq!((&*word, code), ("ArchiveVerified", 0), "{}", blob.name);

        let file = chart.archive.with_extension("tgz.sigstore.json");
        let name = file.file_name().unwrap().to_string_lossy();
        repository.publish(&world.helm, &chart).await.unwrap();
        repository
            .put(&name, std::fs::read(&file).unwrap())
            .unwrap();
        let judged = judged_over_http(&repository, &chart, blob.signer).await;
        assert_eq!(judged.word, "ArchiveVerified", "{} {judged:?}", blob.name);
    }
}

async fn judged_over_http(repository: &Repository, chart: &Chart, signer: Signer) -> Judged {
    let signed = Signed {
        chart: &chart.name,
        version: &chart.version,
        manifest: None,
    };
    let source = sources::Source::at(repository.url());
    let fetcher = ours::asking_at(&repository.host());
    let found = fetcher
        .signatures(&source, signed, Asked::now())
        .await
        .unwrap();
    let archive = std::fs::read(&chart.archive).unwrap();
    let archive = chart::read(&archive, &ArchiveLimits::default()).unwrap();
    let believed = world().await.believed(signer);
    ours::judged_with(&archive, ours::bundles(&found, None), &believed)
}

impl Blob {
    async fn is_signed_and_verified(&self, chart: &Chart) {
        let bundle = format!("{}.sigstore.json", chart.archive.display());
        let archive = chart.archive.to_string_lossy().into_owned();
        let known = ["--trusted-root", "{root}", "--bundle", &bundle];
        let archive = &[archive.as_str()][..];
        let (signs, believed) = (self.signer.signs(), self.signer.is_believed());
        let sign = [&["sign-blob", "-y"], &known[..], signs, self.sign, archive];
        let verify = [&["verify-blob"], &known[..], believed, self.verify, archive];
        for words in [sign.concat(), verify.concat()] {
            let ran = world().await.run(self.by, &words, &[]).await;
            ran.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        }
    }
}
