"""Reading a database through, and asking it."""

from __future__ import annotations

import ipaddress
import os
import random
from pathlib import Path
from typing import Any

import maxminddb
import pytest

from gateway.errors import LocationUnavailable
from gateway.location.database import AnonymousDatabase, CountryDatabase, Kind, parse, read_file
from gateway.location.mmdb import DamagedError, Mmdb
from tests.world.geo import COUNTRIES, REGISTERED, SAMPLE_BUILT_S, write, write_anonymous, write_country

ANY = ipaddress.ip_address("8.8.8.8")
V6 = ipaddress.ip_address("2600:1700::1")


def country_database(path: Path) -> CountryDatabase:
    return CountryDatabase(path.read_bytes())


def test_country_is_where_the_network_is_and_not_where_it_is_registered(country_path: Path) -> None:
    """The registered country is never read, not even where there is no other."""
    database = country_database(country_path)
    asked = {cidr: str(ipaddress.ip_interface(cidr).ip) for cidr in (*REGISTERED, "8.8.8.0/24")}
    answers = {cidr: database.country(ipaddress.ip_address(text)) for cidr, text in asked.items()}
    assert answers == {cidr: COUNTRIES[cidr] or None for cidr in asked}


def test_database_tells_what_it_is(country_path: Path) -> None:
    """Type, build date, size and version can be shown."""
    database = country_database(country_path)
    assert (database.type, database.built_on, database.networks) == ("GeoLite2-Country", "2026-01-01", len(COUNTRIES))
    assert database.version.startswith("country 2026-01-01 ")
    assert len(database.version.split()[-1]) == 12


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"country": {"iso_code": "IN"}}, "IN"),
        ({"country_code": "IN"}, "IN"),
        ({"country": "IN"}, "IN"),
        ({"country_code": "IN", "country": "India"}, "IN"),
        ({"country": {"iso_code": "in"}}, None),
        ({"country": {"iso_code": "IND"}}, None),
        ({"country": {"iso_code": "ＩＮ"}}, None),
        ({"country": {"names": {"en": "India"}}}, None),
        ({"country": {"iso_code": 5}}, None),
        ({"country": "India"}, None),
        ({"registered_country": {"iso_code": "US"}}, None),
        ({"represented_country": {"iso_code": "US"}, "continent": {"code": "NA"}}, None),
        (["US"], None),
        ("US", None),
    ],
)
def test_record_schema_decides_the_country(tmp_path: Path, record: Any, expected: str | None) -> None:
    """MaxMind's schema and flat ones are read; everything else is unknown."""
    records = {"8.8.8.0/24": record, "9.9.9.0/24": {"country_code": "CH"}}
    assert country_database(write(tmp_path / "a.mmdb", records, database_type="DB")).country(ANY) == expected


@pytest.mark.parametrize(
    "database_type", ["GeoIP2-Country", "GeoIP2-City", "GeoIP2-Enterprise", "DBIP-Country-Lite", "ipinfo"]
)
@pytest.mark.parametrize("ip_version", [4, 6])
def test_country_database_of_any_maker_is_taken(tmp_path: Path, database_type: str, ip_version: int) -> None:
    """Country, City and Enterprise, and other makers' types."""
    path = write_country(tmp_path / "a.mmdb", {"8.8.8.0/24": "US"}, database_type=database_type, ip_version=ip_version)
    assert country_database(path).country(ANY) == "US"


@pytest.mark.parametrize(
    ("database_type", "record"),
    [
        ("GeoLite2-ASN", {"country_code": "US"}),
        ("GeoIP2-ISP", {"country": {"iso_code": "US"}}),
        ("GeoIP2-Anonymous-IP", {"is_anonymous": True}),
        ("DBIP-ASN-Lite", {"autonomous_system_number": 15169}),
        ("GeoLite2-Country", {"registered_country": {"iso_code": "US"}}),
    ],
)
def test_database_of_another_kind_is_refused(tmp_path: Path, database_type: str, record: Any) -> None:
    """What is not a country database is refused by type, or because it holds no country."""
    path = write(tmp_path / "a.mmdb", {"8.8.8.0/24": record}, database_type=database_type)
    with pytest.raises(LocationUnavailable, match="not a usable country database: its type is"):
        parse(path.read_bytes(), Kind.COUNTRY, path)


