//! Reports as people make them: into a file of their own, or for the next program.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::world::{Ends, Said, World};

async fn run(world: &World, line: &str) -> Said {
    let arguments: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    world.run(&arguments, Ends::Open).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_in_a_file_is_for_its_owner_and_nothing_is_written_to_the_cluster() {
    let world = World::new().await;
    world.contained("shop", "web");
    let said = run(&world, "report html --title west -o west.html").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.text, "");
    assert!(said.errors.contains("west.html is written"), "{said:?}");
    let path = world.folder.path().join("west.html");
    let page = std::fs::read_to_string(&path).unwrap();
    for part in [
        "<title>Trust of Helm releases: west</title>",
        "2 of 2 releases are trusted.",
        "shop/web",
        "a test",
        "ReleaseTrusts (2)",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("BEGIN PGP"), "no key material");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(world.cluster.writes().is_empty());
    let lost = run(&world, "report html -o no/such/folder.html").await;
    assert_eq!(lost.code, Some(2), "{lost:?}");
    assert!(
        lost.errors.contains("failed to write no/such/folder.html"),
        "{lost:?}"
    );
}

/// What others may read of a file that was there already is taken from them.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_over_a_file_that_all_may_read_is_for_its_owner_too() {
    let world = World::new().await;
    let path = world.folder.path().join("old.html");
    std::fs::write(&path, "old").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = run(&world, "report csv -o old.html").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&path).unwrap().contains("old"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_namespace_is_told_alone_and_that_it_is() {
    let world = World::new().await;
    let said = run(&world, "report json -n bank --since 2026-11-01").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let told: Value = serde_json::from_str(&said.text).unwrap();
    assert_eq!(told["schemaVersion"], 1);
    assert_eq!(told["about"]["namespace"], "bank");
    let names: Vec<_> = told["releases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["ledger"]);
    let signer = &told["signers"][0];
    assert_eq!(
        (&signer["name"], &signer["releases"][0]["release"]),
        (&json!("platform"), &json!("ledger"))
    );
    assert_eq!(told["history"]["since"], "2026-11-01T00:00:00Z");
    assert_eq!(
        told["history"]["changes"][0]["became"],
        "Trusted/SignatureVerified"
    );
    let mut missing = told["notChecked"].as_array().unwrap().iter();
    assert!(
        missing.any(|one| one["what"] == "Other namespaces"),
        "{told}"
    );
    let bad = run(&world, "report json --since yesterday").await;
    assert_eq!(bad.code, Some(2), "{bad:?}");
    assert!(bad.errors.contains("write it as 7d"), "{bad:?}");
}
