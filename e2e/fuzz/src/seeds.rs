//! Writes what a run of the fuzzer begins with: for each target its seeds, in a folder of its name, a dictionary of
//! words out of them and the length of its longest input. Prints the names of the targets.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use charttrust_targets::{Target, all};

/// Of every target, below this folder.
pub(crate) fn write_all(folder: &Path) -> io::Result<()> {
    for target in all() {
        write(&target, folder)?;
        println!("{} {}", target.name, target.longest);
    }
    Ok(())
}

fn write(target: &Target, folder: &Path) -> io::Result<()> {
    let own = folder.join(target.name);
    std::fs::create_dir_all(&own)?;
    let mut words = BTreeSet::new();
    for (number, seed) in target.seeds().iter().enumerate() {
        std::fs::write(own.join(format!("seed-{number}")), seed)?;
        words.extend(of_text(seed));
    }
    let words: String = words.iter().map(|word| format!("\"{word}\"\n")).collect();
    std::fs::write(folder.join(format!("{}.dict", target.name)), words)
}

/// What a parser may compare with: words of some letters, with the mark before or behind them.
fn of_text(seed: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(seed);
    let is_of_word = |letter: char| letter.is_ascii_alphanumeric() || "-_./+".contains(letter);
    let words = text.split(|letter| !is_of_word(letter));
    let words = words.filter(|word| (2..=40).contains(&word.len()));
    // What is encoded is no word.
    let is_mixed = |word: &&str| word.len() < 20 || word.contains(['-', '.', '/']);
    words.filter(is_mixed).map(str::to_owned).take(400).collect()
}
