#!/usr/bin/env bash
# OS processes that speak on PROCHUB_SOCKET move hot under traffic: in a shell, Python and C alike each
# message counts exactly once.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"
. "$PH_SOURCE_DIR/tests/lib/cluster.sh"

examples=$PH_SOURCE_DIR/docs/examples
messages=$(scaled "${PH_MESSAGES:-2000}") # from each node to each child
children=(sh py c)

# counts_are NODE COUNT: each child has counted so far.
counts_are()
{
    local id
    for id in "${children[@]}"; do
        [ "$(ask "$1" "call $id get timeout=30s" 'v["reply"]')" = "$2" ] || return 1
    done
}

rule "three samples, on two nodes whose hub moves hot"
start_nodes n1 n2 -- --hub default:migration=hot
settled n1 n2
on n1 "start sh socket=yes -- sh $examples/counter_child.sh" \
    "start py socket=yes -- $python $examples/counter_child.py" \
    "start c socket=yes -- $PH_BUILD_DIR/tests/counter_child"
settled n1 n2

rule "they move back and forth under traffic from both nodes, and no message is lost or counted twice"
traffic=()
for name in n1 n2; do
    for ((i = 0; i < messages; i++)); do
        printf 'send %s inc\n' "${children[@]}"
    done >"$dir/$name.traffic"
    "$prochub" attach "ipc://$dir/$name.d/c.sock" "$dir/$name.traffic" >"$dir/$name.traffic.err" 2>&1 &
    traffic+=($!)
    own $!
done
moves=0
while kill -0 "${traffic[0]}" 2>/dev/null || kill -0 "${traffic[1]}" 2>/dev/null || [ $moves -lt "${PH_MOVES:-4}" ]; do
    on n1 "migrate all to n$((moves % 2 + 1)) timeout=60s"
    moves=$((moves + 1))
done
for pid in "${traffic[@]}"; do
    wait "$pid" || fail "traffic: $(cat "$dir"/n?.traffic.err)"
    unset "owned[$pid]"
done
report "$moves times all moved under $((2 * ${#children[@]} * messages)) messages"
eventually 60 counts_are n2 $((2 * messages))
counts_are n1 $((2 * messages))

rule "the moves were hot: the next one stood by before the last one gave its state"
on n1 "migrate sh to n$((moves % 2 + 1)) mode=hot timeout=60s"
[ "$(ask n1 'migrations' 'len([m for m in v if m["id"] == "sh" and m["error"]])')" = 0 ] ||
    fail "$(at n1 -o json -e migrations)"
counts_are n2 $((2 * messages))

rule "a program without socket=yes cannot stand by: it is moved cold"
on n1 'start plain -- /bin/sleep 1000' 'migrate plain to n1' 'migrate plain to n2 mode=hot timeout=60s'
[ "$(ask n1 'pids plain' 'v[0]["node"]')" = n2 ] || fail "it did not move"
