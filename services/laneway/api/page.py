"""The page at `/`: what this is, and where to go on."""

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Queue system</title>
<style>body { font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }</style>
<h1>Queue system</h1>
<p>A first-in-first-out lane for every user, served in fair rounds.</p>
<ul>
  <li><a href="/docs">API documentation</a> (<a href="/openapi.json">OpenAPI</a>)</li>
  <li><a href="/readyz">Readiness</a>, <a href="/metrics">metrics</a></li>
</ul>
</html>
"""
