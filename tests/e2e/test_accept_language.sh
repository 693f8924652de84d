#!/usr/bin/env bash
# The command language as scripts see it: checks before anything runs, positions, exit codes, quoting,
# targets, forms of output, and what `start` promises.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"

program sleeper sleep
s=$dir/bin/sleeper
cd "$dir"

out()
{
    same "$1" "$(cat "$dir/out")"
}
# place TEXT: the only line of the messages begins with it.
place()
{
    [[ $(cat "$dir/err") == "$1"* ]] || fail "wanted '$1…', got '$(cat "$dir/err")'"
    same 1 "$(wc -l <"$dir/err")"
}

rule "the whole script is checked before its first line runs"
{
    echo "start a -- /bin/sh -c 'echo ran >$dir/ran'"
    echo "echo first"
    for i in $(seq 900); do echo "echo $i"; done
    echo "strat b module=echo"
} >"$dir/long"
exits 2 "$prochub" "$dir/long"
out ""
[ ! -e "$dir/ran" ] || fail "a line ran"
place "$dir/long:903:1: usage: "
says start

rule "positions: line and column of the word at fault, stdin is -"
script 2 <<'END'
echo one
  start a module=echo color=red
END
place "-:2:23: usage: "
script 3 <<'END'
echo one

call nobody hello
END
place "-:3:6: not-found: "
out one
script 2 <<'END'
start a \
   module=echo \
   restart=sometimes
END
place "-:3:4: usage: "
says permanent
says transient
script 2 <<<'echo "no end'
place "-:1:6: usage: "
script 2 <<<'echo one ; start'
place "-:1:12: usage: "
script 2 <<<'count where state ='
place "-:1:"
script 2 <<<'wait count >'
place "-:1:"
script 2 <<<'children where (state = running'
place "-:1:"

rule "an error in JSON is one object on stderr"
script 2 -o json <<<'start a module=echo color=red'
json 'v == [{"t": "error", "line": 1, "column": 21, "class": "usage", "exit": 2, "message": v[0]["message"]}]' \
    "$dir/err"
out ""
script 3 -o jsonl <<<'child x'
json 'v[0]["t"] == "error" and v[0]["class"] == "not-found" and v[0]["exit"] == 3' "$dir/err"

rule "exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 refused, 5 timed out, 6 no connection, 7 in part"
script 0 <<<'echo ok'
script 1 <<<'assert count = 1'
place '-:1:1: failed: '
says 'count = 1'
says 'count is 0'
exits 2 "$prochub" --no-such-option
exits 2 "$prochub" -o nonsense -e status
script 3 <<<'stop nobody'
place '-:1:'
exits 3 "$prochub" "$dir/no-such-script"
script 4 <<<$'start a module=echo\nstart a module=counter'
place '-:2:'
script 5 <<<'wait count = 1 timeout=50ms'
place '-:1:1: timeout: '
exits 6 "$prochub" attach "ipc://$dir/nobody.sock" -e status
says no-connection
script 7 <<<$'start a module=echo\nstop a nobody'
place '-:2:'
says nobody
script 42 <<<'exit 42'

rule "Ctrl-C ends a wait and the script: 130"
mkfifo "$dir/fifo"
"$prochub" -e "start z -- $s 100001" -e 'wait count = 9 timeout=60s' -e 'echo after' >"$dir/out" 2>"$dir/err" &
pid=$!
own $pid
eventually 10 runs sleeper 1
kill -INT $pid
code=0
wait $pid || code=$?
same 130 $code
! grep -q after "$dir/out" || fail "the script went on"
eventually 5 runs sleeper 0

rule "a script stops at its first failure; -k goes on with the first failure's code; try tolerates"
script 3 <<<$'echo one\nstop nobody\necho two'
! grep -qx two "$dir/out" || fail "it went on"
script 3 -k <<<$'echo one\nstop nobody\nassert count = 7\necho two'
grep -qx two "$dir/out" || fail "-k stopped"
script 0 <<<$'try stop nobody\ntry assert count = 1\ntry wait count = 1 timeout=10ms\necho two'
grep -qx two "$dir/out" || fail "try stopped"

rule "-n checks and runs nothing; -e repeats in order; -c comes first"
echo "start x -- $s 100002" >"$dir/one"
exits 0 "$prochub" -n "$dir/one"
out ""
exits 0 "$prochub" -n -e 'assert count = 1'
exits 2 "$prochub" -n -e 'echo fine' -e 'strat'
exits 0 "$prochub" -e 'echo 1' -e 'echo 2' -e 'echo 3'
out $'1\n2\n3'
exits 0 "$prochub" -c "$dir/one" -e 'count'
grep -qx 1 "$dir/out" || fail "-c did not run"
exits 2 "$prochub" -c "$dir/long" -e 'echo never'
out ""
exits 3 "$prochub" -c "$dir/none" -e 'echo never'
exits 0 "$prochub" "$dir/one"
same 0 "$(program_count sleeper)"

