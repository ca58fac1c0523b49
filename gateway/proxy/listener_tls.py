"""TLS on the doors' listener."""

from __future__ import annotations

import asyncio
import ssl


class ListenerTls:
    context: ssl.SSLContext

    def service(self, transport: asyncio.Transport) -> str:
        return ""
