"""The outside world: the only room that imports the HTTP client."""
