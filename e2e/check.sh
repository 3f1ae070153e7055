#!/usr/bin/env bash
# The checks behind `make test`, `make lint`, `make deny` and `make e2e`: each is announced and
# timed, and the first failure ends the run. Arguments: names of checks, none for all of them.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

deny_version=0.20.2
cache=${XDG_CACHE_HOME:-$HOME/.cache}/charttrust
deny=$cache/cargo-deny-$deny_version/bin/cargo-deny
not_done=()
unstable=()

check_prerequisites() { e2e/prerequisites.sh cargo rustfmt clippy go cc gpg git; }

# Names the files; `make fmt` mends them.
check_format() { cargo fmt --all --check -- -l; }

# `weight`, `card`, `readers`, `registry`, `sigstore` and `node` are no tests of `make test`, and `--all-targets` leaves them out.
check_clippy() {
  cargo clippy --locked --workspace --all-targets -- --deny warnings &&
    cargo clippy --locked --workspace --test weight --test card --test readers --test registry --test sigstore \
      --test node -- --deny warnings
}

check_deny() { with_deny && "$deny" --locked --workspace check licenses bans sources; }

# The database lies elsewhere: that it cannot be reached says nothing about this project.
check_advisories() {
  with_deny || return
  if ! "$deny" --locked --workspace fetch db; then
    not_done+=("advisories: their database (github.com/RustSec/advisory-db) cannot be reached")
    return
  fi
  "$deny" --locked --workspace check advisories
}

# Unit and property tests, drift of crds/, examples/, README and docs/.
check_unit() { cargo test --locked --no-fail-fast --workspace --exclude charttrust-e2e --exclude charttrust-false-alarms; }

# What a few pieces of work cost, beside what is stored. Valgrind is for few machines: without it nothing is compared.
check_cost() {
  local said
  if ! said=$(e2e/prerequisites.sh valgrind 2>&1); then
    not_done+=("cost: $said")
    return
  fi
  said=$(cargo run --locked --quiet --package charttrust-cost)
  local result=$?
  echo "$said"
  said=$(sed -n 's/^not compared: //p' <<<"$said")
  [ -z "$said" ] || not_done+=("cost: $said")
  return $result
}

check_operator() { cargo build --locked --package charttrust --bin charttrust; }

check_testbed() {
  cargo run --locked --quiet --package charttrust-e2e --bin testbed -- build \
    etcd kube-apiserver kube-controller-manager kubectl helm3 helm4 promtool prometheus kstatus \
    source-controller helm-controller k3s-helm-controller redis argocd
}

# One shard of the crash points and of what deployers do at the door, chosen by the commit; `make chaos` and
# `make door` take them all.
check_e2e() {
  cargo build --locked --package charttrust-e2e --bins || return
  export CHARTTRUST_BINARY CHARTTRUST_CHAOS
  CHARTTRUST_BINARY=$(target)/debug/charttrust
  CHARTTRUST_CHAOS=$(shard)
  cargo test --locked --package charttrust-false-alarms || return
  cargo test --locked --package charttrust-e2e --lib --bins || return
  local programs logs
  programs=$(story_programs) && [ -n "$programs" ] || return
  logs=$(mktemp -d) || return
  tell_all "$programs" "$logs" || once_more "$logs"
  local result=$?
  rm -rf "$logs"
  return $result
}

# The programs of `make test` that tell stories, those that take longest first.
story_programs() {
  local built longest='door stories quarantine faults chaos deployers signing thirty install restart'
  built=$(cargo test --locked --package charttrust-e2e --tests --no-run 2>&1) || { echo "$built" >&2; return 1; }
  built=$(sed -n 's/^ *Executable tests.*(\(.*\))$/\1/p' <<<"$built")
  for name in $longest; do grep "/$name-[^/]*$" <<<"$built"; done
  grep -vE "/(${longest// /|})-[^/]*$" <<<"$built"
}

# Tells the stories of these programs, three programs at a time: a program of stories waits three quarters of its time,
# and each has a control plane of its own. What a program says is shown when it has ended, and stays in a folder.
tell_all() {
  local program running=0
  while read -r program; do
    if [ $running -eq 3 ]; then
      wait -n
      running=2
    fi
    tell "$program" "$2" </dev/null &
    running=$((running + 1))
  done <<<"$1"
  wait
  [ ! -s "$2/failed" ]
}

