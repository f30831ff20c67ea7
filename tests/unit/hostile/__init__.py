"""Input that nobody sends in earnest: every reader refuses it in the words it declares, within bounds, and
shows no secret.
"""
