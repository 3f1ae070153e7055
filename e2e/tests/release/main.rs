//! What `make release` publishes, made of a stand-in for the program: the same bytes twice, verified by what is
//! published with it, and each part as those who read it expect.

mod chart;
mod image;
mod papers;
mod plugin;
mod script;
mod setup;

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use charttrust_e2e::gpg::{Algorithm, Keyring};
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::operator::binary;
use charttrust_e2e::page::{Desk, steps};
use charttrust_e2e::release::VERSION;
use charttrust_e2e::stage::{path, root};

use crate::setup::{Bench, CHART, files, hand_on, machine, made, output};

#[test]
fn two_releases_of_one_commit_are_the_same_byte_for_byte() {
    let bench = Bench::new();
    let copy = bench.path("another/place");
    copy_tree(&root(), &copy);
    let published = [
        "--image",
        "registry.example.com/team/charttrust",
        "--url",
        "https://example.com/v",
    ];
    let one = bench.release("one", &published);
    made(&one);
    let source = copy.to_string_lossy();
    let arguments = bench.arguments("two", &[&published[..], &["--source", &source]].concat());
    let temporary = bench.path("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let mut other = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_release");
    other
        .args(["-c", "umask 077 && exec \"$0\" \"$@\"", program])
        .args(arguments);
    other
        .current_dir(bench.path(""))
        .env("TMPDIR", temporary)
        .env("TZ", "Asia/Tokyo");
    made(&output(&mut other));
    let (one, two) = (files(&bench.path("one")), files(&bench.path("two")));
    assert!(one.len() > 30, "{:?}", one.keys());
    assert!(
        one.keys().eq(two.keys()),
        "{:?} {:?}",
        one.keys(),
        two.keys()
    );
    for (name, content) in &one {
        assert!(two[name] == *content, "{name} differs");
    }
    // Another time is another release, so that the comparison is of something.
    let three = bench.release("three", &["--epoch", "1700000000"]);
    made(&three);
    assert_ne!(files(&bench.path("three"))[CHART], one[CHART]);
}

