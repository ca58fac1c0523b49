"""The PROXY protocol, versions 1 and 2: the header in which a proxy says whose connection it forwards.

The source is HAProxy's ``proxy-protocol.txt`` (2020/03/05), cited by its sections. Only what is configured is read:
nothing here guesses whether a header is there.

Invariants: no byte beyond the header is ever asked for, so that what follows it, a TLS handshake included, is left
for whoever reads next; the address is the one that was named, or None, and never another.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from gateway.errors import Malformed
from gateway.location.networks import Address

MAX_V1_BYTES = 107  # §2.1: the longest line, its end included
MAX_V2_BYTES = 2_048  # far beyond what proxies send; §2.2 would allow 65,551
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # §2.2
_FIXED = 16  # §2.2: signature, version and command, family, length
_SHORTEST = 15  # "PROXY UNKNOWN\r\n": no header of either version is shorter
_V1_START = b"PROXY "
_V1_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")
_PORT = r"(?:0|[1-9][0-9]{0,4})"
_V1_LINE = re.compile(rf"PROXY (TCP[46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) ({_PORT}) ({_PORT})\r\n")
_ADDRESSES = {0x1: 12, 0x2: 36, 0x3: 216}  # §2.2: how long the addresses of IPv4, IPv6 and a UNIX socket are
_LOCAL, _PROXY = 0x0, 0x1
_UNSPECIFIED, _STREAM = 0x0, 0x1


class Origin(NamedTuple):
    """Whose connection it is.

    Attributes:
        address: the client's, or None where the proxy does not know it.
        local: the proxy speaks for itself, as in a health check: the client is the proxy.
    """

    address: Address | None
    local: bool = False


def wanted(data: bytes) -> int:
    """How many more bytes the header needs at least, given those that came; 0 when it is whole.

    Raises:
        Malformed: these bytes begin no header.
    """
    if data[: len(_V1_START)] == _V1_START[: len(data)]:
        return _wanted_v1(data)
    if data[: len(_SIGNATURE)] == _SIGNATURE[: len(data)]:
        return _wanted_v2(data)
    raise Malformed("the connection does not begin with a PROXY protocol header; let the proxy send one")


def read(data: bytes) -> Origin:
    """The origin that a whole header names.

    Raises:
        Malformed: it is not a header, or can be read in more than one way.
    """
    return _read_v2(data) if data.startswith(_SIGNATURE) else _read_v1(data)


def _wanted_v1(data: bytes) -> int:
    if data.endswith(b"\r\n"):
        return 0
    more = max(_SHORTEST - len(data), 1 if data.endswith(b"\r") else 2)
    if b"\n" in data or len(data) + more > MAX_V1_BYTES:
        raise Malformed(f"the PROXY protocol line does not end within {MAX_V1_BYTES} bytes")
    return more


def _wanted_v2(data: bytes) -> int:
    if len(data) < _FIXED:
        return _FIXED - len(data)
    length = _FIXED + int.from_bytes(data[14:_FIXED], "big")
    if length > MAX_V2_BYTES:
        raise Malformed(f"the PROXY protocol header is {length} bytes; expected at most {MAX_V2_BYTES}")
    return length - len(data)


def _read_v1(data: bytes) -> Origin:
    if _V1_UNKNOWN.fullmatch(data):
        return Origin(None)  # §2.1: whatever else the line says is ignored
    line = _V1_LINE.fullmatch(data.decode("latin-1"))
    if line is None:
        raise Malformed("the PROXY protocol line is not of the form 'PROXY TCP4 source destination port port'")
    family, *texts, source_port, port = line.groups()
    kind = IPv4Address if family == "TCP4" else IPv6Address
    try:
        source, _destination = (kind(text) for text in texts)
    except ValueError:
        raise Malformed(f"the PROXY protocol line does not hold two addresses of {family}") from None
    if max(int(source_port), int(port)) > 65_535:
        raise Malformed("the PROXY protocol line holds a port beyond 65535")
    return Origin(source)


def _read_v2(data: bytes) -> Origin:
    version, command = data[12] >> 4, data[12] & 0xF
    family, transport = data[13] >> 4, data[13] & 0xF
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise Malformed("the PROXY protocol header is of another version, or of a command that is not known")
    if command == _LOCAL:  # §2.2: the addresses are ignored
        return Origin(None, local=True)
    if family == _UNSPECIFIED and transport == _UNSPECIFIED:
        return Origin(None)
    if family not in _ADDRESSES or transport != _STREAM or len(data) < _FIXED + _ADDRESSES[family]:
        raise Malformed("the PROXY protocol header does not hold the addresses of a stream")
    match family:
        case 0x1:
            return Origin(IPv4Address(data[_FIXED : _FIXED + 4]))
        case 0x2:
            return Origin(IPv6Address(data[_FIXED : _FIXED + 16]))
    return Origin(None)  # a UNIX socket has no address
