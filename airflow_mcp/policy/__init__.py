"""May this call happen? Pure."""
