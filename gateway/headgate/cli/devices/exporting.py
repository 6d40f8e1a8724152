"""A site's devices as the list that `import` reads: every column that any device needs."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.cli.devices.entries import text_of
from headgate.cli.devices.headings import NAMES
from headgate.config import Site
from headgate.config.decode import fields_of
from headgate.config.field import Device
from headgate.messages import Language

_ALWAYS = ("id", "name", "channel", "channel_url", "address", "profile", "firmware", "interval")
_GROUPS = {"label": ("label", "标签"), "param": ("param", "参数")}


def rows_of(site: Site, language: Language) -> tuple[list[str], list[list[str]]]:
    """Headings in the reader's language, and one row per device in the order of the site."""
    defaults = {name: field.default for name, field in fields_of(Device).items()}
    rare = [
        name
        for name in defaults
        if name not in (*_ALWAYS, "labels", "params")
        and any(getattr(device, name) != defaults[name] for device in site.device)
    ]
    labels = sorted({name for device in site.device for name in device.labels})
    params = sorted({name for device in site.device for name in device.params})
    chinese = language == "zh"
    headings = [NAMES[name][0] if chinese and name in NAMES else name for name in (*_ALWAYS, *rare)]
    headings += [f"{_GROUPS['label'][chinese]}.{name}" for name in labels]
    headings += [f"{_GROUPS['param'][chinese]}.{name}" for name in params]
    return headings, [_row(site, device, rare, labels, params) for device in site.device]


def _row(
    site: Site, device: Device, rare: Sequence[str], labels: Sequence[str], params: Sequence[str]
) -> list[str]:
    url = str(site.channels[device.channel].url)
    row = [
        url if name == "channel_url" else text_of(getattr(device, name))
        for name in (*_ALWAYS, *rare)
    ]
    row += [device.labels.get(name, "") for name in labels]
    return row + [text_of(device.params.get(name)) for name in params]