rule "words: comments, joined lines, semicolons, quotes and escapes"
script 0 <<'END'
# a comment
echo a#b # c
echo one \
  two
echo x;y ; echo z
echo 'raw $HOME \n "x"' end
echo "tab\tquote\"back\\arrow\u{2192}"
echo '$HOME'
END
out $'a#b\none two\nx;y\nz\nraw $HOME \\n "x" end\ntab\tquote"back\\arrow→\n$HOME'
script 2 <<<'echo "\q"'
script 2 <<<'echo "\u{110000}"'
script 2 <<<"echo 'open"

rule "\$NAME is one value of let or of the environment, never split"
VALUE='two words' script 0 <<'END'
let X 'a b'
start c module=echo meta.note=$X meta.env=$VALUE
count where meta.note = 'a b' and meta.env = 'two words'
END
grep -qx 1 "$dir/out" || fail "no match"
script 2 <<<'echo $NO_SUCH_VARIABLE_HERE'
place '-:1:6: '

rule "after -- everything is argv, as it is"
cat >"$dir/args" <<'END'
#!/bin/sh
for word; do echo "[$word]"; done
END
chmod +x "$dir/args"
script 0 <<END
start a restart=temporary -- $dir/args restart=permanent 'two words' -- "" \\
    tag:x # comment
wait count = 0 timeout=10s
start b restart=temporary -- /bin/sh -c '$dir/args "\$@"; exec $s 100003' sh all 'a;b' ; echo next
wait child b state = running
try wait count = 9 timeout=300ms
logs b
END
grep -qx next "$dir/out" || fail "the semicolon did not end argv"
says '[all]' "$dir/out"
says '[a;b]' "$dir/out"
script 0 -o json <<END
start a -- /bin/sh -c '$dir/args "\$@"; exec $s 100003' sh restart=permanent 'two words' -- "" tag:x where
try wait count = 9 timeout=300ms
logs a
stop a
END
json '[r["text"] for r in v[2]] == ["[restart=permanent]", "[two words]", "[--]", "[]", "[tag:x]", "[where]"]'

rule "targets: ids, ranges, globs, tags, all, where; a quoted word is an id"
script 0 -o json <<'END'
start w-[1..20] module=counter tags=odd,web
start v-[01..10] module=echo tags=echo meta.zone=b
start 'all' module=echo
count
count w-[1..5]
count w-*
count tag:web
count where meta.zone = b
count where kind = module and not (tag = web or id = 'all')
count where id =~ "^v-0[1-3]$"
count v-01 v-02 w-1?
stop 'all'
count all
stop v-[01..05]
count
stop tag:echo
stop none-*
stop where tag = web and id != w-1
children
END
silent

json '[x["count"] for x in v if isinstance(x, dict) and x["t"] == "count"] == [31, 5, 20, 20, 10, 10, 3, 12, 30, 25]'
json '[x["changed"] for x in v if isinstance(x, dict) and x["t"] == "stopped"] == [1, 5, 5, 0, 19]'
json '[c["id"] for c in v[-1]] == ["w-1"]'
script 0 -o json <<<$'count nobody\ncount x-*\nchildren nobody\nstop x-*\nstop all\nstop tag:none\nstop where id = x'
json '[x["count"] for x in v[:2]] == [0, 0] and v[2] == [] and all(x["changed"] == 0 for x in v[3:])'

rule "every form of output can be read back; tsv has as many columns in each row"
cat >"$dir/rows" <<END
start a module=echo tags=x,y meta.k="tab\there"
start b -- /bin/sh -c 'printf "a\tb\033[31m\n"; exec $s 100004'
wait child b state = running
children
child a
status
nodes
hubs
stats
events
history a
modules
config
registry
pids b
owner a b
locks
lock name=L
locks
dispatch e payload="x\ty"
queue
hooks
quorum
unlock
count
logs b
help
help start
END
exits 0 "$prochub" -o json "$dir/rows"
silent
json "len(v) == $(wc -l <"$dir/rows")"
json 'all("t" in r for x in v for r in (x if isinstance(x, list) else [x]))'
json '[r["meta"] for r in v[3] if r["id"] == "a"] == [{"k": "tab\there"}]'
exits 0 "$prochub" -o jsonl "$dir/rows"
while IFS= read -r line; do
    [[ $line == \{*\} ]] || fail "not one object a line: $line"
done <"$dir/out"
json 'all(isinstance(x, dict) and "t" in x for x in v)'
for form in tsv table wide; do
    exits 0 "$prochub" -o $form "$dir/rows"
    ! grep -q $'\033' "$dir/out" || fail "an escape of a child reaches the output of $form"
done
exits 0 "$prochub" -o tsv -e 'start a module=echo meta.k="x\ty\nz" tags=t' -e 'start bb[1..9] module=kv' -e 'stop a' \
    -e 'start a module=echo meta.k="x\ty\nz" tags=t' -e 'children'
