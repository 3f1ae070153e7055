//! Whether `charttrust sign` signs what `helm package --sign` signs, for all charts below a folder: no cluster.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use charttrust_e2e::gpg::{Algorithm, Key, Keyring};
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::signing::unsigned_part;

use crate::Result;
use crate::gather::{Found, Packaged, Packager};
use crate::report::group;

/// What came of it.
#[derive(Debug, Default)]
pub struct Statements {
    /// Charts that were signed twice and came out the same, by Helm 3 and by Helm 4.
    pub same: [usize; 2],
    /// Whose they are.
    pub publishers: BTreeSet<String>,
    /// Sources that a Helm did not package, and why.
    pub not_packaged: Vec<(PathBuf, String)>,
    /// Charts that we do not sign, or of which what is signed differs, or whose signature Helm refuses, and how.
    pub different: Vec<(String, String)>,
}

impl Statements {
    /// Whether something was signed, and nothing differed.
    pub fn is_good(&self) -> bool {
        self.different.is_empty() && self.same.iter().all(|number| *number > 0)
    }
}

/// Packages all sources below a folder by each Helm, signed, and signs them once more by `binary`.
pub async fn statements(binary: &Path, folder: &Path) -> Result<Statements> {
    let mut told = Statements::default();
    let mut found = Found::below(folder)?;
    // What is packaged already says nothing about what Helm signs.
    found.forget_archives();
    for (number, version) in [Version::V3, Version::V4].into_iter().enumerate() {
        let helm = Helm::new(version)?;
        let keyring = Keyring::new()?;
        let key = keyring.key("publisher", Algorithm::Ed25519)?;
        let signer = keyring.signer(&key)?;
        let rows = tempfile::tempdir()?;
        let mut packager = Packager::new([&helm, &helm], (&keyring, &key, &signer), rows.path())?;
        let (charts, not_packaged) = packager.package(&found).await;
        told.not_packaged.extend(not_packaged);
        let ring = keyring.public_keyring()?;
        for chart in &charts {
            let by = (&keyring, &key, binary);
            match compare(chart, by).await? {
                None => match helm.verify(&chart.archive, &ring).await {
                    Ok(_) => told.same[number] += 1,
                    Err(error) => told.differs(chart, version, error.to_string()),
                },
                Some(how) => told.differs(chart, version, how),
            }
            told.publishers.insert(chart.publisher.clone());
        }
        eprintln!(
            "statements: {} of {version:?} are the same",
            told.same[number]
        );
    }
    Ok(told)
}

impl Statements {
    fn differs(&mut self, chart: &Packaged, version: Version, how: String) {
        let name = format!("{version:?} {} {}", chart.name, chart.version);
        eprintln!("statements: {name}: {how}");
        self.different.push((name, how));
    }
}

/// What differs between the file that Helm has signed and ours, which replaces it: everything counts but the
/// signature, its heads and escapes too.
async fn compare(
    chart: &Packaged,
    (keyring, key, binary): (&Keyring, &Key, &Path),
) -> Result<Option<String>> {
    let by_helm = unsigned_part(&chart.archive)?;
    let mut sign = tokio::process::Command::new(binary);
    sign.arg("sign")
        .arg(&chart.archive)
        .args(["--force", "--key", &key.fingerprint])
        .env("GNUPGHOME", keyring.home())
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output = sign.output().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Ok(Some(format!("is not signed: {}", said.trim())));
    }
    let own = unsigned_part(&chart.archive)?;
    if own == by_helm {
        return Ok(None);
    }
    let mut pairs = own.split('\n').zip(by_helm.split('\n'));
    let different = pairs.find(|(own, by_helm)| own != by_helm);
    Ok(Some(different.map_or_else(
        || format!("{} bytes, and Helm {}", own.len(), by_helm.len()),
        |(own, by_helm)| format!("{own:?}, and Helm {by_helm:?}"),
    )))
}

impl fmt::Display for Statements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        group(f, "Not packaged", &self.not_packaged, |path| {
            path.display().to_string()
        })?;
        group(f, "Signed otherwise", &self.different, Clone::clone)?;
        let [three, four] = self.same;
        let publishers = self.publishers.len();
        writeln!(
            f,
            "Signed alike, byte for byte, and verified by Helm: {three} by Helm 3, {four} by Helm 4, of {publishers} \
             publishers; otherwise: {}",
            self.different.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_signed_by_one_helm_and_a_difference_are_not_good() {
        let good = || Statements {
            same: [2, 1],
            ..Statements::default()
        };
        assert!(good().is_good());
        let none = Statements {
            same: [2, 0],
            ..good()
        };
        assert!(!none.is_good());
        let different = Statements {
            different: vec![("web".to_owned(), "\"a\", and Helm \"b\"".to_owned())],
            ..good()
        };
        assert!(!different.is_good());
        let told = different.to_string();
        assert!(
            told.contains("Signed otherwise: 1\n  \"a\", and Helm \"b\"\n    web\n"),
            "{told}"
        );
    }
}
