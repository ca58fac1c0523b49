"""Real clients at the SFTP door: what customers and personnel use."""

from __future__ import annotations

import base64
import hashlib
import os

import asyncssh
import pytest

from tests.integration.transfer.conftest import require
from tests.world.sftp import OpenSsh, Sftp
from tests.world.transfer import PASSWORD

SIZE = 3_000_017


async def test_openssh_stores_lists_fetches_renames_and_removes(door: Sftp, openssh: OpenSsh) -> None:
    """The everyday of OpenSSH's sftp, and the record of it."""
    data = os.urandom(SIZE)
    (openssh.directory / "up").write_bytes(data)
    everyday = ("pwd", "mkdir in", "cd in", "put -p up", "ls -l", "get up down", "rename up done", "ls", "rm done")
    status, said = await openssh.sftp(*everyday, "cd ..", "rmdir in")
    assert status == 0, said
    assert "Remote working directory: /" in said
    assert f"{SIZE}" in said
    assert (openssh.directory / "down").read_bytes() == data
    assert not any(door.root.iterdir())
    done = [(entry["method"], entry["path"]) for entry in door.entries() if entry["method"] != "STAT"]
    assert done == [
        ("MKD", "/uploads/acme/in"),
        ("STOR", "/uploads/acme/in/up"),
        ("LIST", "/uploads/acme/in"),
        ("RETR", "/uploads/acme/in/up"),
        ("RNFR", "/uploads/acme/in/up"),
        ("RNTO", "/uploads/acme/in/done"),
        ("LIST", "/uploads/acme/in"),
        ("DELE", "/uploads/acme/in/done"),
        ("RMD", "/uploads/acme/in"),
    ]
    assert {entry["door"] for entry in door.entries()} == {"sftp"}
    files = [entry for entry in door.entries("completion") if "sha256" in entry]
    assert [(entry["bytes_in"], entry["bytes"], entry["outcome"]) for entry in files] == [
        (SIZE, 0, "whole"),
        (0, SIZE, "whole"),
    ]
    assert {entry["sha256"] for entry in files} == {hashlib.sha256(data).hexdigest()}


