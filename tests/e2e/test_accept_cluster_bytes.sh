#!/usr/bin/env bash
# What goes over the links of a hub with 100,000 children: one change costs each peer at most 2 KB, an
# idle minute at most 60 KB per link (PH_FULL=1: a whole minute; else a tenth of one).
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"
. "$PH_SOURCE_DIR/tests/lib/cluster.sh"

n=$(scaled 100000)
idle_s=6
[ -z "${PH_FULL:-}" ] || idle_s=60
# The defaults are what the budget is for.
heartbeat_ms=500 dead_after_ms=3000 lease_ms=2500
start_nodes n1 n2 n3
settled n1 n2 n3
on n1 "start w-[1..$n] module=counter timeout=120s"
settled n1 n2 n3

# traffic PEER: bytes that n1 has exchanged with that peer until now, both directions.
traffic()
{
    ask n1 stats "v['links']['peers']['$1']['bytes_in'] + v['links']['peers']['$1']['bytes_out']"
}

# quiet DURATION: so long nothing is asked of the nodes.
quiet()
{
    exits_on 5 n1 "wait count = 100000000 timeout=$1"
}

# costs COMMAND: what the command (@ is the number of the try), and that all agree again, costs on each
# link, at most 2 KB. What is said anyway meanwhile comes on top, so the least of three tries counts. The
# figures are those of the links' last turn: so it waits a little.
costs()
{
    local peer try before least
    for peer in n2 n3; do
        least=1000000000
        for try in 1 2 3; do
            before=$(traffic $peer)
            on n1 "${1//@/$peer-$try}" "wait settled = true timeout=${patience}s"
            quiet 300ms
            bytes=$(($(traffic $peer) - before))
            least=$((bytes < least ? bytes : least))
        done
        at_most $least 2000 bytes "to and from $peer: $1"
    done
}

quiet 1s

rule "one change among $n children costs each peer at most 2 KB"
costs 'start extra-@ module=counter'
costs 'restart extra-@'
costs 'migrate extra-@ to n2'
costs 'stop extra-@'

rule "idle, a link carries at most 60 KB a minute"
quiet 1s
before=$(traffic n2)
quiet ${idle_s}s
bytes=$(($(traffic n2) - before))
at_most $((bytes * 60 / idle_s)) 60000 bytes "a link in an idle minute with $n children"
