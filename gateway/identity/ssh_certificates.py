"""SSH user certificates: what a pass for the SFTP door is, where its holder has a key of their own.

Invariants: a certificate opens the sftp subsystem and nothing else (it permits no terminal, no forwarding, no start-up
file); it is worth what the pass that it names is worth; of all certificates that an authority could sign for a pass
the one that was given out holds, and no other.

Source: PROTOCOL.certkeys of OpenSSH.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import cast

import asyncssh
from asyncssh.public_key import SSHOpenSSHCertificate
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from gateway.clock import SECOND_US
from gateway.errors import ConfigurationError
from gateway.identity.accounts import CERTIFICATE, TransferPass
from gateway.settings import Secret

USER = 1
"""The type of a certificate that names a user; 2 names a host."""
MIN_RSA_BITS, MAX_RSA_BITS = 2_048, 8_192
_KINDS = re.compile(r"ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)")
_WHERE = "doors.sftp.user_ca"
_EXPECTED = "expected an unencrypted private key, as ssh-keygen -t ed25519 -N '' makes it"


class UserCa:
    """The authority that signs for the SFTP door, which believes it alone."""

    def __init__(self, key: asyncssh.SSHKey) -> None:
        self._key = key

    @classmethod
    def of(cls, secret: Secret) -> UserCa:
        """The authority of ``[doors.sftp] user_ca``.

        Raises:
            ConfigurationError: it is no private key, or a weak one.
        """
        try:
            key = asyncssh.import_private_key(secret.text.get_secret_value())
        except (asyncssh.KeyImportError, ValueError):
            raise ConfigurationError([f"{_WHERE}: cannot be used; {_EXPECTED}"]) from None
        bits = key.pyca_key.key_size if isinstance(key.pyca_key, RSAPrivateKey) else MIN_RSA_BITS
        if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS or not _KINDS.fullmatch(key.get_algorithm()):
            raise ConfigurationError([f"{_WHERE}: a key of {bits} bits, or of a kind that is not taken; {_EXPECTED}"])
        return cls(key)

    def sign(self, given: TransferPass, public_key: str, source_addresses: Sequence[str] = ()) -> str:
        """The certificate of a pass, as a line of OpenSSH's format; :func:`kept_form` is what the pass keeps of it.

        Args:
            public_key: of its holder, as a line.
            source_addresses: networks to which it is bound; none: from anywhere that the policy allows.
        """
        certificate = self._key.generate_user_certificate(
            asyncssh.import_public_key(public_key),
            given.id,
            serial=serial_of(given.id),
            principals=[given.id],
            valid_after=given.made_us // SECOND_US,
            valid_before=given.ends_us // SECOND_US,
            source_address=list(source_addresses) or None,
            permit_x11_forwarding=False,
            permit_agent_forwarding=False,
            permit_port_forwarding=False,
            permit_pty=False,
            permit_user_rc=False,
            comment=given.id,
        )
        return certificate.export_certificate().decode("ascii").strip()

    def vouches_for(self, line: str, given: TransferPass, peer: str, now_us: int) -> bool:
        """Whether this is the certificate of a pass, now and from this address. That its key is held is another's to
        see, and so is whether the pass is over."""
        try:
            certificate = asyncssh.import_certificate(line)
        except (asyncssh.KeyImportError, ValueError):
            return False
        return (
            isinstance(certificate, SSHOpenSSHCertificate)
            and certificate.signing_key.public_data == self._key.public_data
            and certificate._cert_type == USER
            and list(certificate.principals) == [given.id]
            and (certificate._key_id, certificate._serial) == (given.id, serial_of(given.id))
            and certificate._valid_after <= now_us // SECOND_US < certificate._valid_before
            and _is_from(certificate, peer)
            and hmac.compare_digest(kept_form(line), given.secret)
        )


def serial_of(id_: str) -> int:
    """The serial of a pass's certificate: the digits that end its id."""
    return int(id_.rpartition("-")[2], 16)


def kept_form(line: str) -> str:
    """What a pass keeps of its certificate: a digest, which nobody can type as a password."""
    return CERTIFICATE + hashlib.sha256(asyncssh.import_certificate(line).public_data).hexdigest()


def _is_from(certificate: SSHOpenSSHCertificate, peer: str) -> bool:
    """Whether it may come from here. An option of which nothing is known binds it, too, so that it holds nowhere."""
    if set(certificate.options) - {"source-address"}:
        return False
    networks = cast("list[IPv4Network | IPv6Network] | None", certificate.options.get("source-address"))
    if networks is None:
        return True
    address = ip_address(peer)
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in networks)
