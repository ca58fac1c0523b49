"""The sample world: a configuration, four customers, tickets of each kind, a grant and an authorization."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.catalog.customers import Customer, CustomerPlan
from gateway.clock import SECOND_US, Clock
from gateway.demo.geo import sample_databases
from gateway.demo.identity_provider import AUDIENCE, ISSUER, SampleIdentityProvider
from gateway.demo.stores import Addresses
from gateway.justification import EVERY_CUSTOMER, Authorization, Grant, Ticket, TicketKind
from gateway.policy import default_directory
from gateway.settings import Settings, load
from gateway.storage import StateStore
from gateway.support import due_us

HOUR_US = 3_600 * SECOND_US
KEYS_FOLDER = "sample-identity-provider"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the sample world, and where they are."""

    name: str
    place: str
    address: str
    roles: Collection[str] = ()
    customer: str | None = None


SAM = Person("sam", "Indianapolis", "10.20.0.5", ("support",))
PRIYA = Person("priya", "Chennai", "49.36.0.1", ("engineer",))
RAJ = Person("raj", "Chennai", "49.36.0.2", ("support",))
LIAM = Person("liam", "Galway", "87.32.0.1", ("infosec",))
MARIA = Person("maria", "Manila", "112.198.0.1", ("account_manager",))
VIC = Person("vic", "behind a VPN", "45.83.220.7", ("support",))
ADA = Person("ada@acme", "London", "81.2.69.142", customer="acme")
DANA = Person("dana", "Indianapolis", "10.20.0.9", ("approver",))


@dataclass(frozen=True, slots=True)
class World:
    """The sample world, ready to be served."""

    directory: Path
    config: Path
    settings: Settings
    state: StateStore
    provider: SampleIdentityProvider

    def token(self, person: Person) -> str:
        return self.provider.mint(person.name, person.roles, customer=person.customer)


def make_world(directory: Path, addresses: Addresses, *, clock: Clock, ports: tuple[int, int]) -> World:
    """Write the sample world into a directory.

    Args:
        directory: gets the configuration, keys, databases, state and ledger.
        addresses: of the sample stores.
        clock: dates everything.
        ports: of the door and the control listener; with 0 the system picks a free one when it listens.
    """
    provider = SampleIdentityProvider(directory / KEYS_FOLDER, clock=clock)
    country, anonymous = sample_databases(directory / "geo", clock)
    config = directory / "gateway.toml"
    config.write_text(
        _CONFIG.format(
            door=ports[0],
            control=ports[1],
            policies=default_directory(),
            issuer=ISSUER,
            audience=AUDIENCE,
            jwks=provider.jwks_path,
            country=country,
            anonymous=anonymous,
            crm=addresses.crm,
            conversations=addresses.conversations,
            archive=addresses.archive,
            uploads=addresses.uploads,
        ),
        "utf-8",
    )
    settings = load(config, os.environ)
    state = StateStore(settings.state.url.get_secret_value(), clock)
    state.put(*_nouns(clock.now_us()))
    return World(directory, config, settings, state, provider)


def enable(world: World, customer: str, *, now_us: int) -> None:
    """Put a customer's ordered plan in effect."""
    known = world.state.get(Customer, customer)
    plans = tuple(replace(plan, enabled_us=now_us) for plan in known.plans)
    world.state.put(replace(known, plans=plans))


def revoke_grant(world: World, *, now_us: int) -> None:
    """End the sample grant."""
    world.state.put(replace(world.state.get(Grant, "G-1"), revoked_us=now_us))


