#!/usr/bin/env bash
# Two halves of a cluster work separately for a while and heal. Children that can merge have both states
# then; of those that cannot, the state that gave way is in a conflict store. Nothing is lost.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"
. "$PH_SOURCE_DIR/tests/lib/cluster.sh"

nodes=(n1 n2 n3)
count=20

# tell NODE PREFIX TEXT: a message to each child of that prefix, and each has read it.
tell()
{
    local commands=() i
    for ((i = 1; i <= count; i++)); do
        commands+=("send $2-$i $3" "call $2-$i get")
    done
    on "$1" "${commands[@]}"
}

# answers NODE PREFIX: what each of them says to `get`, by number, one a line.
answers()
{
    local commands=() i
    for ((i = 1; i <= count; i++)); do
        commands+=(-e "call $2-$i get")
    done
    at "$1" -o tsv "${commands[@]}"
}

# all_conflicts: the rows of all nodes, each as one object a line with the node it is kept on.
all_conflicts()
{
    local name
    for name in "${nodes[@]}"; do
        at n1 -o json -e "conflicts node=$name" | "$python" -c "$rows_program" "$name"
    done
}
rows_program='
import json, sys
for row in json.load(sys.stdin):
    print(json.dumps(dict(row, kept=sys.argv[1])))'

# member ROW NAME: a member of a JSON object.
member()
{
    "$python" -c 'import json, sys; print(json.loads(sys.argv[1])[sys.argv[2]])' "$1" "$2"
}

cat >"$dir/hooked" <<END
#!/bin/sh
read -r line
echo "\$line" >>$dir/hook.out
END
chmod +x "$dir/hooked"
: >"$dir/hook.out"
for name in "${nodes[@]}"; do
    start_behind "$name" --modules "${PH_TEST_MODULES_DIR:?}"
    on "$name" "hook add child_conflict exec=$dir/hooked"
done
settled "${nodes[@]}"
on n1 "start sum-[1..$count] module=counter args=merge=sum" "start own-[1..$count] module=counter" \
    "start note-[1..$count] module=note" 'start beat -- /bin/sleep 1000'
for prefix in sum own; do
    tell n1 $prefix 'inc 5'
done
settled "${nodes[@]}"

rule "both halves count separately"
link n3 cut
at n3 -e "wait nodes = 1 timeout=${patience}s" >/dev/null
for name in n1 n2; do
    at "$name" -e "wait nodes = 2 timeout=${patience}s" >/dev/null
done
for name in "${nodes[@]}"; do
    at "$name" -e "wait count(where state = running) = $((3 * count + 1)) timeout=${patience}s" >/dev/null
done
for prefix in sum own; do
    tell n1 $prefix 'inc 10'
    tell n3 $prefix 'inc 100'
done
tell n1 note 'from the two'
tell n3 note 'from the one'
start=$(now_ms)
link n3 heal
settled "${nodes[@]}"
report "healed, merged and settled after $(($(now_ms) - start)) ms"

rule "what can merge holds the sum, on whichever node it is"
for name in "${nodes[@]}"; do
    same 115 "$(answers "$name" sum | sort -u)"
done

rule "what cannot merge keeps its own state, and the other one is in a conflict store"
all_conflicts >"$dir/rows"
same $((2 * count)) "$(wc -l <"$dir/rows")"
same "$((2 * count))" "$(cut -d'"' -f2- "$dir/rows" | grep -c 'does not merge states')"
answers n1 own >"$dir/own"
answers n1 note >"$dir/notes"
while read -r row; do
    node=$(member "$row" kept)
    number=$(member "$row" number)
    at n2 -o json -e "conflict show $number node=$node" || fail "conflict $number of $node"
done <"$dir/rows" >"$dir/shown"
"$python" - "$dir" $count <<'END' || fail "the states and the conflicts do not fit: $(head -n 3 "$dir/shown")"
import json, sys
folder, count = sys.argv[1], int(sys.argv[2])
own = open(folder + "/own").read().split("\n")
notes = open(folder + "/notes").read().split("\n")
shown = {row["id"]: row for row in map(json.loads, open(folder + "/shown"))}
assert len(shown) == 2 * count
for i in range(1, count + 1):
    left = shown["own-%d" % i]
    assert left["text"] is None and left["bytes"] == 8
    assert int.from_bytes(bytes.fromhex(left["hex"]), "little") + int(own[i - 1]) == 115, left
    assert left["updates"] >= 2 and left["ran_ms"] > 0
    left = shown["note-%d" % i]
    assert left["hex"] is None
    assert {left["text"], notes[i - 1]} == {"from the one", "from the two"}, left
END

rule "events, hooks, status and stats tell of it"
for name in "${nodes[@]}"; do
    at "$name" -o jsonl -e 'events where type = child_merged or type = child_conflict or type = child_stopped'
done >"$dir/events"
same $count "$(grep -c '"type":"child_merged"' "$dir/events")"
same $((2 * count)) "$(grep -c '"type":"child_conflict"' "$dir/events")"
same $((3 * count)) "$(grep -c 'it gave way to the one on' "$dir/events")"
same 1 "$(grep -c 'it gave way, and left no state' "$dir/events")"
hooked()
{
    [ "$(grep -c '"hook":"child_conflict"' "$dir/hook.out")" = $((2 * count)) ]
}
eventually 20 hooked
grep '"id":"own-1"' "$dir/hook.out" | head -n 1 >"$dir/hooked.json"
json 'v[0]["bytes"] == 8 and v[0]["updates"] >= 2 and v[0]["from"] in ("n1", "n2", "n3")' "$dir/hooked.json"
sum=0
merged=0
for name in "${nodes[@]}"; do
    sum=$((sum + $(ask "$name" status 'v["conflicts"]')))
    merged=$((merged + $(ask "$name" stats 'v["cluster"]["merged"]')))
done
same $((2 * count)) $sum
same $count $merged

rule "a conflict is shown as text or in hexadecimal, and dropped"
row=$(grep '"id": "note-1"' "$dir/rows")
node=$(member "$row" kept)
number=$(member "$row" number)
at "$node" -e "conflict show $number" | grep -qx 'from the \(one\|two\)' || fail "no text"
row=$(grep '"id": "own-1"' "$dir/rows")
node=$(member "$row" kept)
number=$(member "$row" number)
at "$node" -e "conflict show $number" | grep -qxE '[0-9a-f]{16}' || fail "no hexadecimal"
on "$node" "conflict drop $number"
json 'v[0]["changed"] == 1'
exits_on 3 "$node" "conflict show $number"
says "there is no conflict $number"
exits_on 3 "$node" "conflict drop $number"
exits_on 2 "$node" 'conflict show x'
exits_on 2 "$node" 'conflict drop 0'
exits_on 3 "$node" 'conflicts node=n9'
for name in "${nodes[@]}"; do
    on "$name" 'conflict drop all' 'wait conflicts = 0' conflicts
    json 'v[2] == []'
done

rule "the sums stay, and all of it ends as ever"
same 115 "$(answers n2 sum | sort -u)"
on n1 'stop all'
settled "${nodes[@]}"
for name in n3 n2 n1; do
    node_leave "$name"
done
