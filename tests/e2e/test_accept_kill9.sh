#!/usr/bin/env bash
# kill -9 of the node, and of its keeper: no process stays behind, whatever it did to get away.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"
need setsid env prlimit

program sleeper sleep
program shell dash
s=$dir/bin/sleeper
sh=$dir/bin/shell

# What gets away by the usual ways. Each has a process of its own in the end.
cat >"$dir/start" <<END
start plain -- $s 100001
start child -- $sh -c '$s 100002 & wait'
start daemon -- $sh -c '($s 100003 </dev/null >/dev/null 2>&1 &); exec $s 100004'
start session -- $sh -c 'setsid $s 100005 & exec $s 100006'
start bare -- $sh -c '(setsid env -i $s 100007 </dev/null >/dev/null 2>&1 &); exec $s 100008'
start deaf shutdown=200ms -- $sh -c 'trap "" TERM HUP INT QUIT; while :; do $s 100011; done'
start group -- $sh -c 'setsid $s 100012 & $s 100013 & wait'
END
all=11

everything_runs()
{
    runs sleeper $all
}
nothing_runs()
{
    [ -z "$(program_pids)" ]
}

rule "children of all sorts run, with what they started"
node n1
at n1 "$dir/start" >/dev/null
eventually 10 everything_runs
# This one hides the keeper's mark, too; only that it descends from the keeper is left.
at n1 -e "start unmarked -- $sh -c \"(prlimit --locks=unlimited: setsid env -i $s 100009 &); exec $s 100010\"" \
    >/dev/null
eventually 10 runs sleeper $((all + 2))
keeper=$(keeper_of "${node_pid[n1]}")
[ -n "$keeper" ] || fail "no keeper"

rule "kill -9 of the node leaves no process behind, the keeper neither"
kill -KILL "${node_pid[n1]}"
eventually 10 nothing_runs
eventually 10 gone "$keeper"
wait "${node_pid[n1]}" 2>/dev/null || true

rule "the same name and socket are free again: a node starts over what the dead one left"
node n1
at n1 "$dir/start" >/dev/null
eventually 10 everything_runs
mapfile -t old < <(program_pids | sort -n)
keeper=$(keeper_of "${node_pid[n1]}")

rule "kill -9 of the keeper: nothing old stays, the children run again as new processes"
at n1 -e "start once restart=temporary -- $s 100014" >/dev/null
once=$(at n1 -o json -e 'pids once' | value 'v[0][0]["pid"]' /dev/stdin)
# Nothing tells any more whose this one is; but the program has no other children.
at n1 -e "start hidden restart=temporary -- $sh -c \"(prlimit --locks=unlimited: setsid env -i $s 100019 &); exec $s 100020\"" \
    >/dev/null
eventually 10 runs sleeper $((all + 3))
hidden=$(pgrep -f "^$s 100019")
kill -KILL "$keeper"
eventually 10 gone "$hidden"
at n1 -e 'wait count(where state = running and restarts >= 1) = 7 timeout=30s' >/dev/null
eventually 10 everything_runs
for pid in "${old[@]}" "$once"; do
    ! [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$s" ] || fail "old process $pid is still there"
done

rule "a temporary child is not started again"
at n1 -e 'wait count = 7 timeout=10s' >/dev/null

rule "a new keeper holds them, and the node has no zombies"
new=$(keeper_of "${node_pid[n1]}")
[ -n "$new" ] && [ "$new" != "$keeper" ] || fail "keeper '$new', before '$keeper'"
only_keeper()
{
    [ "$(cat /proc/"${node_pid[n1]}"/task/*/children | wc -w)" = 1 ]
}
eventually 10 only_keeper

rule "history tells what happened to a child of a lost keeper"
at n1 -o json -e 'history plain' >"$dir/out"
json '[e for e in v[0] if e["type"] == "child_exited" and "keeper" in e["text"]]'

rule "stop ends whole trees, also those that went away"
exits 0 at n1 -e 'stop plain child daemon session bare group deaf'
at n1 -e 'stop all' >/dev/null
eventually 10 nothing_runs

rule "a killed keeper without children is no harm, either"
kill -KILL "$new"
eventually 10 gone "$new"
exits 0 at n1 -e "start again -- $s 100015" -e 'assert child again state = running'
same 1 "$(program_count sleeper)"
node_end n1
eventually 10 nothing_runs

rule "kill -9 of an embedded node leaves nothing, either"
mkfifo "$dir/fifo"
"$prochub" <"$dir/fifo" >"$dir/embedded.out" 2>"$dir/embedded.err" &
embedded=$!
own $embedded
exec 8>"$dir/fifo"
printf "start x-[1..20] -- %s 100016\nstart bare -- %s -c '(setsid env -i %s 100017 &); exec %s 100018'\nsleep 100s\n" \
    "$s" "$sh" "$s" "$s" >&8
exec 8>&-
eventually 10 runs sleeper 22
kill -KILL $embedded
eventually 10 nothing_runs
