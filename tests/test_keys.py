"""The keys' store: made once, whole, whoever is at it at the same time."""

import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flows.trail import keys
from flows.trail.keys import STORE, KeyStore

WAIT_S = 60


def test_two_who_make_a_store_at_once_get_the_same_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_began, other_began, one_made = threading.Event(), threading.Event(), threading.Event()
    connect = sqlite3.connect

    def connecting(place: Path, *more: Any, **named: Any) -> sqlite3.Connection:
        connection = connect(place, *more, **named)
        if place.name == STORE:
            return connection
        if not one_began.is_set():
            one_began.set()
            assert other_began.wait(WAIT_S)
        else:
            other_began.set()
            assert one_made.wait(WAIT_S)
        return connection

    def opened() -> str:
        with KeyStore.open(tmp_path / "keys", create=True) as store:
            return store.identity

    monkeypatch.setattr(keys.sqlite3, "connect", connecting)
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(opened)
        assert one_began.wait(WAIT_S)
        other = threads.submit(opened)
        identity = one.result(WAIT_S)
        one_made.set()
        assert other.result(WAIT_S) == identity
    assert os.listdir(tmp_path / "keys") == [STORE]
    assert (tmp_path / "keys" / STORE).stat().st_mode & 0o777 == 0o600
