#!/usr/bin/env bash
# Runs the targets of `charttrust-targets` under libFuzzer, one after the other: SECONDS each (600), all or TARGET.
# A line for each: what was tried, how fast, which ways were taken, and the input if something did not hold.
# What was found worth keeping lies in e2e/fuzz/corpus, where the next run begins.
set -uo pipefail
cd "$(dirname "$0")" || exit

each=${FUZZ_SECONDS:-600}
only=${FUZZ_TARGET:-}
host=$(rustc -vV | sed -n 's/^host: //p')

cp ../../Cargo.lock Cargo.lock || exit
RUSTC_WRAPPER=$PWD/rustc.sh cargo build --release --target "$host" || exit
fuzz=target/$host/release/fuzz
mkdir -p corpus found
targets=$(FUZZ_SEEDS=corpus "$fuzz" 2>/dev/null) || exit
if [ -n "$only" ]; then
  targets=$(grep "^$only " <<<"$targets") || { echo "$only is no target: $(cut -d' ' -f1 <<<"$targets" | xargs)" >&2; exit 1; }
fi

failed=0
while read -r name longest; do
  log=found/$name.log
  FUZZ_TARGET=$name "$fuzz" "corpus/$name" -max_total_time="$each" -max_len="$longest" -dict="corpus/$name.dict" \
    -timeout=10 -rss_limit_mb=2048 -use_value_profile=1 -print_final_stats=1 -artifact_prefix="found/$name-" >"$log" 2>&1 </dev/null
  result=$?
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  speed=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
  ways=$(grep -o 'cov: [0-9]*' "$log" | tail -1)
  input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -1)
  printf '%-20s %12s executions %8s/s  %s  %s\n' "$name" "${runs:-?}" "${speed:-?}" "${ways:-cov: ?}" \
    "$([ $result -eq 0 ] && echo 'nothing found' || echo "FOUND ${input:-nothing} ($log)")"
  [ $result -eq 0 ] || failed=1
done <<<"$targets"
exit $failed
