//! Helm's checks of metadata after loading (`pkg/chart/v2/metadata.go`, `Validate`).

use std::collections::HashSet;

use super::error::Damage;
use super::metadata::Metadata;
use crate::version::is_version;

/// Checks sanitised metadata.
///
/// # Errors
/// Fails where Helm refuses to load the chart.
pub(super) fn validate(metadata: &Metadata) -> Result<(), Damage> {
    let fault = if metadata.api_version.is_empty() {
        "apiVersion is missing"
    } else if metadata.name.is_empty() {
        "name is missing"
    } else if matches!(metadata.name.as_str(), "." | "..") || metadata.name.contains('/') {
        "name is not allowed"
    } else if !is_version(&metadata.version) {
        "version is missing or not a version"
    } else if !matches!(metadata.kind.as_str(), "" | "application" | "library") {
        "type is neither application nor library"
    } else {
        return dependencies(metadata);
    };
    Err(Damage::Metadata(fault))
}

fn dependencies(metadata: &Metadata) -> Result<(), Damage> {
    let mut names = HashSet::new();
    for dependency in &metadata.dependencies {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !dependency.alias.bytes().all(letter) {
            return Err(Damage::Metadata("an alias has disallowed characters"));
        }
        if !names.insert(dependency.alias_or_name()) {
            return Err(Damage::Metadata(
                "two dependencies have the same name or alias",
            ));
        }
    }
    Ok(())
}
