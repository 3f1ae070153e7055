#!/bin/sh
# Lets real Helm record each chart of cases.json under its config, and a chart with each values.yaml
# of yaml.json, and writes beside it what was recorded (made with 3.22.0 and 4.3.1), null for what
# Helm refuses. To add a case: its name, files and config, or its text; then run this.
#
#   HELM3=/path/to/helm3 HELM4=/path/to/helm4 ./make.sh
#
# Helm 3 asks a cluster for its version even in a dry run; KUBECONFIG may name any.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

recorded() {
    "$1" install shop "$work/web" --values "$work/config.json" --dry-run=client --output json \
        2>/dev/null |
        jq '{dependencies: (.chart.metadata.dependencies // []), values: .chart.values}' |
        jq -s '.[0]'
}

count=$(jq length cases.json)
for index in $(seq 0 $((count - 1))); do
    rm -rf "$work/web"
    jq ".[$index]" cases.json >"$work/case.json"
    jq .config "$work/case.json" >"$work/config.json"
    jq -r '.files | keys[]' "$work/case.json" | while read -r name; do
        mkdir -p "$work/web/$(dirname "$name")"
        jq -j --arg name "$name" '.files[$name]' "$work/case.json" >"$work/web/$name"
    done
    recorded "$HELM3" >"$work/helm3.json"
    recorded "$HELM4" >"$work/helm4.json"
    jq -s '.[0] + {helm3: .[1], helm4: .[2]}' \
        "$work/case.json" "$work/helm3.json" "$work/helm4.json" >"$work/done.$(printf %03d "$index")"
done
jq -s . "$work"/done.* >"$work/all"
mv "$work/all" cases.json
rm "$work"/done.*

rm -rf "$work/web" && mkdir "$work/web"
echo '{"apiVersion": "v2", "name": "web", "version": "1.0.0"}' >"$work/web/Chart.yaml"
echo '{}' >"$work/config.json"
values() { recorded "$1" | jq .values; }
count=$(jq length yaml.json)
for index in $(seq 0 $((count - 1))); do
    jq -j ".[$index].text" yaml.json >"$work/web/values.yaml"
    values "$HELM3" >"$work/helm3.json"
    values "$HELM4" >"$work/helm4.json"
    jq -c -s --rawfile text "$work/web/values.yaml" '{text: $text, helm3: .[0], helm4: .[1]}' \
        "$work/helm3.json" "$work/helm4.json" >"$work/done.$(printf %03d "$index")"
done
{ echo '['; cat "$work"/done.* | sed '$!s/$/,/'; echo ']'; } >"$work/all"
mv "$work/all" yaml.json
