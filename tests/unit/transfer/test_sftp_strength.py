"""Which keys and signatures are taken at the SFTP door, and which host keys."""

from __future__ import annotations

from pathlib import Path

import asyncssh
import pytest
from asyncssh.public_key import CERT_TYPE_USER, SSHOpenSSHCertificateV01

from gateway.errors import ConfigurationError
from gateway.settings.doors import SftpDoorSettings
from gateway.transfer.sftp_strength import client_key, is_sound, ssh_options

KEY = asyncssh.generate_private_key("ssh-ed25519")
AUTHORITY = asyncssh.generate_private_key("ssh-ed25519")


class Nested:
    """An authority that shows itself by a certificate."""

    public_data = AUTHORITY.generate_user_certificate(AUTHORITY, "ca").public_data

    def sign(self, data: bytes, algorithm: bytes) -> bytes:
        return AUTHORITY.sign(data, algorithm)

    def convert_to_public(self) -> Nested:
        return self


def certified(authority: object) -> bytes:
    return SSHOpenSSHCertificateV01.generate(
        authority,  # type: ignore[arg-type]
        b"ssh-ed25519-cert-v01@openssh.com",
        KEY,
        1,
        CERT_TYPE_USER,
        "id",
        ["acme"],
        0,
        2**64 - 1,
        {},
        b"ssh-ed25519",
        None,
    ).public_data


@pytest.mark.parametrize("algorithm", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
def test_a_key_is_handed_over_as_its_line(algorithm: str) -> None:
    key = asyncssh.generate_private_key(algorithm)
    read = client_key(key.public_data)
    assert read is not None
    assert read[1].split() == key.export_public_key().decode().split()[:2]


def test_a_certificate_is_handed_over_as_its_line() -> None:
    read = client_key(certified(AUTHORITY))
    assert read is not None
    assert read[1].startswith("ssh-ed25519-cert-v01@openssh.com ")
    assert read[0].public_data == KEY.public_data


def test_an_authority_that_is_itself_a_certificate_is_refused() -> None:
    """sftp-006 (CVE-2025-49825)."""
    assert client_key(certified(Nested())) is None


def test_a_certificate_that_nobody_signed_is_refused() -> None:
    data = certified(AUTHORITY)
    assert client_key(data[:-1] + bytes([data[-1] ^ 1])) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\xff",
        b"\0\0\0\x0bssh-ed25519",
        KEY.public_data + b"x",
        asyncssh.generate_private_key("ssh-rsa", key_size=1024).public_data,
        AUTHORITY.generate_host_certificate(KEY, "host").public_data,
    ],
    ids=["nothing", "torn", "no key", "more", "short RSA", "of a host"],
)
def test_what_is_no_sound_key_is_refused(data: bytes) -> None:
    assert client_key(data) is None


def test_a_signature_by_sha_1_is_not_sound() -> None:
    rsa = asyncssh.generate_private_key("ssh-rsa")
    assert is_sound(rsa.sign(b"x", b"rsa-sha2-256"))
    assert not is_sound(rsa.sign(b"x", b"ssh-rsa"))
    assert not is_sound(b"")


def settings(*keys: Path) -> SftpDoorSettings:
    return SftpDoorSettings(listen="127.0.0.1:0", store="uploads", host_keys=keys)


def test_a_host_key_of_rsa_signs_by_sha_2_alone(tmp_path: Path) -> None:
    asyncssh.generate_private_key("ssh-rsa").write_private_key(tmp_path / "rsa")
    options = ssh_options(settings(tmp_path / "rsa"), asyncssh.SSHServer)
    assert set(options.server_host_keys) == {b"rsa-sha2-256", b"rsa-sha2-512"}


@pytest.mark.parametrize("what", ["none", "short", "torn", "twice", "locked"])
def test_a_host_key_that_cannot_be_used_stops_the_start(tmp_path: Path, what: str) -> None:
    path = tmp_path / "key"
    key = asyncssh.generate_private_key("ssh-rsa", key_size=1024 if what == "short" else 2048)
    if what in ("short", "twice"):
        key.write_private_key(path)
    elif what == "torn":
        path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n")
    elif what == "locked":
        key.write_private_key(path, "pkcs8-pem", passphrase="secret")
    with pytest.raises(ConfigurationError, match=r"doors\.sftp\.host_keys: "):
        ssh_options(settings(*[path] * (2 if what == "twice" else 1)), asyncssh.SSHServer)
