"""The configuration: one frozen object, or every fault at once, and never a secret."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from gateway.catalog import RouteTable
from gateway.errors import ConfigurationError
from gateway.settings import Settings, load, parse

EXAMPLE = Path(__file__).parents[2] / "config" / "gateway.toml"
CANARY = "canary-7f3b"
FILE = Path("/etc/gateway/gateway.toml")
Document = dict[str, Any]

SMALLEST: Document = {
    "policy": {"directory": "../policies", "home": ["US"]},
    "identity": {
        "issuer": [{"issuer": "https://login.test/", "audience": "gw", "jwks": "keys.json", "algorithms": ["RS256"]}]
    },
    "location": {"country_database": "geo/country.mmdb"},
    "store": [{"name": "crm", "url": "http://127.0.0.1:9101", "country": "US"}],
    "route": [{"path": "/crm/{customer}/{rest...}", "store": "crm", "data_class": "case"}],
}
WITNESS: Document = {"kind": "witness", "url": "https://w", "key": "w.test/w1+0123abcd+BAAA"}
HOOK: Document = {"name": "hook", "url": "https://h/", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
NO_RECEIVERS = ("http://h", "https://", "https://u:p@h", "https://h:0", "https://[::1", "ftp://h", "https://h/ü", "h")


def changed(change: Callable[[Document], object]) -> Document:
    document = copy.deepcopy(SMALLEST)
    change(document)
    return document


def read(document: Document, environ: Mapping[str, str] | None = None, path: Path = FILE) -> Settings:
    return parse(document, path=path, environ=environ or {})


def told(document: Document) -> str:
    """What an operator would read: every fault, or nothing."""
    try:
        read(document, {"SECRET": CANARY})
    except ConfigurationError as error:
        return str(error)
    return ""


def problems(document: Document, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as refusal:
        read(document, environ)
    return [line.removeprefix(f"{FILE}: ") for line in refusal.value.problems]


def uncommented() -> Document:
    """The example with every commented-out key in force."""
    return tomllib.loads(re.sub(r"(?m)^# (?=[a-z_.]+ = |\[)", "", EXAMPLE.read_text("utf-8")))


def keys_of(node: Any, prefix: str = "") -> set[str]:
    """Every dotted key of a document; the tables of an array count as one."""
    if isinstance(node, list):
        return (
            {key for item in node for key in keys_of(item, prefix)} if node and isinstance(node[0], dict) else {prefix}
        )
    if not isinstance(node, dict) or prefix.endswith(
        ("methods", "credential", "kinds", "severities", "customers", "handoff.fields")
    ):
        return {prefix}
    return {key for name, item in node.items() for key in keys_of(item, f"{prefix}.{name}".lstrip("."))}


def section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, alone or as an array of tables."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(section_in, get_args(annotation))), None)


def fields_of(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Every dotted key of the models, with its default."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        section = section_in(field.annotation) if name != "credential" else None  # of its keys one excludes another
        key = prefix + (field.alias or name)
        found |= fields_of(section, f"{key}.") if section else {key: field.get_default()}
    return found


def test_example_and_models_have_the_same_keys() -> None:
    """Every key stands in the example, and the example has no other."""
    assert keys_of(uncommented()) == set(fields_of(Settings))


def test_example_can_be_used_as_it_stands_and_with_everything_in_force() -> None:
    """It loads either way, and its routes exclude each other."""
    for found in (load(EXAMPLE, {}), read(uncommented(), path=EXAMPLE)):
        RouteTable(found.route)


def test_commented_key_shows_its_default() -> None:
    """What is commented out says what holds without it, wherever there is such a value."""
    shown = keys_of(uncommented()) - keys_of(tomllib.loads(EXAMPLE.read_text("utf-8")))
    defaults = fields_of(Settings)
    for key in shown:
        default = defaults[key]
        if default in (None, PydanticUndefined, (), "", {}):
            continue
        node: Any = uncommented()
        for part in key.split("."):
            node = next(table[part] for table in (node if isinstance(node, list) else [node]) if part in table)
        assert (tuple(node) if isinstance(node, list) else type(default)(node)) == default, key


def test_file_that_is_missing_or_broken_is_told(tmp_path: Path) -> None:
    """Each names the file."""
    broken, binary = tmp_path / "broken.toml", tmp_path / "binary.toml"
    broken.write_text("[gateway")
    binary.write_bytes(b"\xff\xfe")
    for path, said in ((tmp_path / "none", "no such file"), (broken, "not TOML"), (binary, "read"), (tmp_path, "read")):
        with pytest.raises(ConfigurationError, match=said) as refusal:
            load(path, {})
        assert refusal.value.problems[0].startswith(f"{path}: ")


def test_relative_path_is_relative_to_the_file(tmp_path: Path) -> None:
    """The database of the state, the key set and every other path alike; absolute ones stay."""
    found = read(
        changed(lambda d: d["location"].update(anonymous_database="/geo/a.mmdb")), path=tmp_path / "c" / "g.toml"
    )
    assert found.policy.directory == tmp_path / "policies"
    assert found.location.country_database == tmp_path / "c" / "geo" / "country.mmdb"
    assert found.location.anonymous_database == Path("/geo/a.mmdb")
    assert found.identity.issuer[0].jwks == str(tmp_path / "c" / "keys.json")
    assert found.ledger.path == tmp_path / "c" / "state" / "ledger.db"
    assert found.state.url.get_secret_value() == f"sqlite:///{tmp_path}/c/state/gateway.db"


def test_absolute_database_stays_where_it_is() -> None:
    """A database's own absolute path is not touched."""
    found = read(changed(lambda d: d.update(state={"url": "sqlite:////var/gateway.db"})))
    assert found.state.url.get_secret_value() == "sqlite:////var/gateway.db"


