"""A dead unit replaced: what the site says of the new one. Its id, and with it number and history, stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from headgate.cli.devices.checked import verdict
from headgate.cli.devices.entries import ordered
from headgate.cli.devices.importing import site_of
from headgate.cli.devices.owned import entries_of, is_owned, page
from headgate.config import Site
from headgate.config.field import Device
from headgate.config.files import Document, read_documents
from headgate.env import Env
from headgate.errors import ConfigError, HeadgateError
from headgate.runtime.roster import nearest


class Replacement(msgspec.Struct, frozen=True):
    """What to write, or, in a file of a person's, what to edit: `keys` at `where`."""

    device: Device
    path: Path
    owned: bool
    where: str
    keys: Mapping[str, str]
    data: bytes = b""


def plan_replacement(
    env: Env,
    main: Path,
    device_id: str,
    *,
    serial: str,
    firmware: str | None,
    profile: str | None,
    profiles: Sequence[Path] = (),
) -> Replacement:
    """What changes in which file, checked when a machine owns it.

    Raises:
        ConfigError: the site has mistakes, or would have some with the new unit.
        HeadgateError: there is no such device.
    """
    site = site_of(env, main, profiles)
    device = site.devices.get(device_id)
    if device is None:
        near = nearest(device_id, site.devices)
        raise HeadgateError("no device", code="HG-9120", device=device_id, nearest=near)
    wanted = {"labels.serial": serial, "firmware": firmware, "profile": profile}
    now = {
        "labels.serial": device.labels.get("serial"),
        "firmware": device.firmware,
        "profile": device.profile,
    }
    keys = {key: value for key, value in wanted.items() if value is not None and value != now[key]}
    path, where = _place(env, main, site, device_id)
    data = env.files.read(path)
    if not is_owned(data):
        return Replacement(device, path, False, where, keys)
    channels, devices = entries_of(data)
    entry = {**devices[device_id]}
    for key, value in keys.items():
        if key == "labels.serial":
            entry["labels"] = {**entry.get("labels", {}), "serial": value}
        else:
            entry[key] = value
    made = page(channels, {**devices, device_id: ordered(entry)}).text.encode()
    said = verdict(env, main, profiles, path, made)
    if said.errors:
        raise ConfigError(said.errors)
    return Replacement(device, path, True, where, keys, made)


def _place(env: Env, main: Path, site: Site, device_id: str) -> tuple[Path, str]:
    documents: list[Document]
    documents, _ = read_documents(env, main)
    for document in documents:
        for index, entry in enumerate(document.data.get("device", ())):
            if entry.get("id") == device_id:
                return main.parent / document.shown, document.where(("device", index))
    raise HeadgateError("gone meanwhile", code="HG-9120", device=device_id, nearest="")
