"""The client against a simulated region, which is itself held to the recordings of a real one."""
