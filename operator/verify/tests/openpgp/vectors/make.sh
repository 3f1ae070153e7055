#!/bin/sh
# Makes the vectors of this folder with real GnuPG (made with 2.2.40) and copies Helm's own.
#
#   ./make.sh FOLDER            writes into FOLDER
#   HELM=/path/to/helm.git      a clone of https://github.com/helm/helm, for helm-*
#
# Keys are new at every run, so fingerprints change; times do not. The secret keys in secret/ are
# for tests only and protect nothing.
set -eu
umask 022
out=$(mkdir -p "$1/secret" && cd "$1" && pwd)
GNUPGHOME=$(mktemp -d) && export GNUPGHOME && chmod 700 "$GNUPGHOME"
trap 'gpgconf --kill all; rm -rf "$GNUPGHOME"' EXIT

at() { when=$1; shift; gpg --quiet --batch --yes --pinentry-mode loopback --passphrase '' \
    --faked-system-time "$when!" --no-auto-check-trustdb "$@"; }
answer() { when=$1; shift; gpg --quiet --no-tty --yes --pinentry-mode loopback --passphrase '' \
    --faked-system-time "$when!" --no-auto-check-trustdb --command-fd 0 "$@"; }
fpr() { gpg --batch --with-colons --list-keys "$1" 2>/dev/null | awk -F: '/^fpr/{print $10; exit}'; }
# The same key as a public key (ssh-keygen does not know Ed25519 in this form).
pem() { gpg --batch --export-ssh-key "$1!" | ssh-keygen -f /dev/stdin -e -m PKCS8; }
public() { gpg --batch --export --armor --export-options "${2:-export-clean}" "$1"; }

cat >"$GNUPGHOME/text" <<'TEXT'
apiVersion: v2
description: A chart with - dashes, trailing blanks  
name: plain
version: 0.1.0

...
files:
  plain-0.1.0.tgz: sha256:8f0e8a1d7d7b4b1d9d8e3c5a6f7e8d9c0b1a2f3e4d5c6b7a8998a7b6c5d4e3f2
- a line that begins with a dash
From here on, nothing.
TEXT

# 1. One key and one message for each algorithm.
for algorithm in rsa2048 rsa3072 rsa4096 ed25519 nistp256 nistp384 nistp521 \
    rsa1024 dsa2048 secp256k1 brainpoolP256r1; do
  at 20240101T000000 --quick-gen-key "$algorithm <$algorithm@example.org>" "$algorithm" cert,sign never
  public "$algorithm@" >"$out/$algorithm.asc"
  at 20240601T000000 --local-user "$algorithm@" --clear-sign --output "$out/$algorithm.prov" "$GNUPGHOME/text"
done
for algorithm in nistp256 nistp384; do
  pem "$(fpr "$algorithm@")" >"$out/$algorithm.pem"
done
for algorithm in rsa2048 rsa1024 dsa2048; do
  at 20240101T000000 --armor --export-secret-keys "$algorithm@" >"$out/secret/$algorithm.asc"
done

# 2. The same RSA key with every hash that GnuPG still makes.
for hash in sha1 ripemd160 sha224 sha256 sha384 sha512; do
  at 20240601T000000 --local-user rsa2048@ --allow-weak-digest-algos --digest-algo $hash \
    --clear-sign --output "$out/hash-$hash.prov" "$GNUPGHOME/text"
done

# 3. A primary key that only certifies, with a signing, an encryption and an authentication subkey.
at 20240101T000000 --quick-gen-key 'Split <split@example.org>' ed25519 cert never
split=$(fpr split@)
at 20240101T000000 --quick-add-key "$split" ed25519 sign never
at 20240101T000000 --quick-add-key "$split" cv25519 encr never
at 20240101T000000 --quick-add-key "$split" ed25519 auth never
public split@ >"$out/split.asc"
at 20240601T000000 --local-user split@ --clear-sign --output "$out/split.prov" "$GNUPGHOME/text"
answer 20240701T000000 --edit-key "$split" <<'ANSWERS' >/dev/null 2>&1
key 1
revkey
y
2

y
save
ANSWERS
public split@ export-clean >"$out/split-subkey-superseded.asc"

# 4. Keys that expire, before and after their life was made longer.
at 20240101T000000 --quick-gen-key 'Short <short@example.org>' ed25519 cert,sign 20250101T000000
public short@ >"$out/short.asc"
at 20240601T000000 --local-user short@ --clear-sign --output "$out/short.prov" "$GNUPGHOME/text"
at 20241201T000000 --quick-set-expire "$(fpr short@)" 20260101T000000
public short@ export-minimal >"$out/short-extended.asc"
at 20250601T000000 --local-user short@ --clear-sign --output "$out/short-later.prov" "$GNUPGHOME/text"

