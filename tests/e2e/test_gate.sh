#!/usr/bin/env bash
# The gate as people see it: what a lock holds, what passes, when it opens, who is told.
. "$PH_SOURCE_DIR/tests/lib/e2e.sh"

cat >"$DIR/hook" <<EOF
#!/bin/sh
cat >>"$DIR/told"
echo >>"$DIR/told"
EOF
chmod +x "$DIR/hook"
node n1

attach "hook add priority_state_updated exec=$DIR/hook id=levels" \
    "hook add gate_expired exec=$DIR/hook" "hook add a exec=$DIR/hook" >/dev/null || fail "hooks"

# Events below the level wait in order, those at it pass; starts and stops pass a lock of level 10.
attach 'lock name=l1 for=1h' >/dev/null || fail "lock"
expect $'held\nheld\npassed' attach 'dispatch a' 'dispatch b payload=x' 'dispatch c priority=10'
expect $'a\nb' sh -c "\"$PROCHUB\" attach -e queue | cut -f2"
expect discarded attach 'dispatch d discard'
expect $'1\t0\t[]' attach 'start x module=echo'
expect hello attach 'call x hello'
expect_code 0 attach 'assert locked = true and level = 10 and held = 2 and holder = l1'
has '"locked":true' <("$PROCHUB" attach -o json -e status)
expect c sh -c "\"$PROCHUB\" attach -e 'events where type = c' | cut -f3"
[ -z "$(attach 'events where type = a')" ] || fail "a held event is not in events"

# Overlapping locks: the end of one does not open the other.
attach 'lock name=l2 priority=10 for=1h' >/dev/null
attach 'unlock name=l2' || fail "unlock"
expect_code 0 attach 'assert locked = true and held = 2'
attach 'lock name=l3 priority=30 for=200ms' >/dev/null
expect_code 0 attach 'wait level = 10'
expect_code 0 attach 'assert held = 2 and expired = 1'
expect_code 0 attach 'unlock name=l1' 'wait locked = false' 'assert held = 0'
expect $'a\nb' sh -c "\"$PROCHUB\" attach -e 'events where type = a or type = b' | cut -f3"

# At its deadline a lock opens by itself: in events, in status and for hooks.
expect_code 0 attach 'lock name=short for=100ms' 'dispatch late' 'wait locked = false timeout=5s'
expect_code 0 attach 'assert held = 0'
attach 'events where type = gate_expired' >"$DIR/expired"
has 'short' "$DIR/expired"
attach 'events where type = gate_level' >"$DIR/levels"
has '10 -> 0' "$DIR/levels"
eventually grep -q gate_expired "$DIR/told"
eventually grep -q priority_state_updated "$DIR/told"
eventually grep -q '"a"' "$DIR/told"

# A session releases its own newest lock; others need a name.
expect_code 0 attach 'lock' 'lock' 'unlock' 'unlock' 'assert locked = false'
expect_code 3 attach 'unlock'
expect_code 3 attach 'unlock name=nobody'
expect_code 0 attach 'lock name=k1' 'lock name=k2' 'unlock name=all' 'assert locked = false'
expect_code 4 attach 'lock name=k3' 'lock name=k3'
attach 'unlock name=all' || fail "unlock all"

# A hook that fails, hangs or is not there harms nothing.
attach 'hook remove levels' >/dev/null
expect_code 0 attach 'hook add b exec=/bin/false id=fails' \
    "hook add b exec=$DIR/sleeper id=hangs timeout=100ms" 'dispatch b'
printf '#!/bin/sh\nexec /bin/sleep 1000\n' >"$DIR/sleeper"
chmod +x "$DIR/sleeper"
attach 'dispatch b' >/dev/null
eventually sh -c "\"$PROCHUB\" attach -o jsonl -e hooks | grep fails | grep -qv '\"failures\":0'"
eventually sh -c "\"$PROCHUB\" attach -o jsonl -e hooks | grep hangs | grep -q '\"failures\":2'"
expect hello attach 'call x hello'
expect_code 0 attach 'hook remove fails' 'hook remove hangs'
expect_code 3 attach 'hook remove fails'
has '"stray_writes":0,' <("$PROCHUB" attach -o json -e stats)
