"""This release and the one before it understand each other."""