def test_country_database_is_no_anonymous_database(country_path: Path) -> None:
    """The kinds are not taken for each other."""
    with pytest.raises(LocationUnavailable, match="not a usable anonymous database"):
        parse(country_path.read_bytes(), Kind.ANONYMOUS, country_path)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("is_anonymous_vpn",), "vpn"),
        (("is_tor_exit_node",), "tor"),
        (("is_hosting_provider",), "hosting"),
        (("is_public_proxy",), "proxy"),
        (("is_residential_proxy", "is_public_proxy"), "proxy"),
        (("is_tor_exit_node", "is_hosting_provider"), "tor, hosting"),
        ((), "anonymous"),
    ],
)
@pytest.mark.parametrize("database_type", ["GeoIP2-Anonymous-IP", "GeoIP-Anonymous-Plus"])
def test_every_flag_of_anonymity_is_named(
    tmp_path: Path, flags: tuple[str, ...], expected: str, database_type: str
) -> None:
    """VPN, Tor, proxy, hosting, or just anonymous."""
    path = write_anonymous(tmp_path / "a.mmdb", {"8.8.8.0/24": flags}, database_type=database_type)
    database = AnonymousDatabase(path.read_bytes())
    assert database.anonymity(ANY) == expected
    assert database.anonymity(ipaddress.ip_address("9.9.9.9")) == ""


def test_empty_or_false_flags_hide_nobody(tmp_path: Path) -> None:
    """A record that says false is not adverse."""
    records = {"8.8.8.0/24": {"is_anonymous": False, "is_anonymous_vpn": False}, "9.9.9.0/24": {"is_anonymous": True}}
    path = write(tmp_path / "a.mmdb", {**records, "7.7.7.0/24": "text"}, database_type="GeoIP2-Anonymous-IP")
    database = AnonymousDatabase(path.read_bytes())
    assert [database.anonymity(ipaddress.ip_address(text)) for text in ("8.8.8.8", "7.7.7.7")] == ["", ""]


def test_ipv6_address_is_unknown_to_an_ipv4_database(tmp_path: Path) -> None:
    """The look-up fails, is counted, and gives no country; nothing is raised."""
    database = country_database(write_country(tmp_path / "a.mmdb", {"8.8.8.0/24": "US"}, ip_version=4))
    assert database.country(V6) is None
    assert database.lookup_errors == 1


def test_failed_anonymity_lookup_speaks_against_the_address(tmp_path: Path) -> None:
    """A database that cannot answer does not say that nothing hides the person."""
    path = write_anonymous(tmp_path / "a.mmdb", {"8.8.8.0/24": ()}, ip_version=4)
    database = AnonymousDatabase(path.read_bytes())
    assert database.anonymity(V6) == "look-up failed"
    assert database.lookup_errors == 1


def test_file_truncated_anywhere_is_refused(country_path: Path) -> None:
    """Wherever a file is cut short, to the last byte, it is not opened."""
    data = country_path.read_bytes()
    for length in (*range(0, len(data) - 400, 53), *range(len(data) - 400, len(data))):
        with pytest.raises(LocationUnavailable, match="not a usable country database"):
            parse(data[:length], Kind.COUNTRY, country_path)


@pytest.mark.parametrize("share", [1, 10, 40, 60, 80])
def test_file_with_its_middle_missing_is_refused(country_path: Path, share: int) -> None:
    """Lost blocks leave sound metadata behind a damaged tree or damaged records."""
    data = country_path.read_bytes()
    start = len(data) * share // 100
    with pytest.raises(LocationUnavailable):
        parse(data[:start] + data[start + 97 :], Kind.COUNTRY, country_path)


def test_flipped_bits_never_raise_anything_else(tmp_path: Path) -> None:
    """A damaged file is refused, or answers every look-up with a country or with unknown."""
    data = write_country(tmp_path / "a.mmdb", {"8.8.8.0/24": "US", "2600::/20": "US"}).read_bytes()
    draw = random.Random(7)
    for _ in range(1_500):
        damaged = bytearray(data)
        damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        try:
            database = CountryDatabase(bytes(damaged))
        except DamagedError:
            continue
        for address in (ANY, V6):
            country = database.country(address)
            assert country is None or len(country) == 2


