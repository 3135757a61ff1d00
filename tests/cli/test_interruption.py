"""Ctrl-C in the middle of what must not be broken off."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from seaproof.cli.interruption import ctrl_c_waits


@pytest.fixture(autouse=True)
def pythons_own() -> Iterator[None]:
    """Who runs the tests may have had SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_ctrl_c_is_told_of_afterwards() -> None:
    done = False

    with ctrl_c_waits() as came:
        signal.raise_signal(signal.SIGINT)
        done = True

    assert done
    assert came()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_the_second_ctrl_c_breaks_off() -> None:
    with pytest.raises(KeyboardInterrupt), ctrl_c_waits():  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_without_ctrl_c_nothing_came() -> None:
    with ctrl_c_waits() as came:
        pass

    assert not came()


def test_where_ctrl_c_is_ignored_it_stays_so() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    with ctrl_c_waits() as came:
        signal.raise_signal(signal.SIGINT)

    assert not came()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
