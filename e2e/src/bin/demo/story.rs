//! The story itself: what is typed, what is said about it, and what must come of it.

use charttrust_e2e::stage::Power;

use crate::Result;
use crate::screen::Screen;
use crate::setup::{Setup, seconds};

/// Says what is going to happen.
pub(crate) fn announce(screen: Screen) {
    screen.heading("charttrust: is the chart behind each running release still trusted, now?");
    screen.say(
        "Helm checks a signature once, on one machine, if somebody passes --verify. Nobody looks
again. charttrust keeps asking, for every release that runs, whoever installed it.

You will see six releases installed by real Helm 3 and Helm 4: some signed, one unsigned, one
tampered with, one signed by a stranger. Then a key is stolen. Lines that begin with $ are typed
into a real shell; what stands below them is what the programs answer.",
    );
}

/// Tells the story to its end, or fails where reality differs.
pub(crate) async fn tell(stage: &mut Setup) -> Result {
    make_keys(stage).await?;
    publish_charts(stage).await?;
    install_releases(stage).await?;
    install_operator(stage).await?;
    declare_trust(stage).await?;
    read_verdicts(stage).await?;
    revoke_a_key(stage).await?;
    find_the_way_forward(stage).await?;
    check_before_release(stage).await
}

async fn make_keys(stage: &Setup) -> Result {
    let Setup { screen, shell, .. } = stage;
    screen.heading("1. Keys");
    screen.say(
        "Three keys: an old and a new one of the platform team, and a stranger's. (Yours have a passphrase
or lie in a token; these are thrown away in a minute.)",
    );
    for key in ["platform-2026", "platform-2027", "stranger"] {
        let user_id = format!("{key} <{key}@example.com>");
        shell.run(&format!(
            "gpg --batch --quiet --passphrase '' --quick-generate-key '{user_id}' ed25519 sign 2y"
        ))
        .await?;
    }
    screen.say("Helm reads secret keys in the older format:");
    shell
        .run("gpg --batch --export-secret-keys > secret.gpg")
        .await?;
    Ok(())
}

async fn publish_charts(stage: &Setup) -> Result {
    let Setup {
        screen,
        shell,
        repository,
        ..
    } = stage;
    screen.heading("2. Charts");
    shell.run(
        "for chart in payments ledger search newsletter forum invoices; do helm4 create src/$chart; done",
    )
    .await?;
    screen.say("They are packaged into the folder that the chart repository serves, some signed:");
    for line in [
        "helm4 package src/payments --version 2.4.1 -d charts --sign --key platform-2026 --keyring secret.gpg",
        "helm3 package src/search --version 1.9.0 -d charts --sign --key platform-2026 --keyring secret.gpg",
        "helm4 package src/ledger --version 3.0.0 -d charts --sign --key platform-2027 --keyring secret.gpg",
        "helm3 package src/invoices --version 1.2.0 -d charts --sign --key platform-2027 --keyring secret.gpg",
        "helm4 package src/forum --version 0.7.0 -d charts --sign --key stranger --keyring secret.gpg",
        "helm3 package src/newsletter --version 0.3.0 -d charts",
    ] {
        shell.run(line).await?;
    }
    screen.say(
        "Somebody with access to the repository, but not to the key, puts another archive in the
place of the signed one. The signature beside it stays.",
    );
    shell
        .run("echo '# one line more' >> src/invoices/templates/deployment.yaml")
        .await?;
    shell
        .run("helm3 package src/invoices --version 1.2.0 -d charts")
        .await?;
    shell.run("helm4 repo index charts && ls charts").await?;
    screen.say(&format!("The repository answers at {}.", repository.url()));
    Ok(())
}

async fn install_releases(stage: &Setup) -> Result {
    let Setup {
        screen,
        shell,
        repository,
        ..
    } = stage;
    let url = repository.url();
    screen.heading("3. Releases");
    screen.say("Teams install what they need, some with Helm 3, some with Helm 4.");
    shell
        .run("kubectl create namespace shop; kubectl create namespace finance")
        .await?;
    for (helm, chart, namespace) in [
        ("helm4", "payments", "shop"),
        ("helm3", "search", "shop"),
        ("helm3", "newsletter", "shop"),
        ("helm4", "forum", "shop"),
        ("helm3", "invoices", "shop"),
        ("helm4", "ledger", "finance"),
    ] {
        shell
            .run(&format!(
                "{helm} install {chart} {chart} --repo {url} -n {namespace} | grep STATUS"
            ))
            .await?;
    }
    shell.run("helm4 list -A").await?;
    screen.say("All six are deployed, and nothing tells which of them anybody vouches for.");
    Ok(())
}

