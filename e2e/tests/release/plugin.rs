//! What people install to type commands: the archive that krew unpacks, completions and manual pages.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::process::Command;

use charttrust_e2e::release::VERSION;
use charttrust_verify::digest::Sha256Digest;
use serde_json::Value;

use crate::setup::{Bench, files, made, output, packed, unzipped};

/// As krew does: verifies the archive, moves what the manifest names, links the plugin, which then runs.
#[test]
fn krew_finds_everything_that_the_manifest_names() {
    let bench = Bench::new();
    made(&bench.release("dist", &["--url", "https://example.com/v0"]));
    let there = files(&bench.path("dist"));
    let manifest: Value = serde_saphyr::from_slice(&there["charttrust.yaml"]).unwrap();
    assert_eq!(
        manifest["apiVersion"],
        "krew.googlecontainertools.github.com/v1alpha2"
    );
    assert_eq!(
        (&manifest["kind"], &manifest["metadata"]["name"]),
        (&"Plugin".into(), &"charttrust".into())
    );
    let spec = &manifest["spec"];
    assert_eq!(spec["version"], format!("v{VERSION}"));
    let short = spec["shortDescription"].as_str().unwrap();
    assert!(
        short.len() <= 50 && !short.ends_with('.'),
        "krew wants a short line: {short}"
    );
    assert!(
        spec["description"]
            .as_str()
            .unwrap()
            .contains("\n\n  kubectl charttrust status\n")
    );
    let [platform] = spec["platforms"].as_array().unwrap().as_slice() else {
        panic!("{spec}");
    };
    assert_eq!(platform["selector"]["matchLabels"]["os"], "linux");
    let uri = platform["uri"].as_str().unwrap();
    let name = uri.strip_prefix("https://example.com/v0/").unwrap();
    let archive = &there[name];
    let digest = format!("sha256:{}", platform["sha256"].as_str().unwrap());
    assert_eq!(digest, Sha256Digest::of(archive).to_string());

    for (path, _, content) in packed(&unzipped(archive)) {
        let beside = there.get(&path).is_none_or(|file| *file == content);
        assert!(beside, "{path} is another in the archive");
    }
    let store = bench.path("store");
    std::fs::create_dir(&store).unwrap();
    let mut unpack = Command::new("tar");
    unpack.args(["-xf", &bench.path("dist").join(name).to_string_lossy()]);
    unpack.arg("-C").arg(&store);
    for file in platform["files"].as_array().unwrap() {
        assert_eq!(file["to"], ".");
        unpack.arg(file["from"].as_str().unwrap());
    }
    made(&output(&mut unpack));
    let program = store.join(platform["bin"].as_str().unwrap());
    let plugin = store.join("kubectl-charttrust");
    symlink(program, &plugin).unwrap();
    let usage = made(&output(Command::new(plugin).args(["why", "--help"])));
    assert!(usage.contains("Usage: kubectl charttrust why"), "{usage}");
}

#[test]
fn every_command_and_flag_has_its_manual_page() {
    let bench = Bench::new();
    made(&bench.release("dist", &[]));
    let mut pages = files(&bench.path("dist/man"));
    let mut definition = charttrust::cli::definition().disable_help_subcommand(true);
    definition.build();
    explained(&definition, &mut pages);
    assert!(pages.is_empty(), "of no command: {:?}", pages.keys());
}

/// Takes the page of a command, and of each below it.
fn explained(command: &clap::Command, pages: &mut BTreeMap<String, Vec<u8>>) {
    let name = format!(
        "{}.1",
        command.get_display_name().unwrap_or(command.get_name())
    );
    let page = pages
        .remove(&name)
        .unwrap_or_else(|| panic!("no page {name}"));
    let page = String::from_utf8(page).unwrap().replace("\\-", "-");
    for flag in command.get_arguments().filter(|flag| !flag.is_hide_set()) {
        if let Some(long) = flag.get_long() {
            assert!(page.contains(&format!("--{long}")), "{name} lacks --{long}");
        }
    }
    let above = command.get_about().unwrap().to_string();
    let first = above.split(['.', ',', '-', '`', '\'']).next().unwrap();
    assert!(page.contains(first), "{name} does not say: {above}");
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
    {
        explained(below, pages);
    }
}

#[test]
fn the_completions_are_scripts_that_know_the_commands() {
    let bench = Bench::new();
    made(&bench.release("dist", &[]));
    let there = files(&bench.path("dist/completions"));
    let begins = [
        ("_charttrust", "#compdef charttrust"),
        ("charttrust.bash", "complete -F _charttrust"),
        (
            "charttrust.elv",
            "edit:completion:arg-completer[charttrust]",
        ),
        ("charttrust.fish", "complete -c charttrust"),
        ("charttrust.ps1", "Register-ArgumentCompleter"),
    ];
    let names = begins.map(|(name, _)| name);
    assert!(there.keys().eq(&names), "{:?}", there.keys());
    for (name, of_shell) in begins {
        let script = String::from_utf8_lossy(&there[name]);
        for word in [of_shell, "quarantine", "allow-host", "completion"] {
            assert!(script.contains(word), "{name} does not have {word}");
        }
    }
    let bash = bench.path("dist/completions/charttrust.bash");
    let completed = made(&output(
        Command::new("bash").arg("-c").arg(COMPLETES).arg(&bash),
    ));
    assert_eq!(
        completed.split_whitespace().collect::<Vec<_>>(),
        ["export", "import", "rotate", "show", "status"]
    );
}

/// What bash offers after `charttrust key `, but for flags and `help`.
const COMPLETES: &str = "\
source \"$0\"
COMP_WORDS=(charttrust key '') COMP_CWORD=2
_charttrust charttrust '' key
printf '%s\\n' \"${COMPREPLY[@]}\" | grep -v -e '^-' -e '^help$' | sort
";
