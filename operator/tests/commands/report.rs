//! Reports as people make them: into a file of their own, or for the next program.

use std::os::unix::fs::PermissionsExt as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use charttrust::controllers::statements::{Envelope, of_pem, pem};
use charttrust_verify::seal::Seal;
use serde_json::{Value, json};

use crate::world::{Ends, Said, World, seal};

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

/// The releases that statements are about, each opened by our key.
fn about(said: &Said) -> Vec<String> {
    let lines = said
        .text
        .lines()
        .map(|line| serde_json::from_str::<Envelope>(line).unwrap());
    let key = seal().key_for_others().unwrap();
    let statements = lines.map(|one| serde_json::to_value(one.opened(&key).unwrap()).unwrap());
    let names = statements.map(|it| {
        let release = &it["subject"][0]["annotations"]["charttrust.io/release"];
        release.as_str().unwrap().to_owned()
    });
    names.collect()
}

/// Whoever may write ConfigMaps of the operator's namespace makes no statement, and none outlives what it was about.
#[tokio::test(flavor = "multi_thread")]
async fn only_statements_that_are_signed_and_still_true_are_printed() {
    let world = World::new().await;
    world.stated();
    let said = run(&world, "report vsa").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.errors, "");
    assert_eq!(about(&said), ["bank/ledger", "shop/web"]);
    let one = run(&world, "report vsa -n bank").await;
    assert_eq!(
        (one.code, about(&one)),
        (Some(0), vec!["bank/ledger".to_owned()])
    );
    let key = run(&world, "report key").await;
    assert_eq!(of_pem(&key.text), seal().key_for_others());
    let foreign = Seal::new(&[8; Seal::LENGTH]).key_for_others().unwrap();
    world.stated_by(&pem(&foreign));
    let said = run(&world, "report vsa -o all.jsonl").await;
    assert_eq!((said.code, said.text.as_str()), (Some(3), ""));
    assert_eq!(
        std::fs::read_to_string(world.folder.path().join("all.jsonl")).unwrap(),
        ""
    );
    assert!(world.cluster.writes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_not_true_any_more_or_of_another_release_is_not_printed() {
    let world = World::new().await;
    world.stated();
    let path = "/apis/charttrust.io/v1alpha1/namespaces/shop/releasetrusts/web";
    let good = world.cluster.find(path).unwrap();
    let mut bad = good.clone();
    let condition = &mut bad["status"]["conditions"][0];
    (condition["status"], condition["reason"]) = (json!("False"), json!("KeyCompromised"));
    bad["status"]["policies"][0]["reason"] = json!("KeyCompromised");
    let mut unknown = good.clone();
    let condition = &mut unknown["status"]["conditions"][0];
    (condition["status"], condition["reason"]) = (json!("Unknown"), json!("SourceUnavailable"));
    let other = world.config("charttrust-vsa-bank")["ledger"].clone();
    for (trust, entry, code, part) in [
        (&bad, None, 3, "no statement about shop/web that carries"),
        (&unknown, None, 0, "nothing is stated of 1 of the releases"),
        (
            &good,
            Some(json!("{}")),
            3,
            "no statement about shop/web that carries",
        ),
        (
            &good,
            Some(other),
            3,
            "no statement about shop/web that carries",
        ),
    ] {
        world.stated();
        world.cluster.put(path, trust.clone());
        if let Some(entry) = entry {
            world.config_map("charttrust-vsa-shop", &json!({"web": entry}));
        }
        let said = run(&world, "report vsa").await;
        assert_eq!(
            (said.code, about(&said)),
            (Some(code), vec!["bank/ledger".to_owned()])
        );
        assert!(said.errors.contains(part), "{said:?}");
    }
    assert!(world.cluster.writes().is_empty());
}

/// By nothing of ours: the bytes that DSSE has signed, and openssl.
#[tokio::test(flavor = "multi_thread")]
async fn openssl_finds_the_signature_of_a_statement_good() {
    let world = World::new().await;
    world.stated();
    let said = run(&world, "report vsa -n shop").await;
    let key = run(&world, "report key").await;
    let envelope: Value = serde_json::from_str(said.text.trim()).unwrap();
    let payload = BASE64_STANDARD
        .decode(envelope["payload"].as_str().unwrap())
        .unwrap();
    let signature = &envelope["signatures"][0]["sig"];
    let signature = BASE64_STANDARD.decode(signature.as_str().unwrap()).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = world.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let key = file("key.pem", key.text.as_bytes());
    let signature = file("signature", &signature);
    let verified = |payload: &[u8]| {
        let mut signed =
            format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len()).into_bytes();
        signed.extend(payload);
        let signed = file("signed", &signed);
        let mut openssl = std::process::Command::new("openssl");
        openssl
            .args(["dgst", "-sha256", "-verify"])
            .arg(&key)
            .arg("-signature")
            .arg(&signature);
        openssl.arg(signed).output()
    };
    let Ok(good) = verified(&payload) else {
        println!("NOT RUN: openssl is not installed");
        return;
    };
    assert!(good.status.success(), "{good:?}");
    let changed = String::from_utf8(payload)
        .unwrap()
        .replace("PASSED", "FAILED");
    assert!(!verified(changed.as_bytes()).unwrap().status.success());
}

/// Whoever may create releases and messages has a thousand of them, each as hostile and as long as it may be.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_hostile_releases_are_a_thousand_rows() {
    let world = World::new().await;
    let path = "/apis/charttrust.io/v1alpha1/namespaces/shop/releasetrusts";
    let good = world.cluster.find(&format!("{path}/web")).unwrap();
    let evil = "=cmd|'/C calc'!A0<script>alert(1)</script>\u{1b}]8;;https://evil\u{7}\u{202e}\r\n,\";--><svg onload=x>";
    let long = evil.repeat(10);
    for number in 0..1000 {
        let mut trust = good.clone();
        let name = format!("r{number:04}");
        trust["metadata"]["name"] = json!(name);
        trust["status"]["release"]["chart"] = json!(evil);
        trust["status"]["release"]["version"] = json!(evil);
        trust["status"]["signer"] = json!(evil);
        let condition = &mut trust["status"]["conditions"][0];
        condition["message"] = json!(long);
        if number % 2 == 0 {
            (condition["status"], condition["reason"]) = (json!("False"), json!("DigestMismatch"));
        }
        trust["status"]["policies"][0]["policy"] = json!(evil);
        world.cluster.put(&format!("{path}/{name}"), trust);
    }
    let page = run(&world, "report html").await;
    let csv = run(&world, "report csv").await;
    let told = run(&world, "report json").await;
    for said in [&page, &csv, &told] {
        assert_eq!(said.code, Some(0), "{}", said.errors);
        let is_bare = |text: &str| text.contains(['\u{1b}', '\u{7}', '\u{202e}']);
        assert!(!is_bare(&said.text) && !is_bare(&said.errors));
    }
    for number in [0, 999] {
        assert!(
            page.text.contains(&format!("shop/r{number:04}")),
            "{number}"
        );
    }
    for markup in ["<script", "<svg onload", "-->"] {
        assert!(!page.text.contains(markup), "{markup}");
    }
    assert_eq!(
        csv.text.matches("\r\n").count(),
        1003,
        "a head, and a row for each"
    );
    for cell in csv.text.split("\",\"") {
        assert!(!cell.trim_start_matches('"').starts_with('='), "{cell}");
    }
    let told: Value = serde_json::from_str(&told.text).unwrap();
    assert_eq!(told["releases"].as_array().unwrap().len(), 1002);
    assert_eq!(told["counts"]["untrusted"], 500);
}
