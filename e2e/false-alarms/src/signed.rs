//! Whether `charttrust sign` would sign what Helm has signed.

use std::path::Path;

use charttrust_verify::finding::error_chain;
use charttrust_verify::limits::ArchiveLimits;
use charttrust_verify::openpgp::parse_cleartext;
use charttrust_verify::statement;

use crate::Result;

/// The first line that differs between what is signed for an archive and what would be.
pub(super) fn difference(archive: &Path) -> Result<Option<String>> {
    let provenance = std::fs::read(format!("{}.prov", archive.display()))?;
    let by_helm = parse_cleartext(&provenance)?;
    let statement = statement::of(&std::fs::read(archive)?, &ArchiveLimits::default());
    let own = match statement {
        Ok(statement) => statement.text,
        Err(error) => return Ok(Some(error_chain(&error))),
    };
    let lines =
        |text: &str| -> Vec<String> { text.trim_end().split('\n').map(str::to_owned).collect() };
    let (own, by_helm) = (lines(&own), lines(by_helm.text()));
    let mut pairs = own.iter().zip(&by_helm);
    let different = pairs.find(|(own, by_helm)| own != by_helm);
    let different = different.map(|(own, by_helm)| format!("{own:?}, and Helm {by_helm:?}"));
    let longer = || (own.len() != by_helm.len()).then(|| format!("{} lines", own.len()));
    Ok(different.or_else(longer))
}
