"""The signature is the one that everybody's receivers verify."""

from __future__ import annotations

import base64
import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from gateway.notification.signature import signature

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = base64.b64decode(SECRET.removeprefix("whsec_"))


def test_public_vector() -> None:
    """The one in the test suites of the Standard Webhooks libraries."""
    found = signature(
        KEY, message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp_s=1_614_265_330, body=b'{"test": 2432232314}'
    )
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(key=st.binary(min_size=24, max_size=64), body=st.binary(max_size=200), timestamp_s=st.integers(0, 2**40))
def test_receiver_verifies_in_five_lines(key: bytes, body: bytes, timestamp_s: int) -> None:
    """As the documentation shows it, for any key and body; another body does not pass."""
    found = signature(key, message_id="n-1", timestamp_s=timestamp_s, body=body)

    def verifies(body: bytes) -> bool:
        signed = b"n-1." + str(timestamp_s).encode() + b"." + body
        wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return any(hmac.compare_digest(wanted, one) for one in found.split())

    assert verifies(body)
    assert not verifies(body + b" ")