def test_settings_are_frozen() -> None:
    """Nothing changes after the reading."""
    with pytest.raises(ValueError, match="frozen"):
        read(SMALLEST).gateway.listen = "0.0.0.0:80"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda d: d.update(gatewai={}), "gatewai: unknown key; did you mean gateway?"),
        (lambda d: d["store"][0].update(urll="x"), "store[0].urll: unknown key; did you mean url?"),
        (lambda d: d["policy"].update(zzz=1), "policy.zzz: unknown key; expected one of directory, home"),
        (lambda d: d.pop("policy"), "policy: is missing; it has no default"),
        (lambda d: d["policy"].update(home=["usa"]), "policy.home[0]: got 'usa'; expected a country as two capital"),
        (lambda d: d["policy"].update(home=[]), "policy.home: got an array; expected: tuple should have at least 1"),
        (
            lambda d: d["route"][0].update(data_class="CRM!"),
            "route[0].data_class: got 'CRM!'; expected a name of small letters",
        ),
        (lambda d: d.update(gateway={"workers": 9}), "gateway.workers: got 9; expected: less than or equal to 1"),
        (lambda d: d.update(gateway={"listen": "x:80"}), "gateway.listen: got 'x:80'; expected an IP address"),
        (lambda d: d.update(gateway={"listen": "1.2.3.4"}), "gateway.listen: got '1.2.3.4'; expected \"address:port\""),
        (lambda d: d.update(gateway={"listen": "[::1]:99999"}), "gateway.listen: got '[::1]:99999'; expected"),
        (lambda d: d.update(gateway={"listen": "127.0.0.1:\u0663"}), "gateway.listen: got"),
        (
            lambda d: d.update(gateway={"listen": "127.0.0.1:1", "control": "127.0.0.1:1"}),
            "gateway.control: got '127.0.0.1:1', the same as gateway.listen",
        ),
        (lambda d: d.update(gateway={"proxy_protocol": True}), "gateway.proxy_protocol: is on, but gateway.trusted"),
        (
            lambda d: d.update(gateway={"tls": {"certificate": "a.pem"}}),
            "gateway.tls: has only one of certificate and key; expected both, or neither",
        ),
        (
            lambda d: d.update(gateway={"tls": {"client_certificates": "required"}}),
            "gateway.tls.client_certificates: asks for certificates; expected client_ca and certificate beside it",
        ),
        (
            lambda d: d.update(gateway={"tls": {"service": [{"name": "a", "spiffe": "spiffe://a", "subject": "C=a"}]}}),
            "gateway.tls.service[0]: names no certificate, or two; expected one of spiffe and subject",
        ),
        (
            lambda d: d.update(gateway={"tls": {"service": [{"name": "a", "spiffe": "https://a"}]}}),
            "gateway.tls.service[0].spiffe: got 'https://a'; expected a SPIFFE id",
        ),
        (
            lambda d: d.update(gateway={"limits": {"max_connections": 0}}),
            "gateway.limits.max_connections: got 0; expected: greater than or equal to 1",
        ),
        (
            lambda d: d.update(gateway={"trusted_proxies": ["10.0.0.1/8"]}),
            "gateway.trusted_proxies[0]: got '10.0.0.1/8'; expected a network in CIDR form without host bits",
        ),
        (lambda d: d.update(gateway={"trusted_proxies": [5]}), "gateway.trusted_proxies[0]: got 5; expected a network"),
        (
            lambda d: d["identity"]["issuer"][0].update(jwks="http://k"),
            "identity.issuer[0].jwks: got 'http://k'; expected",
        ),
        (lambda d: d["identity"]["issuer"][0].update(jwks="data:x"), "identity.issuer[0].jwks: got 'data:x'; expected"),
        (lambda d: d["identity"]["issuer"][0].update(issuer=" x"), "identity.issuer[0].issuer: got ' x'; expected"),
        (lambda d: d["identity"]["issuer"][0].update(algorithms=["HS256"]), "identity.issuer[0].algorithms[0]: got"),
        (
            lambda d: d["identity"]["issuer"].append(
                d["identity"]["issuer"][0] | {"vouches_for": ["customer"], "customers": ["acme"]}
            ),
            "identity.issuer[1].issuer: got",
        ),
        (
            lambda d: d["identity"]["issuer"].append(
                d["identity"]["issuer"][0] | {"issuer": "https://other/", "vouches_for": ["customer", "personnel"]}
            ),
            "identity.issuer[1].vouches_for: got 'personnel'; expected those of identity.issuer[0] alone",
        ),
        (
            lambda d: d["identity"].update(
                issuer=[
                    d["identity"]["issuer"][0] | {"vouches_for": ["service"]},
                    d["identity"]["issuer"][0] | {"issuer": "https://other/", "vouches_for": ["service"]},
                ]
            ),
            "identity.issuer[1].vouches_for: got 'service'; expected those of identity.issuer[0] alone",
        ),
        (
            lambda d: d["identity"]["issuer"].append(
                d["identity"]["issuer"][0] | {"issuer": "https://globex/", "vouches_for": ["customer"]}
            ),
            "identity.issuer[1].customers: is missing; expected whose users it may name",
        ),
        (
            lambda d: d["identity"]["issuer"][0].update(vouches_for=["customer"], customers=[]),
            "identity.issuer[0].customers: got an array; expected: tuple should have at least 1 item",
        ),
        (
            lambda d: d["identity"]["issuer"][0].update(vouches_for=["customer"], customers=["Globex"]),
            "identity.issuer[0].customers[0]: got 'Globex'; expected a name",
        ),
        (
            lambda d: d["identity"]["issuer"][0].update(vouches_for=["personnel"], customers=["globex"]),
            "identity.issuer[0].customers: is set for an issuer that vouches for no customer",
        ),
        (lambda d: d["store"].append(d["store"][0]), "store[1].name: got 'crm' a second time"),
        (lambda d: d["store"][0].update(url="gopher://x"), "store[0].url: got a value without a usable scheme"),
        (lambda d: d["store"][0].update(url="http://"), "store[0].url: got a value without a usable scheme"),
        (lambda d: d["store"][0].update(url="http://[::1"), "store[0].url: got a value without a usable scheme"),
        (lambda d: d["store"][0].update(url="http://h:port"), "store[0].url: got a value without a usable scheme"),
        (lambda d: d["store"][0].update(url="http://h\n"), "store[0].url: got a value without a usable scheme"),
        (lambda d: d.update(state={"url": "mysql://h/d"}), "state.url: got another database"),
        (
            lambda d: d["route"][0].update(path="{customer}"),
            "route[0].path: got '{customer}'; expected a path template",
        ),
        (
            lambda d: d["route"][0].update(store="erp"),
            "route[0].store: got 'erp'; expected the name of a [[store]]: 'crm'",
        ),
        (
            lambda d: d["route"][0].update(path="/crm"),
            "route[0]: does not say whose data it serves; expected exactly one",
        ),
        (
            lambda d: d["route"][0].update(customer="acme"),
            "route[0]: names the customer by customer and path; expected",
        ),
        (lambda d: d["route"][0].update(path="/x", customer="Acme"), "route[0].customer: got 'Acme'; expected a name"),
        (lambda d: d["route"][0].update(methods={"POST": "x"}), "route[0].methods.POST: got 'x'; expected: 'read'"),
        (
            lambda d: d["store"][0].update(request_headers=["X-Tenant", "X Tenant"]),
            "store[0].request_headers[1]: got 'X Tenant'; expected the name of a header",
        ),
        (
            lambda d: d["store"][0].update(request_headers=["Transfer-Encoding"]),
            "store[0].request_headers[0]: got 'Transfer-Encoding'; expected a header that may cross",
        ),
        (
            lambda d: d["store"][0].update(request_headers=["RESIDENCY-Subject"]),
            "store[0].request_headers[0]: got 'RESIDENCY-Subject'; expected a header that may cross",
        ),
        (
            lambda d: d["route"][0].update(path="/x", customer_header="X-Tenant: acme"),
            "route[0].customer_header: got 'X-Tenant: acme'; expected the name of a header",
        ),
        *(
            (lambda d, it=given: d["store"][0].update(addresses=[it]), f"store[0].addresses[0]: got {given!r}; {said}")
            for given, said in (
                ("10.0.0.5", 'expected "host:port"'),
                ("10.0.0.5:0", 'expected "host:port"'),
                ("10.0.0.5:65536", 'expected "host:port"'),
                (":80", 'expected "host:port"'),
                ("http://h:80", 'expected "host:port"'),
                ("u@h:80", 'expected "host:port"'),
                ("fd00::5:80", "expected brackets around an IPv6 address"),
                ("[10.0.0.5]:80", "expected brackets around an IPv6 address"),
                ("[fd00::5:80", "expected brackets around an IPv6 address"),
            )
        ),
        (lambda d: d["store"][0].update(tls_ca="a.pem"), "store[0].tls_ca: is set for a store that is not spoken TLS"),
        (
            lambda d: d["store"][0].update(url="https://h", tls_key="a.key"),
            "store[0].tls_certificate: is there without tls_key, or the other way round; expected both, or neither",
        ),
        (
            lambda d: d["store"][0].update(url="https://h", tls_server_name="a b"),
            "store[0].tls_server_name: got 'a b'; expected the name in the store's certificate",
        ),
        *(
            (lambda d, given=given: d["store"][0].update(**given), f"store[0].{said}")
            for given, said in (
                (
                    {"ssh_key": "id"},
                    "ssh_key: is set for a store that is not reached over SSH; expected an sftp:// url",
                ),
                ({"ssh_known_hosts": "k"}, "ssh_known_hosts: is set for a store that is not reached over SSH"),
                ({"url": "sftp://u:p@h"}, "ssh_known_hosts: is missing; expected a known_hosts file"),
                ({"url": "sftp://h", "ssh_known_hosts": "k", "ssh_key": "id"}, "url: names nobody to sign in as"),
                ({"url": "sftp://u@h", "ssh_known_hosts": "k"}, "ssh_key: is there beside a password in the url, or"),
                (
                    {"url": "sftp://u:p@h", "ssh_known_hosts": "k", "ssh_key": "id"},
                    "ssh_key: is there beside a password in the url, or neither is; expected one of them",
                ),
            )
        ),
        (
            lambda d: d["store"][0].update(url="ftp://h", addresses=["h:21"]),
            "store[0].addresses: is set for a store that is not HTTP; expected an http://, https:// or s3:// url",
        ),
        (
            lambda d: d["store"][0].update(url="s3+http://k:s@h/b", tls_ca=__file__),
            "store[0].tls_ca: is set for a store that is not spoken TLS to",
        ),
        (
            lambda d: d["store"][0].update(url="s3://h/b", credential={"bearer": "x"}),
            "store[0].credential: is set for a store that is not HTTP",
        ),
        (
            lambda d: d["store"][0].update(url="http://u:p@h", credential={"bearer": "x"}),
            "store[0].credential: is set beside credentials in the url; expected only one of them",
        ),
        *(
            (lambda d, it=given: d["store"][0].update(credential=it), f"store[0].credential: got a table; {said}")
            for given, said in (
                ({}, "expected exactly one of header with value, basic, and bearer"),
                ({"header": "X"}, "expected exactly one of header with value, basic, and bearer"),
                ({"value": "x"}, "expected exactly one of header with value, basic, and bearer"),
                ({"bearer": "x", "header": "X"}, "expected exactly one of header with value, basic, and bearer"),
                ({"bearer": "x", "basic": "u:p"}, "expected exactly one of header with value, basic, and bearer"),
                ({"basic": "x"}, "its secret cannot be sent; expected user:password"),
                ({"bearer": ""}, "its secret cannot be sent; expected visible ASCII"),
                ({"bearer": "a\nb"}, "its secret cannot be sent; expected visible ASCII"),
                ({"header": "X", "value": "ü"}, "its secret cannot be sent; expected visible ASCII"),
            )
        ),
        (
            lambda d: d["store"][0].update(credential={"header": "Host", "value": "x"}),
            "store[0].credential.header: got 'Host'; expected a header that may cross",
        ),
        (
            lambda d: d["store"][0].update(credential={"bearer": 5}),
            'store[0].credential.bearer: got a value; expected { env = "NAME" }, { file = "path" }, or text',
        ),
        *(
            (lambda d, it=given: d.update(notification=[HOOK | it]), f"notification[0]{said}")
            for given, said in (
                *(({"url": url}, ": got a table; its url cannot be used; expected https://") for url in NO_RECEIVERS),
                ({"url": "http://h", "unsafe_loopback": True}, ": got a table; its url cannot be used; expected"),
                ({"url": 5}, ".url: got a value; expected: a valid string"),
                (
                    {"secret": "whsec_c2hvcnQ="},
                    ": got a table; its secret cannot be used; expected whsec_ and 24 to 64",
                ),
                ({"secret": "x" * 32}, ": got a table; its secret cannot be used; expected whsec_ and 24 to 64"),
                ({"secret": "whsec_" + "ü" * 32}, ": got a table; its secret cannot be used; expected whsec_"),
                ({"secret": 5}, '.secret: got a value; expected { env = "NAME" }'),
                ({"format": "email"}, ".format: got 'email'; expected: 'cloudevents' or 'slack'"),
                ({"types": []}, ".types: got an array; expected: tuple should have at least 1 item"),
                ({"types": ["Access.*"]}, ".types[0]: got 'Access.*'; expected the type of a notice"),
                ({"timeout_s": 61}, ".timeout_s: got 61; expected: less than or equal to 60"),
                ({"max_attempts": 0}, ".max_attempts: got 0; expected: greater than or equal to 1"),
            )
        ),
        (
            lambda d: d.update(notification=[{"name": "a", "url": "https://h"}]),
            "notification[0]: got a table; it has no secret; expected one",
        ),
        (lambda d: d.update(notification=[HOOK, HOOK]), "notification[1].name: got 'hook' a second time"),
        (lambda d: d.update(notices={"keep_s": 0}), "notices.keep_s: got 0; expected: greater than 0"),
        (lambda d: d["store"][0].update(breaker_failures=-1), "store[0].breaker_failures: got -1; expected: greater"),
        (lambda d: d["store"][0].update(connect_timeout_s=0), "store[0].connect_timeout_s: got 0; expected: greater"),
        (lambda d: d["store"][0].update(connect_timeout_s=float("nan")), "store[0].connect_timeout_s: got nan"),
    ],
)
def test_fault_is_one_line_with_key_what_came_and_what_was_expected(
    change: Callable[[Document], object], expected: str
) -> None:
    """An operator finds the place and the remedy in the one line."""
    [line] = problems(changed(change))
    assert line.startswith(expected)
    assert "\n" not in line


