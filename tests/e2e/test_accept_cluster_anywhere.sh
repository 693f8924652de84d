#!/usr/bin/env bash
# Every command works from every node for every child, wherever that one runs; what is refused, is
# refused with the same words from everywhere and leaves nothing behind.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"
. "$PH_SOURCE_DIR/tests/lib/cluster.sh"

program sleeper sleep
s=$dir/bin/sleeper
nodes=(n1 n2 n3)
start_nodes "${nodes[@]}"
settled "${nodes[@]}"

# id_on NODE PREFIX: an id that belongs to that node.
id_on()
{
    at n1 -o json -e "owner $2-[1..200]" |
        value "[r['id'] for r in v[0] if r['nodes'] == ['$1']][0]" /dev/stdin
}

node_of()
{
    ask "$1" "children $2" 'v[0]["nodes"][0]'
}

# everywhere EXPR…: the condition comes true on every node.
everywhere()
{
    local name
    for name in "${nodes[@]}"; do
        at "$name" -e "wait $* timeout=${patience}s" >/dev/null || fail "$name: not $*"
    done
}

rule "a module child can be started, told, asked, restarted and stopped from every node"
for from in "${nodes[@]}"; do
    for to in "${nodes[@]}"; do
        id=$(id_on "$to" "mod-$from")
        on "$from" "start $id module=counter" "send $id inc 2" "call $id get" "child $id" "pids $id" \
            "history $id"
        json "v[0]['changed'] == 1 and v[2]['reply'] == '2' and v[3]['nodes'] == ['$to']"
        json "[(p['node'], p['state']) for p in v[4]] == [('$to', 'running')]"
        json "'child_started' in [e['type'] for e in v[5]]"
        on "$from" "restart $id" "pids $id" "call $id get" "start $id module=counter"
        json "v[0]['changed'] == 1 and v[2]['reply'] == '0' and v[3]['same'] == 1 and v[3]['changed'] == 0"
        json "[(p['node'], p['state'], p['instance']) for p in v[1]] == [('$to', 'running', 2)]"
        on "$from" "stop $id"
        json "v[0]['changed'] == 1 and not v[0]['failed']"
        exits_on 3 "$from" "child $id"
        everywhere "count($id) = 0"
    done
done

rule "so can an OS process, with signals and its output"
for from in "${nodes[@]}"; do
    for to in "${nodes[@]}"; do
        id=$(id_on "$to" "os-$from")
        on "$from" "start $id tags=os -- /bin/sh -c 'echo hello from $id; exec $s 100000'" "pids $id"
        json "v[0]['changed'] == 1"
        pid=$(value 'v[1][0]["pid"]')
        alive "$pid" || fail "no such process: $pid"
        grep -q "100000" "/proc/$pid/cmdline" || eventually 10 grep -q 100000 "/proc/$pid/cmdline"
        exits 0 at "$from" -o tsv -e "logs $id"
        grep -qx "hello from $id" "$dir/out" || fail "its output is missing"
        on "$from" "signal $id KILL" "wait child $id restarts = 1 timeout=${patience}s" \
            "wait child $id state = running timeout=${patience}s" "pids $id" "history $id"
        json "v[3][0]['node'] == '$to' and v[3][0]['pid'] not in (None, $pid)"
        json "{'child_exited', 'child_restarted'} <= {e['type'] for e in v[4]}"
        gone "$pid" || fail "process $pid is still there"
    done
done
agree "${nodes[@]}"
same 9 "$(program_count sleeper)"
on n2 'stop tag:os'
json 'v[0]["changed"] == 9'
same 0 "$(program_count sleeper)"

rule "logs follow shows from afar what comes"
id=$(id_on n2 talk)
on n1 "start $id -- /bin/sh -c 'n=0; while :; do n=\$((n+1)); echo line \$n; $s 0.1; done'"
"$prochub" attach "ipc://$dir/n3.d/c.sock" -e "logs $id follow" >"$dir/follow.out" 2>/dev/null </dev/null &
pid=$!
own $pid
heard()
{
    [ "$(grep -c '^line' "$dir/follow.out")" -ge "$1" ]
}
eventually 20 heard 5
kill -INT $pid
code=0
wait $pid || code=$?
same 130 $code
on n3 "stop $id"

rule "events of another node can be read from here"
id=$(id_on n3 ev)
on n1 "start $id module=echo" "events node=n3 where id = $id"
json '"child_started" in [e["type"] for e in v[1]]'
on n1 "stop $id"

rule "wait and assert hold for what runs elsewhere"
id=$(id_on n3 later)
at n1 -e "wait child $id state = running timeout=${patience}s" >/dev/null &
pid=$!
on n2 "start $id module=echo"
wait $pid
on n1 "assert child $id state = running" 'assert count(where node = n3) = 1' "stop $id"

