"""The settings: one `regions.yaml`, checked whole before anything starts. Only this module reads the
environment.

In: the file, the environment, and which process this is. Out: a frozen `Settings`, or `SettingsError` with
one sentence a defect. Called by the command line and by `pipeline.worker`. What each key means, with its
default: docs/reference.md and the commented regions.example.yaml; how it is read: `pipeline.config`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.config import database, roles, source
from pipeline.config.complaints import sentences
from pipeline.config.credentials import Credentials, check_domains
from pipeline.config.kafka import KafkaOptions
from pipeline.config.region import Part, Region, Seconds, check_names
from pipeline.config.roles import ALL, HUB, Role
from pipeline.config.source import SettingsError
from pipeline.core.keys import KeyPolicy
from pipeline.core.records import Topology

__all__ = [
    "ALL",
    "EMBEDDED",
    "HUB",
    "Environment",
    "Region",
    "Retention",
    "Role",
    "Settings",
    "SettingsError",
    "Web",
    "load",
]

EMBEDDED: Final = "embedded"
EMBEDDED_PARTITIONS: Final = 4
"""Fixed in librdkafka's mock cluster (engine.md, "Embedded broker")."""
PARTITIONS: Final = 12
ROLES_EVERY_S: Final = 60.0
"""Not every change of a role has an event."""
STALL_LIMIT_S: Final = 600.0
"""A worker with messages that finishes none for so long is ended. Regions may make us pause for 300 s."""

_BROKER: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}", re.ASCII)


class Hub(Part):
    """`batch`: observations merged in one database transaction at most."""

    batch: int = Field(default=500, ge=1, le=10_000)


WEB_PORT: Final = 6066
TOKEN_MIN: Final = 16


