"""An object store over HTTP (the S3 protocol): one signed request after the other.

Signing is botocore's (Signature Version 4, with the payload's digest); what goes over the wire is
:class:`gateway.proxy.http_store.HttpStore`'s, with its pool, breaker, TLS and check of the peer. A request is sent
again, twice at most, where it did not get through or the store was busy: each has the same effect however often it is
done, but for those that begin or end an upload in parts (``POST``).

Invariants: nothing that the store says is followed; an answer is read whole only up to :data:`MAX_TOLD_BYTES`, and
waited for only so long; an answer that cannot be read is a failure, never an absence; a body comes with its MD5 besides
the signed digest, at which not every store looks, so that changed bytes are noticed; no credential stands in a message
or a log.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

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
from gateway.transfer.site import Admits, Block, NoSuchName, SiteElsewhere, SiteFailure, SiteSlow, SiteUnavailable

log = structlog.get_logger(__name__)

MAX_TOLD_BYTES = 4 * 1024 * 1024
ANSWER_WAITS = 10
"""How many times ``read_timeout_s`` a short answer may take, whatever drips in meanwhile."""
PAUSES_S = (0.1, 0.5)
SLICE_BYTES = 256 * 1024
_DONE = frozenset((200, 204, 206))
_TOO_BUSY = frozenset((500, 503))
_FORM = "expected s3://KEY:SECRET@host/bucket/folder?region=REGION, what is special in it percent-encoded"
_SCHEMES = {"s3": "https", "s3+http": "http"}

Body = Sequence[Block]
"""What a request brings, one block behind the other; kept by whoever asks until the answer is there."""


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
        self._signer = _Signer(credentials, "s3", region)  # type: ignore[no-untyped-call]  # botocore's
        self._longest_s = ANSWER_WAITS * settings.read_timeout_s
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
        body: Body | None = None,
        admits: Admits = None,
    ) -> Answer:
        """A request whose answer is short.

        Args:
            key: of an object; "" for the bucket.

        Raises:
            NoSuchName: there is none.
            SiteFailure: anything else than a 2xx, or no answer.
        """
        try:
            async with asyncio.timeout(self._longest_s):
                incoming = await self.begin(method, key, query, headers=headers, body=body, admits=admits)
                try:
                    return Answer(incoming.headers, await self._whole(incoming))
                finally:
                    await incoming.close()
        except TimeoutError as error:
            raise self._failed("did not come to an end", slow=True) from error

    async def begin(
        self,
        method: str,
        key: str = "",
        query: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        admits: Admits = None,
    ) -> Incoming:
        """As :meth:`ask`; whoever gets the answer reads its chunks and closes it."""
        outgoing = await self._signed(method, key, query or {}, headers or {}, body, admits)
        try:
            incoming = await self._answered(outgoing, body)
        except StoreElsewhere as error:
            raise SiteElsewhere(self.name) from error
        except StoreUnreachable as error:
            raise self._failed(str(error), slow=error.status == 504, known=bool(error.retry_after_s)) from error
        if incoming.status in _DONE:
            return incoming
        try:
            raise await self._refused(incoming, of_key=bool(key), bodiless=method == "HEAD")
        finally:
            await incoming.close()

    async def _answered(self, outgoing: Outgoing, body: Body | None) -> Incoming:
        """Whatever the store answers, at the last of several tries."""
        for pause_s in PAUSES_S if outgoing.method != "POST" else ():
            try:
                incoming = await self._store.exchange(outgoing)
            except StoreUnreachable as error:
                if error.status != 502:
                    raise
            else:
                if incoming.status not in _TOO_BUSY:
                    return incoming
                await incoming.close()
            await asyncio.sleep(pause_s)
            outgoing = outgoing._replace(body=_sliced(body))
        return await self._store.exchange(outgoing)

    async def _signed(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Body | None,
        admits: Admits,
    ) -> Outgoing:
        path = self.source(key) if key else self._bucket
        text = "&".join(f"{quote(name, safe='-_.~')}={quote(query[name], safe='-_.~')}" for name in sorted(query))
        request = AWSRequest(method, f"{self._origin}{path}{'?' if text else ''}{text}", dict(headers))
        sha256, md5 = await asyncio.to_thread(_digests, body or ())
        request.context[_DIGEST] = sha256
        if body is not None:
            request.headers["Content-MD5"] = md5
        self._signer.add_auth(request)  # type: ignore[no-untyped-call]  # botocore's
        sent = CIMultiDict((name, str(value)) for name, value in request.headers.items())
        if body is not None:
            sent["Content-Length"] = str(sum(map(len, body)))
        each = object()  # none waits for its share: whoever is at a door is nobody's to the store
        return Outgoing(method, path, text, sent, _sliced(body), owner=each, admits=admits)

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

    async def _refused(self, incoming: Incoming, *, of_key: bool, bodiless: bool) -> SiteFailure:
        """What an answer that is no success says; that a bucket or an upload is not there is no absence of a file."""
        code = code_of(await self._whole(incoming))
        if incoming.status == 404 and of_key and (bodiless or code == "NoSuchKey"):
            return NoSuchName("there is nothing of this name")
        return self._failed(f"answered {incoming.status} {code}".rstrip())

    def broke_off(self) -> SiteFailure:
        """The store broke off in the middle of an answer."""
        return self._failed("broke off")

    def _failed(self, problem: str, *, slow: bool = False, known: bool = False) -> SiteFailure:
        """A failure, in the words of a site. ``known``: the breaker has told the log why nothing is tried now."""
        if not known:
            log.warning("object_site_failed", site=self.name, problem=problem)
        if slow:
            return SiteSlow(f"the site {self.name} did not answer in time")
        return SiteUnavailable(f"the site {self.name} cannot be reached, refused or broke off")

    def told(self, body: bytes, root: str) -> Element:
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


def _xml(body: bytes) -> Element | None:
    """The document without namespaces; None where it cannot be read, or has a document type, in whatever encoding."""
    builder = TreeBuilder()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = lambda tag, _attributes: builder.start(tag.rpartition(" ")[2], {})
    parser.EndElementHandler = lambda tag: builder.end(tag.rpartition(" ")[2])
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(body.strip(), True)  # white space comes first where the store took its time
        return builder.close()
    except (expat.ExpatError, ValueError):
        return None


def _refuse(*_declared: object) -> None:
    raise ValueError("a document type")


_DIGEST = "digest"


class _Signer(S3SigV4Auth):
    """botocore's, with the payload's digest as it was worked out already."""

    def payload(self, request: AWSRequest) -> str:
        return str(request.context[_DIGEST])


def _digests(body: Body) -> tuple[str, str]:
    """The SHA-256 that is signed, and the MD5 by which the store finds out whether it got this; blocking."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    for block in body:
        sha256.update(block)
        md5.update(block)
    return sha256.hexdigest(), base64.b64encode(md5.digest()).decode()


def _sliced(body: Body | None) -> AsyncIterator[bytes] | None:
    async def slices(body: Body) -> AsyncIterator[bytes]:
        for block in body:
            for start in range(0, len(block), SLICE_BYTES):
                yield bytes(block[start : start + SLICE_BYTES])

    return None if body is None else slices(body)
