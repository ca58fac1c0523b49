"""The signature of a webhook: HMAC-SHA256 (RFC 2104) of when it was sent and what it says.

``Residency-Signature: t=1700000000,v1=…`` signs ``1700000000.`` followed by the body, in hexadecimal; a sender that is
changing its secret may give several ``v1``. Jira's own ``X-Hub-Signature: sha256=…`` signs the body alone, which says
when it was sent.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from hashlib import sha256

from gateway.errors import Unauthenticated

HEADER = "Residency-Signature"
JIRA_HEADER = "X-Hub-Signature"
_OURS = re.compile(r"t=([0-9]{1,12})((?:,v1=[0-9a-f]{64}){1,4})")
_JIRAS = re.compile(r"sha256=([0-9a-f]{64})")


def signed_at(lines: Sequence[str], body: bytes, secret: bytes) -> int:
    """When a signed body was sent, in seconds since the epoch.

    Args:
        lines: every :data:`HEADER` that came.

    Raises:
        Unauthenticated: none that is good.
    """
    found = _OURS.fullmatch(lines[0]) if len(lines) == 1 else None
    if found is None:
        raise Unauthenticated(f"expected one {HEADER}: t=SECONDS,v1=HEXADECIMAL")
    expected = _hmac(secret, found[1].encode() + b"." + body)
    if not any(hmac.compare_digest(expected, given) for given in re.findall(r"v1=([0-9a-f]+)", found[2])):
        raise Unauthenticated(f"the {HEADER} does not fit this body and the tracker's secret")
    return int(found[1])


def signed_by_jira(lines: Sequence[str], body: bytes, secret: bytes) -> str:
    """The signature of a body that Jira signed; it names the delivery.

    Raises:
        Unauthenticated: none that is good.
    """
    found = _JIRAS.fullmatch(lines[0]) if len(lines) == 1 else None
    if found is None or not hmac.compare_digest(_hmac(secret, body), found[1]):
        raise Unauthenticated(f"expected one {JIRA_HEADER}: sha256=HEXADECIMAL that fits this body")
    return found[1]


def _hmac(secret: bytes, text: bytes) -> str:
    return hmac.new(secret, text, sha256).hexdigest()
