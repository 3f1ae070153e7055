//! One target of `charttrust-targets` under libFuzzer: which one, `FUZZ_TARGET` says. With `FUZZ_SEEDS` it writes what
//! runs begin with into that folder, and ends.

#![no_main]

mod seeds;

use std::path::Path;
use std::sync::OnceLock;

use charttrust_targets::{Target, named};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

fn begin() {
    if let Some(folder) = std::env::var_os("FUZZ_SEEDS") {
        let written = seeds::write_all(Path::new(&folder));
        written.unwrap_or_else(|error| panic!("the seeds cannot be written: {error}"));
        std::process::exit(0);
    }
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = named(&name).unwrap_or_else(|| panic!("FUZZ_TARGET={name:?} is no target"));
    TARGET.get_or_init(|| found);
}

fuzz_target!(init: begin(), |bytes: &[u8]| {
    if let Some(target) = TARGET.get() {
        target.check(bytes);
    }
});
