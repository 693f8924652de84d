#!/usr/bin/env bash
# A node that stands still for longer than the others wait for it (SIGSTOP), and goes on: under majority
# nothing ever runs twice, under diverge for one detection period at most after it has come back.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"
. "$PH_SOURCE_DIR/tests/lib/cluster.sh"

n=$(scaled 300)
beats=12

# begin PARTITION: starts everything; a third of it is on n3.
begin()
{
    : >"$dir/beats"
    start_nodes n1 n2 n3 -- --hub "default:partition=$1"
    settled n1 n2 n3
    on n1 "start c-[1..$n] module=counter"
    seq "$n" | sed 's/.*/send c-& inc 5/' >"$dir/sends"
    exits 0 at n1 "$dir/sends"
    start_beats n2 b $beats
    settled n1 n2 n3
    eventually 20 beats_fresh $beats
    at n1 -o json -e 'children node:n3' >"$dir/out"
    value '"\n".join(c["id"] for c in v[0] if c["id"].startswith("c"))' >"$dir/on3"
    json 'len([c for c in v[0] if c["id"].startswith("b")]) > 0'
}

# pause PARTITION: stops n3 until the others have its children, and tells each of those something new.
pause()
{
    local stopped_ms
    kill -STOP "${node_pid[n3]}"
    stopped_ms=$(now_ms)
    at n1 -e "wait nodes = 2 timeout=${patience}s" >/dev/null
    report "$1: seen as dead after $(($(now_ms) - stopped_ms)) ms"
    settled n1 n2
    at n1 -e "wait count(where state = running) = $((n + beats)) timeout=${patience}s" >/dev/null
    sed 's/.*/send & inc 1000/' "$dir/on3" >"$dir/sends"
    exits 0 at n2 "$dir/sends"
    eventually 20 beats_fresh $beats
}

end_all()
{
    on n1 'stop all'
    settled n1 n2 n3
    same 0 "$(program_count beat)"
    for name in n3 n2 n1; do
        node_leave $name
    done
}

rule "majority: a node that stands still is dead for the others, who take its children over"
begin majority
pause majority

rule "majority: back again, it lets nothing go on that runs elsewhere; nothing ever ran twice"
kill -CONT "${node_pid[n3]}"
# The first thing that it is asked after it has come back. Answers of its own would be old ones: 5.
sed 's/.*/call & get timeout=2s/' "$dir/on3" >"$dir/calls"
"$prochub" attach "ipc://$dir/n3.d/c.sock" -k -o tsv "$dir/calls" >"$dir/replies" 2>"$dir/err" </dev/null || true
! grep -qx 5 "$dir/replies" || fail "$(grep -cx 5 "$dir/replies") stale instances answered"
settled n1 n2 n3
agree n1 n2 n3
same $((n + beats)) "$(local_sum n1 n2 n3)"
eventually 20 beats_fresh $beats
[ "$(cut -d' ' -f1,2 "$dir/beats" | sort -u | wc -l)" -gt $beats ] || fail "no process ran a second time"
at_most "$(doubled)" 0 ms "majority: the longest time that a process ran twice"
same $beats "$(program_count beat)"

rule "majority: what was counted elsewhere meanwhile is what counts"
exits 0 at n1 -o tsv "$dir/calls"
same 1000 "$(sort -u "$dir/out")"
on n3 stats
json 'v[0]["stray_writes"] == 0'
report "late frames and epochs that n3 refused: $(value '{k: v[0]["cluster"][k] for k in v[0]["cluster"] if "refused" in k}')"
end_all

rule "diverge: the same; here both sides run until they meet"
begin diverge
pause diverge
kill -CONT "${node_pid[n3]}"
back_ms=$(now_ms)
settled n1 n2 n3
report "diverge: settled $(($(now_ms) - back_ms)) ms after it came back"
agree n1 n2 n3
same $((n + beats)) "$(local_sum n1 n2 n3)"
eventually 20 beats_fresh $beats
at_most "$(doubled "$back_ms")" "$dead_after_ms" ms "diverge: the longest time that a process ran twice after that"
same $beats "$(program_count beat)"

rule "diverge: every child answers the same, from wherever it is asked"
exits 0 at n1 -o tsv "$dir/calls"
cp "$dir/out" "$dir/first"
exits 0 at n3 -o tsv "$dir/calls"
cmp "$dir/first" "$dir/out" || fail "two nodes get different answers"
end_all
