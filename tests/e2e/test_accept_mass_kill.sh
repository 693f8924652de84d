#!/usr/bin/env bash
# 1,000 OS processes of one node, all killed at once from outside: all running again, none twice, none
# lost.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"

n=$(scaled 1000)
program sleeper sleep
node n1

rule "a thousand processes start in one command"
exits 0 at n1 -o json -e "start s-[1..$n] -- $dir/bin/sleeper 100000"
json "v[0] == {'t': 'started', 'changed': $n, 'same': 0, 'failed': []}"
report "start of $n processes: $took ms"
at n1 -o json -e 'children' >"$dir/before.json"
same "$n" "$(program_count sleeper)"

rule "all killed at once from outside, all run again"
mapfile -t pids < <(program_pids sleeper)
kill -KILL "${pids[@]}"
start=$(now_ms)
at n1 -e "wait count(where state = running and restarts = 1) = $n timeout=60s" >/dev/null
report "all $n killed, all running again after $(($(now_ms) - start)) ms"

rule "as many processes as children: none twice, none lost, each with one restart and a new pid"
runs_all()
{
    runs sleeper "$n"
}
eventually 10 runs_all
at n1 -o json -e 'children' >"$dir/after.json"
program_pids sleeper | sort -n >"$dir/pids"
"$python" - "$dir" "$n" <<'PY'
import json, sys
dir, n = sys.argv[1], int(sys.argv[2])
before = {c["id"]: c for c in json.load(open(dir + "/before.json"))}
after = {c["id"]: c for c in json.load(open(dir + "/after.json"))}
pids = {int(line) for line in open(dir + "/pids")}
assert len(before) == len(after) == n, (len(before), len(after))
assert set(before) == set(after) == {f"s-{i}" for i in range(1, n + 1)}
assert {c["pid"] for c in after.values()} == pids, "the pids told are those that run"
assert not pids & {c["pid"] for c in before.values()}, "new processes"
assert all(c["restarts"] == 1 and c["state"] == "running" for c in after.values())
PY

rule "no zombie stays with the keeper or the node"
keeper=$(keeper_of "${node_pid[n1]}")
[ -n "$keeper" ] || fail "no keeper"
zombies()
{
    local pid stat count=0
    for pid in $(cat "/proc/$keeper/task/$keeper/children") \
        $(cat /proc/"${node_pid[n1]}"/task/*/children); do
        stat=$(cat "/proc/$pid/stat") || continue
        stat=${stat##*) }
        [ "${stat:0:1}" != Z ] || count=$((count + 1))
    done
    [ $count = 0 ]
}
eventually 10 zombies

rule "again and again: kills while the restarts of the last ones are under way"
for _ in 1 2 3; do
    mapfile -t pids < <(program_pids sleeper | head -n $((n / 2)))
    kill -KILL "${pids[@]}" 2>/dev/null || true
done
at n1 -e "wait count(where state = running) = $n timeout=60s" >/dev/null
eventually 20 runs_all
at n1 -o json -e 'children' >"$dir/after.json"
json "len({c['pid'] for c in v[0]}) == len(v[0]) == $n" "$dir/after.json"

rule "descriptors of the node do not grow with restarts"
fds=$(find "/proc/${node_pid[n1]}/fd" -type l | wc -l)
at n1 -e 'restart s-[1..50]' >/dev/null
no_more()
{
    [ "$(find "/proc/${node_pid[n1]}/fd" -type l | wc -l)" -le "$fds" ]
}
eventually 10 no_more

rule "stopping all leaves none"
exits 0 at n1 -o json -e 'stop all' -e 'count'
json "v[0]['changed'] == $n and v[1]['count'] == 0"
same 0 "$(program_count sleeper)"
node_end n1