class Web(Part):
    """Pages, their JSON API, numbers, health. `port`: the hub's, and that of `run`; the regions' workers have
    the next ones, in the file's order. 0: any that is free; None: nowhere. `token`: what a person must show
    to change anything; None: nothing can be changed. `names`: those that a proxy in front is called by."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int | None = Field(default=WEB_PORT, ge=0, le=64_000)
    token: SecretStr | None = None
    names: tuple[str, ...] = ()

    @field_validator("token")
    @classmethod
    def _check_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and len(token.get_secret_value()) < TOKEN_MIN:
            raise ValueError(f"is shorter than {TOKEN_MIN} characters: it could be guessed")
        return token


class Retention(Part):
    """For how many days is kept what is over. `outbox_days`: desired states that were delivered or replaced,
    their calls, decisions, plans, scans, proofs. `ledger_days`: conflicts, dead letters, the audit.
    `outage_days`: what lies in Kafka, so for so long may any process be away."""

    outbox_days: int = Field(default=30, ge=2, le=3650)
    ledger_days: int = Field(default=365, ge=2, le=3650)
    outage_days: int = Field(default=7, ge=1, le=3650)


class Settings(Part):
    """All of `regions.yaml`. `regions` keeps the file's order, which breaks ties between equal times.
    `replicas`: copies of each new topic; None: three, or as many as there are brokers. `roles`: custom
    roles are kept the same everywhere, and every region is looked at every so many seconds for it."""

    topology: Literal["multi-master", "master"] = "multi-master"
    kafka: str = EMBEDDED
    kafka_options: KafkaOptions = KafkaOptions()
    partitions: int = Field(default=PARTITIONS, ge=1, le=1000)
    replicas: int | None = Field(default=None, ge=1, le=10)
    database: SecretStr = SecretStr("sqlite:///region-sync.db")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    stall_limit_s: Seconds | None = STALL_LIMIT_S
    dead_letters_per_minute: int = Field(default=60, ge=1, le=100_000)
    hub: Hub = Hub()
    web: Web = Web()
    retention: Retention = Retention()
    credentials: tuple[Credentials, ...] = ()
    roles: bool = False
    roles_every: Seconds = ROLES_EVERY_S
    regions: tuple[Region, ...]
    _plain_secrets: tuple[str, ...] = PrivateAttr(default=())
    _secret_sources: dict[str, str] = PrivateAttr(default={})

    @classmethod
    def load(cls, path: Path | str, environ: Mapping[str, str], role: Role = ALL) -> Self:
        """The settings in `path`, with the secrets that `role` needs and no others. Raises
        `SettingsError`."""
        return cls.parse(source.read(Path(path)), environ, role, str(path))

    @classmethod
    def parse(
        cls, tree: source.Tree, environ: Mapping[str, str], role: Role = ALL, file: str = "settings"
    ) -> Self:
        """The same from what YAML said; `file` begins each sentence. Raises `SettingsError`."""
        if not isinstance(tree, dict):
            raise SettingsError(f"{file}: holds no settings: it must be a mapping with the key 'regions'")
        own = roles.own_secrets(tree, role)
        try:
            filled = source.fill(own, environ)
        except SettingsError as error:
            raise SettingsError(f"{file}: {error}") from None
        try:
            settings = cls.model_validate(filled)
        except ValidationError as error:
            raise _complaint(file, sentences(cls, own, error)) from None
        lacking = [words for region in settings.regions if (words := roles.lacks(region, role))]
        if lacking:
            raise _complaint(file, lacking)
        settings._plain_secrets = tuple(roles.plain_secrets(own))
        settings._secret_sources = roles.secret_sources(tree, file)
        return settings

    @property
    def embedded(self) -> bool:
        """Whether the broker lives in the process of `run`."""
        return self.kafka == EMBEDDED

    @property
    def active(self) -> tuple[Region, ...]:
        """The regions that take part."""
        return tuple(region for region in self.regions if region.active)

    @property
    def plain_secrets(self) -> tuple[str, ...]:
        """The keys whose secret stands in the file itself, for `check` to warn about."""
        return self._plain_secrets

    def secret_source(self, name: str) -> str:
        """Where the secret of that region's log-in is to be found (`${NAME}`, `file:/path`, or the settings'
        file), never the secret."""
        return self._secret_sources.get(name, "")

    def region(self, name: str) -> Region:
        """The region of that name. Raises `SettingsError`, which lists the known ones."""
        for region in self.regions:
            if region.name == name:
                return region
        known = ", ".join(region.name for region in self.regions)
        raise SettingsError(f"region {name!r} is not configured: the known regions are {known}")

    def key_policy(self, region: Region) -> KeyPolicy | None:
        """Whose keys that region tells of; None: nothing could be sealed for it, so it takes no part."""
        if region.sealing_key is None:
            return None
        return KeyPolicy({one.domain: one.api_keys for one in self.credentials})

    def login_policies(self, region: Region) -> tuple[KeyPolicy, KeyPolicy] | None:
        """In which domains that region tells of passwords' hashes, and in which of identity providers; None:
        it takes no part."""
        if region.sealing_key is None or region.user_database is None:
            return None
        native = KeyPolicy({one.domain: one.passwords == "database" for one in self.credentials})
        return native, KeyPolicy({one.domain: one.passwords != "random" for one in self.credentials})

    def web_port(self, region: str | None = None) -> int | None:
        """Where the hub, or a region's worker, answers over HTTP; None: nowhere."""
        if not self.web.port or region is None:
            return self.web.port
        return self.web.port + 1 + [one.name for one in self.regions].index(region)

    def rules(self) -> Topology:
        """Who wins a conflict, the master first, then in the file's order, and who may say what: for the
        merge."""
        ordered = sorted(self.active, key=lambda region: not region.is_master)
        master = ordered[0].name if self.topology == "master" else None
        sources = {region.name: region.sources for region in ordered}
        return Topology(tuple(region.name for region in ordered), master, sources)

    @model_validator(mode="before")
    @classmethod
    def _default_partitions(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("kafka", EMBEDDED) == EMBEDDED:
            return {"partitions": EMBEDDED_PARTITIONS, **data}
        return data

    @field_validator("kafka")
    @classmethod
    def _check_kafka(cls, kafka: str) -> str:
        brokers = [broker.strip() for broker in kafka.split(",")]
        if kafka != EMBEDDED and not all(_BROKER.fullmatch(broker) for broker in brokers):
            shown = "what holds a '@'" if "@" in kafka else repr(kafka[:80])  # it may be a password's end
            raise ValueError(f"{shown} is no broker: write 'embedded', or 'host:port,host:port'")
        return ",".join(brokers)

    @field_validator("database")
    @classmethod
    def _check_database(cls, url: SecretStr) -> SecretStr:
        database.check(url.get_secret_value())
        return url

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if self.embedded and self.partitions != EMBEDDED_PARTITIONS:
            raise ValueError(
                f"partitions: the embedded broker always has {EMBEDDED_PARTITIONS}: remove the key"
            )
        if not self.regions:
            raise ValueError("regions: the list is empty: add at least one region")
        check_names(self.regions)
        check_domains(self.credentials)
        masters = [region.name for region in self.regions if region.is_master]
        if len(masters) > 1:
            raise ValueError(
                f"regions: {' and '.join(masters)} are both master: set is_master on one region only"
            )
        if self.topology == "master" and not any(region.is_master for region in self.active):
            raise ValueError(
                "topology: 'master' needs an active master: set is_master: true on one active region"
            )
        return self


class Environment(BaseSettings):
    """What the environment says where no option of the command line does: REGION_SYNC_CONFIG,
    REGION_SYNC_REGION.

    `region` is for `faust -A pipeline.worker worker`, which has no option of its own: that region's worker,
    or else the hub.
    """

    model_config = SettingsConfigDict(env_prefix="REGION_SYNC_", frozen=True)

    config: Path = Path("regions.yaml")
    region: str | None = None

    def settings(self) -> Settings:
        """The settings for a worker started in this environment. Raises `SettingsError`."""
        return load(self.config, Role("worker", self.region) if self.region else HUB)


def load(path: Path, role: Role = ALL) -> Settings:
    """The settings in `path`, filled in from this process's environment. Raises `SettingsError`."""
    settings = Settings.load(path, os.environ, role)
    if role.region:
        settings.region(role.region)
    return settings


def _complaint(file: str, defects: Any) -> SettingsError:
    return SettingsError("\n".join(f"{file}: {words}" for words in defects))
