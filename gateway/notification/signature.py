"""The signature by which a receiver knows who sent a message, and when (Standard Webhooks 1.0.0, *Signature scheme*).

Signed is ``{id}.{timestamp}.{body}``, byte for byte as sent; HMAC-SHA256, in base64 behind ``v1,``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac


def signature(key: bytes, *, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of ``webhook-signature``.

    Args:
        key: the secret's bytes: what follows ``whsec_``, decoded.
        message_id: ``webhook-id``; no dot may stand in it.
        timestamp_s: ``webhook-timestamp``: the attempt's, in whole seconds since the epoch.
        body: exactly as it is sent.
    """
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
