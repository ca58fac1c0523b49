"""Sample location databases for the demo, which look as if they had been built just now.

They know a handful of real networks, enough to be somewhere, and nothing else. A location database that is too old is
not believed, so the copies are dated: only the build date in the metadata changes, in place, four bytes for four bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from gateway.clock import SECOND_US, Clock
from gateway.location.database import Kind, parse

COUNTRY_FILE = "sample-country.mmdb"
ANONYMOUS_FILE = "sample-anonymous.mmdb"

SAMPLE_COUNTRIES: Mapping[str, str] = {
    "8.8.8.0/24": "US",
    "23.192.0.0/11": "US",
    "73.0.0.0/8": "US",
    "45.83.220.0/24": "US",  # a VPN's exit: in the US, its users anywhere
    "2600:1700::/28": "US",
    "136.145.0.0/16": "PR",  # a US territory has a code of its own
    "49.36.0.0/14": "IN",
    "117.192.0.0/10": "IN",
    "2405:200::/32": "IN",
    "87.32.0.0/12": "IE",
    "112.198.0.0/16": "PH",
    "136.158.0.0/16": "PH",
    "81.2.69.0/24": "GB",
    "185.220.101.0/24": "DE",
    "196.216.0.0/16": "ZA",
}
SAMPLE_ANONYMOUS: Mapping[str, tuple[str, ...]] = {
    "45.83.220.0/24": ("is_anonymous_vpn",),
    "185.220.101.0/24": ("is_tor_exit_node",),
}

# MaxMind DB 2.0, "Metadata" and "Output Data Section": the key, then a control byte for a value of an extended type and
# four bytes, then that type (uint64 is 9, written as 9 - 7). Four bytes last until 2106.
_BUILD_EPOCH = b"build_epoch\x04\x02"
_METADATA = b"\xab\xcd\xefMaxMind.com"


def sample_databases(directory: Path, clock: Clock) -> tuple[Path, Path]:
    """Write the sample databases, built now, into ``directory``; the country and the anonymous-IP database's paths.

    Raises:
        OSError: they cannot be written.
        LocationUnavailable: a shipped file is damaged.
    """
    directory.mkdir(parents=True, exist_ok=True)
    built_s = clock.now_us() // SECOND_US
    country = _place(directory / COUNTRY_FILE, Kind.COUNTRY, built_s)
    return country, _place(directory / ANONYMOUS_FILE, Kind.ANONYMOUS, built_s)


def dated(data: bytes, built_s: int) -> bytes:
    """The database ``data`` with another build date, seconds since the epoch; nothing else changes.

    Raises:
        ValueError: ``data`` has no four-byte build date, or the date does not fit it.
    """
    metadata = data.rfind(_METADATA)
    key = data.find(_BUILD_EPOCH, metadata)
    if metadata < 0 or key < 0 or not 0x0100_0000 <= built_s <= 0xFFFF_FFFF:
        raise ValueError(f"cannot set the build date to {built_s}; expected a database and a date of four bytes each")
    start = key + len(_BUILD_EPOCH)
    return data[:start] + built_s.to_bytes(4, "big") + data[start + 4 :]


def _place(path: Path, kind: Kind, built_s: int) -> Path:
    shipped = (resources.files("gateway.demo") / "data" / path.name).read_bytes()
    data = dated(shipped, built_s)
    parse(data, kind, path)  # a damaged one is noticed here, not as a demo in which nobody is anywhere
    path.write_bytes(data)
    return path