def test_ten_faults_are_ten_lines() -> None:
    """Faults of every kind are told together, none hiding another."""

    def spoil(document: Document) -> None:
        document["gateway"] = {"listen": "nowhere", "log_level": "loud", "colour": "red"}
        document["policy"]["home"] = ["us"]
        document["location"]["max_database_age_s"] = -1
        document["identity"]["issuer"][0]["algorithms"] = []
        document["store"][0]["country"] = 7
        document["store"].append({"name": "crm", "url": "x", "country": "US"})
        document["route"][0]["store"] = "erp"

    found = problems(changed(spoil))
    assert sorted(line.partition(": ")[0] for line in found) == [
        "gateway.colour",
        "gateway.listen",
        "gateway.log_level",
        "identity.issuer[0].algorithms",
        "location.max_database_age_s",
        "policy.home[0]",
        "route[0].store",
        "store[0].country",
        "store[1].name",
        "store[1].url",
    ]


def test_secret_comes_from_environment_or_file(tmp_path: Path) -> None:
    """Either is read, a file less its last line end."""
    (tmp_path / "url").write_text("http://from-file\n")
    for source, expected in (({"env": "URL"}, "http://from-env"), ({"file": "url"}, "http://from-file")):
        document = copy.deepcopy(SMALLEST)
        document["store"][0]["url"] = source
        found = read(document, {"URL": "http://from-env"}, tmp_path / "g.toml")
        assert found.store[0].url.get_secret_value() == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"env": "NONE"}, "the environment has no NONE; set it"),
        ({"env": 5}, "the environment has no 5; set it"),
        ({"file": "none"}, "cannot read the file 'none' (FileNotFoundError)"),
        ({"file": "a\0b"}, "cannot read the file 'a\\x00b' (ValueError)"),
    ],
)
def test_secret_that_cannot_be_had_is_one_fault(given: Document, expected: str) -> None:
    """The one line says so, and no second one complains of the value."""
    [line] = problems(changed(lambda d: d["store"][0].update(url=given)))
    assert line.startswith(f"store[0].url: {expected}")


