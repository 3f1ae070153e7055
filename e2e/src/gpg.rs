//! OpenPGP keys made on the fly by GnuPG.
//!
//! Keys live in a temporary home and die with it. None has a passphrase, unless the keyring is made so.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use tempfile::TempDir;

use crate::command::{CommandError, run, run_with_input};

/// A GnuPG home of its own.
#[derive(Debug)]
pub struct Keyring {
    home: TempDir,
    passphrase: String,
}

/// What kind of key to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519, the fast one.
    Ed25519,
    /// ECDSA over the curve P-256 of NIST.
    NistP256,
    /// ECDSA over the curve P-384 of NIST.
    NistP384,
    /// ECDSA over the curve P-521 of NIST.
    NistP521,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 4096 bits.
    Rsa4096,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            // Of a subkey the name alone is one that encrypts.
            Self::NistP256 => "nistp256/ecdsa",
            Self::NistP384 => "nistp384/ecdsa",
            Self::NistP521 => "nistp521/ecdsa",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa4096 => "rsa4096",
        }
    }
}

/// A key in a [`Keyring`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The full fingerprint of the primary key, in upper-case hex.
    pub fingerprint: String,
    /// `Name <address>`.
    pub user_id: String,
}

/// Why a key is revoked, as OpenPGP says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// Somebody else may have the key.
    Compromised,
    /// The key is no longer used.
    Retired,
    /// Another key took its place.
    Superseded,
    /// No reason given.
    Unspecified,
}

/// What Helm needs to sign as one key.
#[derive(Debug, Clone)]
pub struct Signer {
    keyring: PathBuf,
    user_id: String,
}

impl Signer {
    /// The file with the secret key, in the format Helm reads.
    pub fn keyring(&self) -> &Path {
        &self.keyring
    }

    /// The whole user ID, so that Helm finds exactly this key.
    pub fn user_id(&self) -> &str {
        &self.user_id
    }
}

impl Keyring {
    /// An empty keyring.
    pub fn new() -> Result<Self, GpgError> {
        // A short path: the agent's socket lies below it, and sockets allow 108 bytes.
        // GnuPG warns unless the folder is private.
        let home = tempfile::Builder::new()
            .prefix("ct-gpg-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in("/tmp")?;
        Ok(Self {
            home,
            passphrase: String::new(),
        })
    }

    /// An empty keyring whose keys get a passphrase, for which the agent asks at each use. There is nobody
    /// there: a pinentry of its own answers, and counts how often it is asked.
    pub fn guarded(passphrase: &str) -> Result<Self, GpgError> {
        let mut keyring = Self::new()?;
        passphrase.clone_into(&mut keyring.passphrase);
        let pinentry = keyring.home().join("pinentry");
        let asked = keyring.home().join(ASKED);
        let answers = PINENTRY.replace("ASKED", &asked.to_string_lossy());
        std::fs::write(&pinentry, answers)?;
        std::fs::write(asked.with_extension("answer"), passphrase)?;
        std::fs::set_permissions(&pinentry, Permissions::from_mode(0o700))?;
        let agent = format!(
            "pinentry-program {}\ndefault-cache-ttl 0\nmax-cache-ttl 0\n",
            pinentry.display()
        );
        std::fs::write(keyring.home().join("gpg-agent.conf"), agent)?;
        Ok(keyring)
    }

    /// Has the same asked in another home, which is made.
    ///
    /// # Errors
    /// If the keyring is not guarded, or there is such a home.
    pub fn guards(&self, home: &Path) -> Result<(), GpgError> {
        let settings = std::fs::read(self.home().join("gpg-agent.conf"));
        let settings = settings.map_err(|_| GpgError::Unguarded)?;
        std::fs::create_dir(home)?;
        std::fs::set_permissions(home, Permissions::from_mode(0o700))?;
        Ok(std::fs::write(home.join("gpg-agent.conf"), settings)?)
    }

    /// Whoever is asked from now on types this, right or wrong.
    ///
    /// # Errors
    /// If the keyring is not guarded by somebody.
    pub fn answer(&self, passphrase: &str) -> Result<(), GpgError> {
        let answer = self.home().join(ASKED).with_extension("answer");
        if !answer.exists() {
            return Err(GpgError::Unguarded);
        }
        Ok(std::fs::write(answer, passphrase)?)
    }

    /// Adds a line to the settings of the agent, and has it read them.
    pub fn agent_setting(&self, line: &str) -> Result<(), GpgError> {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.home().join("gpg-agent.conf"))?;
        writeln!(file, "{line}")?;
        self.tool("gpgconf", &["--reload", "gpg-agent"]).map(drop)
    }

