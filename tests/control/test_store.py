"""The store: whole records or none, from any thread, across restarts."""

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaproof.control.store import Store
from seaproof.drivers.driver import Handle

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5))
def test_a_body_comes_back_as_it_was(tmp_path_factory, body):
    store = Store(tmp_path_factory.mktemp("store") / "x.db")
    store.insert("model", "m", "arn:m", "", body)
    store.close()
    again = Store(store._path)

    found = again.get("model", "m")
    assert found is not None
    assert found.body == body
    assert again.by_arn("arn:m") == found
    again.close()


def test_a_name_is_taken_once_whoever_comes_first(tmp_path):
    store = Store(tmp_path / "x.db")
    won: list[object] = []

    def insert():
        record = store.insert("model", "m", "arn:m", "", {})
        if record:
            won.append(record)

    threads = [threading.Thread(target=insert) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    store.close()


def test_a_change_that_raises_leaves_the_record_as_it_was(tmp_path):
    store = Store(tmp_path / "x.db")
    store.insert("endpoint", "e", "arn:e", "Creating", {"a": 1})

    def fail(body):
        body["a"] = 2
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.update("endpoint", "e", fail, status="InService")

    found = store.get("endpoint", "e")
    assert found is not None
    assert (found.body, found.status) == ({"a": 1}, "Creating")
    store.close()


def test_many_threads_change_one_record_without_losing_a_change(tmp_path):
    store = Store(tmp_path / "x.db")
    store.insert("endpoint", "e", "arn:e", "", {"count": 0})

    def add():
        for _ in range(25):
            store.update("endpoint", "e", lambda body: body.update(count=body["count"] + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = store.get("endpoint", "e")
    assert found is not None
    assert found.body["count"] == 100
    store.close()


def test_threads_that_have_ended_keep_no_files_open(tmp_path):
    store = Store(tmp_path / "x.db")
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(40):
        thread = threading.Thread(target=store.add_event, args=("endpoint", "e", "status", "-> InService."))
        thread.start()
        thread.join()

    assert len(store.events("endpoint", "e")) == 40
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 10
    store.close()


def test_handles_events_and_tags_survive(tmp_path):
    store = Store(tmp_path / "x.db")
    handle = Handle("fake", "w", "1", "127.0.0.1", 8080, {"a": [1]})
    store.insert("endpoint", "e", "arn:e", "", {})
    store.put_handle("endpoint", "e", handle)
    store.add_event("endpoint", "e", "Started", "it lives", port=8080)
    store.set_tags("arn:e", {"b": "2", "a": "1"})
    store.close()
    again = Store(tmp_path / "x.db")

    assert again.handles("endpoint") == [("endpoint", "e", handle)]
    assert again.events("endpoint", "e")[0].event == {"type": "Started", "message": "it lives", "port": 8080}
    assert again.tags("arn:e") == {"a": "1", "b": "2"}
    again.delete("endpoint", "e")
    assert again.tags("arn:e") == {}
    assert (tmp_path / "x.db").stat().st_mode & 0o077 == 0
    again.close()
