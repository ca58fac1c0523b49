"""The valid world of identity."""

from __future__ import annotations

import pytest

from tests.world.tokens import IdentityWorld


@pytest.fixture
async def world() -> IdentityWorld:
    """An identity provider and a gateway that has its keys."""
    world = IdentityWorld()
    await world.authenticator.refresh_if_due()
    return world