def _nouns(now_us: int) -> list[Customer | Ticket | Grant | Authorization]:
    return [
        Customer("acme", "Acme Health (sample)", (_plan("P-1", now_us - 1_000 * HOUR_US, enabled=True),)),
        Customer("borealis", "Borealis Bank (sample)", (_plan("P-2", now_us - 500 * HOUR_US, enabled=True),)),
        Customer("cascade", "Cascade Travel (sample)", (_plan("P-3", now_us, enabled=False),)),
        Customer("delta", "Delta Toys (sample)", ()),
        Ticket("INC-7", TicketKind.SECURITY, ("acme",), "Odd sign-ins (sample)", now_us),
        Ticket("INC-8", TicketKind.SECURITY, (EVERY_CUSTOMER,), "Leaked key (sample)", now_us),
        Ticket("BUG-9", TicketKind.BUG, ("acme",), "Crash in export (sample)", now_us, holder="priya"),
        Ticket("CASE-1", TicketKind.SUPPORT, ("acme",), "All lines down (sample)", now_us, severity=1),
        Ticket("CASE-5", TicketKind.SUPPORT, ("acme",), "No sound (sample)", now_us, severity=3),
        Grant(
            id="G-1",
            request="R-1",
            subject="priya",
            ticket="BUG-9",
            customer="acme",
            data_classes=("conversation",),
            actions=("read",),
            starts_us=now_us,
            ends_us=now_us + 4 * HOUR_US,
            approved_by="dana",
            max_bytes=64 * 1024 * 1024,
        ),
        Authorization(
            id="A-1",
            customer="acme",
            given_by="ada@acme",
            ticket="CASE-1",
            data_classes=("case", "conversation"),
            actions=("read",),
            starts_us=now_us,
            ends_us=now_us + 24 * HOUR_US,
            received="letter",
            recorded_by="maria",
        ),
    ]


def _plan(key: str, ordered_us: int, *, enabled: bool) -> CustomerPlan:
    return CustomerPlan(
        id=key,
        name="us-only",
        home=("US",),
        seats=400,
        ordered_us=ordered_us,
        due_us=due_us(ordered_us),
        enabled_us=ordered_us if enabled else 0,
        ends_us=0,
        new=enabled,
    )


_CONFIG = """# The sample configuration that `residency-gateway demo` wrote. Sample data only.
[gateway]
listen = "127.0.0.1:{door}"
control = "127.0.0.1:{control}"
node = "demo"
trusted_proxies = ["127.0.0.1/32"]   # so that X-Forwarded-For can say where the sample people are

[state]
url = "sqlite:///state/gateway.db"

[policy]
directory = "{policies}"
home = ["US"]

[identity]
trusted_actors = ["helpdesk"]

[[identity.issuer]]
issuer = "{issuer}"
audience = "{audience}"
jwks = "{jwks}"
algorithms = ["ES256"]
roles_claim = "roles"
customer_claim = "customer"
customers = ["*"]

[location]
country_database = "{country}"
anonymous_database = "{anonymous}"

[[location.site]]
name = "Indianapolis office"
networks = ["10.20.0.0/16"]
country = "US"

[[store]]
name = "crm"
url = "{crm}"
country = "US"

[[store]]
name = "conversations"
url = "{conversations}"
country = "US"

[[store]]
name = "archive"                     # abroad: it may serve a customer only while that customer has no plan in effect
url = "{archive}"
country = "IE"

[[store]]
name = "uploads"
url = "{uploads}"
country = "US"

[[route]]
path = "/crm/search"
store = "crm"
data_class = "case"
many_customers = true

[[route]]
path = "/crm/{{customer}}/accounts/{{rest...}}"
store = "crm"
data_class = "crm_account"

[[route]]
path = "/crm/{{customer}}/cases/{{rest...}}"
store = "crm"
data_class = "case"

[[route]]
path = "/conversations/{{customer}}/{{rest...}}"
store = "conversations"
data_class = "conversation"

[[route]]
path = "/recordings/{{customer}}/{{rest...}}"
store = "conversations"
data_class = "conversation"

[[route]]
path = "/uploads/{{customer}}/{{rest...}}"
store = "uploads"
data_class = "ftp_upload"

[[route]]
path = "/archive/{{rest...}}"
store = "archive"
data_class = "case"
customer = "cascade"
"""
