"""Around a change: its preview, confirmation, rate and audit record."""
