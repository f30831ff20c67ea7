"""Finds what the stream did not tell, and asks for it to be read: reads, compares, hints. No Faust."""
