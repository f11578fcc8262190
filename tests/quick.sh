#!/usr/bin/env bash
# What `make test` runs: the tests (the command that is given) and, beside them, `make lint-deep`, whose output follows theirs.
# Ends with 0 if both went well. Ctrl-C and SIGTERM end both, with all that they have started.
set -mu # a process group for each of the two
log=$(mktemp)
stop() { # signal, tenths of a second: send the signal to what still runs, and wait until it has ended
    local group tenths
    for group in $(jobs -rp); do kill "-$1" -- "-$group"; done
    for ((tenths = 0; tenths < $2; tenths++)); do
        [[ -n $(jobs -rp) ]] || break
        sleep 0.1
    done
}
end() {
    stop INT 200 # pytest ends its servers, unless it was started to ignore Ctrl-C
    stop TERM 50
    stop KILL 50
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
