"""What the permission engine promises in docs/permissions.md, attacked from outside."""
