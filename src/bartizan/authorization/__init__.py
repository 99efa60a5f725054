"""The embedded authorization server (OAuth 2.0, OpenID Connect): people log in with two factors or a passkey, applications get tokens.

`app.py` is what it serves, a table of routes to `oauth/` (what applications ask) and `people/` (the pages that people see). What a login
came to is a `Person` (`person.py`); `tokens.py` makes tokens of it. All that it remembers ends by itself and lies in the store.
"""
