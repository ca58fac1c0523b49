"""What a feed needs before it can send anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.feeds import open_sink, require_usable, sinks
from gateway.feeds.item import entry
from gateway.feeds.kafka_sink import KafkaSink
from gateway.feeds.nats_sink import NatsSink
from gateway.ledger.entry import seal
from gateway.ledger.merkle import leaf_hash
from tests.world.clock import FakeClock
from tests.world.feeds import decision, feed

ADDRESSES = ["127.0.0.1:9"]


@pytest.mark.parametrize("kind", ["nats", "kafka"])
def test_client_that_is_not_installed_is_told_with_what_to_install(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whoever opens the feed, and by `doctor`."""
    settings = feed(kind=kind, addresses=ADDRESSES)
    require_usable(settings)
    assert isinstance(open_sink(settings, node="n", clock=FakeClock()), KafkaSink | NatsSink)
    monkeypatch.setattr(sinks, "find_spec", lambda _name: None)
    for look in (require_usable, lambda one: open_sink(one, node="n", clock=FakeClock())):
        with pytest.raises(ConfigurationError, match=rf"install residency-gateway\[{kind}\]"):
            look(settings)


def test_certificates_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    """Each by its key."""
    (tmp_path / "own.pem").write_text("nothing")
    for given in (
        {"tls_ca": tmp_path / "own.pem"},
        {"tls_certificate": tmp_path / "own.pem", "tls_key": tmp_path / "own.pem"},
    ):
        with pytest.raises(ConfigurationError, match=rf"feed out: {next(iter(given))} .* cannot be used"):
            require_usable(feed(kind="syslog", addresses=ADDRESSES, **given))


def test_entry_less_its_sequence_is_what_the_leaf_hash_is_over() -> None:
    """So that a receiver can prove what it has."""
    sealed = seal(decision())
    line = entry(7, sealed.body)
    assert line.startswith(b'{"sequence":7,')
    assert leaf_hash(line.replace(b'"sequence":7,', b"", 1)) == sealed.leaf_hash