    /// Says something to the agent, which it starts if it does not run.
    pub fn agent(&self, line: &str) -> Result<Vec<u8>, GpgError> {
        self.tool("gpg-connect-agent", &[line, "/bye"])
    }

    /// The keygrips of all secret keys: by these the agent knows them.
    pub fn keygrips(&self) -> Result<Vec<String>, GpgError> {
        let listed = self.gpg(&["--with-colons", "--with-keygrip", "--list-secret-keys"])?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let grips = listed.lines().filter(|line| line.starts_with("grp:"));
        let grips = grips.filter_map(|line| line.split(':').nth(9));
        Ok(grips.map(str::to_owned).collect())
    }

    fn tool(&self, program: &str, arguments: &[&str]) -> Result<Vec<u8>, GpgError> {
        let mut command = Command::new(program);
        command.arg("--homedir").arg(self.home()).args(arguments);
        Ok(run(&mut command)?)
    }

    /// How often the agent has asked for the passphrase.
    pub fn asked(&self) -> usize {
        let asked = std::fs::read_to_string(self.home().join(ASKED));
        asked.unwrap_or_default().lines().count()
    }

    /// Its folder, as `GNUPGHOME` takes it.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Makes a key for `name` that does not expire.
    pub fn key(&self, name: &str, algorithm: Algorithm) -> Result<Key, GpgError> {
        self.key_with(name, (algorithm, "sign", "never"), &[])
    }

    /// Makes a key that may only certify, and for it a subkey that signs, whose fingerprint is given too.
    pub fn key_with_subkey(
        &self,
        name: &str,
        algorithm: Algorithm,
    ) -> Result<(Key, String), GpgError> {
        let key = self.key_with(name, (algorithm, "cert", "never"), &[])?;
        let add = ["--quick-add-key", &key.fingerprint, algorithm.name()];
        self.gpg(&[&add[..], &["sign", "never"]].concat())?;
        let listed = self.gpg(&["--with-colons", "--list-keys", &key.fingerprint])?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let last = listed.lines().rfind(|line| line.starts_with("fpr:"));
        let subkey = last.and_then(|line| line.split(':').nth(9));
        let subkey = subkey.ok_or(GpgError::NoKey)?.to_owned();
        Ok((key, subkey))
    }

    /// Makes a key that expires, for example after `1y`, `2w` or `seconds=60`.
    pub fn expiring_key(
        &self,
        name: &str,
        algorithm: Algorithm,
        expires: &str,
    ) -> Result<Key, GpgError> {
        self.key_with(name, (algorithm, "sign", expires), &[])
    }

    /// Makes a key as if it were `at` (`20240131T120000`), so that it may have expired by now.
    pub fn key_made_at(
        &self,
        name: &str,
        algorithm: Algorithm,
        expires: &str,
        at: &str,
    ) -> Result<Key, GpgError> {
        let options = ["--faked-system-time", at];
        self.key_with(name, (algorithm, "sign", expires), &options)
    }

    /// The public key, armored.
    pub fn public_armored(&self, key: &Key) -> Result<String, GpgError> {
        let armored = self.gpg(&["--armor", "--export", &key.fingerprint])?;
        Ok(String::from_utf8_lossy(&armored).into_owned())
    }

    /// The public key, binary.
    pub fn public_binary(&self, key: &Key) -> Result<Vec<u8>, GpgError> {
        self.gpg(&["--export", &key.fingerprint])
    }

    /// A file with the public keys, as `helm verify --keyring` reads it.
    pub fn public_keyring(&self) -> Result<PathBuf, GpgError> {
        let path = self.home.path().join("public.gpg");
        std::fs::write(&path, self.gpg(&["--export"])?)?;
        Ok(path)
    }

    /// What Helm needs to sign as `key`.
    pub fn signer(&self, key: &Key) -> Result<Signer, GpgError> {
        let keyring = self
            .home
            .path()
            .join(format!("{}.secret.gpg", key.fingerprint));
        std::fs::write(
            &keyring,
            self.gpg(&["--export-secret-keys", &key.fingerprint])?,
        )?;
        Ok(Signer {
            keyring,
            user_id: key.user_id.clone(),
        })
    }

    /// The revocation certificate that GnuPG made together with the key, ready for use.
    pub fn prepared_revocation(&self, key: &Key) -> Result<String, GpgError> {
        let path = self
            .home
            .path()
            .join("openpgp-revocs.d")
            .join(format!("{}.rev", key.fingerprint));
        // A colon before the armor keeps people from importing the file by accident.
        let text = std::fs::read_to_string(path)?.replace(":-----BEGIN", "-----BEGIN");
        let start = text.find("-----BEGIN").unwrap_or_default();
        Ok(text[start..].to_owned())
    }

