"""A user's pair of API keys, as a root administrator may read them.

In: the client, a user's UUID. Out: the keys, to be sealed at once. Called by the region's worker when another
region asks for them.
"""

from __future__ import annotations

from pipeline.cloudstack.client import CloudStack
from pipeline.cloudstack.errors import Garbled, NotFound
from pipeline.core.keys import KeyPair


async def user_keys(client: CloudStack, uuid: str) -> KeyPair | None:
    """None where it has none, or is not there. Raises as the client does."""
    try:
        inner = await client.call("getUserKeys", {"id": uuid})
    except NotFound:
        return None
    found = inner.get("userkeys")
    if not isinstance(found, dict):
        raise Garbled("getUserKeys answers without userkeys")
    api_key, secret_key = found.get("apikey"), found.get("secretkey")
    if not (isinstance(api_key, str) and isinstance(secret_key, str) and api_key and secret_key):
        return None
    return KeyPair(api_key, secret_key)
