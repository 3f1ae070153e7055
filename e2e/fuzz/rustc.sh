#!/bin/sh
# Stands before rustc (RUSTC_WRAPPER): what reads foreign bytes is built so that libFuzzer sees which ways it takes.
# These are the passes that cargo-fuzz asks for, without a sanitizer of memory: stable Rust takes them, and our own
# code has no `unsafe`. Everything else is built as always, so that the table of ways stays small; and nothing is told
# that it is fuzzed (`cfg(fuzzing)`), so that what is tried is what runs.
name=
target=
before=
for word in "$@"; do
  [ "$before" = --crate-name ] && name=$word
  [ "$before" = --target ] && target=$word
  before=$word
done
# Without a target it is built for cargo's own use: macros and build scripts.
case ${target:+$name} in
  charttrust | charttrust_verify | charttrust_targets | fuzz | sigstore_* | tuf | pgp | granit_parser | serde_saphyr | \
    serde_json | x509_cert | der | spki | cms | const_oid | tar | http_auth | url | wildmatch | jiff)
    set -- "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
      -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
      -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
esac
exec "$@"
