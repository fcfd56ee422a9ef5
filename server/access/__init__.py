"""Authentication and rate limits: logins, tokens, tickets, and the errors that HTTP clients get."""