tell() {
  local name=${1##*/} start=$SECONDS
  (cd e2e && "$(target)/debug/deps/$name" --test-threads "$(threads)") >"$2/$name" 2>&1 || echo "$name" >>"$2/failed"
  flock "$2" bash -c 'printf "\n     Running %s, which took %d s\n" "$1" "$2"; cat "$3"' - "$name" $((SECONDS - start)) "$2/$name"
}

# Stories share two cores with control planes, and each waits for many things. Up to three that failed are
# told once more, each alone: what fails again is broken, what holds now is named at the end, and is a
# defect to be found (of the story or of the product). A program that died without naming a story is broken.
once_more() {
  local program failed name told=0
  for program in $(cat "$1/failed"); do
    failed=$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$1/$program")
    grep -q '^test result: FAILED' "$1/$program" && [ -n "$failed" ] || return
    for name in $failed; do
      told=$((told + 1))
      [ $told -le 3 ] || return
      printf '\n==> once more, alone: %s\n' "$name"
      (cd e2e && "$(target)/debug/deps/$program" --exact "$name") </dev/null || return
      unstable+=("$name")
    done
  done
}

# Charts that a token signs: says *not run* where the packages for that are missing.
check_card() {
  cargo run --locked --quiet --package charttrust-e2e --bin testbed -- build helm3 helm4 || return
  CHARTTRUST_BINARY=$(target)/debug/charttrust cargo test --locked --package charttrust-e2e --test card -- --nocapture
}

# Charts in real OCI registries. Building these takes minutes, so this is no part of `make test`.
check_registry() {
  cargo run --locked --quiet --package charttrust-e2e --bin testbed -- build \
    etcd kube-apiserver kube-controller-manager kubectl helm3 helm4 registry referrers conformance \
    source-controller helm-controller k3s-helm-controller redis argocd || return
  cargo build --locked --package charttrust-e2e --bins || return
  CHARTTRUST_BINARY=$(target)/debug/charttrust cargo test --locked --no-fail-fast --package charttrust-e2e \
    --test registry -- --test-threads "$(threads)"
}

# Charts that real cosign signs. Building it and a Sigstore takes half an hour, so this is no part of `make test`.
check_sigstore() {
  cargo run --locked --quiet --package charttrust-e2e --bin testbed -- build \
    helm4 registry referrers rekor timestamp-server fulcio cosign oras cosign2 || return
  CHARTTRUST_BINARY=$(target)/debug/charttrust cargo test --locked --no-fail-fast --package charttrust-e2e \
    --test sigstore -- --test-threads "$(threads)"
}

# The operator as an image on a real node, in namespaces of its own. That takes root and packages of Debian, so this is no
# part of `make test`, and says *not run* where it cannot be.
check_node() {
  local why program
  if ! why=$(e2e/node.sh can); then
    echo "not run: $why"
    not_done+=("node: $why")
    return
  fi
  cargo run --locked --quiet --package charttrust-e2e --bin testbed -- build \
    etcd kube-apiserver kube-controller-manager kubectl helm4 kube-scheduler referrers kubelet kube-proxy pod netpol coredns || return
  # Without a loader, as its image has none; the flags are for the program alone, and its crates stay as they were built.
  cargo rustc --locked --package charttrust --bin charttrust -- -C target-feature=+crt-static -C strip=symbols || return
  program=$(cargo test --locked --package charttrust-e2e --test node --no-run 2>&1) || { echo "$program" >&2; return 1; }
  program=$(sed -n 's/^ *Executable tests.*(\(.*\))$/\1/p' <<<"$program")
  (cd e2e && CHARTTRUST_BINARY=$(target)/debug/charttrust ./node.sh run "$(target)/debug/deps/${program##*/}")
}

# Our readers beside Helm's own code and gpgv, which differ in what docs/fuzzing.md names.
check_readers() {
  cargo run --locked --quiet --package charttrust-e2e --bin testbed -- build helm3 helm4 reader3 reader4 || return
  cargo test --locked --no-fail-fast --package charttrust-e2e --test readers
}

with_deny() {
  [ -x "$deny" ] && return
  echo "cargo-deny $deny_version is built once, into $cache"
  env -u CARGO_TARGET_DIR cargo install --locked --root "${deny%/bin/*}" "cargo-deny@$deny_version"
}

check_chaos() {
  CHARTTRUST_BINARY=$(target)/debug/charttrust CHARTTRUST_CHAOS=all \
    cargo test --locked --no-fail-fast --package charttrust-e2e --test chaos --test failover --test faults -- --test-threads 2
}

check_door() {
  CHARTTRUST_BINARY=$(target)/debug/charttrust CHARTTRUST_CHAOS=all \
    cargo test --locked --no-fail-fast --package charttrust-e2e --test door -- --test-threads "$(threads)"
}

shard() {
  local commit
  commit=$(git rev-parse --short=4 HEAD 2>/dev/null) && echo $((16#${commit:0:4})) || echo 0
}

target() {
  cargo metadata --locked --format-version 1 --no-deps |
    sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}

# Each story waits more than it works, but a control plane bears only so many at a time.
threads() {
  local cores
  cores=$(getconf _NPROCESSORS_ONLN)
  echo $((cores < 2 ? 2 : cores > 4 ? 4 : cores))
}

all=(prerequisites format clippy deny advisories unit cost operator testbed e2e)
[ $# -gt 0 ] || set -- "${all[@]}"
times=()
for name in "$@"; do
  start=$SECONDS
  printf '\n==> [%d/%d] %s\n' $((${#times[@]} + 1)) $# "$name"
  if ! "check_$name"; then
    printf '\n==> FAILED: %s, after %d s\n' "$name" $((SECONDS - start)) >&2
    exit 1
  fi
  times+=("$(printf '%6d s  %s' $((SECONDS - start)) "$name")")
done
printf '\n==> passed in %d s\n' $SECONDS
printf '%s\n' "${times[@]}"
[ ${#unstable[@]} -eq 0 ] || printf 'UNSTABLE, held only when told once more: %s\n' "${unstable[@]}"
[ ${#not_done[@]} -eq 0 ] || printf 'NOT CHECKED: %s\n' "${not_done[@]}"