SECRET = {"env": "SECRET"}


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(store={"name": "crm", "url": SECRET, "country": "US"}),  # a [store] for a [[store]]
        lambda d: d.update(store={"name": "crm", "url": f"http://u:{CANARY}@h", "country": "US"}),
        lambda d: d["store"][0].update(url=SECRET),
        lambda d: d["store"][0].update(url=[CANARY]),
        lambda d: d["store"][0].update(country=SECRET),
        lambda d: d["store"][0].update(credential=SECRET),
        lambda d: d["store"][0].update(credential=CANARY),
        lambda d: d["store"][0].update(credential={"basic": SECRET}),
        lambda d: d["store"][0].update(credential={"basic": CANARY}),
        lambda d: d["store"][0].update(credential={"bearer": [CANARY]}),
        lambda d: d["store"][0].update(credential={"bearer": {"text": CANARY}}),
        lambda d: d["store"][0].update(credential={"bearer": f"{CANARY}\n"}),
        lambda d: d["store"][0].update(credential={"bearer": SECRET, "header": SECRET}),
        lambda d: d.update(notification=[HOOK | {"secret": SECRET}]),
        lambda d: d.update(notification=[HOOK | {"secret": f"{CANARY}\n"}]),
        lambda d: d.update(notification=[HOOK | {"secret": {"text": CANARY}}]),
        lambda d: d.update(notification=[HOOK | {"url": SECRET}]),
        lambda d: d.update(notification=[HOOK | {"url": f"http://h/{CANARY}"}]),
        lambda d: d.update(notification=[HOOK | {"url": f"https://u:{CANARY}@h/"}]),
        lambda d: d.update(notification=HOOK | {"url": f"https://h/{CANARY}"}),
        lambda d: d["store"][0].update(addresses=[SECRET]),
        lambda d: d["store"][0].update(name=SECRET),
        lambda d: d["store"].extend([{"name": SECRET, "url": "http://h", "country": "US"}] * 2),
        lambda d: d["store"][0].update(secret=SECRET),
        lambda d: d["route"][0].update(store=SECRET),
        lambda d: d["route"][0].update(methods=[SECRET]),
        lambda d: d["route"][0].update(methods={"POST": SECRET}),
        lambda d: d["location"].update(site={"name": SECRET}),
        lambda d: d["location"].update(site=[{"name": "a", "networks": [SECRET], "country": "US"}]),
        lambda d: d.update(gateway={"listen": SECRET}),
        lambda d: d.update(gateway={"workers": SECRET}),
        lambda d: d.update(identity=[{"issuer": SECRET}]),
        lambda d: d["identity"]["issuer"][0].update(algorithms=[SECRET]),
        lambda d: d.update(state={"url": SECRET}),
        lambda d: d.update(gateway=SECRET),
    ],
)
def test_secret_is_in_no_error(change: Callable[[Document], object]) -> None:
    """Wherever a secret stands, and whatever is wrong, no line shows it."""
    with pytest.raises(ConfigurationError) as refusal:
        read(changed(change), {"SECRET": CANARY})
    shown = [repr(refusal.value), str(refusal.value)]
    cause: BaseException | None = refusal.value
    while cause is not None:
        shown += [repr(cause), str(cause)]
        cause = cause.__cause__
    assert not any(CANARY in text for text in shown)