[ "$(tail -n 10 "$dir/out" | awk -F'\t' '{ print NF }' | sort -u | wc -l)" = 1 ] || fail "columns differ"
exits 0 "$prochub" -e 'count'
out 0

rule "start: ok when it runs with the same spec; if_exists decides otherwise"
script 0 -o json <<END
start a[1..3] -- $s 100005
children
start a[1..4] -- $s 100005
children a[1..3]
try start a1 if_exists=fail -- $s 100005
start a1 if_exists=replace -- $s 100006
children a1
END
json 'v[2] == {"t": "started", "changed": 1, "same": 3, "failed": []}'
json '[c["pid"] for c in v[1]] == [c["pid"] for c in v[3]]'
json 'v[4]["changed"] == 0 and v[4]["failed"][0]["class"] == "refused"'
json 'v[5]["changed"] == 1 and v[6][0]["pid"] not in [c["pid"] for c in v[1]]'

rule "per-child results: what could not be started is named, what could is kept, in part is 7"
script 7 -o json <<END
start ok module=echo
start ok other[1..2] if_exists=fail module=echo
END
json 'v[1]["changed"] == 2 and [f["id"] for f in v[1]["failed"]] == ["ok"]'

rule "on_failure=rollback takes back what this command started, and only that"
script 7 -k -o json <<END
start old module=echo
start old new[1..5] if_exists=fail on_failure=rollback module=echo
children
END
json '[c["id"] for c in v[2]] == ["old"] and v[1]["failed"][0]["id"] == "old"'

rule "a program that cannot be executed: failed, with path and errno, and nothing stays behind"
for restart in permanent transient temporary; do
    script 1 -k -o json <<END
start bad restart=$restart -- $dir/no-such-program --flag
count
END
    json 'v[0]["changed"] == 0 and v[1]["count"] == 0'
    says "$dir/no-such-program"
    says "No such file or directory"
done
echo text >"$dir/not-executable"
script 1 <<<"start bad -- $dir/not-executable"
says "Permission denied"
script 1 <<<"start bad cwd=$dir/no-such-dir -- /bin/true"
says "$dir/no-such-dir"
script 1 -k -o json <<END
start many-[1..50] -- $dir/no-such-program
count
END
json 'v[0]["changed"] == 0 and [f["id"] for f in v[0]["failed"]] == ["many-[1..50]"] and v[1]["count"] == 0'

rule "an unknown module is not found, and the known ones are told"
script 3 <<<'start a module=no-such-module'
says counter

rule "wait=no returns while it is under way"
script 0 -o json <<END
start slow ready=notify wait=no -- $s 100007
wait child slow state = starting timeout=10s
stop slow
END
json 'v[1]["met"] and v[2]["changed"] == 1'
script 5 <<<"start slow ready=notify timeout=200ms -- $s 100008"
eventually 5 runs sleeper 0

rule "values out of range name the key and what it takes"
for bad in restart=never max_restarts=-1 max_restarts=x max_seconds=soon backoff=1y shutdown= stop_signal=SIGNOPE \
    log_bytes=huge stderr=maybe ready=often watchdog=x if_exists=maybe on_failure=cry wait=perhaps timeout=x \
    color=red; do
    script 2 <<<"start a $bad -- /bin/true"
    says "${bad%%=*}"
done
script 2 <<<'start a'
script 2 <<<'start a module=echo -- /bin/true'
script 2 <<<'start a module=echo cwd=/tmp'
says cwd
script 2 <<<"start 'a b' module=echo"
script 2 <<<"start $(printf 'x%.0s' $(seq 256)) module=echo"
script 0 <<<"start $(printf 'x%.0s' $(seq 255)) module=echo"
script 2 <<<'start a[5..1] module=echo'
script 2 <<<'start a[1..5000000] module=echo'
says 4000000

rule "source, let, echo, version, help: what needs no node"
echo 'echo sourced' >"$dir/inner"
script 0 <<<"source $dir/inner"
out sourced
echo "source $dir/loop" >"$dir/loop"
exits 4 "$prochub" "$dir/loop"
exits 0 "$prochub" --version
exits 0 "$prochub" --help
exits 0 "$prochub" help start
says if_exists "$dir/out"
for command in $("$prochub" -e help | awk '/^  [a-z]/ { print $1 }' | sort -u); do
    exits 0 "$prochub" help "$command"
done

rule "a node without links does what makes sense on one node, and refuses the rest"
for command in 'join tcp://127.0.0.1:1' 'quorum reset 3'; do
    script 4 <<<"$command"
done
for command in 'migrate a to n2' 'drain n2' 'undrain n2' 'plan leave n2' 'unpin a'; do
    script 3 <<<"$command"
done
for command in 'migrate a n2' 'migrate a to' 'plan n2' 'plan stay n2' 'quorum rest' 'drain'; do
    script 2 <<<"$command"
done
for command in leave 'plan join n2' migrations quorum nodes; do
    script 0 <<<"$command"
done
