#!/usr/bin/env bash
# What was answered outlives kill -9 of one node, and of all of them; a full disk refuses nothing and says so.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"
. "$PH_SOURCE_DIR/tests/lib/cluster.sh"
need prlimit

rounds=${PH_KILLS:-3}
count=$(scaled 300)
program sleeper sleep
s=$dir/bin/sleeper

has_lines()
{
    [ "$(wc -l <"$1")" -ge "$2" ]
}

# is_kept NODE: its journal has everything.
is_kept()
{
    [ "$(ask "$1" stats '(v["cluster"]["journal_failed"], v["cluster"]["journal_behind"])')" = "(0, 0)" ]
}

# has_event NODE TYPE
has_event()
{
    [ -n "$(at "$1" -o tsv -e "events where type = $2")" ]
}

# no_event NODE TYPE
no_event()
{
    ! has_event "$@" || fail "$1 has an event $2"
}

rule "a node that was killed runs again what was started and not stopped, also as a new process"
node n1 --state "$dir/n1.state"
on n1 "start c-[1..$count] module=counter" "start p-1 -- $s 100001" 'stop c-7'
node_kill n1
node n1 --state "$dir/n1.state"
on n1 'wait settled = true' "wait count(all) = $count"
exits 3 "$prochub" attach "ipc://$dir/n1.d/c.sock" -e 'child c-7'
eventually 10 runs sleeper 1
no_event n1 journal_torn

rule "whatever was answered before a kill -9 in the middle of work is there"
for ((round = 1; round <= rounds; round++)); do
    : >"$dir/answered"
    (for ((i = 1; ; i++)); do
        at n1 -e "start r$round-$i module=counter" >/dev/null || exit 0
        echo "r$round-$i" >>"$dir/answered"
    done) 2>/dev/null &
    writer=$!
    own $writer
    eventually 20 has_lines "$dir/answered" $((20 + 7 * round))
    node_kill n1
    wait $writer || true
    node n1 --state "$dir/n1.state"
    on n1 'wait settled = true'
    at n1 -o tsv -e "children r$round-* where state = running" | cut -f1 | sort >"$dir/there"
    sort "$dir/answered" | comm -23 - "$dir/there" >"$dir/lost"
    [ ! -s "$dir/lost" ] || fail "answered and lost: $(head -c 300 "$dir/lost")"
done
report "$rounds kills, $(wc -l <"$dir/answered") answered in the last round"

rule "a directory is one node's: not another's, and not used twice at a time"
exits 4 "$prochub" --name n1 --state "$dir/n1.state" -e status
says 'another node uses it'
node_end n1
exits 4 "$prochub" --name n2 --state "$dir/n1.state" -e status
says 'that of node n1'

rule "a graceful end of a node that is alone keeps everything"
node n1 --state "$dir/n1.state"
on n1 'wait settled = true' 'child c-1'

rule "on a full disk commands are done, fail with the reason, and are kept when there is room again"
prlimit --pid "${node_pid[n1]}" --fsize=100:unlimited
exits_on 1 n1 'start late module=counter'
says "neither on this node's disk nor on another node"
on n1 'child late' 'wait child late state = running'
eventually 10 has_event n1 journal_failed
prlimit --pid "${node_pid[n1]}" --fsize=unlimited:unlimited
eventually 10 is_kept n1
node_kill n1
node n1 --state "$dir/n1.state"
on n1 'wait settled = true' 'child late'
node_end n1

rule "a cluster of which all nodes were killed goes on: everything once, where it belongs, in any order of starting"
for name in m1 m2 m3; do
    start_node "$name" --state "$dir/$name.state"
done
settled m1 m2 m3
on m1 "start c-[1..$count] module=counter" 'stop c-[1..10]'
settled m1 m2 m3
power_cut m1 m2 m3
for name in m3 m1 m2; do
    start_node "$name" --state "$dir/$name.state"
done
settled m1 m2 m3
agree m1 m2 m3
same $((count - 10)) "$(local_sum m1 m2 m3)"
for name in m1 m2 m3; do
    no_event "$name" child_duplicate
    no_event "$name" child_moved
done

rule "what was stopped while a node was dead stays stopped when it comes back, also if all others died since"
node_kill m2
settled m1 m3
on m1 'stop c-[11..20]'
settled m1 m3
power_cut m1 m3
start_node m1 --state "$dir/m1.state"
start_node m3 --state "$dir/m3.state"
start_node m2 --state "$dir/m2.state"
settled m1 m2 m3
same $((count - 20)) "$(local_sum m1 m2 m3)"
agree m1 m2 m3