def test_secret_that_repeats_another_value_is_in_no_error() -> None:
    """Faults between keys show no secret either."""
    document = changed(lambda d: d.update(gateway={"listen": {"env": "L"}, "control": {"env": "L"}}))
    [line] = problems(document, {"L": "127.0.0.9:4711"})
    assert "4711" not in line


def test_secret_is_in_no_repr() -> None:
    """Whatever key it was given for, the settings do not show it."""

    def give(document: Document) -> None:
        document["store"][0]["url"] = {"env": "URL"}
        document["identity"]["issuer"][0].update(audience=SECRET, jwks=SECRET)
        document["policy"]["directory"] = SECRET

    found = read(changed(give), {"SECRET": CANARY, "URL": f"http://u:{CANARY}@h"})
    for node in (found, found.store[0], found.identity, found.identity.issuer[0], found.policy):
        assert CANARY not in repr(node) + str(node)


TRACKER: Document = {
    "name": "jira",
    "kind": "jira",
    "pattern": "SEC-[0-9]+",
    "url": "https://example.atlassian.net",
    "fields": {"customers": "customfield_1"},
    "kinds": {"Bug": "bug"},
}
HOME: Document = {"home_queues": ["us"]}
HANDOFF: Document = {"handoff": {"fields": {"assignee": {"accountId": "us"}}}}
PUSHING: Document = {"name": "pager", "kind": "webhook", "pattern": "PAGE-[0-9]+", "webhook_secret": "0123456789abcdef"}


