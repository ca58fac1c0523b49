"""Which site a store is."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gateway.errors import ConfigurationError
from gateway.proxy.upstream_tls import UpstreamTls
from gateway.settings import StoreSettings
from gateway.transfer.folder_site import FolderSite
from gateway.transfer.ftp_site import FtpSite
from gateway.transfer.sftp_site import SftpSite
from gateway.transfer.site import Site


def site_of(settings: StoreSettings) -> Site:
    """The site that a store's url names.

    Raises:
        ConfigurationError: there is no such folder, a file for TLS cannot be used, or the scheme is no site's.
    """
    url = settings.url.get_secret_value()
    parts = urlsplit(url)
    match parts.scheme:
        case "file":
            return _folder(settings.name, Path(unquote(parts.path)))
        case "ftp" | "ftps" | "ftpes":
            timeouts = {"connect_timeout_s": settings.connect_timeout_s, "read_timeout_s": settings.read_timeout_s}
            tls = None if parts.scheme == "ftp" else UpstreamTls(settings, parts.hostname or "")
            return FtpSite(settings.name, url, tls=tls, **timeouts)
        case "sftp":
            return SftpSite(settings)
        case "s3" | "s3+http":
            return _objects(settings)
        case scheme:
            expected = "http(s)://, ftp://, ftps://, ftpes://, sftp://, s3:// or file://"
            raise ConfigurationError([f"store {settings.name}: {scheme}:// is not supported; expected {expected}"])


def _objects(settings: StoreSettings) -> Site:
    if find_spec("botocore") is None:
        how = "pip install 'residency-gateway[s3]'"
        raise ConfigurationError([f"store {settings.name}: an object store needs botocore, to sign requests; {how}"])
    from gateway.transfer.object_site import ObjectSite

    return ObjectSite(settings)


def _folder(name: str, path: Path) -> FolderSite:
    try:
        return FolderSite(path)
    except OSError as error:
        problem = f"store {name}: the folder {path} cannot be used ({error.strerror}); expected one that is there"
        raise ConfigurationError([problem]) from error
