"""Finds core code that reaches clock, randomness, files, sockets or threads around `Env`.

    python tools/env_lint.py            checks gateway/headgate, exits 1 when something is found

One way out to the world is what makes it possible to run the whole gateway in one process under a
virtual clock, with a disk that can be cut at any write. It cannot be added later, so it is checked
from the first commit. What counts is the *use*: importing `sqlite3` to name its exception is fine.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

CORE = Path("gateway/headgate")

# Where the world is met by design: the door itself, the commands of a person at a terminal, and the
# kit for tests.
OUTSIDE = ("env/*", "cli.py", "cli/*", "testing/*", "testing.py")

# Each exception: files, what they may use, why. A long list would mean that Env lacks something.
PACKAGED = "packaged data, reached through importlib.resources"
ALLOWED: Sequence[tuple[str, tuple[str, ...], str]] = (
    ("messages/*", (".read_text", ".read_bytes", ".iterdir", ".is_file"), PACKAGED),
    ("runtime/discovery.py", (".read_text",), "package metadata, through importlib.metadata"),
    (
        "packages/*",
        (".read_bytes", ".iterdir", ".is_file", ".is_dir"),
        "a folder in memory, as importlib.resources wants one",
    ),
    (
        "channels/serial.py",
        ("os.path.realpath",),
        "whether a port is a pseudo-terminal, by its path",
    ),
    (
        "link/own.py",
        ("os.memfd_create", "os.MFD_CLOEXEC", "os.write", "os.close"),
        "a key goes to a library that reads files alone, through memory",
    ),
    ("link/sidecar.py", ("os.geteuid",), "a sidecar of our own account is one of those allowed"),
    (
        "mqtt/*",
        ("socket.socket",),
        "paho dials; a unix socket, which it would leak, is dialled here",
    ),
    ("link/*", ("socket.socket",), "the type alone: others connect, a link wraps what they give"),
)

CLOCK = "use env.clock"
RANDOM = "use env.random"
FILES = "use env.files"
NET = "use env.net, or a channel"
THREADS = "use env.single(name)"
PROCESSES = "the core starts no process"
VARIABLES = "use env.variable(name)"

# Dotted name (a trailing dot means everything below it) and what to use instead.
FORBIDDEN: Mapping[str, str] = {
    "time.": CLOCK,
    "datetime.datetime.now": CLOCK,
    "datetime.datetime.utcnow": CLOCK,
    "datetime.datetime.today": CLOCK,
    "datetime.date.today": CLOCK,
    "random.": RANDOM,
    "secrets.": RANDOM,
    "uuid.uuid1": RANDOM,
    "uuid.uuid4": RANDOM,
    "os.": FILES,
    "os.urandom": RANDOM,
    "os.getrandom": RANDOM,
    "os.environ": VARIABLES,
    "os.getenv": VARIABLES,
    "os.fork": PROCESSES,
    "os.system": PROCESSES,
    "os.popen": PROCESSES,
    "os.kill": PROCESSES,
    "builtins.open": FILES,
    "io.open": FILES,
    "io.FileIO": FILES,
    "tempfile.": FILES,
    "shutil.": FILES,
    "glob.": FILES,
    "fcntl.": FILES,
    "mmap.": FILES,
    "sqlite3.connect": "use env.files.database",
    "threading.": THREADS,
    "concurrent.futures.ThreadPoolExecutor": THREADS,
    "concurrent.futures.ProcessPoolExecutor": PROCESSES,
    "asyncio.to_thread": THREADS,
    "multiprocessing.": PROCESSES,
    "subprocess.": PROCESSES,
    "signal.": "signals belong to headgate.cli",
    "asyncio.create_subprocess_exec": PROCESSES,
    "asyncio.create_subprocess_shell": PROCESSES,
    "asyncio.open_connection": NET,
    "asyncio.open_unix_connection": NET,
    "asyncio.start_server": NET,
    "asyncio.start_unix_server": NET,
    "socket.": NET,
    "select.": NET,
    "selectors.": NET,
    "socketserver.": NET,
    "http.client.": NET,
    "urllib.request.": NET,
}

# Pure names that live in modules we otherwise refuse: types, exceptions, path arithmetic.
PURE = (
    "os.path.", "os.PathLike", "os.fspath", "os.fsencode", "os.fsdecode", "os.sep", "os.strerror",
    "socket.gaierror", "socket.herror", "socket.timeout", "socket.inet_*", "socket.AF_*",
    "socket.IPPROTO_*", "socket.SO_*", "socket.SOL_*", "socket.TCP_*", "socket.EAI_*",
    "time.struct_time",
)  # fmt: skip

# Using the file system behind these is not path arithmetic, so it is checked on its own.
IMPURE_PATHS = (
    "exists",
    "isfile",
    "isdir",
    "islink",
    "getsize",
    "getmtime",
    "realpath",
    "expanduser",
    "abspath",
)

# Methods whose name alone gives them away, whatever the object is called.
METHODS: Mapping[str, str] = {
    "read_text": FILES,
    "read_bytes": FILES,
    "write_text": FILES,
    "write_bytes": FILES,
    "mkdir": FILES,
    "unlink": FILES,
    "rmdir": FILES,
    "touch": FILES,
    "iterdir": FILES,
    "rglob": FILES,
    "is_file": FILES,
    "is_dir": FILES,
    "expanduser": FILES,
    "create_connection": NET,
    "create_server": NET,
    "create_datagram_endpoint": NET,
    "create_unix_connection": NET,
    "create_unix_server": NET,
    "sock_connect": NET,
    "subprocess_exec": PROCESSES,
    "subprocess_shell": PROCESSES,
    "add_signal_handler": "signals belong to headgate.cli",
}


@dataclass(frozen=True)
class Finding:
    """One use of the world around `Env`."""

    file: str
    line: int
    used: str
    instead: str

    def __str__(self) -> str:
        """Give `file:line: what, and what to use instead`, as editors like it."""
        return f"{self.file}:{self.line}: {self.used}: {self.instead}"


def check_source(source: str, file: str) -> list[Finding]:
    """Find what one module does around `Env`; `file` is its path below the core."""
    tree = ast.parse(source, file)
    names = dict(_imported_names(tree))
    found = []
    for node in _outermost_names(tree):
        dotted = _dotted(node, names)
        instead = _forbidden(dotted) if dotted else None
        if dotted and instead and not _is_allowed(file, dotted):
            found.append(Finding(file, node.lineno, dotted, instead))
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            method = f".{call.func.attr}"
            instead = METHODS.get(call.func.attr)
            if call.func.attr == "open" and _looks_like_a_mode(call):
                instead = FILES
            if instead and not _through_env(call.func.value) and not _is_allowed(file, method):
                found.append(Finding(file, call.lineno, f"{method}()", instead))
    return sorted(found, key=lambda finding: finding.line)


def check_tree(core: Path) -> list[Finding]:
    """Find what every module of the core does around `Env`."""
    found: list[Finding] = []
    for path in sorted(core.rglob("*.py")):
        file = path.relative_to(core).as_posix()
        if not any(fnmatch(file, pattern) for pattern in OUTSIDE):
            found += check_source(path.read_text(encoding="utf-8"), file)
    return found


def _imported_names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Local name and the dotted name it stands for, wherever in the module it was imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    yield alias.asname, alias.name
                else:
                    root = alias.name.partition(".")[0]
                    yield root, root
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _outermost_names(tree: ast.Module) -> Iterator[ast.Attribute | ast.Name]:
    """Every dotted name once, at its full length: `os.path.join`, not also `os.path` and `os`."""
    inner: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if id(node) not in inner:
                yield node
            inner.add(id(node.value))
        elif isinstance(node, ast.Name) and id(node) not in inner:
            yield node


def _dotted(node: ast.expr, names: Mapping[str, str]) -> str | None:
    """Spell out the dotted name behind an expression; None when no import starts it."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    if node.id in names:
        return ".".join([names[node.id], *reversed(parts)])
    return "builtins.open" if node.id == "open" and not parts else None


