"""What two or more workflows use."""