@pytest.mark.parametrize(
    "tracker",
    [
        TRACKER,
        TRACKER | {"url": "http://127.0.0.1:8080/jira"},
        TRACKER | {"url": "http://[::1]:8080"},
        TRACKER | {"url": "http://jira.internal", "unsafe_plain_http": True},
        TRACKER | {"kind": "servicenow", "table": "sn_si_incident", "open": ["10"]},
        TRACKER | {"customers": {"All": "*"}, "kinds": {"Incident": "security"}},
        TRACKER
        | {"home_queues": ["us"], "handoff": {"fields": {"assignee": {"accountId": "us"}, "labels": ["us", 1]}}},
        TRACKER | {"kind": "servicenow", "home_queues": ["us"], "handoff": {"fields": {"assigned_to": ""}}},
        PUSHING,
        PUSHING | {"kinds": {"alert": "security"}, "fields": {"customers": "tenant.id"}},
    ],
)
def test_tracker_that_can_be_used(tracker: Document) -> None:
    """Each stands by itself."""
    assert read(changed(lambda d: d.update(tracker=[tracker]))).tracker[0].name == tracker["name"]


def without(key: str) -> Document:
    return {name: value for name, value in TRACKER.items() if name != key}


@pytest.mark.parametrize(
    ("tracker", "expected"),
    [
        (TRACKER | {"pattern": "SEC-["}, "pattern: got 'SEC-['; is no regular expression"),
        (
            TRACKER | {"pattern": "([A-Z]+)+-1"},
            "pattern: got '([A-Z]+)+-1'; expected a pattern without repeated groups",
        ),
        (TRACKER | {"pattern": "([A-Z]+){9}"}, "pattern: got '([A-Z]+){9}'; expected a pattern without repeated"),
        (
            TRACKER | {"pattern": "(?=A)A"},
            "pattern: got '(?=A)A'; expected a pattern without repeated groups, look-around",
        ),
        (TRACKER | {"pattern": "[A-Z]*"}, "pattern: got '[A-Z]*'; matches an empty id"),
        (without("url"), "url: is missing; expected where the tracker answers"),
        (TRACKER | {"url": "ftp://h"}, "url: got a value that is no usable address; expected https:// with a host"),
        (TRACKER | {"url": "https://[h"}, "url: got a value that is no usable address"),
        (TRACKER | {"url": f"https://u:{CANARY}@h"}, "url: holds credentials; expected them as credential"),
        (TRACKER | {"url": "https://h/?a=b"}, "url: holds a query or a fragment"),
        (TRACKER | {"url": "http://jira.internal"}, "url: got http://; expected https://"),
        (TRACKER | {"url": "http://127.0.0.1.example.com"}, "url: got http://; expected https://"),
        (without("fields"), "fields.customers: is missing; expected the field that says which customers"),
        (TRACKER | {"fields": {"customers": "x", "titel": "y"}}, "fields.titel: unknown key; did you mean title?"),
        (without("kinds"), "kinds: is missing; expected the tracker's words for support, security and bug"),
        (TRACKER | {"kinds": {"Bug": "defect"}}, "kinds.Bug: got 'defect'; expected: 'support', 'security' or 'bug'"),
        (TRACKER | {"kinds": {"Case": "support"}}, "severities: is missing, and kinds names support"),
        (TRACKER | {"severities": {"High": 5}}, "severities.High: got 5; expected: less than or equal to 4"),
        (TRACKER | {"customers": {"Acme": "Acme!"}}, "customers.Acme: got 'Acme!'; expected a name of small letters"),
        (TRACKER | {"customers": {"All": "*"}}, "customers: maps to every customer, and no kind to security"),
        (TRACKER | {"table": "incident"}, "table: is set for jira, which has none"),
        (TRACKER | {"kind": "servicenow", "table": "sn_si_incident"}, "open: is missing; which values of the status"),
        (TRACKER | {"kind": "servicenow", "table": "a/../b", "open": ["1"]}, "table: got 'a/../b'; expected the name"),
        (TRACKER | {"timeout_s": 20, "max_age_s": 30}, "timeout_s: got 20; expected at most half of max_age_s (30)"),
        (TRACKER | {"webhook_secret": "short"}, "webhook_secret: is shorter than 16 characters"),
        (TRACKER | HANDOFF, "home_queues: is missing, and handoff is set; expected who holds a ticket there"),
        (TRACKER | HOME | {"handoff": {"fields": {}}}, "handoff.fields: got a table; expected: dictionary should have"),
        (TRACKER | HOME | {"handoff": {"fields": {"a": [float("nan")]}}}, "handoff.fields: holds inf or nan"),
        (TRACKER | HOME | {"handoff": {}}, "handoff.fields: is missing; it has no default"),
        (TRACKER | HOME | HANDOFF | {"kind": "servicenow"}, "handoff.fields.assignee: got a value that is no text"),
        (
            TRACKER | HOME | {"handoff": {"field": {}, "fields": {"a": 1}}},
            "handoff.field: unknown key; did you mean fields?",
        ),
        (PUSHING | HANDOFF, "handoff: is set for a webhook, which is never asked"),
        (PUSHING | {"webhook_secret": ""}, "webhook_secret: is missing; whoever pushes tickets has to sign"),
        (PUSHING | {"url": "https://h"}, "url: is set for a webhook, which is never asked"),
        (PUSHING | {"max_age_s": 5}, "max_age_s: is set for a webhook, which is never asked"),
    ],
)
def test_fault_of_a_tracker_is_one_line(tracker: Document, expected: str) -> None:
    """With the key, what came, and what was expected."""
    [line] = problems(changed(lambda d: d.update(tracker=[tracker])))
    assert line.startswith(f"tracker[0].{expected}")
    assert CANARY not in line