def _forbidden(dotted: str) -> str | None:
    """Say what to use instead of this name; None when it is fine. The longest rule wins."""
    if dotted.startswith("os.path."):
        return FILES if dotted.rpartition(".")[2] in IMPURE_PATHS else None
    if any(fnmatch(dotted, name + "*" if name.endswith(".") else name) for name in PURE):
        return None
    rules = [
        rule
        for rule in FORBIDDEN
        if (
            dotted.startswith(rule)
            if rule.endswith(".")
            else dotted == rule or dotted.startswith(rule + ".")
        )
    ]
    return FORBIDDEN[max(rules, key=len)] if rules else None


def _looks_like_a_mode(call: ast.Call) -> bool:
    """Tell `path.open("rb")` from `channel.open()`."""
    modes = [*call.args[:1], *(word.value for word in call.keywords if word.arg == "mode")]
    return any(
        isinstance(mode, ast.Constant)
        and isinstance(mode.value, str)
        and set(mode.value) <= set("rwaxbt+")
        for mode in modes
    )


def _through_env(node: ast.expr) -> bool:
    """Tell whether an object hangs on an env, as in `self._env.files`, or is one of its parts."""
    while isinstance(node, ast.Attribute):
        if node.attr.strip("_") in {"env", "files", "net"}:
            return True
        node = node.value
    return isinstance(node, ast.Name) and node.id.strip("_") in {"env", "files", "net"}


def _is_allowed(file: str, used: str) -> bool:
    return any(fnmatch(file, pattern) and used in names for pattern, names, _ in ALLOWED)


def main() -> int:
    """Print what was found, one line each; 1 when there is something."""
    found = check_tree(CORE)
    for finding in found:
        print(f"{CORE.as_posix()}/{finding}")
    if found:
        print(f"{len(found)} ways around Env; the rule and its exceptions: tools/env_lint.py")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
