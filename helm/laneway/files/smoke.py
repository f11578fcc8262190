"""Follow one request from registration to its result: python smoke.py URL. Exit with 1 and the reason when a step fails."""

import json
import secrets
import sys
import time
import urllib.error
import urllib.request

BASE = sys.argv[1]
SECONDS = 60


def call(method, path, body=None, token=None):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(BASE + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        sys.exit(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}")
    except OSError as error:
        sys.exit(f"{method} {path}: {error}")


user = {"username": f"helm-test-{secrets.token_hex(6)}", "password": secrets.token_urlsafe(24)}
call("POST", "/api/register", user)
token = call("POST", "/api/login", user)["token"]
sent = {"hello": user["username"]}
job_id = call("POST", "/api/enqueue", {"type": "echo", "request": sent}, token)["job_id"]
deadline = time.monotonic() + SECONDS
while (job := call("GET", f"/api/jobs/{job_id}", token=token))["state"] not in {"succeeded", "failed", "cancelled"}:
    if time.monotonic() > deadline:
        sys.exit(f"job {job_id} is still {job['state']} after {SECONDS} s: are there workers?")
    time.sleep(0.2)
if job["state"] != "succeeded" or job["result"] != sent:
    sys.exit(f"job {job_id} is {job['state']}: result {job['result']!r}, error {job['error']!r}")
call("POST", "/api/logout", token=token)
print(f"job {job_id} of {user['username']} succeeded")
