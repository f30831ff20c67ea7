"""One login in every region: by the tables of users of four simulated regions, two of them in MariaDB, of
which one takes no part; with a domain where the settings say no, and one of an identity provider's users."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, make_url, update

from pipeline.outbox.engine import open_database
from pipeline.run import pipeline
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.sandbox.usertable import user as table
from pipeline.sealing import new_pair
from pipeline.settings import Settings
from tests.e2e.harness import Person, people, rows, settled, tree, until
from tests.faults.proxy import Fault, Network

pytestmark = pytest.mark.services

NAMES = ("r1", "r2", "r3", "deaf")
"""The last one has no user_database."""
RULES = [
    {"domain": "/", "passwords": "database"},
    {"domain": "/quiet", "passwords": "random"},
    {"domain": "/partner", "passwords": "federated"},
]
EXCLUDED = "user.password.encoders.exclude"


def configured(regions: Sequence[SimulatedRegion], folder: Path) -> Settings:
    said = tree(regions, f"sqlite:///{folder}/audit.db", credentials=RULES, web={"port": None})
    for told, region in zip(said["regions"], regions, strict=True):
        private, told["sealing_key"] = new_pair()
        told["sealing_private_keys"] = [private]
        if region.name != "deaf":
            told["user_database"] = region.user_database
    return Settings.parse(said, {})


def user_in(region: SimulatedRegion, name: str) -> Any:
    return next(iter(region.region.world.find_users(name)), None)


def accepts(region: SimulatedRegion, name: str, password: str) -> bool:
    """Whether the region's own CloudStack would let the user in by that password."""
    user = user_in(region, name)
    return user is not None and region.region.world.passwords.accepts(user, password)


async def good_in(regions: Sequence[SimulatedRegion], name: str, password: str) -> None:
    await until(
        lambda: all(accepts(region, name, password) for region in regions), f"{name} logs in everywhere"
    )


def write(region: SimulatedRegion, name: str, **columns: Any) -> None:
    """Somebody writes that row by hand, or a plugin of CloudStack's does."""
    engine = create_engine(region.user_database)
    with engine.begin() as connection:
        connection.execute(update(table).where(table.c.username == name).values(**columns))
    engine.dispose()


def row(region: SimulatedRegion, name: str) -> Any:
    return region.region.world.passwords.table.row(user_in(region, name).id)  # type: ignore[union-attr]


async def touch(person: Person, name: str) -> None:
    """An event, which makes the user be read."""
    await person.call("updateUser", id=user_in(person.region, name).uuid, lastname="Touched")


def written(folder: Path) -> str:
    """The audit database as text, and its files' bytes."""
    with sqlite3.connect(folder / "audit.db") as connection:
        text = "\n".join(connection.iterdump())
    return text + "".join(one.read_bytes().decode("latin-1") for one in folder.glob("audit.db*"))


@pytest.fixture
def user_databases(clouds: Sequence[str], tmp_path: Path) -> tuple[str, ...]:
    return (*clouds, *(f"sqlite:///{tmp_path}/cloud-{name}.db" for name in NAMES[2:]))


