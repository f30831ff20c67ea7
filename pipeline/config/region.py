"""One region's part of the settings: where it is, how to log in, how hard it may be driven, where its
changes are heard. Checked by pydantic when `pipeline.settings` builds the whole; wrong values raise
`ValueError` in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from pipeline.config import database
from pipeline.core.entities import Kind
from pipeline.core.mode import Mode
from pipeline.core.records import Source, Sources
from pipeline.core.removal import HOUR_MS, Limits, Losses, Policy
from pipeline.sealing import check_key, public_of

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

DAY_MS: Final = 86_400_000

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Part(BaseModel):
    """A part of the settings: frozen, without unknown keys; a defect's words never show a value by
    themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class Bus(Part):
    """Where a region's changes are heard: its own event log (read by the API every `poll_interval_s`),
    or AMQP; what that loses is found in the event log every `gap_fill_interval_s`, once it is
    `gap_fill_grace_s` late. `bridge_port`: where the bridge's own process shows its numbers and health; None:
    nowhere. `tls_…`: for amqps, the authority of the broker's
    certificate where it is not one of the system's, and our own certificate for a broker that wants one."""

    source: Literal["eventlog", "amqp"] = "eventlog"
    url: SecretStr | None = None
    exchange: str = Field(default="cloudstack-events", min_length=1, max_length=255)
    queue: str | None = Field(default=None, min_length=1, max_length=255)
    prefetch: int = Field(default=5000, ge=1, le=65_535)
    poll_interval_s: Seconds = 1.0
    gap_fill_interval_s: Seconds = 3.0
    gap_fill_grace_s: Seconds = 60.0
    bridge_port: int | None = Field(default=None, ge=1, le=65_535)
    tls_ca: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            address = _address(url.get_secret_value(), ("amqp", "amqps"))
            if "ssl_options" in parse_qs(address.query):
                raise ValueError(
                    "ssl_options could turn the check off: use tls_ca, tls_certificate and tls_key"
                )
        return url

    @field_validator("tls_ca", "tls_certificate", "tls_key")
    @classmethod
    def _check_files(cls, path: Path | None) -> Path | None:
        return _file(path)

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key need each other: give both")
        files = (self.tls_ca, self.tls_certificate)
        if self.url is not None and any(files) and not self.url.get_secret_value().startswith("amqps:"):
            raise ValueError("tls_ca and tls_certificate need an amqps:// address: change url")
        return self


class RemovalLosses(Part):
    """So much of each may a removal take along without a person being asked."""

    vms: int = Field(default=0, ge=0)
    volumes: int = Field(default=0, ge=0)
    networks: int = Field(default=0, ge=0)
    projects: int = Field(default=0, ge=0)


class Removals(Part):
    """What becomes of removals in a region, and how many go unasked. `per_hour` and `share`: None is no
    limit."""

    policy: Policy = Policy.PROPAGATE
    per_hour: int | None = Field(default=500, ge=0)
    share: float | None = Field(default=0.1, ge=0, le=1)
    losses: RemovalLosses = RemovalLosses()
    quarantine_hours: float = Field(default=72, gt=0, le=24 * 366)

    def limits(self) -> Limits:
        """As the core decides by them."""
        losses = Losses(**self.losses.model_dump())
        quarantine_ms = round(self.quarantine_hours * HOUR_MS)
        return Limits(self.policy, self.per_hour, self.share, losses, quarantine_ms)


class Authority(Part):
    """Something that a region is the source of: what is in a domain, at any depth, and the domain itself.
    `domain`: its path by names, `/` being everything; `kinds`: of these alone."""

    domain: str = "/"
    kinds: tuple[Kind, ...] = tuple(Kind)

    @field_validator("domain")
    @classmethod
    def _check_domain(cls, path: str) -> str:
        if not path.startswith("/"):
            raise ValueError(f"{path[:80]!r} is no path: it must begin with '/', as /acme/sales does")
        if path != "/" and not all(path.split("/")[1:]):
            raise ValueError(f"{path[:80]!r} names a domain without a name: write /acme/sales, or /")
        return path

    @field_validator("kinds", mode="before")
    @classmethod
    def _check_kinds(cls, kinds: object) -> object:
        known = ", ".join(Kind)
        if isinstance(kinds, list | tuple):
            unknown = [one for one in kinds if one not in list(Kind)]
            if unknown:
                raise ValueError(f"{str(unknown[0])[:80]!r} is no kind: write some of {known}")
            if not kinds or len(set(kinds)) < len(kinds):
                raise ValueError(f"is empty, or names a kind twice: write some of {known}, or remove the key")
        return kinds

    def source(self) -> Source:
        """As the core decides by it."""
        return Source(tuple(name for name in self.domain.split("/") if name), frozenset(self.kinds))


