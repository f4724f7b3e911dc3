"""Who calls over HTTP."""