async def test_openssh_goes_on_where_a_transfer_stopped(door: Sftp, openssh: OpenSsh) -> None:
    """``reput`` and ``reget``: an upload that broke off stays, as what goes on; the other half of a file is fetched."""
    data = os.urandom(SIZE)
    (openssh.directory / "up").write_bytes(data)
    session, half = openssh.directory / "half", data[: SIZE // 2]
    session.write_bytes(half)
    async with await door.connect() as connection, connection.start_sftp_client() as client:
        file = await client.open("/up", "wb")
        await file.write(half)
        connection.abort()
        await connection.wait_closed()
    assert not (door.root / "up").exists()
    status, said = await openssh.sftp("reput up", "reget up half")
    assert status == 0, said
    assert (door.root / "up").read_bytes() == data
    assert session.read_bytes() == data
    offsets = [(entry["offset"], entry["outcome"]) for entry in door.entries("completion") if "sha256" in entry]
    assert (len(half), "whole") in offsets


async def test_openssh_signs_in_with_a_key_and_with_a_certificate(door: Sftp, openssh: OpenSsh) -> None:
    """What the door is shown is what the signing-in is asked about: the line of the key, or of the certificate."""
    key, authority = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    identity = openssh.directory / "id"
    key.write_private_key(identity)
    identity.chmod(0o600)
    options = (f"-oIdentityFile={identity}", "-oPasswordAuthentication=no")
    door.everybody.keys["acme"] = " ".join(key.export_public_key().decode().split()[:2])
    status, said = await openssh.sftp("ls", options=options)
    assert status == 0, said
    certificate = authority.generate_user_certificate(key, "pass-1", principals=["acme"])
    line = certificate.export_certificate().decode()
    (openssh.directory / "id-cert.pub").write_text(line)
    door.everybody.keys["acme"] = " ".join(line.split()[:2])
    status, said = await openssh.sftp("ls", options=options)
    assert status == 0, said
    assert door.everybody.tries[-1][3:] == ("127.0.0.1", door.everybody.keys["acme"])
    door.everybody.keys.clear()
    status, said = await openssh.sftp("ls", options=options)
    assert status == 255
    assert "Permission denied" in said


async def test_whoever_may_not_is_told_why_and_recorded(door: Sftp, openssh: OpenSsh) -> None:
    """An analyst abroad fetches what customers uploaded (rule ``ftp-upload``), and neither stores nor removes."""
    (door.root / "file").write_bytes(b"x")
    openssh.user = "raj"
    for command, status in (("get file got", 0), ("put got file", 1), ("rm file", 1), ("rename file other", 1)):
        answered, said = await openssh.sftp(command)
        assert answered == status, said
        assert ("ermission denied" in said) == bool(status), said
    assert (openssh.directory / "got").read_bytes() == b"x"
    assert [path.name for path in door.root.iterdir()] == ["file"]
    judged = [(entry["method"], entry["effect"]) for entry in door.entries() if entry["method"] != "STAT"]
    assert judged == [("RETR", "permit"), ("STOR", "deny"), ("DELE", "deny"), ("RNFR", "deny")]


async def test_lftp_mirrors_both_ways_and_in_parallel(door: Sftp, openssh: OpenSsh) -> None:
    """A tree up, and down again, several files at a time."""
    require("lftp")
    tree = openssh.directory / "tree"
    (tree / "sub").mkdir(parents=True)
    files = {name: os.urandom(size) for name, size in {"a": 0, "b c": 1, "sub/d": 700_001, "é": 40_000}.items()}
    for name, data in files.items():
        (tree / name).write_bytes(data)
    ssh = f"ssh -a -x -F /dev/null -oUserKnownHostsFile={openssh.known_hosts} -oGlobalKnownHostsFile=/dev/null"
    script = (
        f"set sftp:connect-program '{ssh} -oStrictHostKeyChecking=yes'; set net:max-retries 1; set cmd:fail-exit yes;"
        f"open -u acme,'{PASSWORD}' -p {door.port} sftp://127.0.0.1; mirror -R --parallel=3 tree up;"
        "mirror --parallel=3 up back; put -O up -c tree/a; cls -l up; mv up/a up/z; rm up/z"
    )
    status, said = await openssh.run("lftp", "--norc", "-c", script)
    assert status == 0, said
    back = openssh.directory / "back"
    assert {str(path.relative_to(back)): path.read_bytes() for path in back.rglob("*") if path.is_file()} == files


async def test_curl_stores_fetches_and_goes_on(door: Sftp, openssh: OpenSsh) -> None:
    """libssh2, whose older versions know neither GCM nor the strict exchange."""
    require("curl")
    status, said = await openssh.run("curl", "--version")
    if "sftp" not in said:
        pytest.skip("this curl speaks no SFTP")
    data = os.urandom(SIZE)
    (openssh.directory / "up").write_bytes(data)
    digest = hashlib.sha256(asyncssh.import_public_key(door.host_key).public_data).digest()
    show = base64.b64encode(digest).decode().rstrip("=")
    program = ("curl", "-sS", "--hostpubsha256", show, "-u", f"acme:{PASSWORD}")
    url = f"sftp://127.0.0.1:{door.port}/"
    status, said = await openssh.run(*program, "-T", "up", url + "file")
    assert status == 0, said
    assert (door.root / "file").read_bytes() == data
    status, said = await openssh.run(*program, "-o", "down", url + "file")
    assert status == 0, said
    (openssh.directory / "part").write_bytes(data[:1_000])
    status, said = await openssh.run(*program, "-C", "1000", "-o", "part", url + "file")
    assert status == 0, said
    assert (openssh.directory / "down").read_bytes() == (openssh.directory / "part").read_bytes() == data
    status, said = await openssh.run(*program, url)
    assert status == 0, said
    assert f"{SIZE}" in said
    outcomes = [entry["outcome"] for entry in door.entries("completion") if entry.get("sha256") and entry["bytes"]]
    assert outcomes[0] == "whole", "whoever knows the size does not read the end"