async fn install_operator(stage: &mut Setup) -> Result {
    stage.screen.heading("4. The operator");
    stage
        .shell
        .run("kubectl apply --server-side -f crds/ -f operator/install/rbac.yaml")
        .await?;
    stage
        .shell
        .quietly("kubectl wait --for=condition=Established -f crds/")
        .await?;
    stage.screen.say(
        "It runs as its own ServiceAccount, which may read releases and write nothing but its own
kinds and events. Addresses on loopback have to be allowed by name.",
    );
    stage.start_operator(Power::Reports).await?;
    let everything = SIX.map(|(release, _, _)| (release, "NoPolicy"));
    stage.expect(&everything).await?;
    stage.shell.run("kubectl get rtrust -A").await?;
    stage.screen.say(
        "It found every release by itself. Nothing is red on the first day: as long as nobody said
what is wanted, the answer is Unknown/NoPolicy.",
    );
    Ok(())
}

async fn declare_trust(stage: &Setup) -> Result {
    let Setup {
        screen,
        shell,
        repository,
        ..
    } = stage;
    screen.heading("5. Whom to trust");
    screen.say(
        "Keys are declared by name and pinned by fingerprint; a web page never decides who is trusted.
The file for platform-2027 looks the same. Nobody declares the stranger's key.",
    );
    for key in ["platform-2026", "platform-2027"] {
        let yaml = trusted_key(stage, key).await?;
        std::fs::write(shell.folder().join(format!("{key}.yaml")), yaml)?;
    }
    let policy = POLICY.replace("URL", &repository.url());
    std::fs::write(shell.folder().join("policy.yaml"), policy)?;
    shell.run("cat platform-2026.yaml").await?;
    shell.run("cat policy.yaml").await?;
    shell
        .run("kubectl apply -f platform-2026.yaml -f platform-2027.yaml -f policy.yaml")
        .await?;
    Ok(())
}

/// What a person writes by hand: the exported key and its fingerprint.
async fn trusted_key(stage: &Setup, name: &str) -> Result<String> {
    let list = format!("gpg --batch --with-colons --list-keys {name}");
    let listed = stage.shell.quietly(&list).await?;
    let line = listed.lines().find(|line| line.starts_with("fpr:"));
    let fingerprint = line
        .and_then(|line| line.split(':').nth(9))
        .ok_or("gpg lists no key")?;
    let armored = stage
        .shell
        .quietly(&format!("gpg --batch --armor --export {name}"))
        .await?;
    let indented = format!("      {}", armored.trim_end().replace('\n', "\n      "));
    Ok(KEY
        .replace("NAME", name)
        .replace("FINGERPRINT", fingerprint)
        .replace("ARMORED", indented.trim_end()))
}

async fn read_verdicts(stage: &Setup) -> Result {
    let Setup { screen, shell, .. } = stage;
    screen.heading("6. The verdicts");
    stage
        .expect(&SIX.map(|(release, before, _)| (release, before)))
        .await?;
    stage
        .expect_used(&[("platform-2026", 2), ("platform-2027", 2)])
        .await?;
    stage.expect_counted("platform", (3, 3)).await?;
    shell.run("kubectl get tkey").await?;
    shell.run("kubectl get ctp").await?;
    shell.run("kubectl get rtrust -A").await?;
    screen.say(
        "SignatureVerified  signed by a listed key, and the running release is what was signed
Unsigned           the repository has the chart, but no signature
SignerNotTrusted   signed, but by nobody whom the policy lists
DigestMismatch     the archive in the repository is not the one that was signed

Each verdict says why:",
    );
    shell.run(WHY).await?;
    Ok(())
}

