#!/usr/bin/env bash
# Ledgers move hot under traffic from every node: each message is handled exactly once, in the order in
# which its node sent it, whatever moves meanwhile.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"
. "$PH_SOURCE_DIR/tests/lib/cluster.sh"

children=$(scaled 40)
per_child=$(scaled "${PH_MESSAGES:-600}") # from each node

sent=0 # so far, by each node to each ledger

# begin_traffic NODE…: each sends its next messages to all ledgers, in turn, and numbers them.
begin_traffic()
{
    local name
    for name in "$@"; do
        awk -v n="$children" -v m="$per_child" -v s="$name" -v from="$sent" 'BEGIN {
            for (i = 1; i <= m; i++) for (c = 1; c <= n; c++) print "send l-" c " " s " " from + i }' \
            >"$dir/$name.traffic"
        "$prochub" attach "ipc://$dir/$name.d/c.sock" "$dir/$name.traffic" \
            >"$dir/$name.traffic.out" 2>"$dir/$name.traffic.err" &
        traffic_pid[$name]=$!
        own "${traffic_pid[$name]}"
    done
    sent=$((sent + per_child))
}
declare -A traffic_pid=()

traffic_runs()
{
    local name
    for name in "${!traffic_pid[@]}"; do
        ! kill -0 "${traffic_pid[$name]}" 2>/dev/null || return 0
    done
    return 1
}

end_traffic()
{
    local name
    for name in "${!traffic_pid[@]}"; do
        wait "${traffic_pid[$name]}" || fail "traffic of $name: $(tail -n 3 "$dir/$name.traffic.err")"
        unset "owned[${traffic_pid[$name]}]"
    done
    traffic_pid=()
}

# ledgers_are NODE MESSAGES: every ledger has had so many, without a fault.
ledgers_are()
{
    local end=$((SECONDS + patience))
    awk -v n="$children" 'BEGIN { for (c = 1; c <= n; c++) print "call l-" c " get timeout=30s" }' >"$dir/calls"
    until exits 0 at "$1" -o tsv "$dir/calls" &&
        [ "$(grep -cx "messages=$2 faults=0 " "$dir/out")" = "$children" ]; do
        ! grep -qv 'faults=0' "$dir/out" || fail "out of order: $(grep -v 'faults=0' "$dir/out" | head -n 3)"
        [ $SECONDS -lt $end ] || fail "of $2 messages: $(sort "$dir/out" | uniq -c | head -n 5)"
    done
}

rule "three nodes, ledgers that move hot"
start_nodes n1 n2 n3 -- --modules "$PH_BUILD_DIR/tests/modules" --hub default:migration=hot
settled n1 n2 n3
on n1 "start l-[1..$children] module=ledger"
settled n1 n2 n3

rule "under traffic from three nodes they move back and forth: every message once and in order"
begin_traffic n1 n2 n3
moves=0
while traffic_runs; do
    on n$((moves % 3 + 1)) "migrate all to n$((moves % 3 + 2 > 3 ? 1 : moves % 3 + 2)) timeout=60s"
    moves=$((moves + 1))
done
end_traffic
report "$moves times all of $children moved under $((3 * children * per_child)) messages"
[ $moves -ge 1 ] || fail "too little moved: $moves"
ledgers_are n2 $((3 * sent))

rule "the same while a fourth node joins, is drained, takes its share again, and leaves"
begin_traffic n1 n2 n3
rounds=0
while traffic_runs; do
    start_node n4 --modules "$PH_BUILD_DIR/tests/modules" --hub default:migration=hot
    at n4 -e "wait nodes = 4 timeout=${patience}s" -e "wait migrating = 0 timeout=${patience}s" >/dev/null
    on n1 "unpin all" "drain n4 deadline=60s" "undrain n4"
    at n4 -e "wait migrating = 0 timeout=${patience}s" >/dev/null
    on n4 'hook add coordinator_shutdown exec=/bin/true' # which keeps nothing from being handed over
    node_leave n4
    rounds=$((rounds + 1))
done
end_traffic
report "$rounds times a node came and went under $((3 * children * per_child)) messages"
[ $rounds -ge 1 ] || fail "too little moved: $rounds"
settled n1 n2 n3
ledgers_are n2 $((3 * sent))

rule "the same through a link that is cut and comes back before its node is given up"
start_behind n5 --modules "$PH_BUILD_DIR/tests/modules" --hub default:migration=hot
settled n1 n2 n3 n5
begin_traffic n1 n2 n3
moves=0
while traffic_runs; do
    on n1 "migrate all to n5 timeout=60s wait=no"
    link n5 cut
    link n5 heal
    on n1 "wait migrating = 0 timeout=60s"
    on n2 "migrate all to n$((moves % 3 + 1)) timeout=60s wait=no"
    link n5 cut
    link n5 heal
    on n1 "wait migrating = 0 timeout=60s"
    moves=$((moves + 1))
done
end_traffic
report "$moves times all moved there and back, each time cut twice, under $((3 * children * per_child)) messages"
[ $moves -ge 1 ] || fail "too little moved: $moves"
ledgers_are n2 $((3 * sent))
