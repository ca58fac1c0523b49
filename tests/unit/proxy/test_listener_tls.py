"""The TLS side of the listener: which files are taken, when they are renewed, and whom a certificate names."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigurationError
from gateway.proxy.listener_tls import ListenerTls, distinguished_name, service_of
from gateway.settings import ServiceSettings, TlsSettings
from tests.world.certificates import Authority

BILLING = ServiceSettings(name="billing", spiffe="spiffe://example.com/billing")
ETL = ServiceSettings(name="etl", subject="CN=etl,O=Acme")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whose certificates are trusted."""
    return Authority(tmp_path / "tls")


def given_files(authority: Authority, **changes: Any) -> TlsSettings:
    """A configuration that can be used, with keys changed."""
    certificate, key = authority.server()
    return TlsSettings(**({"certificate": certificate, "key": key} | changes))


def certificate_of(*uris: str, subject: tuple[tuple[tuple[str, str], ...], ...] = ()) -> dict[str, Any]:
    """A certificate as Python shows it."""
    return {"subject": subject, "subjectAltName": (("DNS", "x.test"), *(("URI", uri) for uri in uris))}


@pytest.mark.parametrize(
    ("certificate", "name"),
    [
        ({}, None),
        (certificate_of(), None),
        (certificate_of("spiffe://example.com/billing"), "billing"),
        (certificate_of("spiffe://example.com/billing/x"), None),
        (certificate_of("spiffe://example.com/Billing"), None),
        (certificate_of("spiffe://example.com/billing", "spiffe://example.com/other"), None),
        (certificate_of(subject=((("organizationName", "Acme"),), (("commonName", "etl"),))), "etl"),
        (certificate_of(subject=((("commonName", "etl"),), (("organizationName", "Acme"),))), None),
        (certificate_of(subject=((("commonName", "etl,O=Acme"),),)), None),
        (certificate_of(subject=((("commonName", "etl"), ("organizationName", "Acme")),)), None),
        (certificate_of(subject=((("commonName", "spiffe://example.com/billing"),),)), None),
        ({"subjectAltName": (("DNS", "spiffe://example.com/billing"),)}, None),
    ],
)
def test_certificate_names_a_service_only_where_it_fits_exactly(certificate: dict[str, Any], name: str | None) -> None:
    """One SPIFFE id, or the whole subject; nothing that merely looks like it."""
    assert service_of(certificate, (BILLING, ETL)) == name


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a,b+c", "CN=a\\,b\\+c"),
        (" a ", "CN=\\ a\\ "),
        ("#a", "CN=\\#a"),
        (" ", "CN=\\ "),
        ("a\0b", "CN=a\\00b"),
        ('a"<>;\\', 'CN=a\\"\\<\\>\\;\\\\'),
    ],
)
def test_subject_is_written_with_its_special_characters_escaped(value: str, written: str) -> None:
    """RFC 4514 §2.4."""
    assert distinguished_name([[("commonName", value)]]) == written


@given(st.lists(st.tuples(st.sampled_from(["commonName", "organizationName"]), st.text(max_size=4)), max_size=3))
@settings(max_examples=200)
def test_two_subjects_are_never_written_alike(parts: list[tuple[str, str]]) -> None:
    """However their values are chosen, one is not taken for another in another arrangement."""
    text = distinguished_name([[part] for part in parts])
    joined = [("commonName", ",".join(f"O={value}" for _, value in parts))]
    if parts and [joined[0]] != parts:
        assert distinguished_name([joined]) != text


def test_no_certificate_is_no_tls() -> None:
    """The doors then speak plainly."""
    assert ListenerTls.of(TlsSettings()) is None


def test_context_takes_nothing_old(authority: Authority) -> None:
    """TLS 1.2 at least, and of its ciphers only those that keep secrets forward."""
    context = ListenerTls(given_files(authority)).context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_NONE
    old = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.2"]
    assert old
    assert all(name.startswith("ECDHE-") and ("GCM" in name or "CHACHA20" in name) for name in old)


def _encrypt(path: Path) -> None:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda files: files.certificate.unlink(), "door.pem with key"),
        (lambda files: files.key.unlink(), "door.key cannot be used"),
        (lambda files: files.certificate.write_text("no certificate"), "door.pem with key"),
        (lambda files: files.key.write_bytes(files.certificate.read_bytes()), "door.key cannot be used"),
        (lambda files: _encrypt(files.key), "its unencrypted key"),
        (lambda files: files.client_ca.unlink(), "sample-authority.pem cannot be used"),
        (lambda files: files.client_ca.write_text(""), "sample-authority.pem cannot be used"),
    ],
)
def test_unusable_file_is_one_line(authority: Authority, damage: Any, said: str) -> None:
    """It names the file and what was expected."""
    files = given_files(authority, client_ca=authority.path, client_certificates="required")
    damage(files)
    with pytest.raises(ConfigurationError) as refusal:
        ListenerTls(files)
    [line] = refusal.value.problems
    assert line.startswith("gateway.tls: ")
    assert said in line
    assert "\n" not in line


def test_key_of_another_certificate_is_refused(authority: Authority) -> None:
    """The two have to belong together."""
    certificate, _ = authority.server("one")
    _, key = authority.server("other")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        ListenerTls(TlsSettings(certificate=certificate, key=key))


def test_newer_files_are_taken_into_use_and_wrong_ones_are_not(authority: Authority) -> None:
    """What is in use stays in use until there is something better."""
    files = given_files(authority)
    tls = ListenerTls(files)
    first = tls.context
    tls.reload_if_changed()
    assert tls.context is first

    assert files.key is not None
    kept = files.key.read_bytes()
    files.key.write_text("half a ke")
    tls.reload_if_changed()
    assert tls.context is first
    assert "cannot be used" in tls.problem

    files.key.write_bytes(kept)
    os.utime(files.key, ns=(1, 1))
    tls.reload_if_changed()
    assert tls.context is not first
    assert tls.problem == ""

    files.key.unlink()
    second = tls.context
    tls.reload_if_changed()
    assert tls.context is second
    assert tls.problem