async fn revoke_a_key(stage: &Setup) -> Result {
    let Setup {
        screen,
        shell,
        repository,
        ..
    } = stage;
    screen.heading("7. A key is stolen");
    screen.say(
        "The laptop with platform-2026 is gone. One change of one object says so. The dates in old
signatures do not help the key: whoever has it can write any date.",
    );
    let asked = repository.requests().len();
    let affected: Vec<_> = SIX
        .iter()
        .filter(|(_, before, after)| before != after)
        .map(|(release, _, _)| *release)
        .collect();
    let delay = stage
        .measure("platform-2026", &affected, "KeyCompromised")
        .await?;
    shell.run(
        r#"kubectl patch tkey platform-2026 --type merge -p '{"spec":{"revocation":{"reason":"Compromised"}}}'"#,
    )
    .await?;
    let delay = delay.await??;
    stage
        .expect(&SIX.map(|(release, _, after)| (release, after)))
        .await?;
    stage.expect_counted("platform", (1, 5)).await?;
    let asked = repository.requests().len() - asked;
    screen.say(&format!(
        "From the revocation to the last of {} changed verdicts, both as another client sees them: {}.
Requests to the chart repository meanwhile: {asked}. Taking trust away needs no download.
",
        affected.len(),
        seconds(delay),
    ));
    shell.run("kubectl get tkey").await?;
    shell.run("kubectl get rtrust -A").await?;
    screen.say(
        "Exactly the releases that rested on this key have changed; the one signed by platform-2027
has not. Everybody who watches the namespace is told:",
    );
    shell
        .run("kubectl get events -n shop --field-selector reason=KeyCompromised")
        .await?;
    Ok(())
}

async fn find_the_way_forward(stage: &Setup) -> Result {
    let Setup {
        screen,
        shell,
        repository,
        ..
    } = stage;
    screen.heading("8. The way forward");
    screen.say("The team signs a new version with the new key, and upgrades.");
    shell.run("helm4 package src/payments --version 2.4.2 -d charts --sign --key platform-2027 --keyring secret.gpg")
        .await?;
    shell.run("helm4 repo index charts").await?;
    let url = repository.url();
    shell
        .run(&format!(
            "helm4 upgrade payments payments --repo {url} -n shop | grep STATUS"
        ))
        .await?;
    let after = SIX.map(|(release, _, after)| match release {
        "shop/payments" => (release, "SignatureVerified"),
        _ => (release, after),
    });
    stage.expect(&after).await?;
    shell.run("kubectl get rtrust -n shop payments").await?;
    Ok(())
}

async fn check_before_release(stage: &Setup) -> Result {
    let Setup { screen, shell, .. } = stage;
    screen.heading("9. The same engine in CI");
    screen.say("Before a chart is published, by the same rules, without a cluster:");
    for (chart, code) in [("ledger-3.0.0", 0), ("forum-0.7.0", 1)] {
        let said = shell
            .run(&format!(
                "charttrust verify charts/{chart}.tgz --key platform-2027.yaml; echo exit code $?"
            ))
            .await?;
        if !said.trim_end().ends_with(&format!("exit code {code}")) {
            return Err(format!("charttrust verify {chart}: expected exit code {code}").into());
        }
    }
    Ok(())
}

/// Each release, its verdict before the key is revoked, and after.
const SIX: [(&str, &str, &str); 6] = [
    ("finance/ledger", "SignatureVerified", "SignatureVerified"),
    ("shop/forum", "SignerNotTrusted", "SignerNotTrusted"),
    ("shop/invoices", "DigestMismatch", "DigestMismatch"),
    ("shop/newsletter", "Unsigned", "Unsigned"),
    ("shop/payments", "SignatureVerified", "KeyCompromised"),
    ("shop/search", "SignatureVerified", "KeyCompromised"),
];

const WHY: &str = r#"kubectl get rtrust -n shop -o jsonpath='{range .items[*]}{.metadata.name}: {.status.conditions[?(@.type=="Trusted")].message}{"\n"}{end}'"#;

const KEY: &str = "\
apiVersion: charttrust.io/v1alpha1
kind: TrustedKey
metadata:
  name: NAME
spec:
  fingerprint: \"FINGERPRINT\"
  owner: Platform team
  publicKey:
    inline: |
ARMORED
";

const POLICY: &str = "\
apiVersion: charttrust.io/v1alpha1
kind: ChartTrustPolicy
metadata:
  name: platform
spec:
  rules:
    - name: everything
      charts: [\"*\"]
      sources:
        - url: URL
      verify:
        level: Strict      # integrity, signer, and the running release against the signed archive
        signers:
          keys: [platform-2026, platform-2027]
";
