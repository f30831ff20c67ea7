"""What is promised, proved: unit, contract, component and end-to-end tests, and the real services that they
run against.
"""
