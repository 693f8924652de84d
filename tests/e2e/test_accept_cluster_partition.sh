#!/usr/bin/env bash
# Links that are cut, in both directions or in one, by proxies in front of the nodes: what both sides do
# meanwhile, and that they are one hub again afterwards, with every wanted child once and no stopped one.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"
. "$PH_SOURCE_DIR/tests/lib/cluster.sh"

nodes=(n1 n2 n3)
beats=9

# begin PARTITION
begin()
{
    local name
    : >"$dir/beats"
    for name in "${nodes[@]}"; do
        rm -f "$dir/$name.orders" "$dir/$name.answers"
        start_behind "$name" --hub "default:partition=$1"
    done
    settled "${nodes[@]}"
}

end_all()
{
    on n1 'stop all'
    settled "${nodes[@]}"
    same 0 "$(program_count beat)"
    for name in n3 n2 n1; do
        node_leave $name
    done
}

runs_once()
{
    runs beat $beats
}

rule "diverge: a node that is cut off goes on with all children, the others as well"
begin diverge
on n1 'start keep-[1..60] module=counter' 'start gone-[1..30] module=counter' 'start back module=echo'
start_beats n1 b $beats
settled "${nodes[@]}"
eventually 20 beats_fresh $beats
link n3 cut
at n3 -e "wait nodes = 1 timeout=${patience}s" >/dev/null
for name in n1 n2; do
    at $name -e "wait nodes = 2 timeout=${patience}s" >/dev/null
done
for name in "${nodes[@]}"; do
    at $name -e "wait count(where state = running) = $((91 + beats)) timeout=${patience}s" >/dev/null
done

rule "diverge: both sides start and stop children"
on n1 'start left-[1..20] module=counter' 'stop gone-[1..15]' 'start both module=kv'
on n3 'start right-[1..20] module=counter' 'stop gone-[16..30]' 'start both module=kv' 'stop back'
on n2 'start again module=echo' 'stop again'

rule "diverge: after the heal all registries are equal, each wanted child is there once, no stopped one"
start=$(now_ms)
link n3 heal
settled "${nodes[@]}"
report "diverge: healed and settled after $(($(now_ms) - start)) ms"
agree "${nodes[@]}"
for name in "${nodes[@]}"; do
    on $name 'count keep-*' 'count gone-*' 'count left-*' 'count right-*' 'count where id = both' \
        'count where id = back' 'count where id = again'
    json '[c["count"] for c in v] == [60, 0, 20, 20, 1, 0, 0]'
done
same $((101 + beats)) "$(local_sum "${nodes[@]}")"
eventually 20 beats_fresh $beats
eventually 20 runs_once

rule "diverge: what is only slow is not cut off"
link n2 'delay 100'
link n3 'throttle 20000'
on n1 'start slow-[1..50] module=counter timeout=60s' nodes
json 'v[0]["changed"] == 50 and len(v[1]) == 3'
settled "${nodes[@]}"
link n2 heal
link n3 heal

rule "diverge: a cut in one direction is one in both: two sides, then one hub again"
link n2 'oneway down'
at n3 -e "wait nodes < 3 timeout=${patience}s" >/dev/null
at n2 -e "wait nodes < 3 timeout=${patience}s" >/dev/null
link n2 heal
settled "${nodes[@]}"
agree "${nodes[@]}"
same $((151 + beats)) "$(local_sum "${nodes[@]}")"
eventually 20 runs_once
end_all

rule "majority: the side without a quorum stops its children and refuses starts"
begin majority
on n1 'start keep-[1..60] module=counter'
start_beats n1 b $beats
settled "${nodes[@]}"
eventually 20 beats_fresh $beats
link n3 cut
at n3 -e "wait partitioned = true timeout=${patience}s" >/dev/null
at n3 -e "wait count(where node = n3 and state = running) = 0 timeout=${patience}s" >/dev/null
exits_on 4 n3 'start late module=echo'
says partition
on n3 quorum status
json 'v[0]["partitioned"] and v[0]["needed"] == 2 and v[1]["locked"]'

rule "majority: the side with a quorum runs everything, and nothing ran twice"
for name in n1 n2; do
    at $name -e "wait nodes = 2 timeout=${patience}s" >/dev/null
    at $name -e "wait count(where state = running) = $((60 + beats)) timeout=${patience}s" >/dev/null
done
on n1 'assert partitioned = false' 'start more-[1..10] module=counter' 'stop keep-[1..10]'
eventually 20 beats_fresh $beats
at_most "$(doubled)" 0 ms "majority: the longest time that a process ran twice"

rule "majority: healed, the quorum is back and everything is there once"
start=$(now_ms)
link n3 heal
at n3 -e "wait partitioned = false timeout=${patience}s" >/dev/null
settled "${nodes[@]}"
report "majority: healed and settled after $(($(now_ms) - start)) ms"
agree "${nodes[@]}"
on n3 'count keep-*' 'count more-*' 'count where id = late' status
json '[c["count"] for c in v[:3]] == [50, 10, 0] and not v[3]["locked"]'
same $((60 + beats)) "$(local_sum "${nodes[@]}")"
eventually 20 runs_once
at_most "$(doubled)" 0 ms "majority: the longest time that a process ran twice until the end"

rule "majority: three nodes that are all alone run nothing; healed, everything is there once"
for name in "${nodes[@]}"; do
    link $name cut
done
for name in "${nodes[@]}"; do
    at $name -e "wait partitioned = true timeout=${patience}s" >/dev/null
done
nothing_runs()
{
    runs beat 0
}
eventually 20 nothing_runs
for name in "${nodes[@]}"; do
    link $name heal
done
settled "${nodes[@]}"
agree "${nodes[@]}"
same $((60 + beats)) "$(local_sum "${nodes[@]}")"
eventually 20 runs_once
end_all
