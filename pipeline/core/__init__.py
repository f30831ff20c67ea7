"""What is decided, apart from what is done: pure functions over values.

No I/O, no clock, no asyncio, no third-party import.
"""
