//! What commands learn from the operator's Lease: they promise nothing that it would refuse, and say when
//! what they show was last looked at.

use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::archive::packed;
use crate::world::{Ends, KEY, LEASE, Said, World};

const PREVIEW: &str = "quarantine --key platform --reason test --dry-run";

/// The leader tells this with its Lease.
fn tell(world: &World, annotations: &Value) {
    let mut lease = world.cluster.find(LEASE).unwrap();
    lease["metadata"]["annotations"] = annotations.clone();
    world.cluster.put(LEASE, lease);
}

fn containing(protected: &[&str]) -> Value {
    how(&json!({"enabled": true, "protected": protected}))
}

fn how(told: &Value) -> Value {
    json!({"charttrust.io/quarantine": told.to_string()})
}

async fn run(world: &World, line: &str) -> Said {
    let arguments: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    world.run(&arguments, Ends::Open).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_promises_nothing_that_the_operator_would_refuse() {
    let world = World::new().await;
    let all = ["kube-system", "charttrust-system"];

    tell(&world, &containing(&all));
    let both = run(&world, PREVIEW).await;
    assert_eq!(both.code, Some(0), "{both:?}");
    for promised in [
        "Deployment shop/web: stopped",
        "Deployment bank/ledger: stopped",
    ] {
        assert!(both.text.contains(promised), "{both:?}");
    }
    assert!(!both.text.contains("not checked"), "{both:?}");

    tell(
        &world,
        &containing(&["kube-system", "charttrust-system", "bank"]),
    );
    let one = run(&world, PREVIEW).await;
    assert_eq!(one.code, Some(1), "{one:?}");
    assert!(one.text.contains("Deployment shop/web: stopped"), "{one:?}");
    assert!(!one.text.contains("ledger"), "{one:?}");
    let refused = "bank/ledger: namespace bank is protected: the operator changes nothing there";
    assert!(one.errors.contains(refused), "{one:?}");
    let alone = run(&world, "quarantine bank/ledger --reason test --yes").await;
    assert_eq!(alone.code, Some(2), "{alone:?}");
    assert!(
        alone.errors.contains("namespace bank is protected"),
        "{alone:?}"
    );
    assert!(
        world.cluster.writes().is_empty(),
        "nothing is created in vain"
    );

    tell(&world, &how(&json!({"enabled": false, "protected": all})));
    let off = run(&world, PREVIEW).await;
    assert_eq!(off.code, Some(1), "{off:?}");
    assert!(
        off.text.contains("the operator runs without --quarantine"),
        "{off:?}"
    );
}

/// Each of these is protected by every operator, whatever its Lease tells.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_told_is_not_promised() {
    for own in ["shop", "charttrust-system"] {
        let world = World::new().await;
        let line =
            format!("quarantine shop/web --reason test --dry-run --operator-namespace {own}");
        let said = run(&world, &line).await;
        if own == "shop" {
            assert_eq!(said.code, Some(2), "{said:?}");
            assert!(
                said.errors.contains("namespace shop is protected"),
                "{said:?}"
            );
        } else {
            assert_eq!(said.code, Some(0), "{said:?}");
            let unchecked = "not checked whether the operator runs with --quarantine";
            assert!(said.text.contains(unchecked), "{said:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_says_when_it_was_last_looked_at() {
    let world = World::new().await;
    let unknown = run(&world, "status").await;
    let told = run(&world, "why shop/web").await;
    assert!(
        told.text
            .contains("Looked: not known: the operator tells of no look"),
        "{told:?}"
    );
    assert!(unknown.text.contains("LOOKED"), "{unknown:?}");

    let looked = json!({"policy": {"generation": 1, "since": "2026-01-02T03:04:00Z"}});
    tell(
        &world,
        &json!({"charttrust.io/looked-at": looked.to_string()}),
    );
    let all = run(&world, "status").await;
    let line = all.text.lines().find(|line| line.contains("web")).unwrap();
    let column = line.split_whitespace().nth(4).unwrap();
    assert!(column.ends_with('d'), "{line}");
    for line in ["status shop/web", "why shop/web"] {
        let one = run(&world, line).await;
        let since = "every source of its policies was asked at 2026-01-02T03:04:00Z or later";
        assert!(one.text.contains(since), "{one:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_tells_how_it_runs() {
    let world = World::new().await;
    world.cluster.remove(LEASE);
    let run_it = "run --metrics-addr 127.0.0.1:0 --health-addr 127.0.0.1:0 --quarantine \
                  --protect-namespace bank";
    let arguments: Vec<_> = run_it.split_whitespace().map(str::to_owned).collect();
    let leads = |world: &World| world.cluster.find(LEASE).is_some();
    let ended = world.until(leads, &arguments, Ends::Open).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // It may have judged them anew before it ended, and nothing in this world is sealed by it.
    world.releases();
    let said = run(&world, PREVIEW).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.errors.contains("namespace bank is protected"),
        "{said:?}"
    );
    assert!(!said.text.contains("not checked"), "{said:?}");
}

/// Says of a release what the operator has found.
fn found(world: &World, namespace: &str, name: &str, (status, reason): (&str, &str)) {
    let path = format!("/apis/charttrust.io/v1alpha1/namespaces/{namespace}/releasetrusts/{name}");
    let mut trust = world.cluster.find(&path).unwrap();
    trust["status"]["conditions"][0]["status"] = json!(status);
    trust["status"]["conditions"][0]["reason"] = json!(reason);
    trust["status"]["policies"][0]["reason"] = json!(reason);
    trust["status"]["signers"] = json!([]);
    world.cluster.put(&path, trust);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_pinned_unless_something_speaks_against_it() {
    let world = World::new().await;
    let digest = format!("sha256:{}", "a".repeat(64));
    let signed = run(&world, "pin").await;
    assert_eq!(signed.code, Some(0), "{signed:?}");
    assert_eq!(signed.text, "digests: []\n");
    for name in ["bank/ledger", "shop/web"] {
        let left = format!("{name}: needs no pin: it is signed (SignatureVerified)");
        assert!(signed.errors.contains(&left), "{signed:?}");
    }
    let named = run(&world, "pin shop/web").await;
    assert_eq!(named.code, Some(0), "{named:?}");
    for part in [&digest, "# shop/web, from https://charts.example.com"] {
        assert!(named.text.contains(part), "{named:?}");
    }

    found(&world, "shop", "web", ("False", "Unsigned"));
    found(&world, "bank", "ledger", ("False", "ContentMismatch"));
    let policy = run(&world, "pin --policy policy").await;
    assert_eq!(policy.code, Some(1), "{policy:?}");
    let pins = format!("- chart: web\n      digest: {digest}\n      version: \"1.0.0\"\n");
    assert!(policy.text.contains(&pins), "{policy:?}");
    assert!(!policy.text.contains("ledger"), "{policy:?}");
    for part in [
        "bank/ledger: not pinned: ContentMismatch, signs of tampering",
        "1 of 2 releases are pinned",
    ] {
        assert!(policy.errors.contains(part), "{policy:?}");
    }
    assert!(world.cluster.writes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_revoked_key_has_signed_is_not_pinned() {
    let world = World::new().await;
    let mut key = world.cluster.find(KEY).unwrap();
    key["spec"]["revocation"] = json!({"reason": "Compromised"});
    world.cluster.put(KEY, key);
    let named = run(&world, "pin shop/web").await;
    assert_eq!(named.code, Some(1), "{named:?}");
    assert_eq!(named.text, "digests: []\n");
    let why = "shop/web: not pinned: it is signed by TrustedKey platform, which is revoked";
    assert!(named.errors.contains(why), "{named:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_installation_has_no_fault_and_each_fault_is_named_with_the_next_step() {
    let world = World::new().await;
    world.installed();
    let sound = run(&world, "doctor").await;
    assert_eq!(sound.code, Some(0), "{sound:?}");
    for part in [
        "ok      server        Kubernetes v1.36.3",
        "ok      kinds         5 definitions, as this program has them",
        "ok      operator      Deployment charttrust: 2 of 2 replicas are ready",
        "ok      leader        charttrust-0 leads, and renews its Lease",
        "ok      its rights    the operator has all ",
        "ok      releases      2 are judged",
    ] {
        assert!(sound.text.contains(part), "{part}: {}", sound.text);
    }
    assert!(!sound.text.contains("unknown"), "{}", sound.text);
    assert!(world.cluster.writes().is_empty());

    world.cluster.deny("create events");
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/trustedkeys.charttrust.io";
    let mut definition = world.cluster.find(path).unwrap();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let fields = definition.pointer_mut(spec).unwrap();
    fields.as_object_mut().unwrap().remove("successor");
    world.cluster.put(path, definition);
    let line = "doctor -o json";
    let faulty = run(&world, line).await;
    assert_eq!(faulty.code, Some(1), "{faulty:?}");
    let told: Value = serde_json::from_str(&faulty.text).unwrap();
    assert_eq!(
        (&told["schemaVersion"], &told["state"]),
        (&json!(1), &json!("failed"))
    );
    let failed = told["checks"].as_array().unwrap().iter();
    let failed: Vec<_> = failed.filter(|one| one["state"] == "failed").collect();
    assert_eq!(failed.len(), 2, "{told}");
    let message = failed[0]["message"].as_str().unwrap();
    assert!(
        message.contains("what stands in spec.successor is dropped"),
        "{told}"
    );
    assert!(
        failed[0]["next"]
            .as_str()
            .unwrap()
            .contains("crds | kubectl apply"),
        "{told}"
    );
    assert_eq!(
        failed[1]["message"], "the operator may not create events",
        "{told}"
    );
}

/// Says of a release that this key is said to have signed it.
fn claimed(world: &World, fingerprint: &str) {
    found(world, "shop", "web", ("False", "SignerNotTrusted"));
    let path = "/apis/charttrust.io/v1alpha1/namespaces/shop/releasetrusts/web";
    let mut trust = world.cluster.find(path).unwrap();
    trust["status"]["signers"] = json!([{"fingerprint": fingerprint, "algorithm": "RSA/SHA512",
        "verified": false}]);
    world.cluster.put(path, trust);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_missing_are_named_with_who_wants_them() {
    let world = World::new().await;
    let before = run(&world, "status").await;
    assert!(!before.text.contains("MISSING KEY"), "{before:?}");
    claimed(&world, "42B32995B2558E96");
    let listed = run(&world, "status").await;
    assert_eq!(listed.code, Some(1), "{listed:?}");
    for part in [
        "MISSING KEY",
        "42B32995B2558E96   shop/web",
        "key import FILE --fingerprint",
    ] {
        assert!(listed.text.contains(part), "{listed:?}");
    }
    let one = run(&world, "status shop/web").await;
    assert!(
        one.text.contains("Missing:  key 42B32995B2558E96"),
        "{one:?}"
    );
    // One that is declared and cannot be used says so itself.
    let key = world.cluster.find(KEY).unwrap();
    claimed(&world, key["spec"]["fingerprint"].as_str().unwrap());
    let declared = run(&world, "status").await;
    assert!(!declared.text.contains("MISSING KEY"), "{declared:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_policy_would_change_is_told_and_not_done() {
    let world = World::new().await;
    let path = "/apis/charttrust.io/v1alpha1/charttrustpolicies/policy";
    let mut policy = world.cluster.find(path).unwrap();
    policy["spec"]["rules"][0]["verify"] = json!({});
    policy.as_object_mut().unwrap().remove("status");
    policy["metadata"] = json!({"name": "policy"});
    std::fs::write(world.folder.path().join("nobody.yaml"), policy.to_string()).unwrap();
    let seen = run(&world, "policy preview -f nobody.yaml").await;
    assert_eq!(seen.code, Some(1), "{seen:?}");
    let changes = "Policy policy changes: 2 verdicts in 2 namespaces would change, 0 stay";
    for part in [
        changes,
        "SignatureVerified   Untrusted/SignerNotTrusted   all",
    ] {
        assert!(seen.text.contains(part), "{part}: {}", seen.text);
    }
    policy["metadata"] = json!({});
    std::fs::write(
        world.folder.path().join("nameless.yaml"),
        policy.to_string(),
    )
    .unwrap();
    let nameless = run(&world, "policy preview -f nameless.yaml").await;
    assert_eq!(nameless.code, Some(2), "{nameless:?}");
    policy["metadata"] = json!({"name": "policy"});
    policy["spec"]["rules"][0]["sources"] = json!([{"url": "https://other.example.com"}]);
    std::fs::write(world.folder.path().join("other.yaml"), policy.to_string()).unwrap();
    let pending = run(&world, "policy preview -f other.yaml").await;
    assert_eq!(pending.code, Some(3), "{pending:?}");
    assert!(
        pending.text.contains("Pending: a source of the rule"),
        "{pending:?}"
    );
    assert!(world.cluster.writes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_lists_who_has_signed_and_pins_what_nobody_has() {
    let world = World::new().await;
    found(&world, "shop", "web", ("False", "Unsigned"));
    let draft = run(&world, "policy init --name first").await;
    assert_eq!(draft.code, Some(0), "{draft:?}");
    let policy: Value = serde_saphyr::from_str(&draft.text).unwrap();
    let rules = &policy["spec"]["rules"];
    assert_eq!(policy["metadata"]["name"], "first");
    assert_eq!(
        (&rules[0]["name"], &rules[0]["charts"]),
        (&json!("signed"), &json!(["ledger"]))
    );
    assert_eq!(
        rules[0]["verify"]["signers"]["keys"],
        json!(["platform"]),
        "{policy}"
    );
    assert_eq!(
        (&rules[1]["name"], &rules[1]["charts"]),
        (&json!("pinned"), &json!(["web"]))
    );
    assert_eq!(rules[1]["digests"][0]["version"], "1.0.0", "{policy}");
    std::fs::write(world.folder.path().join("first.yaml"), &draft.text).unwrap();
    let seen = run(&world, "policy preview -f first.yaml").await;
    assert!(seen.text.contains("Policy first is new"), "{seen:?}");

    found(&world, "shop", "web", ("False", "ContentMismatch"));
    let worse = run(&world, "policy init").await;
    assert_eq!(worse.code, Some(1), "{worse:?}");
    assert!(!worse.text.contains("digests"), "{worse:?}");
    assert!(
        worse
            .errors
            .contains("shop/web: not pinned: ContentMismatch"),
        "{worse:?}"
    );
}

/// An address never decides who is trusted, and is asked through the guard.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_imported_from_an_address_only_with_its_fingerprint() {
    let world = World::new().await;
    world.lay_chart();
    let server = MockServer::start().await;
    let serve = async |at: &str, body: Vec<u8>| {
        let answer = ResponseTemplate::new(200).set_body_bytes(body);
        Mock::given(path(at))
            .respond_with(answer)
            .mount(&server)
            .await;
    };
    let key = std::fs::read(world.folder.path().join("key.gpg")).unwrap();
    serve("/key.gpg", key).await;
    serve("/page", b"<html>".to_vec()).await;
    let (own, other) = ("5E615389B53CA37F0EE60BD3843BBF981FC18762", "0".repeat(40));
    let host = server.address();
    let import = |at: &str, fingerprint: &str, more: &str| {
        format!("key import http://{host}{at} --fingerprint {fingerprint} {more}")
    };
    let allowed = format!("--allow-host {host}");
    let good = run(&world, &import("/key.gpg", own, &allowed)).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    let object: Value = serde_saphyr::from_str(&good.text).unwrap();
    assert_eq!(object["metadata"]["name"], "key-843bbf981fc18762");
    assert_eq!(object["spec"]["fingerprint"], own);
    assert!(
        good.errors.contains("Charts:   could vouch for one"),
        "{good:?}"
    );
    for (line, code, part) in [
        (
            import("/key.gpg", &other, &allowed),
            2,
            "none of the keys has the primary fingerprint",
        ),
        (import("/page", own, &allowed), 3, "it is HTML"),
        (import("/gone", own, &allowed), 3, "404"),
        (import("/key.gpg", own, ""), 3, "--allow-host"),
    ] {
        let refused = run(&world, &line).await;
        assert_eq!(refused.code, Some(code), "{refused:?}");
        assert!(
            refused.text.is_empty() && refused.errors.contains(part),
            "{part}: {refused:?}"
        );
    }
    assert_eq!(world.cluster.requests(), 0);
}

/// What Artifact Hub shows beside a chart is where the key is, and no more than that.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_that_an_archive_names_is_imported_if_its_owner_says_the_same() {
    let world = World::new().await;
    world.lay_chart();
    let key = std::fs::read(world.folder.path().join("key.gpg")).unwrap();
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_bytes(key);
    Mock::given(path("/key"))
        .respond_with(answer)
        .mount(&server)
        .await;
    let (own, other) = ("5E615389B53CA37F0EE60BD3843BBF981FC18762", "0".repeat(40));
    let host = server.address();
    let chart = |fingerprint: &str| {
        let head = "apiVersion: v2\nname: c\nversion: 1.0.0\n";
        packed(
            "c",
            &format!(
                "{head}annotations:\n  artifacthub.io/signKey: |\n    fingerprint: {fingerprint}\n    \
             url: http://{host}/key\n"
            ),
        )
    };
    let lay = |name: &str, bytes: Vec<u8>| {
        std::fs::write(world.folder.path().join(name), bytes).unwrap();
    };
    lay("own.tgz", chart(own));
    lay("other.tgz", chart(&other));
    lay(
        "bare.tgz",
        packed("c", "apiVersion: v2\nname: c\nversion: 1.0.0\n"),
    );
    let import = |archive: &str| {
        format!("key import --sign-key {archive} --fingerprint {own} --allow-host {host}")
    };
    let good = run(&world, &import("own.tgz")).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(good.text.contains("kind: TrustedKey"), "{good:?}");
    for (archive, part) in [
        ("other.tgz", "ask the owner which is right"),
        ("bare.tgz", "has no annotation artifacthub.io/signKey"),
        ("typo.tgz", "No such file"),
    ] {
        let refused = run(&world, &import(archive)).await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.errors.contains(part), "{part}: {refused:?}");
    }
}

/// A pipeline has signed `shop/web` beside the key, and is declared, or not.
fn signed_by_pipeline(world: &World, declared: Option<&Value>) {
    let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let (issuer, subject) = ("https://issuer.example.com", "release@example.com");
    if let Some(spec) = declared {
        let mut whole = json!({"issuer": issuer, "subject": {"exact": subject}});
        json_patch::merge(&mut whole, spec);
        let path = "/apis/charttrust.io/v1alpha1/trustedidentities/release";
        let object = json!({"apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedIdentity",
            "metadata": {"name": "release", "generation": 1}, "spec": whole,
            "status": {"observedGeneration": 1, "state": "Active"}});
        world.cluster.put(path, object);
    }
    let record = json!({
        "signer": {"identity": {"issuer": issuer, "subject": subject, "notBefore": "2026-11-02T12:00:00Z",
            "notAfter": "2026-11-02T12:10:00Z", "certificate": digest("c")}},
        "kind": "artifact", "artifact": digest("a"),
        "times": [{"at": "2026-11-02T12:00:04Z", "by": "Log"}],
        "logs": [{"log": digest("1"), "index": 7}],
    });
    let path = "/apis/charttrust.io/v1alpha1/namespaces/shop/releasetrusts/web";
    let mut trust = world.cluster.find(path).unwrap();
    let status = &mut trust["status"];
    status["evidence"]["sources"][0]["bundles"] =
        json!({"signatures": [{"digest": digest("b"), "record": record.to_string()}]});
    status["signers"].as_array_mut().unwrap().push(json!({
        "fingerprint": "", "issuer": issuer, "subject": subject, "algorithm": "Sigstore", "verified": true,
        "signedAt": "2026-11-02T12:00:04Z", "bundle": digest("b"),
    }));
    world.cluster.put(path, trust);
}

fn window() -> Value {
    json!({"revocation": {"reason": "Compromised",
        "windows": [{"from": "2026-11-02T11:00:00Z", "until": "2026-11-02T13:00:00Z"}]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pipeline_has_signed_is_told_as_what_a_key_has() {
    let world = World::new().await;
    signed_by_pipeline(&world, Some(&json!({})));
    let why = run(&world, "why shop/web").await;
    assert_eq!(why.code, Some(0), "{why:?}");
    for part in [
        "release@example.com (issuer https://issuer.example.com; TrustedIdentity release), Sigstore, proven to exist at \
         2026-11-02T12:00:04Z by a transparency log, entry 7 of log 111111111111: holds",
        "TrustedIdentity release: Active, ends never",
    ] {
        assert!(why.text.contains(part), "{part}: {}", why.text);
    }
    let status = run(&world, "key status --identity release").await;
    assert_eq!(status.code, Some(0), "{status:?}");
    let row = "shop        web       web-1.0.0   2026-11-02T12:00:04Z   no";
    assert!(status.text.contains(row), "{status:?}");
    assert!(!status.text.contains("ledger"), "{status:?}");
    let draft = run(&world, "policy init").await;
    assert!(
        draft.text.contains("identities:\n        - release\n"),
        "{draft:?}"
    );
    let missing = run(&world, "key status --identity typo").await;
    assert_eq!(missing.code, Some(2), "{missing:?}");
    let said = "there is no TrustedIdentity typo: kubectl get tid lists them";
    assert!(missing.errors.contains(said), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pipeline_has_signed_while_it_was_not_its_owners_is_not_pinned_or_drafted() {
    let world = World::new().await;
    signed_by_pipeline(&world, Some(&window()));
    let status = run(&world, "key status --identity release").await;
    assert_eq!(status.code, Some(1), "{status:?}");
    assert!(
        status.text.contains("Next:     sign anew what is void"),
        "{status:?}"
    );
    let pin = run(&world, "pin shop/web").await;
    assert_eq!(pin.code, Some(1), "{pin:?}");
    let why =
        "shop/web: not pinned: it is signed by TrustedIdentity release: KeyCompromised: signed by";
    assert!(pin.errors.contains(why), "{pin:?}");
    let draft = run(&world, "policy init").await;
    assert!(!draft.text.contains("identities:"), "{draft:?}");

    let world = World::new().await;
    signed_by_pipeline(&world, None);
    let draft = run(&world, "policy init").await;
    let line = "#   spec: {issuer: \"https://issuer.example.com\", subject: {exact: \"release@example.com\"}}   # web\n";
    assert!(
        draft.text.contains(line) && !draft.text.contains("identities:"),
        "{draft:?}"
    );
}
