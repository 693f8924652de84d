#!/usr/bin/env bash
# prochub-sim as its users see it: what it prints, what it returns, that a seed is a whole history,
# and that its checks see a planted bug.
set -euo pipefail

sim=$PH_BUILD_DIR/prochub-sim
fail()
{
    echo "FAIL: $*"
    exit 1
}

# The same seed gives the same line, another one gives another.
first=$("$sim" --seed 7 --steps 4000)
again=$("$sim" --seed 7 --steps 4000)
other=$("$sim" --seed 8 --steps 4000)
[ "$first" = "$again" ] || fail "two histories of one seed: $first, $again"
[ "$first" != "$other" ] || fail "one history of two seeds: $first"
[[ $first =~ ^seed=7\ steps=4000\ faults=[0-9]+\ trace=[0-9a-f]{16}\ result=ok$ ]] ||
    fail "the last line is '$first'"
"$sim" --seed 18446744073709551615 --steps 500 | grep -q '^seed=18446744073709551615 steps=500 ' ||
    fail "the largest seed"

# Several seeds end with a sum.
"$sim" --seed 1 --seeds 3 --steps 500 | tail -n 1 | grep -q '^3 seeds, 0 failed' || fail "a sum"

# The narrative: time, node, what happened, what about it.
"$sim" --seed 7 --steps 4000 --narrative >narrative
grep -qE '^\[[0-9]+\.[0-9]{6}\] n0 > boot' narrative || fail "a narrative without a beginning"
grep -qE '^\[[0-9]+\.[0-9]{6}\] world > heal' narrative || fail "a narrative without an end"
[ "$(tail -n 1 narrative)" = "$first" ] || fail "the narrative has another ending"

# The canary is caught, told, and can be replayed by the command that is printed.
rc=0
"$sim" --canary >canary || rc=$?
[ $rc = 1 ] || fail "the canary gave $rc"
grep -q ' result=FAIL$' canary || fail "the canary's last line"
grep -qE '^FAIL: c[0-9]+ acts on n[0-9]' canary || fail "the canary's reason"
replay=$(sed -n 's/^replay: prochub-sim //p' canary)
[ -n "$replay" ] || fail "no command that replays it"
rc=0
read -ra words <<<"$replay"
"$sim" "${words[@]}" >replayed || rc=$?
[ $rc = 1 ] || fail "the replay gave $rc"
[ "$(tail -n 1 canary)" = "$(tail -n 1 replayed)" ] || fail "the replay is another run"

# Handovers: a sum, the same every time, with a table of what is owed before it.
"$sim" --handovers --share 5000 >handovers || fail "the handovers failed"
tail -n 1 handovers | grep -qE '^[0-9]+ cases at [0-9]+ points of 10 worlds, 0 failed, trace=[0-9a-f]{16}$' ||
    fail "the handovers' last line is '$(tail -n 1 handovers)'"
grep -qE '^source +anew ' handovers || fail "no table of what is owed"
"$sim" --handovers --share 5000 | cmp - handovers || fail "two runs of the handovers differ"

# A case alone: it strikes where its name says, and is a whole history.
first=$("$sim" --handovers --case hot.strict/target.crash/60)
[[ $first =~ ^case=hot.strict/target.crash/60\ seed=1\ trace=[0-9a-f]{16}\ result=ok$ ]] ||
    fail "a case's line is '$first'"
[ "$("$sim" --handovers --case hot.strict/target.crash/60)" = "$first" ] || fail "two histories of one case"
[ "$("$sim" --handovers --case hot.strict/target.crash/61)" != "$first" ] || fail "one history of two cases"
[ "$("$sim" --handovers --case hot.strict/target.crash/60 --seed 2)" != "$first" ] ||
    fail "one history of two wires"
"$sim" --handovers --case hot.strict/target.crash/60 --narrative >narrative
grep -qE '^\[[0-9.]+\] world > handover -> from n[0-2] to n[0-2]' narrative || fail "a case without a handover"
grep -qE '^\[[0-9.]+\] world > strike -> target.crash' narrative || fail "a case without its fault"

# The canary's second instance is seen there, too, and replayed by the command that is printed.
rc=0
"$sim" --handovers --canary --stop >canary || rc=$?
[ $rc = 1 ] || fail "the handovers' canary gave $rc"
grep -q '^FAIL: ' canary || fail "the handovers' canary has no reason"
replay=$(sed -n 's/^replay: prochub-sim //p' canary)
rc=0
read -ra words <<<"$replay"
"$sim" "${words[@]}" >replayed || rc=$?
[ $rc = 1 ] || fail "the replay of the handovers' canary gave $rc"
[ "$(grep '^case=' canary)" = "$(tail -n 1 replayed)" ] || fail "the replay is another case"

# What it does not understand.
for words in "--seed" "--seed x" "--seed -1" "--steps 1x" "--nodes 1" "--nodes 99" "--wrong" "--case" \
    "--share 0" "--handovers --case x" "--handovers --case hot.strict/target.crash/" \
    "--handovers --case hot.strict/link.crash/1" "--handovers --case hot.strict/none/1x"; do
    rc=0
    # shellcheck disable=SC2086
    "$sim" $words >said 2>&1 || rc=$?
    [ $rc = 2 ] || fail "'$words' gave $rc"
    grep -q usage: said || fail "'$words' without a usage"
done
