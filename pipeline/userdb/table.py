"""The columns of CloudStack's table `user` that say how somebody logs in. CloudStack makes and migrates the
table; this is what we know of it (4.22, cloud.user; the same since 4.5).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, DateTime, MetaData, String, Table, Text

user: Final = Table(
    "user",
    MetaData(),
    Column("uuid", String(40)),
    Column("password", String(255)),
    Column("source", String(40)),
    Column("external_entity", Text()),
    Column("removed", DateTime()),
)