/// All but what is built or kept by git, under other permissions and with other times.
fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (name, kind) = (entry.file_name(), entry.file_type().unwrap());
        if kind.is_dir() && !["target", ".git", "dist"].contains(&&*name.to_string_lossy()) {
            copy_tree(&entry.path(), &to.join(name));
        } else if kind.is_file() {
            let copy = to.join(name);
            std::fs::copy(entry.path(), &copy).unwrap();
            std::fs::set_permissions(copy, Permissions::from_mode(0o600)).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_believed_by_what_is_published_with_it() {
    let bench = Bench::new();
    let keyring = Keyring::new().unwrap();
    let (primary, subkey) = keyring
        .key_with_subkey("releases", Algorithm::Rsa4096)
        .unwrap();
    let url = [
        "--url",
        "https://example.com/v",
        "--image",
        "registry.example.com/charttrust",
    ];
    let signed = bench.release_by(&keyring, "dist", &[&url[..], &["--key", &subkey]].concat());
    let said = made(&signed);
    assert!(!said.contains("NOT IN IT"), "{said}");
    let dist = bench.path("dist");
    // A user has nothing but the folder, and the fingerprint of the primary key.
    let user = Keyring::new().unwrap();
    let public = std::fs::read_to_string(dist.join("signing-key.asc")).unwrap();
    user.import(&public).unwrap();
    let listed = user.gpg(&["--with-colons", "--list-keys"]).unwrap();
    assert!(
        String::from_utf8(listed)
            .unwrap()
            .contains(&primary.fingerprint)
    );
    let ring = user.public_keyring().unwrap();
    assert_eq!(believed(&dist, &user, &ring).await, [true; 5]);
    // Whoever changes a byte is found out by each who reads it.
    let archive = dist.join(CHART);
    let mut bytes = std::fs::read(&archive).unwrap();
    bytes.push(0);
    std::fs::write(&archive, bytes).unwrap();
    assert_eq!(
        believed(&dist, &user, &ring).await,
        [false, false, false, true, false]
    );
    let sums = dist.join("SHA256SUMS");
    let text = std::fs::read_to_string(&sums)
        .unwrap()
        .replacen('0', "1", 1);
    std::fs::write(&sums, text).unwrap();
    assert_eq!(believed(&dist, &user, &ring).await, [false; 5]);
}

/// By Helm 3, Helm 4 and charttrust, of the chart; by gpg, of the checksums; by them, of every file.
async fn believed(dist: &Path, user: &Keyring, ring: &Path) -> [bool; 5] {
    let at = |name: &str| dist.join(name).to_string_lossy().into_owned();
    let (archive, ring) = (at(CHART), ring.to_string_lossy());
    let mut helms = Vec::new();
    for version in [Version::V3, Version::V4] {
        let helm = Helm::new(version).unwrap();
        let verify = ["verify", &archive, "--keyring", &ring];
        helms.push(helm.run(&verify).await.is_ok());
    }
    let trusted = at("trusted-key.yaml");
    let verify = ["verify", &*archive, "--key", &trusted];
    let ours = output(Command::new(binary()).args(verify));
    let signature = ["--verify", &at("SHA256SUMS.asc"), &at("SHA256SUMS")].map(ToOwned::to_owned);
    let sums = ["--check", "--strict", "--quiet", "SHA256SUMS"];
    let sums = output(Command::new("sha256sum").args(sums).current_dir(dist));
    [
        helms[0],
        helms[1],
        ours.status.success(),
        user.gpg(&signature).is_ok(),
        sums.status.success(),
    ]
}

/// What the page says that users type, typed in a folder with a release.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_typed_as_it_stands_there() {
    let bench = Bench::new();
    let keyring = Keyring::new().unwrap();
    let (primary, subkey) = keyring
        .key_with_subkey("releases", Algorithm::Ed25519)
        .unwrap();
    made(&bench.release_by(&keyring, "dist", &["--key", &subkey]));
    let user = Keyring::new().unwrap();
    let desk = Desk::new(Path::new("/nonexistent"), &binary())
        .with_name(PRIMARY, &primary.fingerprint)
        .with_name("0.1.0", VERSION)
        .with_name("linux-amd64", &format!("linux-{}", machine()));
    for (name, content) in files(&bench.path("dist")) {
        let path = desk.folder().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    symlink(user.home(), desk.folder().join(".gnupg")).unwrap();
    let page = std::fs::read_to_string(path(PAGE)).unwrap();
    let steps = steps(&page);
    assert!(steps.len() >= 10, "{} commands", steps.len());
    desk.types_all(PAGE, &steps).await;
}

/// What the page says that is made is made, and nothing else.
#[test]
fn the_page_lists_every_file_and_every_variable() {
    let bench = Bench::new();
    let keyring = Keyring::new().unwrap();
    let key = keyring.key("releases", Algorithm::Ed25519).unwrap();
    let all = [
        "--image",
        "registry.example.com/charttrust",
        "--url",
        "https://example.com/v",
        "--key",
        &key.fingerprint,
    ];
    made(&bench.release_by(&keyring, "dist", &all));
    let page = std::fs::read_to_string(path(PAGE)).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    let quoted: Vec<_> = cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let mut listed: BTreeSet<_> = quoted
        .iter()
        .map(|name| {
            name.replace("linux-amd64", &format!("linux-{}", machine()))
                .replace("0.1.0", VERSION)
        })
        .collect();
    assert!(listed.remove("dist/"), "{listed:?}");
    for variable in ["KEY", "IMAGE", "URL", "BUILDER", "SOURCE_DATE_EPOCH"] {
        assert!(listed.remove(variable), "{variable}");
        let script = std::fs::read_to_string(path("e2e/release.sh")).unwrap();
        assert!(script.contains(&format!("${{{variable}:-")), "{variable}");
    }
    let there = files(&bench.path("dist")).into_keys();
    let there: BTreeSet<_> = there
        .map(|name| match name.split_once('/') {
            Some((folder, _)) => format!("{folder}/"),
            None => name,
        })
        .collect();
    assert_eq!(listed, there);
}

#[test]
fn what_is_left_out_is_said() {
    let bench = Bench::new();
    let said = made(&bench.release("dist", &[]));
    for part in ["IMAGE=", "KEY=", "URL="] {
        let lines = said.lines().filter(|line| line.contains(part));
        let all: Vec<_> = lines.collect();
        assert!(
            all.len() == 1 && all[0].starts_with("NOT IN IT: "),
            "{part}: {said}"
        );
    }
    let made = files(&bench.path("dist"));
    for name in [
        "charttrust.yaml",
        &*format!("{CHART}.prov"),
        "SHA256SUMS.asc",
        "signing-key.asc",
    ] {
        assert!(!made.contains_key(name), "{name}");
    }
    let listed = String::from_utf8(made["SHA256SUMS"].clone()).unwrap();
    let listed: Vec<_> = listed
        .lines()
        .map(|line| line.split_once("  ").unwrap().1)
        .collect();
    let there: Vec<_> = made.keys().filter(|name| *name != "SHA256SUMS").collect();
    assert_eq!(listed, there);
}

#[test]
fn what_cannot_be_released_is_refused_with_the_reason() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("there")).unwrap();
    let dynamic = binary().to_string_lossy().into_owned();
    let other = bench.stand_in("other", "puts(\"charttrust 0.0.1\")");
    // Believes nothing that it has signed.
    let doubts = bench.stand_in(
        "doubts",
        &format!("if (!strcmp(argv[1], \"verify\")) return 1; {}", hand_on()),
    );
    let (other, doubts) = (other.to_string_lossy(), doubts.to_string_lossy());
    let keyring = Keyring::new().unwrap();
    let key = keyring.key("releases", Algorithm::Ed25519).unwrap();
    for (arguments, reason) in [
        (vec!["--binary", &*dynamic], "needs a loader"),
        (vec!["--binary", "/etc/passwd"], "no program for Linux"),
        (
            vec!["--binary", &*other],
            "the binary says `charttrust 0.0.1`",
        ),
        (
            vec!["--binary", &*doubts, "--key", &key.fingerprint],
            "verify",
        ),
        (
            vec!["--secret", "/built/here"],
            "has the folder /built/here in it",
        ),
        (
            vec!["--key", "0000000000000000000000000000000000000000"],
            "gpg knows no key 0000",
        ),
        (
            vec!["--url", "http://example.com"],
            "write it as https://HOST/PATH",
        ),
        (
            vec!["--out", &*bench.path("there").to_string_lossy()],
            "failed to use",
        ),
    ] {
        let refused = bench.release_by(&keyring, "dist", &arguments);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(
            !refused.status.success() && said.contains(reason),
            "{arguments:?}: {said}"
        );
        assert!(!bench.path("dist/SHA256SUMS").exists(), "{arguments:?}");
        let _ = std::fs::remove_dir_all(bench.path("dist"));
    }
}

/// Of what differs from the commit nobody could tell what it is made of.
#[test]
fn sources_that_differ_from_the_commit_are_not_released() {
    let bench = Bench::new();
    let tree = bench.path("tree");
    std::fs::create_dir_all(tree.join("e2e")).unwrap();
    std::fs::copy(path("e2e/release.sh"), tree.join("e2e/release.sh")).unwrap();
    let mut init = Command::new("git");
    assert!(
        output(init.arg("init").arg("--quiet").arg(&tree))
            .status
            .success()
    );
    for which in [&[][..], &["twice"]] {
        let refused = output(Command::new(tree.join("e2e/release.sh")).args(which));
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(
            !refused.status.success() && said.contains("differ from the commit"),
            "{said}"
        );
    }
}

const PAGE: &str = "docs/releasing.md";
/// The fingerprint of the page.
const PRIMARY: &str = "272855BE2326D757EEFF53968847F310E4F26D44";
