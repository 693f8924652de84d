#!/usr/bin/env bash
# A running node and those attached to it: sessions, SIGHUP, SIGTERM, the control socket, Ctrl-C.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"

program sleeper sleep
s=$dir/bin/sleeper
config=$dir/config
cat >"$config" <<END
start web tags=front -- $s 100001
start db tags=back -- $s 100002
start count module=counter
END

rule "a node runs its configuration before it says that it is ready"
node n1 --config "$config"
exits 0 at n1 -o json -e 'children' -e 'status'
json '[c["id"] for c in v[0]] == ["count", "db", "web"] and v[1]["node"] == "n1"'

rule "the control socket is private"
same 600 "$(stat -c %a "$dir/n1.d/c.sock")"
same 700 "$(stat -c %a "$dir/n1.d")"

rule "sessions have their own hub in use, locks and variables"
exits 0 at n1 -o json -e 'hub create second' -e 'use second' -e 'start only-here module=echo' -e 'count' \
    -e 'lock name=second-lock' -e 'locks'
json 'v[3]["count"] == 1'
exits 0 at n1 -o json -e 'count' -e 'locks' -e 'hubs' -e 'use second' -e 'locks' -e 'unlock name=second-lock'
json 'v[0]["count"] == 3 and v[1] == [] and len(v[2]) == 2 and len(v[4]) == 1'
exits 0 at n1 -e 'hub stop second'
exits 3 at n1 -e 'use second'

rule "ten sessions at the same time: each sees all"
mine=()
for i in $(seq 10); do
    at n1 -e "start par$i-[1..20] module=counter" -e "wait count(where state = running) >= 203 timeout=30s" \
        -e "send par$i-7 inc $i" >/dev/null &
    mine+=($!)
done
for pid in "${mine[@]}"; do
    wait "$pid"
done
exits 0 at n1 -o json -e 'call par7-7 get' -e 'stop par*' -e 'count'
json 'v[0]["reply"] == "7" and v[1]["changed"] == 200 and v[2]["count"] == 3'

rule "SIGHUP runs the configuration again: what runs stays, what is new comes"
pid=$(at n1 -o json -e 'pids web' | value 'v[0][0]["pid"]' /dev/stdin)
echo "start late -- $s 100003" >>"$config"
kill -HUP "${node_pid[n1]}"
at n1 -e 'wait child late state = running timeout=20s' >/dev/null
same "$pid" "$(at n1 -o json -e 'pids web' | value 'v[0][0]["pid"]' /dev/stdin)"
exits 0 at n1 -o json -e 'children'
json 'len(v[0]) == 4 and all(c["restarts"] == 0 for c in v[0])'

rule "a broken configuration changes nothing at all and says where it is broken"
cp "$config" "$config.good"
{
    echo "start never -- $s 100004"
    cat "$config.good"
    echo "strat typo module=echo"
} >"$config"
kill -HUP "${node_pid[n1]}"
eventually 10 grep -qF 'config:6:1: usage: ' "$dir/n1.err"
exits 0 at n1 -o json -e 'children'
json 'sorted(c["id"] for c in v[0]) == ["count", "db", "late", "web"]'
same 3 "$(program_count sleeper)"

rule "a configuration that has gone changes nothing, either"
rm "$config"
kill -HUP "${node_pid[n1]}"
eventually 10 grep -q 'not-found: ' "$dir/n1.err"
exits 0 at n1 -e 'assert count = 4'
mv "$config.good" "$config"
kill -HUP "${node_pid[n1]}"
exits 0 at n1 -e 'assert count = 4'

rule "a second node is refused on the same socket, and the first goes on"
exits 4 timeout 20 "$prochub" node --name other --control "ipc://$dir/n1.d/c.sock"
says "${node_pid[n1]}"
exits 0 at n1 -e 'assert count = 4'

rule "an attach that closes ends its wait: the node keeps nothing of it"
threads()
{
    find "/proc/${node_pid[n1]}/task" -mindepth 1 -maxdepth 1 | wc -l
}
base=$(threads)
mine=()
for i in $(seq 20); do
    "$prochub" attach "ipc://$dir/n1.d/c.sock" -e 'wait count = 1000000 timeout=1h' >/dev/null 2>&1 &
    mine+=($!)
    own $!
done
waiting()
{
    [ "$(threads)" -ge $((base + $1)) ]
}
as_before()
{
    [ "$(threads)" -le "$base" ]
}
eventually 20 waiting 20
fds=$(find "/proc/${node_pid[n1]}/fd" -type l | wc -l)
kill -KILL "${mine[@]}"
{ wait "${mine[@]}"; } 2>/dev/null || true
eventually 20 as_before
fewer()
{
    [ "$(find "/proc/${node_pid[n1]}/fd" -type l | wc -l)" -le $((fds - 20)) ]
}
eventually 20 fewer