rule "migrate moves with what was counted, from any node to any other"
for from in "${nodes[@]}"; do
    id=$(id_on n1 "mig-$from")
    on n2 "start $id module=counter" "send $id inc 7"
    for to in n2 n3 n1; do
        on "$from" "migrate $id to $to" "call $id get" "pids $id"
        json "v[0]['changed'] == 1 and v[1]['reply'] == '7' and [p['node'] for p in v[2] if p['state'] == 'running'] == ['$to']"
        on "$to" "assert count(where node = $to and id = $id) = 1"
    done
    on "$from" "unpin $id" "stop $id"
done

rule "an OS process can be moved: the old one ends, a new one starts"
id=$(id_on n1 osmig)
on n3 "start $id -- $s 100001" "pids $id" "migrate $id to n2" "pids $id"
json 'v[2]["changed"] == 1 and v[1][0]["pid"] != v[3][0]["pid"] and v[3][0]["node"] == "n2"'
same 1 "$(program_count sleeper)"
on n1 "stop $id"
same 0 "$(program_count sleeper)"

rule "an unknown module is not-found (3), from any node for any owner, and nothing stays"
for from in "${nodes[@]}"; do
    for to in "${nodes[@]}"; do
        id=$(id_on "$to" "bad-$from")
        exits_on 3 "$from" "start $id module=nonesuch"
        says nonesuch
        exits_on 3 "$from" "child $id"
    done
done
everywhere 'count = 0'

rule "a program that cannot be executed fails (1) with path and reason, and nothing stays"
for from in "${nodes[@]}"; do
    for to in "${nodes[@]}"; do
        id=$(id_on "$to" "exec-$from")
        exits_on 1 "$from" "start $id -- $dir/no/such/program"
        says "$dir/no/such/program"
        says 'No such file'
        exits_on 3 "$from" "child $id"
    done
done
everywhere 'count = 0'
agree "${nodes[@]}"

rule "commands for what does not exist are not-found, everywhere"
for from in "${nodes[@]}"; do
    for command in 'stop no-such' 'restart no-such' 'signal no-such TERM' 'call no-such get' \
        'send no-such inc' 'child no-such' 'pids no-such' 'logs no-such' 'migrate no-such to n2' \
        'unpin no-such'; do
        exits_on 3 "$from" "$command"
    done
done

rule "if_exists: same spec is ok, another one refused, fail refuses both, replace runs the new one"
for to in "${nodes[@]}"; do
    id=$(id_on "$to" exists)
    on n1 "start $id module=counter tags=old" "send $id inc 5"
    for from in "${nodes[@]}"; do
        on "$from" "start $id module=counter tags=old"
        json 'v[0]["same"] == 1 and v[0]["changed"] == 0'
        exits_on 4 "$from" "start $id module=counter tags=new"
        exits_on 4 "$from" "start $id module=counter tags=old if_exists=fail"
        on "$from" "call $id get"
        json 'v[0]["reply"] == "5"'
    done
    on n2 "start $id module=counter tags=new if_exists=replace" "call $id get" "children $id"
    json "v[0]['changed'] == 1 and v[1]['reply'] == '0' and v[2][0]['tags'] == ['new'] and v[2][0]['nodes'] == ['$to']"
    everywhere "count(tag:new) = 1"
    on n3 "stop $id"
done

rule "rollback stops on every node what this start had started"
ids=()
for to in "${nodes[@]}"; do
    ids+=("$(id_on "$to" roll)")
done
on n2 "start ${ids[2]} module=kv"
exits_on 7 n1 "start ${ids[*]} module=counter"
json 'v[0]["changed"] == 2 and len(v[0]["failed"]) == 1'
on n1 "stop ${ids[0]} ${ids[1]}"
before=$(ask n1 status 'v["children"]')
for from in "${nodes[@]}"; do
    code=0
    at "$from" -o json -e "start ${ids[*]} module=counter on_failure=rollback" >"$dir/out" || code=$?
    [ $code != 0 ] || fail "the start went well"
    everywhere "count = $before"
done
on n3 "call ${ids[2]} size" "stop ${ids[2]}"
everywhere 'count = 0'

rule "one start of many, some of which fail, reports each and keeps the others"
on n1 'start many-[1..300] module=crash'
exits_on 7 n2 'start many-[299..310] module=echo'
json 'v[0]["changed"] == 10 and v[0]["failed"][0]["id"] == "many-[299..300]"'
on n3 'stop all'
everywhere 'count = 0'

rule "stop of what another node starts at this moment: one of both wins, and all nodes agree"
mine=()
for _ in 1 2 3; do
    for from in "${nodes[@]}"; do
        at "$from" -k -o tsv -e "start race-[1..$(scaled 300)] module=counter" -e 'stop race-*' \
            >/dev/null 2>&1 &
        mine+=($!)
    done
done
for pid in "${mine[@]}"; do
    wait "$pid" || true
done
settled "${nodes[@]}"
agree "${nodes[@]}"
on n1 'stop all'
settled "${nodes[@]}"
same 0 "$(local_sum "${nodes[@]}")"
