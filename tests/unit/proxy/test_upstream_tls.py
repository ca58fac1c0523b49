"""TLS towards stores: whose certificate is believed, for what name, what the gateway shows, how files are renewed."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from pydantic import SecretStr
from structlog.testing import capture_logs

from gateway.errors import ConfigurationError
from gateway.proxy import file_changes
from gateway.proxy.store import StoreUnreachable
from gateway.proxy.upstream_tls import UpstreamTls, require_files
from gateway.settings import StoreSettings
from tests.world.certificates import Authority
from tests.world.raw_store import OK, RawStore, Script, asking, closing, facing, listening, received


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whose certificates are trusted."""
    return Authority(tmp_path / "tls")


def speaking(certificate: tuple[Path, Path], *, clients: Authority | None = None) -> ssl.SSLContext:
    """A store's side; with an authority for clients, they need a certificate of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients.path)
    return context


async def outcome(raw: RawStore, host: str = "127.0.0.1", **options: object) -> object:
    """What an exchange with a store brings: its body, or the status of the failure."""
    async with facing(f"https://{host}:{raw.port}", addresses=[raw.address], **options) as store:
        try:
            return await received(await store.exchange(asking()))
        except StoreUnreachable as error:
            return error.status


async def test_a_store_is_believed_only_by_its_authority_and_name(authority: Authority, tmp_path: Path) -> None:
    """Signed by another, or for another name, it gets no byte of a request."""
    other = Authority(tmp_path / "other", "another authority")
    cases: list[tuple[Authority, str, str, dict[str, object], object]] = [
        (authority, "", "127.0.0.1", {"tls_ca": authority.path}, b"ok"),
        (authority, "", "127.0.0.1", {}, 502),  # this machine does not trust it
        (authority, "", "127.0.0.1", {"tls_ca": other.path}, 502),
        (other, "", "127.0.0.1", {"tls_ca": authority.path}, 502),
        (authority, "", "crm.test", {"tls_ca": authority.path}, 502),
        (authority, "crm.test", "crm.test", {"tls_ca": authority.path}, b"ok"),
        (authority, "crm.test", "127.0.0.1", {"tls_ca": authority.path}, 502),
        (authority, "crm.test", "127.0.0.1", {"tls_ca": authority.path, "tls_server_name": "crm.test"}, b"ok"),
        (authority, "crm.test", "crm.test", {"tls_ca": authority.path, "tls_server_name": "erp.test"}, 502),
        (authority, "", "crm.test", {"tls_ca": authority.path, "tls_server_name": "127.0.0.1"}, b"ok"),
    ]
    for signer, dns, host, options, expected in cases:
        async with listening(OK, tls=speaking(signer.server(dns=dns))) as raw:
            assert await outcome(raw, host, **options) == expected, (dns, host, options)
            assert len(raw.requests) == (expected == b"ok")


async def test_the_gateway_shows_its_certificate_to_a_store_that_asks(authority: Authority, tmp_path: Path) -> None:
    """And is refused without one, or with another's."""
    other = Authority(tmp_path / "other", "another authority")
    context = speaking(authority.server(), clients=authority)
    for signer, expected in ((authority, b"ok"), (other, 502), (None, 502)):
        options: dict[str, object] = {"tls_ca": authority.path}
        if signer:
            options["tls_certificate"], options["tls_key"] = signer.client({"CN": "gateway"})
        async with listening(OK, tls=context) as raw:
            assert await outcome(raw, **options) == expected


async def test_an_address_with_the_wrong_certificate_is_passed_over(authority: Authority) -> None:
    """It gets nothing, and the one with the right certificate gets all."""
    script: Script = closing(OK)
    right, wrong = speaking(authority.server(dns="crm.test")), speaking(authority.server("w", dns="erp.test"))
    async with listening(tls=wrong) as bad, listening(script, script, tls=right) as good:
        addresses = [bad.address, good.address]
        async with facing("https://crm.test", addresses=addresses, tls_ca=authority.path) as store:
            for method in ("POST", "GET"):
                assert await received(await store.exchange(asking(method))) == b"ok"
        assert (len(bad.requests), len(good.requests)) == (0, 2)


def configured(**files: Path) -> StoreSettings:
    return StoreSettings.model_validate({"name": "crm", "url": "https://crm.test", "country": "US", **files})


