#!/usr/bin/env bash
# Scripts on standard input, in files and on the command line: order, output, errors, exit codes.
. "$PH_SOURCE_DIR/tests/lib/e2e.sh"

# A hundred thousand children, start to end.
printf 'start w-[1..100000] module=counter\nwait count = 100000\nsend w-7 inc 5\ncall w-7 get\nstop all\nassert count = 0\n' |
    "$PROCHUB" -o json >"$DIR/out" 2>"$DIR/err" || fail "$(cat "$DIR/err")"
has '^\{"t":"started","changed":100000,"same":0,"failed":\[\]\}$' "$DIR/out"
has '^\{"t":"wait","met":true,"waited_ms":[0-9]+\}$' "$DIR/out"
has '^\{"t":"reply","id":"w-7","reply":"5"\}$' "$DIR/out"
has '^\{"t":"stopped","changed":100000,"failed":\[\]\}$' "$DIR/out"
[ "$(wc -l <"$DIR/out")" = 6 ] || fail "six commands are six lines"

# What nobody has set is a default.
"$PROCHUB" -e config >"$DIR/out" || fail "config"
[ "$(grep -c "^default	.*default$" "$DIR/out")" -ge 20 ] || fail "no settings of the hub"
! grep -q "^default	.*option$" "$DIR/out" || fail "$(grep "option$" "$DIR/out")"

# Exit codes by class.
expect_code 0 "$PROCHUB" -e 'count'
expect_code 1 "$PROCHUB" -e 'assert count = 1'
has '^-e:1:1: failed: count = 1 is false: count is 0$' "$DIR/err"
expect_code 1 "$PROCHUB" -e 'start a -- /nonexistent/program'
has "/nonexistent/program.*No such file" "$DIR/err"
expect_code 2 "$PROCHUB" -e 'cuont'
has 'did you mean .count' "$DIR/err"
expect_code 2 "$PROCHUB" --nmae x
has 'did you mean --name' "$DIR/err"
expect_code 3 "$PROCHUB" -e 'child nobody'
expect_code 3 "$PROCHUB" -e 'start a module=nomodule'
expect_code 3 "$PROCHUB" "$DIR/no-such-script"
expect_code 4 "$PROCHUB" -e 'start a module=echo' -e 'start a module=echo if_exists=fail'
expect_code 3 "$PROCHUB" -e 'start a module=echo' -e 'migrate a to b'
has 'there is no node b; this one, .*, has no links' "$DIR/err"
expect_code 2 "$PROCHUB" --listen tcp://127.0.0.1:0
expect_code 2 "$PROCHUB" --join tcp://127.0.0.1:4000 -e status
has "join without listen: .*--listen 'tcp://127.0.0.1:\*'" "$DIR/err"
expect_code 4 "$PROCHUB" --listen 'tcp://0.0.0.0:*' -e status
has 'beyond loopback links need keys' "$DIR/err"
expect_code 4 "$PROCHUB" --keys "$DIR" -e status
expect_code 2 "$PROCHUB" --heartbeat 2s -e status
has 'three heartbeats must be shorter than dead-after' "$DIR/err"
expect_code 4 "$PROCHUB" keygen
expect_code 5 "$PROCHUB" -e 'wait count = 1 timeout=50ms'
expect_code 6 "$PROCHUB" attach ipc://$DIR/nobody.sock -e status
expect_code 7 "$PROCHUB" -e 'start a module=echo' -e 'stop a nobody'
expect_code 9 "$PROCHUB" -e 'exit 9' -e 'assert count = 5'

# The whole script is checked before its first line runs; a failure stops it, -k and try go on.
printf 'echo first\nstart a module=echo\ncuont\n' >"$DIR/typo"
expect_code 2 "$PROCHUB" "$DIR/typo"
[ ! -s "$DIR/out" ] || fail "a line ran before the typo was found"
has "^$DIR/typo:3:1: usage: " "$DIR/err"
printf 'assert count = 1\necho second\n' >"$DIR/stops"
expect_code 1 "$PROCHUB" "$DIR/stops"
[ ! -s "$DIR/out" ] || fail "the script went on"
expect_code 1 "$PROCHUB" -k "$DIR/stops"
has '^second$' "$DIR/out"
printf 'try assert count = 1\necho second\n' >"$DIR/tolerant"
expect_code 0 "$PROCHUB" "$DIR/tolerant"
expect_code 2 "$PROCHUB" -n "$DIR/typo"
expect_code 0 "$PROCHUB" -n "$DIR/stops"

# Errors in JSON forms are objects.
expect_code 3 "$PROCHUB" -o json -e 'child nobody'
has '^\{"t":"error","line":1,"column":7,"class":"not-found","exit":3,"message":' "$DIR/err"

# Variables, quoting, argv.
export GREETING='hello "world"'
printf 'let WHO all\nstart $WHO module=echo\ncall $WHO say $GREETING\ncount "all"\n' |
    expect $'1\t0\t[]\nsay hello "world"\n1' "$PROCHUB"

# Targets.
expect $'11\t0\t[]\nw-2\nw-10\n11\n10' "$PROCHUB" \
    -e 'start w-[1..11] module=echo tags=t' -e 'call w-2 w-2' -e 'call w-10 w-10' \
    -e 'count tag:t' -e 'count where id != w-1'
expect_code 3 "$PROCHUB" -e 'stop w-[1..3]'
expect_code 0 "$PROCHUB" -e 'stop w-*' -e 'stop all' -e 'count w-7' -e 'children nobody'

# A reader that goes away ends it quietly.
"$PROCHUB" -e 'start w-[1..20000] module=echo' -e children 2>"$DIR/err" | head -n 1 >/dev/null
[ ! -s "$DIR/err" ] || fail "a closed pipe was not quiet: $(head -n 2 "$DIR/err")"

# Rubbish of every kind gets an answer.
head -c 100000 /dev/urandom | expect_code 2 "$PROCHUB"
[ "$(head -c 2 "$DIR/err")" = "-:" ] || fail "noise has a place: $(head -c 100 "$DIR/err")"
head -c 10000000 /dev/zero | tr '\0' x | expect_code 2 "$PROCHUB"
has '^-:1:' "$DIR/err"
printf 'echo "never ends\n' | expect_code 2 "$PROCHUB"
printf '\0\0\0' | expect_code 2 "$PROCHUB"
expect_code 0 "$PROCHUB" /dev/null

# An interrupted script says so with its code; its children are gone.
background interrupted "$PROCHUB" -e 'start a -- /bin/sleep 1000' -e 'pids a' -e 'wait count = 2 timeout=1h'
pid=$LAST
eventually test -s "$DIR/interrupted.out"
eventually grep -q '^a' "$DIR/interrupted.out"
child=$(awk '$1 == "a" { print $3 }' "$DIR/interrupted.out")
kill -INT "$pid"
wait "$pid"
[ $? = 130 ] || fail "an interrupted script ends with 130"
eventually is_gone "$child"
