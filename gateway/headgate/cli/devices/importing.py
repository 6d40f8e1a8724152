"""From a list to one whole machine-owned file, checked as a whole before a byte of it is written.

result = plan_import(env, main, table, name, partial=False, prune=False)
result.write(env)          # nothing when nothing changed
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from headgate.cli.devices.checked import verdict
from headgate.cli.devices.entries import Wish, ordered, text_of, wish_of
from headgate.cli.devices.headings import columns_of
from headgate.cli.devices.owned import Entry, Page, entries_of, file_for, is_owned, page
from headgate.cli.devices.table import Table
from headgate.config import Site, Url
from headgate.env import Env
from headgate.errors import ConfigError, HeadgateError, Problem
from headgate.messages import severity

_NAMED = re.compile(r'device "([^"]+)"')
# A problem may stand at its entry's line and name the key only in words: `device[3].params.datum`.
_SPELT = re.compile(r"\]\.(?:(param|label)s\.)?([^.:]+)$")


class Outcome(msgspec.Struct, frozen=True):
    """What an import amounts to. `gone`: known from earlier, no longer in the list, kept.

    `elsewhere` stand the same in a file that is not ours; `left_out` are rows with a mistake.
    """

    path: Path
    data: bytes
    before: bytes
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    gone: tuple[str, ...]
    elsewhere: tuple[str, ...]
    left_out: tuple[int, ...]
    unchanged: int
    problems: tuple[Problem, ...]

    @property
    def news(self) -> bool:
        """Whether there is anything to write."""
        return self.data != self.before

    def write(self, env: Env) -> None:
        """Put the file in its place, whole or not at all. Raises HeadgateError."""
        if self.news:
            put(env, self.path, self.data)


def put(env: Env, path: Path, data: bytes) -> None:
    """Write a machine-owned file, whole or not at all. Raises HeadgateError."""
    try:
        env.files.make_folder(path.parent)
        env.files.replace(path, data, 0o644)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise HeadgateError(
            f"{path}: {reason}", code="HG-9004", path=str(path), reason=reason
        ) from None


def owned_bytes(env: Env, path: Path) -> bytes:
    """What a machine wrote there; nothing when there is no such file. Raises HeadgateError: a person did."""
    if env.files.size(path) is None:
        return b""
    data = env.files.read(path)
    if not is_owned(data):
        raise HeadgateError(f"{path} is not ours", code="HG-9217", path=str(path))
    return data


def plan_import(
    env: Env,
    main: Path,
    table: Table,
    name: str,
    *,
    profiles: Sequence[Path] = (),
    partial: bool = False,
    prune: bool = False,
) -> Outcome:
    """What the site would be with this list in it.

    Raises:
        ConfigError: rows with mistakes (all of them), or a site that has some of its own.
        HeadgateError: the file of that name was written by a person.
    """
    return _Import(env, main, table, name, profiles).outcome(partial, prune)


class _Import:
    def __init__(
        self, env: Env, main: Path, table: Table, name: str, profiles: Sequence[Path]
    ) -> None:
        self.env, self.main, self.table, self.profiles = env, main, table, profiles
        self.path = file_for(main, name)
        self.shown = f"{self.path.parent.name}/{self.path.name}"
        self.before = owned_bytes(env, self.path)
        self.old_channels: Mapping[str, Entry] = {}
        self.old: Mapping[str, Entry] = {}
        if self.before:
            try:
                self.old_channels, self.old = entries_of(self.before)
            except ValueError:
                # Not repaired by guessing: the list is at hand, the file is only its copy.
                raise HeadgateError("damaged", code="HG-9218", path=str(self.path)) from None
        now = verdict(env, main, profiles)
        others = [p for p in now.errors if not self._ours(p)]
        if others:
            raise ConfigError(others)
        self.site, self.library = now.site, now.library
        self.bad: list[Problem] = []
        self.columns = columns_of(table, self.bad)
        if self.bad:
            raise ConfigError(self.bad)
        self.column_of = {key: column for column, key in self.columns.items()}
        self.left_out: set[int] = set()
        self.elsewhere: list[str] = []
        self.lines: dict[str, int] = {}
        self.wishes = self._wishes()

    # ------------------------------------------------------------ rows

    def _wishes(self) -> dict[str, Wish]:
        wishes: dict[str, Wish] = {}
        for row in self.table.rows:
            wish = wish_of(self.table, row, self.columns, self.library, self.bad)
            if wish is None:
                self.left_out.add(row.line)
            elif wish.id in self.lines:
                first = self.table.where(self.lines[wish.id])
                self._refuse(wish, "id", "HG-9215", device=wish.id, first=first)
            else:
                self.lines[wish.id] = wish.line
                wishes[wish.id] = wish
        return {name: wish for name, wish in wishes.items() if not self._stands_elsewhere(wish)}

    def _stands_elsewhere(self, wish: Wish) -> bool:
        """Whether a file that is not ours has this device: fine when it says the same."""
        device = None if self.site is None else self.site.devices.get(wish.id)
        if self.site is None or device is None or wish.id in self.old:
            return False
        said = {key: text_of(getattr(device, key)) for key in wish.keys}
        said |= {f"label.{key}": text_of(device.labels.get(key)) for key in wish.labels}
        said |= {f"param.{key}": text_of(device.params.get(key)) for key in wish.params}
        wanted = {key: text_of(value) for key, value in wish.keys.items()}
        wanted |= {f"label.{key}": text_of(value) for key, value in wish.labels.items()}
        wanted |= {f"param.{key}": text_of(value) for key, value in wish.params.items()}
        if wish.url:
            said["channel_url"] = str(self.site.channels[device.channel].url)
            wanted["channel_url"] = wish.url
            wanted["channel"] = wanted.get("channel") or device.channel
            said["channel"] = device.channel
        # An empty cell asks for nothing here: the file may say what the default is.
        differs = next((key for key, text in wanted.items() if text and text != said[key]), None)
        if differs is None:
            self.elsewhere.append(wish.id)
        else:
            self._refuse(
                wish, differs, "HG-9216",
                device=wish.id, key=differs, value=wanted[differs], have=said[differs],
            )  # fmt: skip
        return True

    def _refuse(self, wish: Wish, column: str, code: str, /, **fields: str | int | float) -> None:
        where = self.table.where(wish.line, self.column_of.get(column))
        self.bad.append(Problem(where, code, fields))
        self.left_out.add(wish.line)

    # ------------------------------------------------------------ channels

    def _channels(self, wishes: Mapping[str, Wish]) -> tuple[dict[str, Entry], dict[str, str]]:
        """The channels of our file before unused ones are dropped, and the channel of each device."""
        theirs = {} if self.site is None else {
            name: str(channel.url)
            for name, channel in self.site.channels.items()
            if name not in self.old_channels
        }  # fmt: skip
        ours: dict[str, dict[str, Any]] = {k: dict(v) for k, v in self.old_channels.items()}
        named: dict[str, Wish] = {}
        used: dict[str, str] = {}
        for wish in wishes.values():
            name = wish.keys.get("channel")
            if not name or not wish.url:
                continue
            if name in theirs:
                if _same_url(theirs[name], wish.url):
                    continue
                self._refuse(
                    wish, "channel_url", "HG-9219",
                    channel=name, have=theirs[name], value=wish.url,
                )  # fmt: skip
            elif name in named and not _same_url(named[name].url, wish.url):
                first = self.table.where(named[name].line, self.column_of.get("channel_url"))
                self._refuse(
                    wish, "channel_url", "HG-9220", channel=name, value=wish.url, first=first
                )
            else:
                named.setdefault(name, wish)
                ours[name] = {**ours.get(name, {}), "id": name, "url": wish.url}
        by_url = {_spelled(url): name for name, url in theirs.items()}
        by_url |= {_spelled(str(entry.get("url", ""))): name for name, entry in ours.items()}
        # By URL, not by row: the same names come out however the list is sorted.
        for wish in sorted(wishes.values(), key=lambda w: (w.url, w.id)):
            if wish.keys.get("channel"):
                used[wish.id] = str(wish.keys["channel"])
            elif wish.url:
                url = _spelled(wish.url)
                if url not in by_url:
                    by_url[url] = _channel_id(wish.url, {*theirs, *ours})
                    ours[by_url[url]] = {"id": by_url[url], "url": wish.url}
                used[wish.id] = by_url[url]
        return dict(ours), used

    # ------------------------------------------------------------ the whole

    def outcome(self, partial: bool, prune: bool) -> Outcome:
        kept = {} if prune else {k: v for k, v in self.old.items() if k not in self.lines}
        wishes = dict(self.wishes)
        while True:
            channels, used = self._channels(wishes)
            wishes = {n: w for n, w in wishes.items() if w.line not in self.left_out}
            devices = dict(kept)
            devices |= {n: self.old[n] for n in self.old if n in self.lines and n not in wishes}
            for name, wish in wishes.items():
                channel = {"channel": used[name]} if name in used else {}
                devices[name] = ordered(wish.over(self.old.get(name, {})) | channel)
            needed = {str(entry.get("channel")) for entry in devices.values()}
            if self.site is not None:
                needed |= {d.channel for d in self.site.device if d.id not in self.old}
            channels = {name: entry for name, entry in channels.items() if name in needed}
            made = page(channels, devices)
            said = verdict(self.env, self.main, self.profiles, self.path, made.text.encode())
            rows = self._rows(said.problems, made, devices)
            errors = [p for p, _ in rows if severity(p.code) == "error"]
            found = {name for p, names in rows if severity(p.code) == "error" for name in names}
            guilty = {name for name in found if name in wishes}
            if errors and (not partial or not guilty):
                raise ConfigError([*self.bad, *errors])
            if not errors:
                break
            self.bad += errors
            self.left_out |= {wishes[name].line for name in guilty}
            wishes = {n: w for n, w in wishes.items() if n not in guilty}
        if self.bad and not partial:
            raise ConfigError(self.bad)
        return self._outcome(made, devices, kept, [p for p, names in rows if names])

    def _outcome(
        self,
        made: Page,
        devices: Mapping[str, Entry],
        kept: Mapping[str, Entry],
        warnings: Iterable[Problem],
    ) -> Outcome:
        data = made.text.encode()
        if not devices and not self.before:
            data = b""  # nothing to say, and no file yet
        both = [name for name in devices if name in self.old]
        changed = tuple(name for name in sorted(both) if devices[name] != self.old[name])
        return Outcome(
            self.path, data, self.before,
            added=tuple(sorted(name for name in devices if name not in self.old)),
            changed=changed,
            removed=tuple(sorted(name for name in self.old if name not in devices)),
            gone=tuple(sorted(kept)),
            elsewhere=tuple(self.elsewhere),
            left_out=tuple(sorted(self.left_out)),
            unchanged=len(both) - len(changed),
            problems=(*self.bad, *warnings),
        )  # fmt: skip

    # ------------------------------------------------------------ from the file back to the list

    def _ours(self, problem: Problem) -> bool:
        return problem.where.startswith((f"{self.shown}:", f"{self.shown} ")) or (
            problem.where == self.shown
        )

    def _rows(
        self, problems: Iterable[Problem], made: Page, devices: Mapping[str, Entry]
    ) -> list[tuple[Problem, set[str]]]:
        """Each problem at its place in the list, with the devices whose rows it is about."""
        found: list[tuple[Problem, set[str]]] = []
        for problem in problems:
            names, key = self._place(problem, made, devices)
            mine = names & set(self.lines)
            fields = {name: self._listed(value, made) for name, value in problem.fields.items()}
            where = problem.where
            if mine:
                first = min(mine, key=lambda name: self.lines[name])
                where = self.table.where(self.lines[first], self.column_of.get(key))
            found.append((Problem(where, problem.code, fields), mine))
        return found

    def _place(
        self, problem: Problem, made: Page, devices: Mapping[str, Entry]
    ) -> tuple[set[str], str]:
        at = re.match(rf"{re.escape(self.shown)}:(\d+)", problem.where)
        kind, name, key = made.places.get(int(at[1]), ("", "", "")) if at else ("", "", "")
        if kind == "channel":
            users = {n for n, entry in devices.items() if entry.get("channel") == name}
            return users, "channel_url" if key == "url" else "channel"
        if kind == "device":
            spelt = _SPELT.search(problem.where)
            if not key and spelt:
                key = f"{spelt[1]}.{spelt[2]}" if spelt[1] else spelt[2]
            return {name}, key
        told = _NAMED.search(problem.where)
        mine = {str(problem.fields.get(word)) for word in ("device", "other", "id")}
        return ({told[1]} if told else mine) & set(devices), ""

    def _listed(self, value: str | int | float, made: Page) -> str | int | float:
        """A place of our file, as another problem names it, in the list's words."""
        at = re.match(rf"{re.escape(self.shown)}:(\d+)", value) if isinstance(value, str) else None
        _, name, _ = made.places.get(int(at[1]), ("", "", "")) if at else ("", "", "")
        return self.table.where(self.lines[name]) if name in self.lines else value


def _spelled(url: str) -> str:
    try:
        return str(Url.parse(url))
    except ValueError:
        return url  # the check says what is wrong with it


def _same_url(one: str, other: str) -> bool:
    return _spelled(one) == _spelled(other)


def _channel_id(url: str, taken: set[str]) -> str:
    """`modbus+tcp://10.0.3.21:502` is `10.0.3.21-502`, `...///dev/ttyS1` is `ttys1`."""
    rest = url.partition("://")[2].partition("?")[0]
    rest = rest.rpartition("/")[2] if rest.startswith("/") else rest
    base = re.sub(r"[^a-z0-9.]+", "-", rest.casefold()).strip("-.")[:58] or "line"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def site_of(env: Env, main: Path, profiles: Sequence[Path]) -> Site:
    """The site as it stands. Raises ConfigError with every mistake in it."""
    now = verdict(env, main, profiles)
    if now.site is None:
        raise ConfigError(now.errors)
    return now.site
