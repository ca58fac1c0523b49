"""Location databases to try things with, written by the same format as the ones that users plug in.

``python -m tests.world.geo`` rewrites the sample databases that the demo ships.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPNetwork, IPSet  # type: ignore[import-untyped]

from gateway.demo import geo

SAMPLE_BUILT_S = 1_767_225_600  # 2026-01-01

# A small world, which is where MaxMind's own test databases say the same networks are.
COUNTRIES = {
    "2.125.160.216/29": "GB",
    "81.2.69.142/31": "GB",
    "214.1.1.0/24": "",
    "8.8.8.0/24": "US",
    "45.83.220.0/24": "US",
    "136.145.0.0/16": "PR",
    "49.36.0.0/14": "IN",
    "2600:1700::/28": "US",
}
REGISTERED = {"2.125.160.216/29": "FR", "81.2.69.142/31": "US", "214.1.1.0/24": "US"}
ANONYMOUS = {"45.83.220.0/24": ("is_anonymous_vpn",), "185.220.101.0/24": ("is_tor_exit_node",)}


class _Writer(MMDBWriter):
    """A writer whose files have the build date that is asked for."""

    def __init__(self, database_type: str, built_s: int, ip_version: int) -> None:
        super().__init__(
            ip_version,
            database_type,
            languages=["en"],
            description="Sample networks; not for use",
            ipv4_compatible=ip_version == 6,
        )
        self._built_s = built_s

    def _build_meta(self) -> dict[str, Any]:
        return {**super()._build_meta(), "build_epoch": self._built_s}


def write(
    path: Path,
    records: Mapping[str, Any],
    *,
    database_type: str,
    built_s: int = SAMPLE_BUILT_S,
    ip_version: int = 6,
) -> Path:
    """A database at ``path`` that has ``records``, CIDR → record."""
    writer = _Writer(database_type, built_s, ip_version)
    for cidr, record in records.items():
        writer.insert_network(IPSet([IPNetwork(cidr)]), record)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer.to_db_file(str(path))
    return path


def write_country(
    path: Path,
    countries: Mapping[str, str],
    *,
    registered: Mapping[str, str] | None = None,
    database_type: str = "GeoLite2-Country",
    built_s: int = SAMPLE_BUILT_S,
    ip_version: int = 6,
) -> Path:
    """A country database: CIDR → ISO code ("" for a record without one); ``registered``: CIDR → registered country."""
    records = {}
    for cidr, country in countries.items():
        record = {"country": {"iso_code": country}} if country else {"traits": {"is_anycast": True}}
        owner = (registered or {}).get(cidr, country)
        records[cidr] = {**record, "registered_country": {"iso_code": owner}} if owner else record
    return write(path, records, database_type=database_type, built_s=built_s, ip_version=ip_version)


def write_anonymous(
    path: Path,
    flags: Mapping[str, tuple[str, ...]],
    *,
    database_type: str = "GeoIP2-Anonymous-IP",
    built_s: int = SAMPLE_BUILT_S,
    ip_version: int = 6,
) -> Path:
    """An anonymous-IP database: CIDR → the flags that are set, such as ``is_anonymous_vpn``."""
    records = {cidr: dict.fromkeys(("is_anonymous", *names), True) for cidr, names in flags.items()}
    return write(path, records, database_type=database_type, built_s=built_s, ip_version=ip_version)


def write_samples(directory: Path) -> None:
    """The demo's databases, as shipped."""
    write_country(directory / geo.COUNTRY_FILE, geo.SAMPLE_COUNTRIES)
    write_anonymous(directory / geo.ANONYMOUS_FILE, geo.SAMPLE_ANONYMOUS)


if __name__ == "__main__":
    write_samples(Path(geo.__file__).parent / "data")
