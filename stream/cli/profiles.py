"""Where a user's state is found: in a folder, or with the worker that owns the user's partition."""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import NamedTuple

from stream.errors import OperatorError, SegstreamError

_PATIENCE_SECONDS = 10
TOKEN_VARIABLE = "SEGSTREAM_HTTP_TOKEN"
_ANCHOR = b"\x01"
"""How a worker's marker of a store begins; a replay's is the engine's own."""


class NothingToExplainError(SegstreamError):
    """The user, or the state, is not there."""

    exit_code = 1


class Found(NamedTuple):
    """A user's profile and the engine's marker of the partition that holds it."""

    raw: bytes
    marker: bytes


def find_in_folder(folder: Path, user: str) -> Found:
    """What `replay --state` or a worker left in `folder`."""
    from stream.state.rocks import RocksStore  # loads RocksDB

    partitions = [folder] if _is_store(folder) else sorted(filter(_is_store, folder.glob("*")))
    if not partitions:
        raise NothingToExplainError(
            f"{folder} holds no state: name what `segstream replay --state DIR` wrote, or a worker's state_dir"
        )
    users = 0
    for place in partitions:
        store = RocksStore(place, read_only=True)
        try:
            marker, raw = store.marker(), store.get_many([user])[0]
            if marker is not None and raw is not None:
                return Found(raw, _of_the_engine(marker))
            users += sum(1 for _ in store.scan())
        finally:
            store.close()
    raise NothingToExplainError(f"nobody called {user} is in {folder}, which holds {users:,} users")


def _is_store(place: Path) -> bool:
    return (place / "CURRENT").is_file()


def _of_the_engine(marker: bytes) -> bytes:
    if not marker.startswith(_ANCHOR):
        return marker
    from stream.runtime.kafka.changelog import Anchor, decode  # loads aiokafka

    engine = decode(marker, Anchor).engine
    if engine is None:
        raise NothingToExplainError("the worker has written no step of this partition yet")
    return engine


def find_at_worker(url: str, user: str) -> Found:
    """What the worker at `url` says; the token of its pages comes from SEGSTREAM_HTTP_TOKEN."""
    address = f"{url.rstrip('/')}/profile?{urllib.parse.urlencode({'user': user})}"
    if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
        raise NothingToExplainError(f"{url}: expected an address like http://localhost:6066")
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        request = urllib.request.Request(address, headers=headers)
        with urllib.request.urlopen(request, timeout=_PATIENCE_SECONDS) as answer:
            told = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise OperatorError(f"{url} asks for its token: set {TOKEN_VARIABLE}") from None
        if error.code == 404:
            raise NothingToExplainError(_why_not(error.read(), url, user)) from None
        raise OperatorError(f"{url} answered {error.code}: {error.reason}") from None
    except (OSError, ValueError) as error:
        raise OperatorError(f"{url} cannot be asked: {error}") from error
    return Found(base64.b64decode(told["profile"]), base64.b64decode(told["marker"]))


def _why_not(body: bytes, url: str, user: str) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"{url} has no page that knows of {user}: is it a worker?"
