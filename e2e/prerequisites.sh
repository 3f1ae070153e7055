#!/usr/bin/env bash
# Looks for the programs that its arguments name, and says in one sentence what is missing.
set -u

probe() {
  case $1 in
    clippy) cargo clippy --version ;;
    go) go version ;;
    rustfmt) cargo fmt --version ;;
    *) "$1" --version ;;
  esac
}

advice() {
  case $1 in
    cargo) echo "install Rust 1.89 or newer (https://rustup.rs)" ;;
    c++) echo "install a C++ compiler (Debian: apt-get install g++)" ;;
    cc) echo "install a C compiler (Debian: apt-get install gcc libc6-dev)" ;;
    clippy | rustfmt) echo "run: rustup component add $1" ;;
    git) echo "install git (Debian: apt-get install git)" ;;
    go) echo "install Go 1.26 or newer (https://go.dev/dl)" ;;
    gpg) echo "install GnuPG 2.2 or newer (Debian: apt-get install gnupg)" ;;
    valgrind) echo "install valgrind (Debian: apt-get install valgrind)" ;;
    *) echo "install it and put it on PATH" ;;
  esac
}

missing=0
for program in "$@"; do
  if ! probe "$program" >/dev/null 2>&1; then
    echo "$program is missing: $(advice "$program")." >&2
    missing=1
  fi
done
exit $missing
