"""Follow one request from registration to its result: python smoke.py URL [TYPE] [REQUEST]. Exit with 1 and the reason when a step fails.

Without TYPE, the request is an `echo`. If the handlers have no such type, the test ends there: it cannot know what yours do. It also ends
where registration is not open, after the API has said so.
"""

import json
import secrets
import sys
import time
import urllib.error
import urllib.request

BASE = sys.argv[1]
TYPE = sys.argv[2] if len(sys.argv) > 2 else ""
REQUEST = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {"hello": "laneway"}
SECONDS = 60
NOT_OPEN = ("registration-closed", "not-invited")
ENDED = {"succeeded", "failed", "cancelled"}


class Refused(Exception):
    """An answer that is not a success: the problem document, or its text."""


def call(method, path, body=None, token=None):
    """Return the JSON of a successful answer. Raise Refused for any other answer."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(BASE + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        raise Refused(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from None


def ended(job_id, token):
    """Wait for a job's end and return the job."""
    deadline = time.monotonic() + SECONDS
    while (job := call("GET", f"/api/jobs/{job_id}", token=token))["state"] not in ENDED:
        if time.monotonic() > deadline:
            sys.exit(f"job {job_id} is still {job['state']} after {SECONDS} s: are there workers?")
        time.sleep(0.2)
    return job


def main():
    user = {"username": f"helm-test-{secrets.token_hex(6)}", "password": secrets.token_urlsafe(24)}
    try:
        call("POST", "/api/register", user)
    except Refused as error:
        if not any(slug in str(error) for slug in NOT_OPEN):
            raise
        print("the API answers; registration is not open, so no request was sent")
        return
    token = call("POST", "/api/login", user)["token"]
    try:
        job_id = call("POST", "/api/enqueue", {"type": TYPE or "echo", "request": REQUEST}, token)["job_id"]
    except Refused as error:
        if TYPE or "unknown-type" not in str(error):
            raise
        print("the API answers and users can log in; the handlers have no type echo, so set helmTest.type to send a request")
        return
    job = ended(job_id, token)
    if job["state"] != "succeeded" or (not TYPE and job["result"] != REQUEST):
        sys.exit(f"job {job_id} is {job['state']}: result {job['result']!r}, error {job['error']!r}")
    call("POST", "/api/logout", token=token)
    print(f"job {job_id} of {user['username']} succeeded")


if __name__ == "__main__":
    try:
        main()
    except (Refused, OSError) as error:
        sys.exit(str(error))
