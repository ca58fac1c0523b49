"""An object store over HTTP (the S3 protocol): one signed request after the other.

Signing is botocore's (Signature Version 4, with the payload's digest, so that a store notices changed bytes); what goes
over the wire is :class:`gateway.proxy.http_store.HttpStore`'s, with its pool, breaker, TLS and check of the peer.

Invariants: nothing that the store says is followed; an answer is read whole only up to :data:`MAX_TOLD_BYTES`; an
answer that cannot be read is a failure, never an absence; no credential stands in a message or a log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.etree import ElementTree

import structlog
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from multidict import CIMultiDict
from pydantic import SecretStr

from gateway.errors import ConfigurationError
from gateway.proxy.http_store import HttpStore
from gateway.proxy.store import Incoming, Outgoing, StoreCut, StoreElsewhere, StoreUnreachable
from gateway.settings import StoreSettings
from gateway.transfer.site import Admits, NoSuchName, SiteElsewhere, SiteFailure, SiteSlow, SiteUnavailable

log = structlog.get_logger(__name__)

MAX_TOLD_BYTES = 4 * 1024 * 1024
_FORM = "expected s3://KEY:SECRET@host/bucket/folder?region=REGION, what is special in it percent-encoded"
_SCHEMES = {"s3": "https", "s3+http": "http"}


class Answer(NamedTuple):
    """A status below 300, headers, and the body."""

    headers: Mapping[str, str]
    body: bytes


class ObjectClient:
    """Requests to one bucket, below one folder of it.

    Args:
        settings: with a url ``s3://KEY:SECRET@host:port/bucket/folder?region=us-east-1``; ``s3+http://`` without TLS.

    Raises:
        ConfigurationError: the url lacks something, or a file for TLS cannot be used.
    """

    def __init__(self, settings: StoreSettings) -> None:
        parts = urlsplit(settings.url.get_secret_value())
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        region = query.pop("region", "us-east-1")
        bucket, _, folder = unquote(parts.path).strip("/").partition("/")
        missing = [
            what
            for what, given in (("a key", parts.username), ("its secret", parts.password), ("a bucket", bucket))
            if not given
        ]
        if missing or query or not region or not parts.hostname:
            lacking = f"lacks {' and '.join(missing)}" if missing else "cannot be read"
            raise ConfigurationError([f"store {settings.name}: its url {lacking}; {_FORM}"])
        self.name, self.folder = settings.name, folder
        self._bucket = f"/{quote(bucket, safe='-_.~')}"
        self._origin = f"{_SCHEMES[parts.scheme]}://{parts.netloc.rpartition('@')[2]}"
        credentials = Credentials(unquote(parts.username or ""), unquote(parts.password or ""))
        self._signer = S3SigV4Auth(credentials, "s3", region)
        self._store = HttpStore(settings.model_copy(update={"url": SecretStr(self._origin), "credential": None}))

    async def close(self) -> None:
        await self._store.close()

    def source(self, key: str) -> str:
        """How a request names an object that is copied."""
        return f"{self._bucket}/{quote(key, safe='-_.~/')}"

    async def ask(
        self,
        method: str,
        key: str = "",
        query: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        admits: Admits = None,
    ) -> Answer:
        """A request whose answer is short.

        Args:
            key: of an object; "" for the bucket.

        Raises:
            NoSuchName: there is none.
            SiteFailure: anything else than a 2xx, or no answer.
        """
        incoming = await self.begin(method, key, query, headers=headers, body=body, admits=admits)
        try:
            return Answer(incoming.headers, await self._whole(incoming))
        finally:
            await incoming.close()

    async def begin(
        self,
        method: str,
        key: str = "",
        query: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        admits: Admits = None,
    ) -> Incoming:
        """As :meth:`ask`; whoever gets the answer reads its chunks and closes it."""
        outgoing = await self._signed(method, key, query or {}, headers or {}, body, admits)
        try:
            incoming = await self._store.exchange(outgoing)
        except StoreElsewhere as error:
            raise SiteElsewhere(self.name) from error
        except StoreUnreachable as error:
            raise self._failed(str(error), slow=error.status == 504) from error
        if 200 <= incoming.status < 300:
            return incoming
        try:
            raise await self._refused(incoming)
        finally:
            await incoming.close()

    async def _signed(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        admits: Admits,
    ) -> Outgoing:
        path = self.source(key) if key else self._bucket
        text = "&".join(f"{quote(name, safe='-_.~')}={quote(query[name], safe='-_.~')}" for name in sorted(query))
        request = AWSRequest(method, f"{self._origin}{path}{'?' if text else ''}{text}", dict(headers), body or b"")
        await asyncio.to_thread(self._signer.add_auth, request)  # hashes the body
        sent = CIMultiDict((name, str(value)) for name, value in request.headers.items())
        if body is not None:
            sent["Content-Length"] = str(len(body))
        return Outgoing(method, path, text, sent, None if body is None else _once(body), admits=admits)

    async def _whole(self, incoming: Incoming) -> bytes:
        if incoming.complete is not None:
            return incoming.complete
        body = bytearray()
        try:
            async for chunk in incoming.chunks:
                body += chunk
                if len(body) > MAX_TOLD_BYTES:
                    raise self._failed("answered at too great length")
        except StoreCut as error:
            raise self.broke_off() from error
        return bytes(body)

    async def _refused(self, incoming: Incoming) -> SiteFailure:
        """What an answer that is no success says."""
        if incoming.status == 404:
            return NoSuchName("there is nothing of this name")
        code = code_of(await self._whole(incoming))
        return self._failed(f"answered {incoming.status} {code}".rstrip())

    def broke_off(self) -> SiteFailure:
        """The store broke off in the middle of an answer."""
        return self._failed("broke off")

    def _failed(self, problem: str, *, slow: bool = False) -> SiteFailure:
        log.warning("object_site_failed", site=self.name, problem=problem)
        if slow:
            return SiteSlow(f"the site {self.name} did not answer in time")
        return SiteUnavailable(f"the site {self.name} cannot be reached, refused or broke off")

    def told(self, body: bytes, root: str) -> ElementTree.Element:
        """An answer in XML.

        Raises:
            SiteUnavailable: it is none, has another root, or brings declarations of its own.
        """
        found = _xml(body)
        if found is None or found.tag != root:
            raise self._failed(f"did not answer with a {root}: {code_of(body) or 'it cannot be read'}")
        return found


def code_of(body: bytes) -> str:
    """What an error is called; "" where it is not told."""
    found = _xml(body)
    code = "" if found is None or found.tag != "Error" else found.findtext("Code", "")
    return code if code.isalnum() and len(code) < 100 else ""


def _xml(body: bytes) -> ElementTree.Element | None:
    """The document without namespaces; None where it cannot be read, or declares types or entities."""
    if b"<!" in body:
        return None
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - no declaration gets here
    except ElementTree.ParseError:
        return None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