rule "Ctrl-C ends an attach with 130; the node goes on"
"$prochub" attach "ipc://$dir/n1.d/c.sock" -e 'wait count = 77 timeout=1h' -e 'stop all' >"$dir/out" 2>"$dir/err" &
pid=$!
own $pid
eventually 20 waiting 1
kill -INT $pid
code=0
wait $pid || code=$?
same 130 $code
exits 0 at n1 -e 'assert count = 4'

rule "logs follow ends with Ctrl-C, too, and shows what comes meanwhile"
at n1 -e "start talker -- /bin/sh -c 'while :; do echo said; $s 0.1; done'" >/dev/null
"$prochub" attach "ipc://$dir/n1.d/c.sock" -e 'logs talker follow' >"$dir/follow.out" 2>"$dir/err" &
pid=$!
own $pid
spoken()
{
    [ "$(grep -c said "$dir/follow.out")" -ge 5 ]
}
eventually 20 spoken
kill -INT $pid
code=0
wait $pid || code=$?
same 130 $code
at n1 -e 'stop talker' >/dev/null

rule "a script that is piped to attach runs like one on an embedded node"
printf 'let N 3\nstart p-[1..3] module=kv\ncall p-1 set a b\ncall p-1 get a\nstop p-*\nexit $N\n' >"$dir/piped"
exits 3 "$prochub" attach "ipc://$dir/n1.d/c.sock" <"$dir/piped"
grep -qx b "$dir/out" || fail "no reply"
exits 3 "$prochub" attach "ipc://$dir/n1.d/c.sock" "$dir/piped"

rule "SIGTERM ends the node gracefully: children get their stop signal, exit code 0, the socket is gone"
at n1 -e "start kind -- /bin/sh -c 'trap \"echo bye >$dir/bye; exit 0\" TERM; echo set; while :; do $s 0.05; done'" >/dev/null
trap_is_set()
{
    at n1 -e 'logs kind' | grep -q set
}
eventually 20 trap_is_set
node_end n1 TERM
same bye "$(cat "$dir/bye")"
same "" "$(program_pids)"
[ ! -e "$dir/n1.d/c.sock" ] || fail "the socket is still there"
exits 6 at n1 -e status

rule "the sockets that a killed node leaves are no hindrance"
node n1
kill -KILL "${node_pid[n1]}"
wait "${node_pid[n1]}" 2>/dev/null || true
[ -S "$dir/n1.d/c.sock" ] || fail "the socket should have stayed"
node n1
exits 0 at n1 -e 'assert count = 0'

rule "SIGINT ends it like SIGTERM, shutdown as well"
node_end n1 INT
node n1
exits 0 at n1 -e 'shutdown'
eventually 20 gone "${node_pid[n1]}"
wait "${node_pid[n1]}"

rule "a second signal ends at once what would take long"
node n1
at n1 -e "start deaf shutdown=1h -- /bin/sh -c 'trap \"\" TERM; while :; do $s 100009; done'" >/dev/null
pid=${node_pid[n1]}
kill -TERM "$pid"
kept_on()
{
    ! at n1 -e status >/dev/null 2>&1
}
eventually 10 kept_on
kill -TERM "$pid"
code=0
wait "$pid" || code=$?
[ $code != 0 ] || fail "it says that all went well"
eventually 10 runs sleeper 0

rule "without an endpoint attach finds the only node; with none it says how to start one"
export XDG_RUNTIME_DIR=$dir/run
mkdir -m 700 "$dir/run"
exits 6 "$prochub" attach -e status
says 'prochub node'
"$prochub" node --name auto >"$dir/auto.out" 2>"$dir/auto.err" &
node_pid[auto]=$!
own $!
eventually 20 node_is_ready auto
[ -S "$dir/run/prochub/auto.sock" ] || fail "no default socket"
exits 0 "$prochub" attach -o json -e status </dev/null
json 'v[0]["node"] == "auto"'
node_end auto

rule "a bad option, name or endpoint is refused at once"
exits 2 timeout 20 "$prochub" node --name 'bad name' --control "ipc://$dir/x/c.sock"
exits 2 timeout 20 "$prochub" node --name x --control "tcp://127.0.0.1:1"
exits 2 timeout 20 "$prochub" node --name x --control "ipc://$(printf 'x%.0s' $(seq 200))"
exits 2 timeout 20 "$prochub" node --name x --control "ipc://$dir/x/c.sock" --hub 'h:no.such=1'