def _with_metadata(data: bytes, name: str, old: bytes, new: bytes) -> bytes:
    at = data.rfind(name.encode()) + len(name)
    assert data[at : at + len(old)] == old
    return data[:at] + new + data[at + len(old) :]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("binary_format_major_version", b"\xa1\x02", b"\xa1\x03"),
        ("ip_version", b"\xa1\x06", b"\xa1\x05"),
        ("build_epoch", b"\x04\x02", b"\x04\x08"),
        ("build_epoch", b"\x04\x02" + SAMPLE_BUILT_S.to_bytes(4, "big"), b"\x08\x02" + b"\xff" * 8),
        ("database_type", b"\x50", b"\x90"),
        ("record_size", b"\xa1\x18", b"\xa1\x19"),
    ],
)
def test_metadata_of_another_format_is_refused(country_path: Path, name: str, old: bytes, new: bytes) -> None:
    """Version, widths, type and build date must be what format 2 says."""
    data = _with_metadata(country_path.read_bytes(), name, old, new)
    with pytest.raises(DamagedError):
        Mmdb(data)


def _record(data: bytes, node: int, child: int, value: int) -> bytes:
    at = node * 6 + child * 3
    return data[:at] + value.to_bytes(3, "big") + data[at + 3 :]


def test_search_tree_that_loops_is_refused(country_path: Path) -> None:
    """A node that leads back to the root never ends."""
    with pytest.raises(DamagedError, match="runs in a loop"):
        Mmdb(_record(country_path.read_bytes(), 3, 1, 0))


def test_search_tree_deeper_than_an_address_is_refused(tmp_path: Path) -> None:
    """There is no bit left to choose by."""
    data = write_country(tmp_path / "a.mmdb", {"8.8.8.8/32": "US", "9.9.9.9/32": "US"}, ip_version=4).read_bytes()
    nodes = maxminddb.open_database(tmp_path / "a.mmdb").metadata().node_count
    last = nodes - 1
    first_leaf = next(
        node for node in range(nodes) if max(data[node * 6 : node * 6 + 6]) and _is_leaf(data, node, nodes)
    )
    with pytest.raises(DamagedError, match=r"deeper than an address|runs in a loop"):
        Mmdb(_record(data, first_leaf, 0, last))


def _is_leaf(data: bytes, node: int, nodes: int) -> bool:
    left, right = (int.from_bytes(data[node * 6 + at : node * 6 + at + 3], "big") for at in (0, 3))
    return left >= nodes and right >= nodes


def test_search_tree_that_points_into_the_separator_is_refused(country_path: Path) -> None:
    """Between tree and data there is no record."""
    with maxminddb.open_database(country_path) as reader:
        nodes = reader.metadata().node_count
    with pytest.raises(DamagedError, match="between tree and data"):
        Mmdb(_record(country_path.read_bytes(), 0, 1, nodes + 5))


def test_aliased_ipv4_subtree_is_no_loop(country_path: Path) -> None:
    """Makers alias IPv4 into 2002::/16 and the like; that is sound, and each network counts once."""
    data = country_path.read_bytes()
    node = 0
    for _ in range(96):
        node = int.from_bytes(data[node * 6 : node * 6 + 3], "big")
    assert Mmdb(_record(data, 0, 1, node)).networks == len(COUNTRIES)


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    """The error names the file and the reason."""
    with pytest.raises(LocationUnavailable, match=r"absent\.mmdb: cannot be read \(No such file"):
        read_file(tmp_path / "absent.mmdb")


def test_file_written_while_it_is_read_is_refused(country_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of one version and half of another is neither."""
    real, calls = os.fstat, []

    def fstat(descriptor: int) -> os.stat_result:
        calls.append(descriptor)
        if len(calls) == 2:
            with country_path.open("ab") as file:
                file.write(b"more")
        return real(descriptor)

    monkeypatch.setattr("gateway.location.database.os.fstat", fstat)
    with pytest.raises(LocationUnavailable, match="changed while it was read"):
        read_file(country_path)


@pytest.mark.parametrize("record_size", [24, 28, 32])
def test_every_record_width_is_walked_alike(tmp_path: Path, record_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """24, 28 and 32 bits: the same networks, the same answers."""
    from mmdb_writer import TreeWriter

    narrow = TreeWriter._adjust_record_size

    def adjust(writer: TreeWriter) -> None:
        narrow(writer)
        writer.record_size = record_size
        writer.data_offset = record_size * 2 / 8 * writer._node_counter

    monkeypatch.setattr(TreeWriter, "_adjust_record_size", adjust)
    database = country_database(write_country(tmp_path / "a.mmdb", COUNTRIES))
    assert database.networks == len(COUNTRIES)
    assert [database.country(address) for address in (ANY, V6)] == ["US", "US"]
