"""How strong SSH has to be at the SFTP door: exchanges, ciphers, signatures, keys.

No SHA-1, no CBC, no group that a client could choose small, no compression; no ChaCha20-Poly1305, which is sound only
with the strict exchange that some clients do not know (CVE-2023-48795), and which all of them can do without.
"""

from __future__ import annotations

import base64
from pathlib import Path

import asyncssh
from asyncssh.packet import PacketDecodeError, SSHPacket
from asyncssh.public_key import SSHOpenSSHCertificate, decode_ssh_certificate, decode_ssh_public_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from gateway.errors import ConfigurationError
from gateway.identity.ssh_certificates import MAX_RSA_BITS, MIN_RSA_BITS, USER
from gateway.settings.doors import SftpDoorSettings

EXCHANGES = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group14-sha256",
)
CIPHERS = ("aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "aes256-ctr", "aes192-ctr", "aes128-ctr")
MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
SIGNATURES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_SOUND = frozenset(name.encode() for name in SIGNATURES)


def client_key(key_data: bytes) -> tuple[asyncssh.SSHKey, str] | None:
    """A public key or user certificate, and the same as a line; None where it is neither, or too weak."""
    try:
        algorithm = SSHPacket(key_data).get_string()
        if b"-cert-" in algorithm:
            certificate = decode_ssh_certificate(key_data)
            if not isinstance(certificate, SSHOpenSSHCertificate) or certificate._cert_type != USER:
                return None
            key = certificate.key
        else:
            key = decode_ssh_public_key(key_data)
    except (PacketDecodeError, asyncssh.KeyImportError, ValueError):
        return None
    if not set(key.sig_algorithms) & _SOUND or not _is_sized(key):
        return None
    key.set_touch_required(True)
    return key, f"{algorithm.decode('ascii')} {base64.b64encode(key_data).decode()}"


def is_sound(signature: bytes) -> bool:
    """Whether a signature is made as one of those above."""
    try:
        return SSHPacket(signature).get_string() in _SOUND
    except PacketDecodeError:
        return False


def _is_sized(key: asyncssh.SSHKey) -> bool:
    """Whether a key is long enough to be sound, and short enough to be verified in no time."""
    pyca_key = key.pyca_key
    return not isinstance(pyca_key, RSAPublicKey | RSAPrivateKey) or MIN_RSA_BITS <= pyca_key.key_size <= MAX_RSA_BITS


def ssh_options(settings: SftpDoorSettings, client: type[asyncssh.SSHServer]) -> asyncssh.SSHServerConnectionOptions:
    """How connections are spoken.

    Args:
        client: what the library asks about a client.

    Raises:
        ConfigurationError: a host key cannot be used.
    """
    keys = [_host_key(path) for path in settings.host_keys]
    try:
        options = asyncssh.SSHServerConnectionOptions(
            server_factory=client,
            server_version="gateway",
            server_host_keys=keys,
            kex_algs=EXCHANGES,
            encryption_algs=CIPHERS,
            mac_algs=MACS,
            compression_algs=None,
            signature_algs=SIGNATURES,
            login_timeout=settings.sign_in_timeout_s,
            authorized_client_keys=None,
            host_based_auth=False,
            kbdint_auth=False,
            gss_host=None,
            allow_pty=False,
            line_editor=False,
            agent_forwarding=False,
            x11_forwarding=False,
            encoding=None,
        )
    except ValueError as error:
        raise ConfigurationError([f"doors.sftp.host_keys: {error}; name one key of each kind"]) from error
    for algorithm in set(options.server_host_keys) - _SOUND:
        del options.server_host_keys[algorithm]
    return options


def _host_key(path: Path) -> asyncssh.SSHKey:
    expected = "expected an unencrypted private key, as ssh-keygen -t ed25519 -N '' makes it"
    try:
        key = asyncssh.read_private_key(path)
    except (OSError, asyncssh.KeyImportError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError([f"doors.sftp.host_keys: {path} cannot be used ({why}); {expected}"]) from error
    if not _is_sized(key):
        raise ConfigurationError(
            [f"doors.sftp.host_keys: {path} is an RSA key not of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits; {expected}"]
        )
    return key
