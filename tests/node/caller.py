"""Calls a URL over and over, with a new connection for each call, until standard input ends; then prints, as JSON, how many calls were
answered and what became of the others. A program of its own, since it runs on another machine than the tests."""

from __future__ import annotations

import json
import sys
import threading
import urllib.request

LIMIT_SECONDS = 10.0


def main() -> None:
    url = sys.argv[1]
    stop = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=listen, daemon=True).start()
    answered = 0
    failures: list[str] = []
    while not stop.is_set():
        try:
            with urllib.request.urlopen(url, timeout=LIMIT_SECONDS) as answer:  # noqa: S310 - as the test says
                answer.read()
            answered += 1
        except OSError as error:
            failures.append(str(error))
    print(json.dumps({"answered": answered, "failures": failures}))


if __name__ == "__main__":
    main()
