#!/usr/bin/env bash
# mutants.sh [SEEDS [NODES] | --handovers [SHARE] | --check]: is the simulator any good? Plants each bug
# of mutants/ into a copy of the tree, builds prochub-sim there and runs it until it fails, SEEDS seeds at
# most (1000), of NODES nodes each (0: drawn from the seed), which the tree itself must pass. A mutant that
# is not found, or does not build, is a fault. One that takes four times as long as the tree itself, and at
# least a minute, hangs: it is found by that, and the line says so. With --check the patches are only
# held against the tree. The first line of a patch says what it breaks; one whose second line is "Found by:"
# and options is run with these instead of seeds. With --handovers all of them are run with that, every
# SHAREth case (1); what is not found is told then, and no fault: most do not concern handovers.
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
source=$(readlink -f "$here/../..")

if [ "${1-}" = --check ]; then
    failed=0
    for mutant in "$here"/mutants/*.patch; do
        patch -s --dry-run --fuzz=0 -d "$source" -p1 <"$mutant" || {
            failed=$((failed + 1))
            echo "FAIL: $mutant does not apply: the code it breaks has changed"
        }
    done
    [ $failed = 0 ]
    exit
fi

every=
options="--seeds ${1:-1000}"
if [ "${1-}" = --handovers ]; then
    every="--handovers --share ${2:-1}"
    options=$every
elif [ "${2:-0}" != 0 ]; then
    options+=" --nodes $2"
fi
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

for tool in cmake ninja patch timeout; do
    command -v "$tool" >/dev/null || { echo "mutants.sh: needs $tool (script/bootstrap)"; exit 1; }
done
(cd "$source" && tar -c CMakeLists.txt engine ipc tui bench tests/lib tests/sim) | tar -x -C "$copy"
cmake -S "$copy" -B "$copy/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DPH_BUILD_TESTS=OFF >"$copy/log"
build()
{
    ninja -C "$copy/build" prochub-sim >"$copy/log" 2>&1 || { tail -n 20 "$copy/log"; return 1; }
}
# way_of PATCH: the options that it is run with.
way_of()
{
    local way
    way=$([ -n "$every" ] || sed -n '2s/^Found by: //p' "$1")
    echo "${way:-$options}"
}

# How long the tree itself takes with each of them; four times as long is too long.
build
declare -A limits
for mutant in "$here"/mutants/*.patch; do
    way=$(way_of "$mutant")
    [ -z "${limits[$way]-}" ] || continue
    began=$SECONDS
    read -ra words <<<"$way --quiet --stop"
    "$copy/build/prochub-sim" "${words[@]}" >"$copy/log" || {
        tail -n 3 "$copy/log"
        echo "mutants.sh: the tree itself fails"
        exit 1
    }
    limits[$way]=$(((SECONDS - began) * 4))
    [ "${limits[$way]}" -ge 60 ] || limits[$way]=60
done

passed=0
failed=0
timeouts=0
for mutant in "$here"/mutants/*.patch; do
    name=$(basename "$mutant" .patch)
    rc=0
    way=$(way_of "$mutant")
    limit=${limits[$way]}
    read -ra words <<<"$way --quiet --stop"
    if patch -s -d "$copy" -p1 <"$mutant" && build; then
        timeout --kill-after=5 "$limit" "$copy/build/prochub-sim" "${words[@]}" >"$copy/log" 2>&1 || rc=$?
    else
        rc=none
        failed=$((failed + 1))
        echo "$name: does not build"
    fi
    if [ $rc = none ]; then
        :
    elif [ $rc = 124 ] || [ $rc = 137 ]; then
        passed=$((passed + 1))
        timeouts=$((timeouts + 1))
        echo "$name: found by timeout: it hangs, or takes longer than $limit s"
    elif [ $rc != 0 ]; then
        passed=$((passed + 1))
        reason=$(grep -m1 -E '^FAIL: |assertion failed' "$copy/log" || echo "ended with $rc")
        by=$(sed -nE 's/^(case|seed)=([^ ]+) .*result=FAIL$/\1 \2/p' "$copy/log" | tail -n 1)
        echo "$name: found by $by: $reason"
    else
        failed=$((failed + 1))
        echo "$name: NOT FOUND with $way ($(head -n 1 "$mutant"))"
    fi
    # Every file as it was; also when the patch failed half way.
    grep -hoP '^\+\+\+ b/\K\S+' "$mutant" | while read -r file; do
        cp "$source/$file" "$copy/$file"
        rm -f "$copy/$file.orig" "$copy/$file.rej"
    done
done
echo "$passed passed ($timeouts by timeout), $failed failed"
[ $failed = 0 ] || [ -n "$every" ]
