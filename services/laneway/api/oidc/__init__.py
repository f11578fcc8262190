"""Log-in by an OpenID Connect issuer: its tokens are accepted beside our own, and its users log in to the dashboard with it.

Signatures and claims are checked by PyJWT. A user of the issuer is known by issuer and subject, and has a name of ours
(`laneway.storage.issuer_users`), so what follows a log-in knows nothing of issuers.
"""
