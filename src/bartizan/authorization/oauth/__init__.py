"""What applications ask of the authorization server: tokens, and about tokens. Authlib has the grants' rules; here is what it needs."""
