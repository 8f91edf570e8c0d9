#!/usr/bin/env bash
# Counts the instructions of benches/benches/instructions.rs and compares them with instructions.txt.
#
#   bash benches/instructions.sh           fails when a count is over its tolerance, or unknown
#   bash benches/instructions.sh --write   writes instructions.txt anew
#
# Needs valgrind, jq and gungraun-runner of the version in benches/Cargo.lock, on the path or named by
# GUNGRAUN_RUNNER. Without them it says so and ends well; with INSTRUCTIONS=required it fails.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here COUNTS=$here/instructions.txt
# percent; what hashing with a random seed and the order of tasks may change is a tenth of this
readonly TOLERANCE=3

skip() {
  printf 'instructions NOT counted: %s\n' "$1" >&2
  [[ ${INSTRUCTIONS:-} != required ]] || exit 1
  exit 0
}

wanted=$(awk '/^name = "gungraun-runner"/ { found = 1 } found && /^version/ { gsub(/"/, "", $3); print $3; exit }' "$here/Cargo.lock")
readonly runner=${GUNGRAUN_RUNNER:-gungraun-runner}
command -v valgrind >/dev/null 2>&1 || skip "valgrind is missing: install it with the system's packages"
command -v jq >/dev/null 2>&1 || skip "jq is missing: install it with the system's packages"
command -v "$runner" >/dev/null 2>&1 \
  || skip "gungraun-runner is missing: cargo install --locked gungraun-runner --version $wanted"
found=$("$runner" --version | awk '{ print $NF }')
[[ $found == "$wanted" ]] \
  || skip "gungraun-runner is $found, not $wanted: cargo install --locked gungraun-runner --version $wanted"

readonly compiler="$(rustc --version | cut -d' ' -f1,2), $(uname -m)"
# the baselines of earlier runs are not what is compared here
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
json=$(GUNGRAUN_HOME=$home GUNGRAUN_RUNNER=$runner cargo bench --locked \
  --manifest-path "$here/Cargo.toml" --no-default-features --bench instructions -- --output-format=json)
counts=$(jq -r '"\(.function_name) \(.profiles[0].data.total.metrics.Ir.values.new)"' <<<"$json")
[[ -n $counts ]] || { printf 'error: no counts in the output of the benchmark\n' >&2; exit 1; }

if [[ ${1:-} == --write ]]; then
  printf '# Instructions of 1,000 events each; bash benches/instructions.sh --write\n# %s\n%s\n' \
    "$compiler" "$counts" >"$COUNTS"
  cat "$COUNTS"
  exit
fi

counted_with=$(sed -n '2s/^# //p' "$COUNTS")
awk -v tolerance="$TOLERANCE" -v same="$([[ $counted_with == "$compiler" ]] && echo 1 || echo 0)" '
  /^#/ { next }
  NR == FNR { before[$1] = $2; next }
  {
    seen[$1] = 1
    if (!($1 in before)) { printf "%-40s %10d  new: --write it\n", $1, $2; bad = 1; next }
    change = ($2 - before[$1]) / before[$1] * 100
    word = ""
    if (change > tolerance) { word = "over the tolerance of " tolerance " %"; bad = 1 }
    if (change < -tolerance) word = "fewer: --write it"
    printf "%-40s %10d %10d %+7.2f %%  %s\n", $1, before[$1], $2, change, word
  }
  END {
    for (name in before) if (!(name in seen)) { printf "%s is gone: --write\n", name; bad = 1 }
    if (bad && !same) print "counted with another compiler before: shown, not held against it"
    exit bad && same
  }' "$COUNTS" <(printf '%s\n' "$counts") || {
  printf 'error: more instructions than in benches/instructions.txt: find out why, or write it anew and say why\n' >&2
  exit 1
}
