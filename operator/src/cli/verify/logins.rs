//! Logins to registries, where Helm and Docker keep them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::inputs::{self, Contents, Kind, UsageError};
use crate::cli::screen::{self, plain};
use crate::sources::{Credentials, Helper, NoLogin, docker_login};

/// The login for a source, from the first file that has one, in Helm's order.
///
/// # Errors
/// If one of the files cannot be used: nobody knows what it was to say.
pub(super) fn find(source: &str) -> Result<Option<Credentials>, UsageError> {
    for path in files(|name| std::env::var_os(name)) {
        if !path.exists() {
            continue;
        }
        let config = match inputs::read(&path, Kind::Logins)? {
            Contents::Whole(config) => zeroize::Zeroizing::new(config),
            Contents::TooLarge(message, _) => return Err(UsageError::TooLarge(message)),
        };
        match docker_login(&config, source) {
            Ok(login) => return Ok(Some(login)),
            Err(why @ NoLogin::Unreadable) => return Err(unusable(&path, &why)),
            Err(why) => tell(&path, &why),
        }
    }
    Ok(None)
}

/// Where Helm looks: its own file, then Docker's.
fn files(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let set = |name| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = || set("HOME");
    let config = || match set("XDG_CONFIG_HOME") {
        Some(folder) => Some(folder.join("helm")),
        None if cfg!(target_os = "macos") => Some(home()?.join("Library/Preferences/helm")),
        None => Some(home()?.join(".config/helm")),
    };
    let of_helm = || {
        Some(
            set("HELM_CONFIG_HOME")
                .or_else(config)?
                .join("registry/config.json"),
        )
    };
    let of_docker = || {
        Some(
            set("DOCKER_CONFIG")
                .or_else(|| Some(home()?.join(".docker")))?
                .join("config.json"),
        )
    };
    [set("HELM_REGISTRY_CONFIG").or_else(of_helm), of_docker()]
        .into_iter()
        .flatten()
        .collect()
}

/// That there is a login which is not used would be a riddle otherwise.
fn tell(path: &Path, why: &NoLogin) {
    let (NoLogin::Empty(helper) | NoLogin::NoEntries(helper) | NoLogin::NoEntry { helper, .. }) =
        why
    else {
        return;
    };
    if *helper == Helper::Named {
        let path = plain(&path.display().to_string());
        screen::tell(&format!(
            "{path} {why}; where that matters, fetch with helm pull --prov, and name the file\n"
        ));
    }
}

fn unusable(path: &Path, why: &NoLogin) -> UsageError {
    UsageError::Unusable {
        path: path.display().to_string(),
        problem: format!("it holds no logins to registries: it {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(set: &[(&str, &str)]) -> Vec<String> {
        let variable = |name: &str| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let files = files(variable);
        files
            .iter()
            .map(|path| path.display().to_string())
            .collect()
    }

    #[test]
    fn logins_are_looked_for_where_helm_does_and_in_its_order() {
        let home = ("HOME", "/h");
        let docker = "/h/.docker/config.json";
        for (set, expected) in [
            (&[][..], &[][..]),
            (
                &[("HELM_REGISTRY_CONFIG", "/r.json"), home],
                &["/r.json", docker],
            ),
            (
                &[("HELM_CONFIG_HOME", "/c"), ("XDG_CONFIG_HOME", "/x"), home],
                &["/c/registry/config.json", docker],
            ),
            (
                &[("XDG_CONFIG_HOME", "/x"), ("DOCKER_CONFIG", "/d"), home],
                &["/x/helm/registry/config.json", "/d/config.json"],
            ),
            (
                &[
                    ("HELM_REGISTRY_CONFIG", ""),
                    ("XDG_CONFIG_HOME", "/x"),
                    home,
                ],
                &["/x/helm/registry/config.json", docker],
            ),
        ] {
            assert_eq!(found(set), expected, "{set:?}");
        }
        let own = if cfg!(target_os = "macos") {
            "/h/Library/Preferences/helm/registry/config.json"
        } else {
            "/h/.config/helm/registry/config.json"
        };
        assert_eq!(found(&[home]), [own, docker]);
    }
}
