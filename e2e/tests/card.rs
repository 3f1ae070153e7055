//! Charts that a token signs: the chapter of the page about it, typed as it stands there, with a PKCS#11 token in
//! software. Says *not run* where the packages for that are missing.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use charttrust_e2e::gpg::{Algorithm, Key, Keyring};
use charttrust_e2e::operator::binary;
use charttrust_e2e::page::{Desk, steps};
use charttrust_e2e::signing::Bench;
use charttrust_e2e::stage::path;

const PAGE: &str = "docs/keys.md";
const CHAPTER: &str = "\n## A token or an HSM\n";
/// The keygrips of the page.
const CHARTS: &str = "76039F72FCAD4968A93318BA8B789E1B77DC8028";
const BOARD: &str = "D6A83440656CD1E60C9076C178ED2D6F4CE461B8";

/// Of the token, and the passphrase of what lies beside it.
const PIN: &str = "482915";
const WRONG: &str = "000000";

/// What it takes, as Debian has it.
const NEEDED: [(&str, &str); 5] = [
    ("/usr/bin/gnupg-pkcs11-scd", "gnupg-pkcs11-scd"),
    ("/usr/bin/openssl", "openssl"),
    ("/usr/bin/pkcs11-tool", "opensc"),
    ("/usr/bin/softhsm2-util", "softhsm2"),
    (LIBRARY, "softhsm2"),
];
const LIBRARY: &str = "/usr/lib/softhsm/libsofthsm2.so";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_signs_is_believed_by_everybody() {
    let missing = NEEDED.iter().filter(|(file, _)| !Path::new(file).exists());
    let missing: Vec<_> = missing.map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        let missing = missing.join(" ");
        println!("NOT RUN: no chart was signed by a token: apt-get install {missing}");
        return;
    }
    let bench = Bench::new(Keyring::guarded(PIN).unwrap());
    let keyring = &bench.keyring;
    let desk = Desk::new(Path::new("/nonexistent"), &binary());
    desk.lays_gpg();
    symlink(keyring.home(), desk.folder().join(".gnupg")).unwrap();
    let daemon = make_token(desk.folder());
    let desk = desk.with_name(NEEDED[0].0, &daemon);
    let primary = keyring.key_with_subkey("platform-2026", Algorithm::Ed25519);
    let (primary, _) = primary.unwrap();

    let page = std::fs::read_to_string(path(PAGE)).unwrap();
    let (_, chapter) = page.split_once(CHAPTER).unwrap();
    let (chapter, _) = chapter.split_once("\n## ").unwrap();
    let steps = steps(chapter);
    let is_learning = |command: &str| command.starts_with("gpg-connect-agent ");
    let learns = steps.iter().position(|step| is_learning(&step.command));
    let (prepare, rest) = steps.split_at(learns.unwrap() + 1);
    assert!(rest.len() >= 5, "{steps:?}");
    desk.types_all(PAGE, prepare).await;
    let listed = desk.types(prepare.last().unwrap()).await;
    let grip = |name: &str| {
        let line = listed.lines().find(|line| line.contains(name));
        let grip = line.and_then(|line| line.split(' ').nth(2));
        grip.unwrap_or_else(|| panic!("{listed}")).to_owned()
    };
    let desk = desk
        .with_name(CHARTS, &grip("/CN=charts "))
        .with_name(BOARD, &grip("/CN=board "));
    desk.types_all(PAGE, rest).await;

    let subkey = fingerprints(keyring, "platform-2026").remove(2);
    let board = fingerprints(keyring, "release-board").remove(0);
    let alone = Key {
        fingerprint: board.clone(),
        user_id: "release-board".to_owned(),
    };
    for (chart, key, signer) in [("web", &primary, &subkey), ("api", &alone, &board)] {
        signs(&bench, chart, (key, signer)).await;
    }
}

/// The token asks for its PIN, and what it signs is believed; by a wrong one nothing is signed.
async fn signs(bench: &Bench, chart: &str, (key, signer): (&Key, &str)) {
    let keyring = &bench.keyring;
    let archive = bench.package(chart).await;
    bench.declare(key).await;
    for digest in ["sha256", "sha512"] {
        let sign = format!("sign {archive} --force --digest {digest} --key {signer}");
        // The session with the token ends, and it asks for the PIN again.
        keyring.agent("KILLAGENT").unwrap();
        let asked = keyring.asked();
        keyring.answer(PIN).unwrap();
        let said = String::from_utf8(bench.good(&sign).await).unwrap();
        let told = format!("signed by {signer} (RSA-2048/{})", digest.to_uppercase());
        assert!(said.contains(&told), "{said}");
        assert!(keyring.asked() > asked, "the token asks for its PIN");
        bench.is_believed(&archive).await;
    }
    std::fs::remove_file(bench.path(&format!("{archive}.prov"))).unwrap();
    keyring.agent("KILLAGENT").unwrap();
    keyring.answer(WRONG).unwrap();
    let refused = bench
        .charttrust(&format!("sign {archive} --key {signer}"))
        .await;
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(!bench.path(&format!("{archive}.prov")).exists());
    keyring.answer(PIN).unwrap();
}

/// A token with two RSA keys and the certificates from which gpg takes their public halves; and the daemon that finds
/// it there.
fn make_token(home: &Path) -> String {
    let settings = home.join("softhsm2.conf");
    std::fs::create_dir_all(home.join("tokens")).unwrap();
    let tokens = home.join("tokens");
    std::fs::write(
        &settings,
        format!("directories.tokendir = {}\n", tokens.display()),
    )
    .unwrap();
    let script = "
        set -e
        softhsm2-util --init-token --free --label hsm --pin $PIN --so-pin 1$PIN
        id=1
        for name in charts board; do
            openssl req -x509 -newkey rsa:2048 -nodes -keyout $name.key -out $name.crt -subj /CN=$name -days 30
            openssl pkcs8 -topk8 -nocrypt -in $name.key -out $name.p8
            openssl x509 -in $name.crt -outform der -out $name.der
            softhsm2-util --import $name.p8 --token hsm --label $name --id 0$id --pin $PIN
            pkcs11-tool --module $LIBRARY --login --pin $PIN --write-object $name.der --type cert --id 0$id --label $name
            rm $name.key $name.p8
            id=$((id + 1))
        done";
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(home);
    command.env("PIN", PIN).env("LIBRARY", LIBRARY);
    let output = command.env("SOFTHSM2_CONF", &settings).output().unwrap();
    assert!(output.status.success(), "{output:?}");

    let daemon = home.join("scd");
    let starts = format!(
        "#!/bin/sh\nSOFTHSM2_CONF={} exec {} \"$@\"\n",
        settings.display(),
        NEEDED[0].0
    );
    std::fs::write(&daemon, starts).unwrap();
    std::fs::set_permissions(&daemon, Permissions::from_mode(0o755)).unwrap();
    daemon.to_string_lossy().into_owned()
}

/// Of the primary key and its subkeys.
fn fingerprints(keyring: &Keyring, name: &str) -> Vec<String> {
    let listed = keyring
        .gpg(&["--with-colons", "--list-keys", name])
        .unwrap();
    let listed = String::from_utf8(listed).unwrap();
    let lines = listed.lines().filter(|line| line.starts_with("fpr:"));
    let all = lines.map(|line| line.split(':').nth(9).unwrap().to_owned());
    all.collect()
}
