#!/bin/sh
# in_dir.sh DIR COMMAND...: runs a test in a fresh directory of its own, which stays for a look
# afterwards.
set -eu

dir=$1
shift
if [ -e "$dir" ] && [ ! -d "$dir" ]; then
    echo "in_dir.sh: $dir is no directory" >&2
    exit 1
fi
rm -rf "$dir"
mkdir -p "$dir"
cd "$dir"

# gcc 12's ThreadSanitizer does not start where the kernel randomises more than 30 bits of addresses.
bits=$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)
if [ -n "${TSAN_OPTIONS:-}" ] && [ "$bits" -gt 30 ] && setarch -R true 2>/dev/null; then
    exec setarch -R "$@"
fi
exec "$@"
