"""From the files of a site to one `Site`, or to every mistake in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from headgate.config.check import Known, Places, check
from headgate.config.decode import (
    WRONG,
    decode,
    decode_struct,
    expected_name,
    fields_of,
    type_name,
    unknown_key,
    unwrap,
)
from headgate.config.files import Document, main_file, read_documents
from headgate.config.lines import Key
from headgate.config.site import SCHEMA, Site
from headgate.env import Env
from headgate.errors import ConfigError, Problem
from headgate.messages import severity


class Loaded(msgspec.Struct, frozen=True):
    """What was read: the site when nothing but warnings stood in the way, and all problems.

    `partial` is the site without what could not be read, for further checks: all mistakes are told
    together. None when not even its gateway could be read.
    """

    site: Site | None
    problems: tuple[Problem, ...]
    partial: Site | None = None

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that make the site unusable."""
        return tuple(p for p in self.problems if severity(p.code) == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems that do not."""
        return tuple(p for p in self.problems if severity(p.code) != "error")


def load(env: Env, path: Path, known: Known | Callable[[Site], Known] | None = None) -> Site:
    """The site in a folder or file.

    `path` is a folder with `site.toml`, or a `.toml` file. `known` is what is installed; what it does
    not name is not checked. A function is given the site, whose [plugins] table says what may be used.

    Raises:
        ConfigError: with every mistake found, in the order of the files.
    """
    loaded = examine(env, path, known)
    if loaded.site is None:
        raise ConfigError(loaded.errors)
    return loaded.site


def examine(env: Env, path: Path, known: Known | Callable[[Site], Known] | None = None) -> Loaded:
    """As `load`, but gives the warnings too and does not raise."""
    main = main_file(path)
    documents, problems = read_documents(env, main)
    complete = not problems
    merge = _Merge(problems)
    for position, document in enumerate(documents):
        merge.add(document, position == 0 and document.shown == main.name)
    # What is missing because a file could not be read is not the person's mistake.
    if complete and merge.judged:
        merge.finish(documents[0])
    site: Site | None = None
    if merge.gateway is not None:
        lists = {name: tuple(parts) for name, parts in merge.lists.items()}
        site = Site(**{**merge.tables, **lists, "base": str(main.parent)})
        installed = known(site) if callable(known) else known or Known()
        # What refers to something in a part that is wrong would be reported twice.
        problems.extend(check(site, merge.places, installed, complete and merge.whole))
    usable = (
        site is not None and merge.whole and not any(severity(p.code) == "error" for p in problems)
    )
    return Loaded(site if usable else None, tuple(problems), site)


class _Merge:
    """Collects the tables and list entries of all files; each is decoded where it stands."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        self.whole = True
        self.judged = True
        self.tables: dict[str, Any] = {}
        self.lists: dict[str, list[Any]] = {
            name: [] for name, f in fields_of(Site).items() if _is_list(f.annotation)
        }
        self.places: Places = {}
        self._given: dict[str, str] = {}

    @property
    def gateway(self) -> Any:
        return self.tables.get("gateway")

    def add(self, document: Document, is_main: bool) -> None:
        def report(at: Key, code: str, **fields: str | int | float) -> None:
            self.problems.append(Problem(document.where(at), code, fields))

        schema = document.data.get("schema", None if is_main else SCHEMA)
        if schema is None:
            report((), "HG-1102", key="schema", expected=f"schema = {SCHEMA}")
        elif type(schema) is not int or schema != SCHEMA:
            # Another layout: what follows would be noise.
            report(("schema",), "HG-1009", found=type_name(schema), known=SCHEMA)
            self.whole = self.judged = False
            return
        self.whole = self.whole and schema is not None
        known = [name for name, field in fields_of(Site).items() if not field.hidden]
        for key, value in document.data.items():
            if key == "schema":
                continue
            if key not in known:
                unknown_key(key, known, (), report)
                self.whole = False
            elif key in self.lists:
                self._add_list(document, key, value, report)
            else:
                self._add_table(document, key, value, report)

    def _add_table(self, document: Document, key: str, value: Any, report: Any) -> None:
        first = self._given.get(key)
        if first is not None:
            report((key,), "HG-1010", key=key, first=first)
            self.whole = False
            return
        self._given[key] = document.shown
        self.places[key, 0] = (document, (key,))
        made = decode(fields_of(Site)[key].annotation, value, (key,), report)
        if made is WRONG:
            self.whole = False
        else:
            self.tables[key] = made

    def _add_list(self, document: Document, key: str, value: Any, report: Any) -> None:
        if not isinstance(value, list):
            report((key,), "HG-1103", expected=f"[[{key}]]", found=type_name(value))
            self.whole = False
            return
        base, _ = unwrap(fields_of(Site)[key].annotation)
        for index, part in enumerate(value):
            made = decode_struct(base.__args__[0], part, (key, index), report)
            if made is WRONG:
                self.whole = False
                continue
            self.places[key, len(self.lists[key])] = (document, (key, index))
            self.lists[key].append(made)

    def finish(self, main: Document) -> None:
        for name, field in fields_of(Site).items():
            if field.required and name not in self._given:
                problem = Problem(
                    main.where(()),
                    "HG-1102",
                    {"key": name, "expected": f"[{name}] {expected_name(field.annotation)}"},
                )
                self.problems.append(problem)
                self.whole = False


def _is_list(annotation: Any) -> bool:
    base, _ = unwrap(annotation)
    return getattr(base, "__origin__", None) is tuple
