"""Which process may hold which secret, and which secrets stand open in the file.

In: what YAML said, nothing filled in yet. Out: the same without the secrets that are not this process's
business, so that they are never even looked up. Called by `pipeline.settings`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from pipeline.config.region import Region
from pipeline.config.source import Tree, is_reference, label

API_SECRETS: Final = ("api_key", "secret_key", "password")
BUS_SECRETS: Final = ("url",)
SEALING_SECRETS: Final = ("sealing_private_keys", "user_database")
WEB_SECRETS: Final = ("token",)
KAFKA_SECRETS: Final = ("sasl.password", "ssl.key.password")


@dataclass(frozen=True, slots=True)
class Role:
    """Which process this is: `all` of it (run, check), the `hub` (no region's secrets; status too), the
    `worker` of a region (its API key, its private keys for sealing, its CloudStack's own database), the
    `bridge` of a region (its bus's password; without a bus, its API key), or `join` (all of the one region
    that is to join but its private keys for sealing and its database, and no other's)."""

    kind: Literal["all", "hub", "worker", "bridge", "join"] = "all"
    region: str = ""

    def secrets(self, region: object, source: object) -> tuple[str, ...]:
        """The secret keys of `region`, whose bus is `source`, that this process needs."""
        bus = BUS_SECRETS if source == "amqp" else ()
        if self.kind == "all":
            return API_SECRETS + SEALING_SECRETS + bus
        if self.kind == "hub" or region != self.region:
            return ()
        if self.kind == "join":
            return API_SECRETS + bus
        return (bus or API_SECRETS) if self.kind == "bridge" else API_SECRETS + SEALING_SECRETS


ALL: Final = Role()
HUB: Final = Role("hub")


def own_secrets(tree: dict[str, Tree], role: Role) -> dict[str, Tree]:
    """`tree` with the secrets that `role` needs, and no others."""
    regions = tree.get("regions")
    if not isinstance(regions, list):
        return tree
    kept = {key: value for key, value in tree.items() if key != "database" or not _without_sql(regions, role)}
    web = kept.get("web")
    if role.kind == "bridge" and isinstance(web, dict):  # it serves no pages
        kept["web"] = {key: value for key, value in web.items() if key not in WEB_SECRETS}
    return {
        **kept,
        "regions": [_own(region, role) if isinstance(region, dict) else region for region in regions],
    }


def _without_sql(regions: list[Tree], role: Role) -> bool:
    """A bridge on a bus has no business with the database: only an event log's watermark is kept there."""
    if role.kind != "bridge":
        return False
    own = [region for region in regions if isinstance(region, dict) and region.get("name") == role.region]
    return any(isinstance(bus := region.get("bus"), dict) and bus.get("source") == "amqp" for region in own)


def lacks(region: Region, role: Role) -> str | None:
    """What `role` needs of the region and is not there, in words that begin with the key's path."""
    needed = role.secrets(region.name, region.bus.source)
    if "url" in needed and region.bus.url is None:
        return f"regions[{region.name}].bus.url: is missing: source 'amqp' needs the address of the broker"
    if "api_key" not in needed:
        return None
    keys, person = (region.api_key, region.secret_key), (region.user_name, region.password)
    if any(keys) and any(person):
        return (
            f"regions[{region.name}]: has two log-ins: keep api_key and secret_key, or user_name and password"
        )
    if role.kind == "worker" and region.sealing_key and not region.sealing_private_keys:
        return (
            f"regions[{region.name}].sealing_private_keys: is missing: users' API keys are sealed for this "
            "region, and only its worker can open them"
        )
    if all(keys) or all(person):
        return None
    return f"regions[{region.name}]: lacks a log-in: give api_key and secret_key, or user_name and password"


def plain_secrets(tree: dict[str, Tree]) -> Iterator[str]:
    """The paths of the secrets that stand in the file itself."""
    if _holds_password(tree.get("database")):
        yield "database"
    options = tree.get("kafka_options")
    if isinstance(options, dict):
        yield from (f"kafka_options.{key}" for key in KAFKA_SECRETS if _stands_open(options.get(key)))
    web = tree.get("web")
    if isinstance(web, dict):
        yield from (f"web.{key}" for key in WEB_SECRETS if _stands_open(web.get(key)))
    for index, region in enumerate(tree.get("regions", ())):
        where = f"regions[{label(region, index)}]"
        yield from (f"{where}.{key}" for key in API_SECRETS if _stands_open(region.get(key)))
        private = region.get(SEALING_SECRETS[0])
        if isinstance(private, list) and any(_stands_open(key) for key in private):
            yield f"{where}.{SEALING_SECRETS[0]}"
        if _holds_password(region.get("user_database")):
            yield f"{where}.user_database"
        bus = region.get("bus")
        if isinstance(bus, dict) and _holds_password(bus.get("url")):
            yield f"{where}.bus.url"


def secret_sources(tree: dict[str, Tree], file: str) -> dict[str, str]:
    """Region → where the secret of its log-in is to be found: `${NAME}`, `file:/path`, or the settings'
    file."""
    sources = {}
    for region in tree.get("regions", ()):
        secret = region.get("secret_key") or region.get("password")
        named = isinstance(secret, str) and is_reference(secret)
        sources[str(region.get("name"))] = str(secret) if named else file
    return sources


def _own(region: dict[str, Tree], role: Role) -> dict[str, Tree]:
    bus = region.get("bus")
    source = bus.get("source") if isinstance(bus, dict) else None
    foreign = set(API_SECRETS + SEALING_SECRETS + BUS_SECRETS) - set(role.secrets(region.get("name"), source))
    kept = {key: value for key, value in region.items() if key not in foreign}
    if isinstance(bus, dict):
        kept["bus"] = {key: value for key, value in bus.items() if key not in foreign}
    return kept


def _stands_open(value: object) -> bool:
    return isinstance(value, str) and value != "" and not is_reference(value)


def _holds_password(url: object) -> bool:
    try:
        return isinstance(url, str) and not is_reference(url) and bool(urlsplit(url).password)
    except ValueError:
        return False
