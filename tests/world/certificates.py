"""A certificate authority of the sample world, and what it signs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_OIDS = {"CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME, "C": NameOID.COUNTRY_NAME}


class Authority:
    """Signs certificates for a server at 127.0.0.1 and for clients; each is two files."""

    def __init__(self, directory: Path, name: str = "sample authority") -> None:
        directory.mkdir(exist_ok=True)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _distinguished({"CN": name})
        signed = self._build(self._name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self.certificate = signed.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())
        self.path = directory / f"{name.replace(' ', '-')}.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, name: str = "door", *, dns: str = "") -> tuple[Path, Path]:
        """Certificate and key of a server at 127.0.0.1, or of one with a name."""
        names: list[x509.GeneralName] = [x509.DNSName(dns) if dns else x509.IPAddress(ip_address("127.0.0.1"))]
        return self._issue(name, {"CN": name}, names, ExtendedKeyUsageOID.SERVER_AUTH)

    def client(self, subject: dict[str, str], *spiffe: str) -> tuple[Path, Path]:
        """Certificate and key of a client."""
        names = [x509.UniformResourceIdentifier(each) for each in spiffe]
        return self._issue("client", subject, names, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _issue(
        self, file: str, subject: dict[str, str], names: list[x509.GeneralName], usage: x509.ObjectIdentifier
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        built = self._build(_distinguished(subject), key)
        built = built.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        built = built.add_extension(authority, critical=False)
        if names:
            built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate, private = self._directory / f"{file}.pem", self._directory / f"{file}.key"
        signed = built.sign(self._key, hashes.SHA256())
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, private

    def _build(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _distinguished(parts: dict[str, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(_OIDS[name], value) for name, value in parts.items()])
