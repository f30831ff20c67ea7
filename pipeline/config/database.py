"""What a database's URL may say, and how far what it says is protected.

In: the URL. Out: nothing, or `ValueError` with a sentence that shows nothing of it but its scheme. Called by
`pipeline.settings`; `encrypted` by `pipeline.unprotected`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

DATABASES: Final = ("sqlite", "mysql+pymysql", "mariadb+pymysql")
TLS_FILES: Final = ("ssl_ca", "ssl_cert", "ssl_key")
"""In the URL's query. With `ssl_ca` PyMySQL insists on TLS, on a certificate of that authority, and on the
host's name in it; without, it takes what it gets."""


def check(url: str) -> None:
    """Raises `ValueError` for what can't serve."""
    scheme, found, rest = url.partition("://")
    if not found or scheme not in DATABASES or not rest.strip("/"):
        shown = repr(scheme[:40]) if found else "what has no scheme"  # it may begin with the password
        raise ValueError(
            f"{shown} is no database that is supported: "
            "write sqlite:///FILE or mysql+pymysql://USER:PASSWORD@HOST/NAME"
        )
    query = dict(parse_qsl(urlsplit(url).query))
    wrong = [key for key in query if key.startswith("ssl") and key not in TLS_FILES]
    if wrong:
        raise ValueError(
            f"{wrong[0]} could turn the check of the certificate off: with ssl_ca it is always made"
        )
    if query.keys() & {"ssl_cert", "ssl_key"} and "ssl_ca" not in query:
        raise ValueError("ssl_cert and ssl_key need ssl_ca: without it no certificate is checked")
    for key in TLS_FILES:
        if key in query and not Path(query[key]).is_file():
            raise ValueError(f"there is no file {query[key]}, as {key} says: give one that is there, as PEM")


def host(url: str) -> str:
    """Whose it is; empty for a file."""
    return urlsplit(url).hostname or ""


def encrypted(url: str) -> bool:
    """Whether the connection is encrypted to a server whose certificate is checked."""
    return "ssl_ca" in dict(parse_qsl(urlsplit(url).query))
