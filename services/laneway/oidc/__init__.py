"""An OpenID Connect issuer as others see it: what it says of itself, and what is wrong with it. Log-in is in `laneway.api.oidc`."""