    /// A fresh revocation certificate with a reason. It does not revoke the key here.
    pub fn revocation(&self, key: &Key, reason: Revocation) -> Result<String, GpgError> {
        self.revocation_with(key, reason, &[])
    }

    /// The same, dated `at` (`20240131T120000`).
    pub fn revocation_dated(
        &self,
        key: &Key,
        reason: Revocation,
        at: &str,
    ) -> Result<String, GpgError> {
        self.revocation_with(key, reason, &["--faked-system-time", at])
    }

    /// Adds public keys or revocation certificates.
    pub fn import(&self, armored: &str) -> Result<(), GpgError> {
        let mut command = self.command(&["--import"]);
        run_with_input(&mut command, armored)?;
        Ok(())
    }

    /// Signs a text in the clear by one or more keys, with more options of `gpg` such as
    /// `--faked-system-time`.
    pub fn clearsign(
        &self,
        text: &str,
        keys: &[&Key],
        options: &[&str],
    ) -> Result<String, GpgError> {
        let mut command = self.command(options);
        for key in keys {
            command.args(["--local-user", &key.fingerprint]);
        }
        command.arg("--clearsign");
        let signed = run_with_input(&mut command, text)?;
        Ok(String::from_utf8_lossy(&signed).into_owned())
    }

    /// Gives a key another end, for example after `1w` from `at` (`20240131T120000`).
    pub fn set_expiry(&self, key: &Key, expires: &str, at: &str) -> Result<(), GpgError> {
        let fixed = ["--faked-system-time", at, "--quick-set-expire"];
        self.gpg(&[&fixed[..], &[&key.fingerprint, expires]].concat())?;
        Ok(())
    }

    /// Runs `gpg` with any arguments and returns what it wrote.
    pub fn gpg<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Vec<u8>, GpgError> {
        Ok(run(&mut self.command(arguments))?)
    }

    fn key_with(
        &self,
        name: &str,
        (algorithm, usage, expires): (Algorithm, &str, &str),
        options: &[&str],
    ) -> Result<Key, GpgError> {
        let user_id = format!("{name} <{name}@example.com>");
        let fixed = [
            "--status-fd",
            "1",
            "--quick-generate-key",
            &user_id,
            algorithm.name(),
            usage,
            expires,
        ];
        let status = self.gpg(&[options, &fixed].concat())?;
        let fingerprint = created_key(&String::from_utf8_lossy(&status)).ok_or(GpgError::NoKey)?;
        Ok(Key {
            fingerprint,
            user_id,
        })
    }

    fn revocation_with(
        &self,
        key: &Key,
        reason: Revocation,
        options: &[&str],
    ) -> Result<String, GpgError> {
        let reason = match reason {
            Revocation::Unspecified => 0,
            Revocation::Compromised => 1,
            Revocation::Superseded => 2,
            Revocation::Retired => 3,
        };
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(self.home.path()).args(options);
        command.args([
            "--no-tty",
            "--command-fd",
            "0",
            "--pinentry-mode",
            "loopback",
        ]);
        command.args(["--armor", "--gen-revoke", &key.fingerprint]);
        // Yes, the reason, no description, and yes again.
        let certificate = run_with_input(&mut command, &format!("y\n{reason}\n\ny\n"))?;
        Ok(String::from_utf8_lossy(&certificate).into_owned())
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(self.home.path());
        command.args(["--batch", "--quiet", "--no-tty", "--yes"]);
        command
            .args(["--pinentry-mode", "loopback", "--passphrase"])
            .arg(&self.passphrase)
            .args(arguments);
        command
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        let _ = self.tool("gpgconf", &["--kill", "all"]);
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum GpgError {
    /// GnuPG failed or is missing.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A file in the temporary home cannot be used.
    #[error("failed to use the temporary GnuPG home")]
    Files(#[from] std::io::Error),
    /// GnuPG succeeded without saying which key it made.
    #[error("gpg did not say which key it made")]
    NoKey,
    /// Its agent asks nobody of ours.
    #[error("nobody of the test is asked for the passphrase of this keyring")]
    Unguarded,
}

/// One cleartext message with the signatures of two, which are of the same text.
pub fn with_both_signatures(one: &str, other: &str) -> Option<String> {
    let (text, first) = one.split_once(SIGNATURE_BEGINS)?;
    let (_, second) = other.split_once(SIGNATURE_BEGINS)?;
    let both = STANDARD.encode([packets(first)?, packets(second)?].concat());
    Some(format!(
        "{text}{SIGNATURE_BEGINS}\n\n{both}\n{SIGNATURE_ENDS}\n"
    ))
}

/// The packets of an armored signature, without headers and checksum.
fn packets(armored: &str) -> Option<Vec<u8>> {
    let (body, _) = armored.split_once(SIGNATURE_ENDS)?;
    let lines = body
        .lines()
        .filter(|line| !line.contains(':') && !line.starts_with('='));
    STANDARD.decode(lines.collect::<String>()).ok()
}

/// What an agent asks people by.
const PINENTRY: &str = r#"#!/bin/sh
echo 'OK here is nobody'
while read -r command rest; do
  case $command in
  GETPIN) echo asked >> 'ASKED'; echo "D $(cat 'ASKED.answer')"; echo OK ;;
  BYE) echo OK; exit ;;
  *) echo OK ;;
  esac
