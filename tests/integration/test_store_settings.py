"""Stores with addresses, credentials and certificates of their own, behind a whole gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.demo.stores import Addresses
from gateway.demo.world import PEOPLE
from gateway.errors import ConfigurationError
from gateway.settings import CredentialSettings, Settings
from tests.integration.conftest import Running, running
from tests.world.certificates import Authority
from tests.world.raw_store import OK, RawStore, Script, closing, listening
