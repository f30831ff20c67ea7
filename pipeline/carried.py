"""Whose credentials a region's worker carries, and by what.

In: settings. Out: the ring that seals them, the region's own table of users, and words for what is switched
on and can't be done. Called when a region's worker is built.
"""

from __future__ import annotations

from pipeline.sealing import Ring
from pipeline.settings import Region, Settings
from pipeline.userdb.logins import LoginStore
from pipeline.userdb.told import UserLogins


def ring(settings: Settings, region: Region) -> Ring | None:
    """What seals and opens users' credentials in that region's worker; None where none are carried."""
    carried = any(rule.api_keys or rule.passwords != "random" for rule in settings.credentials)
    if region.sealing_key is None or not carried:
        return None
    public = {one.name: one.sealing_key for one in settings.regions if one.sealing_key is not None}
    return Ring(region.name, [key.get_secret_value() for key in region.sealing_private_keys], public)


def logins(settings: Settings, region: Region) -> UserLogins | None:
    """How that region's users log in, by its own CloudStack's database; None where it takes no part. Nothing
    is connected yet."""
    policies, url = settings.login_policies(region), region.user_database
    if policies is None or url is None or policies[1].everywhere is False:
        return None
    return UserLogins(LoginStore.at(url.get_secret_value()), *policies)


def keyless(settings: Settings, region: Region) -> list[str]:
    """Why users' credentials do not cross to or from that region though the settings say that they are
    carried, in words; for once at its worker's start."""
    keys = any(rule.api_keys for rule in settings.credentials)
    passwords = any(rule.passwords != "random" for rule in settings.credentials)
    told = []
    if passwords and region.user_database is None:
        told.append(f"region {region.name} has no user_database: passwords neither go nor come from there")
    what = " and ".join(["users' API keys"] * keys + ["passwords"] * passwords)
    if what and region.sealing_key is None:
        told.append(f"region {region.name} has no sealing_key: {what} neither go nor come from there")
    elif what and not region.sealing_private_keys:
        told.append(f"region {region.name} has no sealing_private_keys here: {what} wait")
    return told