def test_trackers_have_names_and_patterns_of_their_own() -> None:
    """An id belongs to one alone."""
    found = problems(changed(lambda d: d.update(tracker=[TRACKER, TRACKER])))
    assert [line.partition(": ")[0] for line in found] == ["tracker[1].name", "tracker[1].pattern"]


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just({"env": "SECRET"})
)
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(fields_of(Settings))), JUNK)
@settings(max_examples=300)
def test_junk_at_any_key_is_refused_or_taken(key: str, junk: Any) -> None:
    """Nothing but ConfigurationError is raised, and it never shows a secret."""
    document = copy.deepcopy(SMALLEST)
    node: Any = document
    *above, last = key.split(".")
    for part in above:
        node = node.setdefault(part, [{}] if part in ("site", "tracker") else {})
        node = node[0] if isinstance(node, list) else node
    node[last] = junk
    assert CANARY not in told(document)


@given(st.dictionaries(st.sampled_from([*Settings.model_fields, "other"]), JUNK))
@settings(max_examples=150)
def test_junk_document_is_refused(document: Document) -> None:
    """No heap of junk is a configuration, and none breaks the reading."""
    with pytest.raises(ConfigurationError) as refusal:
        read(document, {"SECRET": CANARY})
    assert CANARY not in str(refusal.value)


def test_several_issuers_may_vouch_for_different_people() -> None:
    """One for personnel, one for services, and as many as there are customers."""
    raw = copy.deepcopy(SMALLEST)
    [first] = raw["identity"]["issuer"]
    vouching: tuple[Document, ...] = (
        {"vouches_for": ["personnel"]},
        {"vouches_for": ["service"]},
        {"vouches_for": ["customer"], "customers": ["acme", "globex"]},
        {"vouches_for": ["customer"], "customers": ["*"]},
    )
    raw["identity"]["issuer"] = [
        first | {"issuer": f"https://{number}/"} | says for number, says in enumerate(vouching)
    ]
    assert len(read(raw).identity.issuer) == 4


@pytest.mark.parametrize(
    ("holder", "says"),
    [
        ({"kind": "file"}, "path: is missing; expected a file on another disk"),
        ({"kind": "file", "path": "held", "url": "https://h"}, "url: is set for a holder of kind file"),
        ({"kind": "file", "path": "held", "key": WITNESS["key"]}, "key: is set for a holder of kind file"),
        ({"kind": "http", "url": "https://h", "path": "held"}, "path: is set for a holder of kind http"),
        ({"kind": "http"}, "url: is missing; expected where it answers"),
        ({"kind": "http", "url": "http://127.0.0.1/l"}, "url: got http://; expected https://"),
        ({"kind": "http", "url": "ftp://h"}, "url: got a value that is no usable address"),
        ({"kind": "http", "url": "https://u:p@h"}, "url: holds credentials"),
        ({"kind": "http", "url": "https://h?a=b"}, "url: holds a query or a fragment"),
        ({"kind": "http", "url": {"env": "NONE"}}, "the environment has no NONE"),
        ({"kind": "witness", "url": "https://w"}, "key: is missing; expected the witness's verifier key"),
        (WITNESS | {"key": "no key"}, "key: got 'no key'"),
        (WITNESS | {"credential": {"basic": "a", "bearer": "b"}}, "expected exactly one of"),
        (WITNESS | {"timeout_s": 31}, "timeout_s"),
        ({"kind": "tape", "path": "held"}, "kind: got 'tape'"),
        ({"kind": "file", "path": "held", "name": "state"}, "expected another name"),
        ({"kind": "file", "path": "held", "colour": "red"}, "colour"),
    ],
)
def test_fault_of_a_holder_is_one_line(holder: Document, says: str) -> None:
    """It names the table and the key."""
    found = told(changed(lambda d: d.update(ledger={"holder": [{"name": "away"} | holder]})))
    [line] = found.splitlines()
    assert line.startswith(f"{FILE}: ledger.holder[0]")
    assert says in line