def test_nothing_switches_verification_off(authority: Authority) -> None:
    """Nor brings an old version of TLS back."""
    for settings in (configured(), configured(tls_ca=authority.path)):
        context = UpstreamTls(settings, "crm.test").context
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_an_authority_of_its_own_is_the_only_one(authority: Authority) -> None:
    """Those that the machine trusts are not loaded beside it."""
    context = UpstreamTls(configured(tls_ca=authority.path), "crm.test").context
    assert context.get_ca_certs(binary_form=True) == [authority.certificate.public_bytes(serialization.Encoding.DER)]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"tls_ca": "none"}, r"store crm: tls_ca .*none cannot be used \(No such file or directory\); expected cert"),
        ({"tls_ca": "junk"}, r"store crm: tls_ca .*junk cannot be used \(.*\); expected certificates in PEM"),
        ({"tls_certificate": "none", "tls_key": "junk"}, r"store crm: tls_certificate .*none cannot be used"),
        ({"tls_certificate": "junk", "tls_key": "junk"}, r"store crm: tls_certificate .*junk cannot be used"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start(files: dict[str, str], said: str, tmp_path: Path) -> None:
    """One line names the store, the key and the file."""
    (tmp_path / "junk").write_text("junk")
    with pytest.raises(ConfigurationError, match=said):
        UpstreamTls(configured(**{key: tmp_path / name for key, name in files.items()}), "crm.test")


def test_each_file_that_cannot_be_used_has_its_own_line(authority: Authority, tmp_path: Path) -> None:
    """Of every store at once: authority, certificate, key, and two that do not belong together."""
    certificate = authority.client({"CN": "gateway"})[0].rename(tmp_path / "first.pem")
    other = authority.client({"CN": "other"})[1]
    encrypted = tmp_path / "encrypted.key"
    loaded = serialization.load_pem_private_key(other.read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"x")
    encrypted.write_bytes(loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret))
    (tmp_path / "junk").write_text("junk")
    wrong = [
        configured(tls_ca=tmp_path / "none", tls_certificate=tmp_path / "junk", tls_key=tmp_path / "junk"),
        configured(tls_certificate=certificate, tls_key=other),
        configured(tls_certificate=certificate, tls_key=encrypted),
        configured(tls_ca=authority.path),
        configured(tls_ca=tmp_path / "none").model_copy(update={"url": SecretStr("http://crm.test")}),
    ]
    with pytest.raises(ConfigurationError) as refused:
        require_files(wrong)
    assert [line.split()[2] for line in refused.value.problems] == [
        *("tls_ca", "tls_certificate", "tls_key"),
        "tls_certificate",
        "tls_key",
    ]
    assert all(line.count("\n") == 0 and "cannot be used" in line for line in refused.value.problems)


async def test_newer_files_are_taken_into_use(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For connections that begin then; files that cannot be used are logged, and the old ones stay."""
    monkeypatch.setattr(file_changes, "LOOK_S", 0.0)
    other = Authority(tmp_path / "other", "another authority")
    used = tmp_path / "ca.pem"
    used.write_bytes(other.path.read_bytes())
    tls = UpstreamTls(configured(tls_ca=used), "127.0.0.1")
    first = tls.context
    await tls.renew_if_due()
    assert tls.context is first
    replacement = tmp_path / "ca.new"
    replacement.write_text("junk")
    replacement.replace(used)
    with capture_logs() as logs:
        await tls.renew_if_due()
    assert (tls.context, [log["event"] for log in logs]) == (first, ["store_certificates_not_reloaded"])
    used.write_bytes(authority.path.read_bytes())
    await tls.renew_if_due()
    assert tls.context is not first


async def test_an_authority_that_changed_is_believed_by_the_next_connection(
    authority: Authority, tmp_path: Path
) -> None:
    """Nothing has to be restarted."""
    used = tmp_path / "ca.pem"
    used.write_bytes(Authority(tmp_path / "other", "another authority").path.read_bytes())
    listener = listening(OK, tls=speaking(authority.server()))
    async with listener as raw, facing(f"https://{raw.address}", tls_ca=used) as store:
        used.write_bytes(authority.path.read_bytes())
        assert await received(await store.exchange(asking())) == b"ok"