done
"#;
const ASKED: &str = "asked";

const SIGNATURE_BEGINS: &str = "-----BEGIN PGP SIGNATURE-----";
const SIGNATURE_ENDS: &str = "-----END PGP SIGNATURE-----";

/// The fingerprint in a status line such as `[GNUPG:] KEY_CREATED P 0123…`.
fn created_key(status: &str) -> Option<String> {
    status.lines().find_map(|line| {
        let mut words = line
            .strip_prefix("[GNUPG:] KEY_CREATED ")?
            .split_whitespace();
        words.nth(1).map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_has_the_fingerprint_that_gpg_lists() {
        let keyring = Keyring::new().unwrap();
        let key = keyring.key("ann", Algorithm::Ed25519).unwrap();
        let listed = keyring.gpg(&["--with-colons", "--list-keys"]).unwrap();
        assert!(String::from_utf8_lossy(&listed).contains(&key.fingerprint));
        assert!(
            keyring
                .public_armored(&key)
                .unwrap()
                .contains("BEGIN PGP PUBLIC KEY BLOCK")
        );
    }

    #[test]
    fn the_agent_of_a_guarded_keyring_asks_at_each_use() {
        let keyring = Keyring::guarded("correct horse").unwrap();
        let (key, subkey) = keyring.key_with_subkey("ann", Algorithm::NistP256).unwrap();
        assert_eq!((subkey.len(), keyring.asked()), (40, 0));
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(keyring.home());
        command.args(["--batch", "--local-user", &key.user_id, "--clearsign"]);
        for asked in [1, 2] {
            run_with_input(&mut command, "text\n").unwrap();
            assert_eq!(keyring.asked(), asked);
        }
    }

    #[test]
    fn every_reason_makes_a_certificate_that_revokes() {
        let keyring = Keyring::new().unwrap();
        let reasons = [
            Revocation::Compromised,
            Revocation::Retired,
            Revocation::Superseded,
            Revocation::Unspecified,
        ];
        for (i, reason) in reasons.into_iter().enumerate() {
            let key = keyring
                .key(&format!("key-{i}"), Algorithm::Ed25519)
                .unwrap();
            assert!(!is_revoked(&keyring, &key));
            keyring
                .import(&keyring.revocation(&key, reason).unwrap())
                .unwrap();
            assert!(is_revoked(&keyring, &key), "{reason:?}");
        }
    }

    #[test]
    fn prepared_certificate_revokes() {
        let keyring = Keyring::new().unwrap();
        let key = keyring.key("ann", Algorithm::Ed25519).unwrap();
        keyring
            .import(&keyring.prepared_revocation(&key).unwrap())
            .unwrap();
        assert!(is_revoked(&keyring, &key));
    }

    #[test]
    fn key_made_in_the_past_may_have_expired() {
        let keyring = Keyring::new().unwrap();
        let old = keyring
            .key_made_at("old", Algorithm::Ed25519, "1w", "20240131T120000")
            .unwrap();
        let young = keyring
            .expiring_key("young", Algorithm::Ed25519, "1w")
            .unwrap();
        assert_eq!(validity(&keyring, &old), "e");
        assert_eq!(validity(&keyring, &young), "u");
    }

    fn is_revoked(keyring: &Keyring, key: &Key) -> bool {
        validity(keyring, key) == "r"
    }

    fn validity(keyring: &Keyring, key: &Key) -> String {
        let listed = keyring
            .gpg(&["--with-colons", "--list-keys", &key.fingerprint])
            .unwrap();
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let line = listed
            .lines()
            .find(|line| line.starts_with("pub:"))
            .unwrap();
        line.split(':').nth(1).unwrap().to_owned()
    }
}
