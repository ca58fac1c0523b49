"""Who? Tokens, key sets and the principals that they establish.

The :class:`Authenticator` turns the credentials of a request into a :class:`Principal`. A :class:`TokenVerifier` reads
tokens strictly and pins each to its :class:`Issuer`, whose :class:`KeySet` a :class:`KeySetSource` keeps fresh through
a :class:`Fetcher`. :class:`Revocations` end what still verifies; the :class:`Workforce` directory adds where people
work.

Promised: a token means one principal or nobody; keys come from the operator's address and from nowhere else; a
remembered token is believed no longer than a fresh one; whoever acts for a person was named by the operator and lends
nothing.
"""

from gateway.identity.accounts import KeptAccounts, PassState, TransferPass, UploadAccount
from gateway.identity.authenticator import Authenticator
from gateway.identity.keysets import KeySet, PublicKey
from gateway.identity.keysource import MAX_DOCUMENT_BYTES, Fetcher, FileFetcher, KeySetSource, is_fetchable
from gateway.identity.principal import Kind, Principal
from gateway.identity.revocation import Revocation, Revocations, Revoked
from gateway.identity.tokens import Issuer, TokenVerifier, Verified
from gateway.identity.workforce import Workforce

__all__ = [
    "MAX_DOCUMENT_BYTES",
    "Authenticator",
    "Fetcher",
    "FileFetcher",
    "Issuer",
    "KeptAccounts",
    "KeySet",
    "KeySetSource",
    "Kind",
    "PassState",
    "Principal",
    "PublicKey",
    "Revocation",
    "Revocations",
    "Revoked",
    "TokenVerifier",
    "TransferPass",
    "UploadAccount",
    "Verified",
    "Workforce",
    "is_fetchable",
]