async def test_one_login_is_good_in_every_region(
    user_databases: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        simulated_regions(len(NAMES), names=NAMES, user_databases=user_databases) as regions,
        people(regions) as persons,
    ):
        telling, deaf = regions[:3], regions[3]
        engine = open_database(f"sqlite:///{tmp_path}/audit.db")
        async with pipeline(configured(regions, tmp_path)):
            shop, quiet, partner = [await persons[0].domain(name) for name in ("shop", "quiet", "partner")]
            for name, place in (("acme", shop), ("hush", quiet), ("idp", partner)):
                await persons[0].account(name, place)
            await persons[0].user("jo", "acme", shop)
            await persons[0].user("mum", "hush", quiet)
            await persons[0].user("fed", "idp", partner)
            await good_in(telling, "jo", "Pw-jo")

            await until(lambda: user_in(telling[1], "jo") is not None, "she is there")
            await persons[1].call("updateUser", id=user_in(telling[1], "jo").uuid, password="Newer-1")
            await good_in(telling, "jo", "Newer-1")
            assert not any(accepts(region, "jo", "Pw-jo") for region in telling)

            await until(lambda: all(user_in(one, "fed") for one in telling), "the last user arrives")
            write(telling[0], "fed", source="SAML2", external_entity="https://idp.example.org")
            await touch(persons[0], "fed")
            await until(
                lambda: all(row(one, "fed")["source"] == "SAML2" for one in telling), "the same provider"
            )
            assert row(telling[2], "fed")["external_entity"] == "https://idp.example.org"

            write(telling[0], "acme", password="5f4dcc3b5aa765d61d8327deb882cf99")  # MD5: never carried
            await touch(persons[0], "acme")
            await settled(telling, engine)
            assert [row(one, "acme")["password"].count(":") for one in telling] == [0, 2, 2]
            assert [accepts(one, "mum", "Pw-mum") for one in regions] == [True, False, False, False]
            assert [accepts(one, "fed", "Pw-fed") for one in regions] == [False, False, False, False]
            assert not accepts(deaf, "jo", "Newer-1")
            hashes = [row(one, name)["password"] for one in telling for name in ("jo", "acme", "mum")]
        engine.dispose()
    seen = written(tmp_path) + caplog.text
    assert not any(one in seen for one in (*hashes, "Newer-1", "Pw-jo"))
    assert "region deaf has no user_database: passwords neither go nor come from there" in caplog.text


async def test_a_region_that_does_not_know_the_hash_s_form_keeps_its_users_out_of_harm(
    tmp_path: Path,
) -> None:
    names = ("r1", "r2")
    databases = tuple(f"sqlite:///{tmp_path}/cloud-{name}.db" for name in names)
    async with (
        simulated_regions(2, names=names, user_databases=databases) as regions,
        people(regions) as persons,
    ):
        regions[1].region.configuration[EXCLUDED]["value"] = "PBKDF2,MD5,LDAP,PLAINTEXT"
        engine = open_database(f"sqlite:///{tmp_path}/audit.db")
        async with pipeline(configured(regions, tmp_path)):
            shop = await persons[0].domain("shop")
            await persons[0].account("acme", shop)

            def refused() -> bool:
                words = "waits for its password: r2 checks none of the form PBKDF2"
                return any((one.message or "").startswith(words) for one in rows(engine))

            await until(refused, "the row says why it waits")
            assert user_in(regions[1], "acme") is not None and not accepts(regions[1], "acme", "Pw-acme")
            await persons[0].call("updateUser", id=user_in(regions[0], "acme").uuid, firstname="Goes")
            await until(lambda: user_in(regions[1], "acme").firstname == "Goes", "all else goes on")
        engine.dispose()


async def test_a_database_that_is_away_holds_up_its_users_and_nothing_else(
    clouds: tuple[str, str], tmp_path: Path
) -> None:
    names = ("r1", "r2")
    with Network() as network:
        away = make_url(clouds[1])
        link = network.link("users-of-r2", away.host or "", away.port or 0)
        async with (
            simulated_regions(2, names=names, user_databases=clouds) as regions,
            people(regions) as persons,
        ):
            settings = configured(regions, tmp_path)
            through = away.set(host="127.0.0.1", port=link.port).render_as_string(hide_password=False)
            second = settings.regions[1].model_copy(update={"user_database": SecretStr(through)})
            async with pipeline(settings.model_copy(update={"regions": (settings.regions[0], second)})):
                shop = await persons[0].domain("shop")
                await persons[0].account("acme", shop)
                await good_in(regions, "acme", "Pw-acme")

                link.fail(Fault.RESET)
                acme = user_in(regions[0], "acme").uuid
                await persons[0].call("updateUser", id=acme, password="Newer-1")
                await persons[0].domain("more")
                await until(lambda: "ROOT/more" in regions[1].dump()["domains"], "domains go on")
                assert accepts(regions[1], "acme", "Pw-acme")
                link.heal()
                await good_in(regions, "acme", "Newer-1")

                await asyncio.gather(
                    *(
                        one.call(
                            "updateUser",
                            id=user_in(one.region, "acme").uuid,
                            password=f"Of-{one.region.name}",
                        )
                        for one in persons
                    )
                )
                await until(
                    lambda: len({row(one, "acme")["password"] for one in regions}) == 1, "one of them wins"
                )
                assert any(accepts(regions[0], "acme", f"Of-{name}") for name in names)
