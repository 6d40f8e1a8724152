"""Install, upgrade in place, and take off again. State and site are never touched but by `purge`.

A version is built beside the one in use, tried with `headgate check`, and only then becomes `current`
by one rename. Where the service then does not come up, the rename is undone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from headgate.cli.install.layout import COMMAND, RUN, SITE, STATE, SYSTEM_FILES, UNIT, Layout
from headgate.cli.install.wheels import Run, build, checks, settle
from headgate.errors import HeadgateError

#: Tells a person of one step: a code of the catalogue and its fields.
Tell = Callable[..., None]
SERVICE = UNIT.name


class Installation:
    """Puts Headgate into a layout. `do` runs programs; nothing else here leaves the process."""

    def __init__(self, layout: Layout, do: Run, tell: Tell) -> None:
        self._layout, self._do, self._tell = layout, do, tell

    def install(self, wheelhouse: Path, extras: str, python: str) -> None:
        """Install, or upgrade what is there.

        Raises:
            HeadgateError: it did not work; what was installed before is in use as before.
        """
        layout = self._layout
        before = layout.in_use()
        made = build(layout, wheelhouse, extras, python, self._do)
        try:
            self._try(made, before)
            if layout.staged:
                settle(made, layout)
            self._files()
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        _point(layout.current, made.name)
        self._live(before, made)
        for old in layout.versions.iterdir():
            # The one before stays: `current` can be pointed back at it by hand.
            if old not in (made, before):
                shutil.rmtree(old, ignore_errors=True)
        self._tell("HG-9260", version=made.name, prefix=layout.prefix)

    def uninstall(self, *, purge: bool) -> None:
        """Take everything off but site, state and account; those too with `purge`."""
        layout = self._layout
        if not layout.staged:
            self._do(["systemctl", "disable", "--now", SERVICE])
        for path in (*(layout.at(p) for p in SYSTEM_FILES), layout.current):
            path.unlink(missing_ok=True)
        command = layout.at(COMMAND)
        if command.is_symlink():
            command.unlink()
        shutil.rmtree(layout.versions, ignore_errors=True)
        _remove_empty(layout.at(layout.prefix))
        if not layout.staged:
            self._do(["systemctl", "daemon-reload"])
        if not purge:
            self._tell("HG-9263", site=SITE, state=STATE)
            return
        for path in (SITE, STATE, RUN):
            shutil.rmtree(layout.at(path), ignore_errors=True)
        if not layout.staged:
            self._do(["userdel", "headgate"])
        self._tell("HG-9264")

    # ------------------------------------------------------------ one by one

    def _try(self, made: Path, before: Path | None) -> None:
        site = self._layout.at(SITE)
        now = checks(made, site, self._do)
        # A site with mistakes is no reason against a version, unless the one in use finds none.
        worse = now is False and before is not None and checks(before, site, self._do) is True
        if now is None or worse:
            kept = before.name if before else "-"
            code = "HG-9254" if now is None else "HG-9255"
            raise HeadgateError("does not check", code=code, version=made.name, kept=kept)
        if now is False:
            self._tell("HG-9265", site=site)

    def _files(self) -> None:
        layout = self._layout
        try:
            for path in (SITE / "site.d", STATE):
                layout.at(path).mkdir(parents=True, exist_ok=True)
            for place, text in layout.system_files().items():
                place.parent.mkdir(parents=True, exist_ok=True)
                new = place.with_name(f".{place.name}.new")
                new.write_text(text, encoding="utf-8")
                new.chmod(0o644)
                os.replace(new, place)
            command = layout.at(COMMAND)
            command.parent.mkdir(parents=True, exist_ok=True)
            if command.is_symlink() or not command.exists():
                _point(command, str(layout.prefix / "current" / "bin" / "headgate"))
        except OSError as error:
            where, reason = str(error.filename), error.strerror or type(error).__name__
            raise HeadgateError(reason, code="HG-9004", path=where, reason=reason) from None

    def _live(self, before: Path | None, made: Path) -> None:
        """Account, folders and service, on the box itself."""
        if self._layout.staged:
            self._tell("HG-9261", root=self._layout.root)
            return
        for words in (
            ["systemd-sysusers", "headgate.conf"],
            ["systemd-tmpfiles", "--create", "headgate.conf"],
        ):
            status, said = self._do(words)
            if status:
                self._tell("HG-9256", command=" ".join(words), reason=said.strip()[-300:])
        if self._do(["systemctl", "daemon-reload"])[0]:
            self._tell("HG-9262", service=SERVICE)
            return
        self._do(["udevadm", "control", "--reload"])
        self._do(["systemctl", "enable", SERVICE])
        if self._do(["systemctl", "is-active", "--quiet", SERVICE])[0]:
            return  # it did not run: starting it is a person's decision, after `check`
        # Type=notify: restart returns when the road is open, or with an error.
        if self._do(["systemctl", "restart", SERVICE])[0] and before is not None:
            _point(self._layout.current, before.name)
            self._do(["systemctl", "restart", SERVICE])
            shutil.rmtree(made, ignore_errors=True)
            raise HeadgateError(
                "does not start", code="HG-9257", version=made.name, kept=before.name
            )


def _point(link: Path, target: str) -> None:
    """Make a link name something else, in one rename."""
    wanted = f"versions/{target}" if link.name == "current" else target
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(wanted)
    os.replace(new, link)


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
