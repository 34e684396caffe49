"""Google access tokens: loading credentials, fetching and renewing tokens."""
