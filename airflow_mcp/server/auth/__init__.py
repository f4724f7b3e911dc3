"""Authentication and identity of callers over HTTP."""