@pytest.mark.parametrize(
    ("feed", "says"),
    [
        ({"kind": "file"}, "path: is missing; expected a file"),
        ({"kind": "file", "path": "f", "url": "https://h"}, "url: is set for a feed of kind file; expected it only"),
        ({"kind": "syslog"}, "addresses: is missing; expected where the receiver listens"),
        ({"kind": "syslog", "addresses": ["logs"]}, "addresses[0]: got 'logs'; expected \"host:port\""),
        ({"kind": "syslog", "addresses": ["l:1"], "tls_key": "k"}, "tls_certificate: is there without tls_key"),
        ({"kind": "http", "url": "https://h"}, "secret: is missing; expected one"),
        ({"kind": "http", "url": "https://h", "secret": CANARY}, "secret: cannot be used; expected whsec_"),
        ({"kind": "http", "url": "http://h", "secret": HOOK["secret"]}, "url: got http://; expected https://"),
        ({"kind": "http", "secret": HOOK["secret"]}, "url: is missing"),
        ({"kind": "kafka", "addresses": ["k:1"], "credential": {"bearer": "b"}}, "credential: is no user:password"),
        ({"kind": "kafka", "addresses": ["k:1"], "tls_server_name": "k"}, "tls_server_name: is set for a feed"),
        (
            {"kind": "nats", "addresses": ["n:1"], "credential": {"header": "X-A", "value": "b"}},
            "credential: is a header; expected basic",
        ),
        (
            {"kind": "nats", "addresses": ["n:1"], "credential": {"bearer": "b"}, "unsafe_plaintext": True},
            "credential: would go over the line in the clear",
        ),
        ({"kind": "nats", "addresses": ["n:1"], "subject": "a b"}, "subject: got 'a b'; expected"),
        ({"kind": "file", "path": "f", "from": "1"}, "from: got '1'; expected: 'now' or 'start'"),
        ({"kind": "file", "path": "f", "format": "entry"}, "format: unknown key; expected one of"),
        ({"kind": "pigeon"}, "kind: got 'pigeon'"),
    ],
)
def test_fault_of_a_feed_is_one_line(feed: Document, says: str) -> None:
    """It names the key, and says what was expected."""
    [line] = told(changed(lambda d: d.update(feed=[{"name": "away"} | feed]))).splitlines()
    assert line.startswith(f"{FILE}: feed[0].{says}")
    assert CANARY not in line


def test_feeds_have_names_and_files_of_their_own() -> None:
    """Two that share one would tread on each other."""
    feed = {"name": "copy", "kind": "file", "path": "f"}
    assert told(changed(lambda d: d.update(feed=[feed, feed | {"name": "b", "path": "g"}]))) == ""
    twice = told(changed(lambda d: d.update(feed=[feed, feed])))
    assert "feed[1].name: got 'copy' a second time" in twice
    assert "feed[1].path: got 'f' a second time" in twice


def test_holders_are_named_once_and_may_be_plain_where_that_is_said() -> None:
    """So that messages say which."""
    plain = {"name": "away", "kind": "http", "url": "http://h/l", "unsafe_plain_http": True}
    assert told(changed(lambda d: d.update(ledger={"holder": [plain, WITNESS | {"name": "w"}]}))) == ""
    twice = told(changed(lambda d: d.update(ledger={"holder": [plain, WITNESS | {"name": "away"}]})))
    assert "ledger.holder[1].name: got 'away' a second time" in twice


@pytest.mark.parametrize(
    ("keys", "beside"),
    [
        ("state/keys.db", "ledger.path"),
        ("state/keys/keys.db", "ledger.path"),
        ("./keys/../state/keys.db", "ledger.path"),
        ("other/keys.db", "state.url"),
    ],
)
def test_keys_of_pseudonyms_beside_what_is_backed_up_are_refused(keys: str, beside: str) -> None:
    """A key in a backup is not destroyed."""
    on = {"pseudonymise": True, "subject_keys": keys}
    found = told(changed(lambda d: d.update(ledger=on, state={"url": "sqlite:///other/gateway.db"})))
    assert f"ledger.subject_keys: is in the directory of {beside}, and would be in its backups" in found
    assert told(changed(lambda d: d.update(ledger=on | {"pseudonymise": False}))) == ""


@pytest.mark.parametrize("ledger", [{}, {"path": "ledger.db"}, {"subject_keys": "/srv/keys/k.db"}])
def test_keys_of_pseudonyms_apart_are_sound(ledger: Document) -> None:
    """As they are unless a path is given, too."""
    assert told(changed(lambda d: d.update(ledger={"pseudonymise": True} | ledger))) == ""


def test_ledger_is_called_after_its_node() -> None:
    """Unless it has a name."""
    assert read(SMALLEST).ledger_origin == "gateway-1/ledger"
    assert read(changed(lambda d: d.update(ledger={"origin": "acme/audit"}))).ledger_origin == "acme/audit"


@pytest.mark.parametrize(
    ("scheme", "refused"), [("ftps", False), ("ftpes", False), ("https", False), ("ftp", True), ("http", True)]
)
def test_files_for_tls_go_with_a_url_that_is_spoken_tls_to(tmp_path: Path, scheme: str, refused: bool) -> None:
    """Sites over FTP with TLS, too."""
    (tmp_path / "ca.pem").write_text("")
    store = {"url": f"{scheme}://h/", "tls_ca": str(tmp_path / "ca.pem"), "tls_server_name": "files.example"}
    said = told(changed(lambda d: d["store"][0].update(store)))
    assert ("tls_ca: is set for a store that is not spoken TLS to" in said) is refused
    assert ("tls_server_name: is set for a store that is not spoken TLS to" in said) is refused
