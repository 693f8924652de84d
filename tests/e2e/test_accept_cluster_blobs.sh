#!/usr/bin/env bash
# Blobs of three sizes move hot: no byte of their state changes, also through a link that breaks meanwhile
# and while messages change it; and what a node needs for a mass move is bounded by the states under way, not by the number of children.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"
. "$PH_SOURCE_DIR/tests/lib/cluster.sh"

under_way_mib=64 # of states, as docs/cluster.md promises
copies=4         # of each: saved, in a record, in frames, kept afterwards

# start_blobs NODE: small, large and very large ones.
start_blobs()
{
    on "$1" "start k-[1..$(scaled 200)] module=blob args=1K" "start m-[1..$(scaled 24)] module=blob args=1M" \
        "start big-1 module=blob args=64M"
}

# checks NODE FILE: what each blob says of its state, in a fixed order. None may say that it is wrong.
checks()
{
    at "$1" -o tsv -e 'children' | cut -f 1 | sort | awk '{ print "call " $1 " check timeout=60s" }' >"$dir/calls"
    at "$1" -o tsv "$dir/calls" >"$2" || fail "a blob does not answer well: $(cat "$dir/err")"
    [ "$(grep -c '^ok ' "$2")" = "$(wc -l <"$dir/calls")" ] || fail "$(grep -v '^ok ' "$2" | head -n 3)"
}

# as_before NODE: all say what they said when they were new.
as_before()
{
    checks "$1" "$dir/now"
    cmp -s "$dir/first" "$dir/now" || fail "not as before: $(diff "$dir/first" "$dir/now" | head -n 6)"
}

# peak_begins NODE…: from now on the kernel keeps the peak of their memory.
peak_begins()
{
    local name
    for name in "$@"; do
        echo 5 >"/proc/${node_pid[$name]}/clear_refs"
        before_mib[$name]=$(($(rss_kib "${node_pid[$name]}") / 1024))
    done
}
declare -A before_mib=()

# peak_mib NODE: by how much its memory exceeded what it was then.
peak_mib()
{
    echo $(($(awk '/^VmHWM/ { print $2 }' "/proc/${node_pid[$1]}/status") / 1024 - before_mib[$1]))
}

# mass_move FROM TO: all blobs. Nodes that never had a blob: freed memory would hide what is needed.
mass_move()
{
    local name bound=$((under_way_mib * copies)) source target
    settled "$1" "$2"
    peak_begins "$1" "$2"
    on "$1" "migrate m-* to $2 timeout=120s"
    source=$(peak_mib "$1") target=$(($(peak_mib "$2") - mass))
    report "$mass blobs of 1 MiB: the source needed $source MiB more, the target $target MiB"
    ! is_plain || [ "$source" -lt $bound ] || fail "the source needed $source MiB more than before"
    ! is_plain || [ "$target" -lt $bound ] || fail "the target needed $target MiB more than its children"
}
mass=$(scaled 512)

rule "a mass move of large states needs memory for those under way only"
start_node n1 --hub default:migration=hot
on n1 "start s-[1..$(scaled 5000)] module=blob args=64" "start m-[1..$mass] module=blob args=1M" "migrate all to n1"
start_node n2 --hub default:migration=hot
mass_move n1 n2

rule "the same after thousands of small ones: how large the next ones are is not known before"
start_node n3 --hub default:migration=hot
settled n1 n2 n3
on n1 "migrate s-* to n2 timeout=60s" "migrate s-* to n1 timeout=60s" "migrate s-* to n2 timeout=60s"
node_leave n1
mass_move n2 n3
on n3 "stop all timeout=60s"

rule "states of 1 KiB, 1 MiB and 64 MiB stay as they are over hot moves"
start_node n1 --hub default:migration=hot
settled n1 n2 n3
start_blobs n1
settled n1 n2 n3
checks n1 "$dir/first"
for target in n1 n2 n3 n1; do
    on n2 "migrate all to $target timeout=60s"
    as_before n3
done
[ "$(ask n1 migrations 'all(m["mode"] == "hot" for m in v)')" = True ] || fail "some moved cold"

# stirred NODE: what the one that stays at home says after as many messages.
stirred()
{
    at "$1" -o tsv -e 'call stirred-1 check timeout=60s'
}

rule "what messages change while a copy of a state is on its way arrives, all of it and once"
node home
on home 'start stirred-1 module=blob args=16M'
on n1 'start stirred-1 module=blob args=16M' 'migrate stirred-1 to n1'
[ "$(stirred n1)" = "$(stirred home)" ] || fail "two blobs of one id differ"
for target in n2 n3 n1; do
    on n1 "migrate stirred-1 to $target timeout=60s wait=no"
    for ((i = 0; i < 20; i++)); do
        on home 'send stirred-1 "stir 20"'
        on n1 'send stirred-1 "stir 20"'
    done
    on n1 "wait migrating = 0 timeout=${patience}s"
    [ "$(stirred n1)" = "$(stirred home)" ] || fail "it is not what it became at home, on its way to $target"
done
copied=$(ask n2 events 'sum(e["type"] == "child_moved" and "after its copy" in e["text"] for e in v)')
[ "$copied" -gt 0 ] || fail "no copy went ahead of any state"
on n1 'stop stirred-1'
node_end home

rule "the same through a link that is cut and comes back while they are on their way"
start_behind n4 --hub default:migration=hot
settled n1 n2 n3 n4
for target in n4 n2 n4; do
    on n1 "migrate all to $target timeout=60s wait=no"
    link n4 cut
    link n4 heal
    on n3 "wait migrating = 0 timeout=${patience}s"
    as_before n1
done
settled n1 n2 n3 n4
[ "$(ask n1 'count where node = n4' 'v["count"]')" = "$(wc -l <"$dir/first")" ] || fail "they are not on n4"
