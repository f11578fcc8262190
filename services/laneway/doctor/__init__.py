"""`laneway doctor`: looks at what a deployment depends on, and says what is wrong and how to mend it.

It shares its checks with the programs, so that both find the same and say it in the same words: `settings.problems`,
`handlers.loader`, `lanes.health`, `storage.health`, `oidc.health`. `findings` runs them one after another, `main` prints what they find.
It changes nothing, and prints no secret.
"""
