"""Risk: a ledger on a network file system is taken for a local one, and rows are lost; or the other way round."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelmux.store.mounts import network_type, type_of

MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/sdb1 /home/ann/local\\040disk xfs rw 0 0
//server/share /mnt/share cifs rw 0 0
/dev/sdc1 /srv ext4 rw 0 0
server:/srv /srv nfs rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("path", "type"),
    [
        ("/var/lib/modelmux/accounts.db", "ext4"),
        ("/home/ann/accounts.db", "nfs4"),
        ("/home", "nfs4"),
        ("/homes/x", "ext4"),
        ("/home/ann/local disk/accounts.db", "xfs"),
        ("/mnt/share/a/b.db", "cifs"),
        ("/srv/x.db", "nfs"),
    ],
)
def test_the_mount_nearest_to_the_path_decides(path: str, type: str) -> None:
    assert type_of(path, MOUNTS) == type
    assert type_of(path, "") is None


def test_only_network_file_systems_are_named(tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    assert network_type(tmp_path, table) is None, "there is no table"
    table.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path}/net nfs rw 0 0\n")
    assert network_type(tmp_path / "accounts.db", table) is None
    assert network_type(tmp_path / "net" / "accounts.db", table) == "nfs"
    (tmp_path / "link").symlink_to(tmp_path / "net")
    assert network_type(tmp_path / "link" / "accounts.db", table) == "nfs"
