#!/usr/bin/env bash
# `make release` and `make release-twice`: builds the program that is released, and what is published with it.
# Arguments: none, or `twice`. Variables: KEY, IMAGE, URL, BUILDER (docs/releasing.md).
set -euo pipefail
cd "$(dirname "$0")/.."

stop() {
  echo "release: $1" >&2
  exit 1
}

triple=$(rustc -vV | sed -n 's/^host: //p')
[[ $triple == *-linux-gnu ]] || stop "a release is built on Linux with glibc, not on $triple"
[ -z "$(git status --porcelain)" ] ||
  stop "the sources differ from the commit (git status): nobody could tell what the release is made of"
commit=$(git rev-parse HEAD)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
registry=${CARGO_HOME:-$HOME/.cargo}
sysroot=$(rustc --print sysroot)

# The program of the sources in $1, built below $2 with the crates of $3. It is static, as the image has nothing
# beside it, and names neither folder. Of several rules the last that fits counts.
program() {
  local flags=(-C target-feature=+crt-static "--remap-path-prefix=$sysroot=/rust" "--remap-path-prefix=$3=/cargo"
    "--remap-path-prefix=$1=/charttrust" "--remap-path-prefix=$2=/target")
  (
    cd "$1"
    export CARGO_HOME=$3 CARGO_INCREMENTAL=0 CARGO_ENCODED_RUSTFLAGS
    export CFLAGS="-ffile-prefix-map=$3=/cargo -ffile-prefix-map=$1=/charttrust -ffile-prefix-map=$2=/target"
    CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}")
    cargo build --locked --release --package charttrust --bin charttrust --target "$triple" --target-dir "$2"
  ) >&2
  echo "$2/$triple/release/charttrust"
}

# Everything else, of the sources in $1, with the program $2, into $3. Further arguments: folders not to be named.
publish() {
  local source=$1 binary=$2 out=$3 named
  shift 3
  local arguments=(--source "$source" --binary "$binary" --out "$out" --commit "$commit")
  for named in "$@" "$sysroot"; do arguments+=(--secret "$named"); done
  [ -z "${IMAGE:-}" ] || arguments+=(--image "$IMAGE")
  [ -z "${KEY:-}" ] || arguments+=(--key "$KEY")
  [ -z "${URL:-}" ] || arguments+=(--url "$URL")
  [ -z "${BUILDER:-}" ] || arguments+=(--builder "$BUILDER")
  cargo run --locked --quiet --package charttrust-e2e --bin release -- "${arguments[@]}"
}

once() {
  [ ! -e dist ] || [ -e dist/SHA256SUMS ] || stop "dist is there, and is no release: remove it"
  local binary
  binary=$(program "$PWD" "$PWD/target/release-build" "$registry")
  rm -rf dist.partial
  publish "$PWD" "$binary" dist.partial "$PWD" "$registry"
  rm -rf dist
  mv dist.partial dist
}

# From nothing, in two folders, with two homes of cargo; signatures differ, and are not compared.
twice() {
  unset KEY
  local folder binary which
  folder=$(mktemp -d)
  # The very folder that was made: whatever is called by that name later is not to be removed.
  # shellcheck disable=SC2064
  trap "rm -rf '$folder'" EXIT
  for which in a another/and/longer; do
    mkdir -p "$folder/$which/tree" "$folder/$which/cargo"
    git archive "$commit" | tar -x -C "$folder/$which/tree"
    ln -s "$registry/registry" "$folder/$which/cargo/registry"
    binary=$(program "$folder/$which/tree" "$folder/$which/built" "$folder/$which/cargo")
    publish "$folder/$which/tree" "$binary" "$folder/$which/dist" "$folder" "$registry" "$PWD"
  done
  diff -r "$folder/a/dist" "$folder/another/and/longer/dist" || stop "two builds of $commit differ: see above"
  cat "$folder/a/dist/SHA256SUMS"
  echo "the same, byte for byte, in both folders"
}

"${1:-once}"
