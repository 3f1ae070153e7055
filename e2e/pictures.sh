#!/usr/bin/env bash
# Draws a report as people see it, light, dark, narrow and printed, and has axe-core look for what not everybody
# can read. Arguments: the page, by default the example of the documents.
set -euo pipefail
cd "$(dirname "$0")/.."

page=$(realpath "${1:-docs/example-report.html}")
folder=${CARGO_TARGET_DIR:-target}/pictures
cache=${XDG_CACHE_HOME:-$HOME/.cache}/charttrust/pictures

missing() {
  echo "make pictures: $1 is missing; $2" >&2
  exit 1
}

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
  missing "a Chromium" "install one (Debian: apt-get install chromium)"
command -v npm >/dev/null || missing "npm" "install Node.js 20 or newer with npm"
command -v pdftoppm >/dev/null || missing "pdftoppm" "install it (Debian: apt-get install poppler-utils)"

mkdir -p "$folder" "$cache"
folder=$(realpath "$folder")
cp e2e/pictures/package.json e2e/pictures/package-lock.json e2e/pictures/pictures.mjs "$cache"
(cd "$cache" && npm ci --ignore-scripts --no-audit --no-fund --silent)
node "$cache/pictures.mjs" "$browser" "$page" "$folder"
rm -f "$folder"/print-*.png
pdftoppm -png -r 70 "$folder/print.pdf" "$folder/print"
echo "The pictures are in $folder"
