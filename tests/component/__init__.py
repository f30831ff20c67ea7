"""Parts of the system on real services."""
