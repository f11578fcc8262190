#!/usr/bin/env bash
# What `make test` runs: the tests (the command that is given) and, beside them, `make lint-deep`, whose output follows theirs.
# Ends with 0 if both went well. Ctrl-C and SIGTERM end both, with all that they have started.
set -mu # a process group for each of the two
log=$(mktemp)
end() {
    local group
    for group in $(jobs -rp); do kill -INT -- "-$group"; done
    for _ in {1..100}; do # pytest ends its servers, unless it was started to ignore Ctrl-C
        [[ -n $(jobs -rp) ]] || break
        sleep 0.2
    done
    for group in $(jobs -rp); do kill -TERM -- "-$group"; done
    rm -f "$log"
}
trap 'exit 130' INT
trap 'exit 143' TERM
trap end EXIT

make --no-print-directory --jobs=2 --keep-going lint-deep >"$log" 2>&1 </dev/null &
lint=$!
"$@" </dev/null &
wait $!
tests=$?
wait "$lint"
linted=$?
cat "$log"
exit $((tests || linted))
