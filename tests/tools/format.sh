#!/bin/sh
# Formats every C file of the tree in place.
set -eu
cd "$(dirname "$0")/../.."
for room in engine ipc tui bench tests; do
    [ ! -d "$room" ] || find "$room" -name '*.[ch]' -exec clang-format -i --style=file {} +
done
