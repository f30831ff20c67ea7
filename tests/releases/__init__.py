"""The release before this one, kept so that tests need no history: its code (`<version>.tar.xz`), what it
said (`<version>.json.xz`), and which it is (`manifest.json`). `make keep-release` makes them anew.
"""
