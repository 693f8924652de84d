#!/usr/bin/env bash
# clang_tidy.sh BUILD_DIR: clang-tidy (.clang-tidy) over what is built of engine, ipc, tui and bench,
# two files at a time. A source there that no target builds is a fault, too.
set -euo pipefail

build=$(readlink -f "$1")
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

rooms=()
for room in engine ipc tui bench; do
    [ ! -d "$room" ] || rooms+=("$room")
done

rc=0
while read -r file; do
    if grep -qF "\"file\": \"$PWD/$file\"" "$build/compile_commands.json"; then
        echo "$file" >>"$scratch/built"
    else
        echo "$file:1: build: not in any CMakeLists.txt"
        rc=1
    fi
done < <(find "${rooms[@]}" -name '*.c' | sort)

xargs -P 2 -n 3 clang-tidy -p "$build" --quiet <"$scratch/built" \
    >"$scratch/faults" 2>"$scratch/noise" || rc=1
# A fault in a header shows up once per file that includes it.
sed "s|^$PWD/||" "$scratch/faults" | awk '!/: (error|warning): / || !seen[$0]++'
[ -s "$scratch/faults" ] || [ "$rc" = 0 ] || grep -v 'generated\.$' "$scratch/noise" || true
exit "$rc"
