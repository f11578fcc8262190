"""Call a URL repeatedly, with a new connection each time, until standard input ends. Then print the answered calls and the errors as JSON.

A program of its own, because it runs on another machine than the tests.
"""

from __future__ import annotations

import json
import sys
import threading
import urllib.request

LIMIT_SECONDS = 10.0


def main() -> None:
    """Call the URL of the first argument."""
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
            with urllib.request.urlopen(url, timeout=LIMIT_SECONDS) as answer:  # noqa: S310 - the test gives the URL
                answer.read()
            answered += 1
        except OSError as error:
            failures.append(str(error))
    print(json.dumps({"answered": answered, "failures": failures}))


if __name__ == "__main__":
    main()