class Region(Part):
    """One CloudStack installation. Log-in: `api_key` and `secret_key`, or `user_name`, `password` and
    `domain`. `full_scan_interval`: milliseconds between two full scans; 0 or None: never. `sealing_key`:
    users' API keys are sealed for it; None: they neither go there nor come from there.
    `sealing_private_keys`: its worker's alone, the newest first. `authoritative_for`: None: everything; an
    empty list: nothing, the region is a mirror. `limits`: the resource limits of domains and accounts are
    carried to and from it; reading an account then takes three times as long. `user_database`: its
    CloudStack's own database, for its worker alone, where how users log in is carried; None: it is not."""

    name: str
    host: str
    root_url: str = "/client/api"
    api_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    user_name: str | None = None
    password: SecretStr | None = None
    domain: str = "/"
    is_master: bool = False
    active: bool = True
    lanes: int = Field(default=16, ge=1, le=1024)
    rate_per_s: float | None = Field(default=None, gt=0)
    timeout_s: Seconds = 30.0
    job_timeout_s: Seconds = 600.0
    tls_ca: Path | None = None
    post: bool = True
    mode: Mode = Mode.APPLY
    removals: Removals = Removals()
    full_scan_interval: int | None = Field(default=DAY_MS, ge=0)
    bus: Bus = Bus()
    sealing_key: str | None = None
    sealing_private_keys: tuple[SecretStr, ...] = Field(default=(), max_length=8)
    authoritative_for: tuple[Authority, ...] | None = None
    limits: bool = False
    user_database: SecretStr | None = None

    @property
    def sources(self) -> Sources:
        """All that the region may say; None: everything."""
        given = self.authoritative_for
        return None if given is None else tuple(one.source() for one in given)

    @property
    def endpoint(self) -> str:
        """The address of the region's API."""
        return self.host.rstrip("/") + self.root_url

    @property
    def queue(self) -> str:
        """Our queue on the region's broker."""
        return self.bus.queue or f"region-sync.{self.name}"

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name[:80]!r} cannot be part of a topic's name: "
                "use at most 64 letters, digits, '.', '_' and '-'"
            )
        if name.casefold() == "hub":  # its consumer group would be the hub's own
            raise ValueError("'hub' is taken by the hub itself: choose another name")
        return name

    @field_validator("host")
    @classmethod
    def _check_host(cls, host: str) -> str:
        url = _address(host, ("https", "http"))
        if url.username is not None:
            raise ValueError("a user name does not belong in the address: use user_name and password")
        if url.path not in ("", "/") or url.query or url.fragment:
            raise ValueError(f"{host!r} has a path: put everything after the port into root_url")
        return host

    @field_validator("root_url")
    @classmethod
    def _check_root_url(cls, path: str) -> str:
        if not path.startswith("/") or not path.isprintable() or " " in path:
            raise ValueError(f"{path[:80]!r} is no path: it must begin with '/', as /client/api does")
        return path

    @field_validator("tls_ca")
    @classmethod
    def _check_tls_ca(cls, path: Path | None) -> Path | None:
        return _file(path)

    @field_validator("sealing_key")
    @classmethod
    def _check_sealing_key(cls, key: str | None) -> str | None:
        return None if key is None else check_key(key)

    @field_validator("user_database")
    @classmethod
    def _check_user_database(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            database.check(url.get_secret_value())
        return url

    @field_validator("sealing_private_keys")
    @classmethod
    def _check_private_keys(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in keys:
            check_key(key.get_secret_value())
        return keys

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if self.sealing_key is not None and not self.post:
            raise ValueError("post: false would put users' keys into access logs: remove one of the two")
        own = [public_of(key.get_secret_value()) for key in self.sealing_private_keys]
        if own and self.sealing_key not in own:
            raise ValueError(
                "sealing_key belongs to none of sealing_private_keys: give the public key of the newest one"
            )
        return self

    @field_validator("authoritative_for")
    @classmethod
    def _check_authority(cls, given: tuple[Authority, ...] | None) -> tuple[Authority, ...] | None:
        known: set[str] = set()
        for one in given or ():
            if one.domain.casefold() in known:
                raise ValueError(f"{one.domain} is there twice (case does not count): give each domain once")
            known.add(one.domain.casefold())
        return given


def check_names(regions: Iterable[Region]) -> None:
    """Raises `ValueError` where two names meet: databases compare without case, and Kafka takes '.' and
    '_' for the same in the names of its metrics, and so refuses the second topic."""
    known: dict[str, str] = {}
    for region in regions:
        key = region.name.casefold().replace("_", ".")
        if key in known:
            other = known[key]
            how = "" if other == region.name else " (case does not count, and '.' and '_' are alike)"
            raise ValueError(f"regions: {other} and {region.name} have the same name{how}: give each its own")
        known[key] = region.name


def _file(path: Path | None) -> Path | None:
    if path is not None and not path.is_file():
        raise ValueError(f"there is no file {path}: give a PEM file that is there")
    return path


def _address(text: str, schemes: tuple[str, ...]) -> SplitResult:
    """`text` taken apart. The words of the `ValueError` never show what may hold a password."""
    example = f"{schemes[0]}://host:port"
    try:
        url = urlsplit(text)
        host, _port = url.hostname, url.port
    except ValueError:
        raise ValueError(f"is no address that can be read: write {example}") from None
    if url.scheme not in schemes:
        found = f"scheme {url.scheme!r}" if "://" in text else "address without a scheme"
        raise ValueError(f"{found} cannot be reached: write {example}")
    if not host or any(character.isspace() for character in text):
        raise ValueError(f"the address names no host: write {example}")
    return url