# 5. Revocations of each reason, as bare certificates and inside the key.
reason=0
for name in unspecified compromised superseded retired; do
  at 20240101T000000 --quick-gen-key "$name <$name@example.org>" ed25519 cert,sign never
  public "$name@" >"$out/revoked-$name-before.asc"
  at 20240601T000000 --local-user "$name@" --clear-sign --output "$out/revoked-$name-before.prov" "$GNUPGHOME/text"
  at 20240801T000000 --local-user "$name@" --clear-sign --output "$out/revoked-$name-after.prov" "$GNUPGHOME/text"
  printf 'y\n%s\n\ny\n' $reason |
    answer 20240701T000000 --armor --gen-revoke "$name@" >"$out/revoked-$name.rev" 2>/dev/null
  at 20240901T000000 --import "$out/revoked-$name.rev"
  public "$name@" >"$out/revoked-$name.asc"
  reason=$((reason + 1))
done

# 6. The revocation certificate that GnuPG makes with every key, with its colon.
cat "$GNUPGHOME/openpgp-revocs.d/$(fpr ed25519@).rev" >"$out/pregenerated.rev"

# 7. Two user IDs, one of them revoked.
at 20240101T000000 --quick-gen-key 'First <first@example.org>' ed25519 cert,sign never
at 20240101T000001 --quick-add-uid "$(fpr first@)" 'Second <second@example.org>'
at 20240701T000000 --quick-revoke-uid "$(fpr first@)" 'First <first@example.org>'
public "$(fpr second@)" export-local-sigs >"$out/one-user-id-revoked.asc"
at 20240801T000000 --local-user second@ --clear-sign --output "$out/one-user-id-revoked.prov" "$GNUPGHOME/text"

# 8. A designated revoker.
at 20240101T000000 --quick-gen-key 'Owner <owner@example.org>' ed25519 cert,sign never
answer 20240201T000000 --edit-key "$(fpr owner@)" <<ANSWERS >/dev/null 2>&1
addrevoker
$(fpr ed25519@)
y
save
ANSWERS
public owner@ export-local-sigs >"$out/designated.asc"
at 20240601T000000 --local-user owner@ --clear-sign --output "$out/designated.prov" "$GNUPGHOME/text"
printf 'y\n1\n\ny\n' | answer 20240701T000000 --armor --desig-revoke "$(fpr owner@)" >"$out/designated.rev" 2>/dev/null

# 9. Formats: old keyring with trust packets, keybox, secret key, several blocks in one file.
cat "$out/revoked-compromised.asc" "$out/split.asc" >"$GNUPGHOME/both.asc"
mkdir "$GNUPGHOME/old" && chmod 700 "$GNUPGHOME/old"
gpg --homedir "$GNUPGHOME/old" --quiet --batch --no-default-keyring \
  --keyring "gnupg-ring:$GNUPGHOME/old.gpg" --import "$GNUPGHOME/both.asc"
cat "$GNUPGHOME/old.gpg" >"$out/old-keyring.gpg"
mkdir "$GNUPGHOME/box" && chmod 700 "$GNUPGHOME/box"
gpg --homedir "$GNUPGHOME/box" --quiet --batch --import "$out/ed25519.asc" 2>/dev/null
head -c 400 "$GNUPGHOME/box/pubring.kbx" >"$out/keybox.kbx"
cat "$out/ed25519.asc" "$out/rsa2048.asc" >"$out/two-blocks.asc"

# 10. Helm's own test data (Apache-2.0).
if [ -n "${HELM:-}" ]; then
  data=pkg/provenance/testdata
  git --git-dir="$HELM" show "HEAD:$data/helm-test-key.pub" >"$out/helm-test-key.pub"
  gpg --quiet --batch --import "$out/helm-test-key.pub" 2>/dev/null
  pem "$(fpr helm-testing@helm.sh)" >"$out/helm-test-key.pem"
  git --git-dir="$HELM" show "HEAD:$data/msgblock.yaml.asc" >"$out/helm-msgblock.yaml.asc"
  git --git-dir="$HELM" show "HEAD:$data/msgblock.yaml.tampered" >"$out/helm-msgblock.yaml.tampered" || :
  git --git-dir="$HELM" show "HEAD:$data/hashtest-1.2.3.tgz.prov" >"$out/helm-hashtest-1.2.3.tgz.prov"
  git --git-dir="$HELM" show "HEAD:$data/helm-mixed-keyring.pub" >"$out/helm-mixed-keyring.pub" || :
  git --git-dir="$HELM" show "HEAD:$data/regression/hashtest-1.2.3.tgz.prov" >/dev/null 2>&1 || :
fi
