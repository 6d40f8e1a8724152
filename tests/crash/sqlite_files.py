"""SQLite on a recorded disk: the real library, with a file system of ours below it.

`sqlite3.connect` gets a VFS whose files live in `RecordedFiles`. Every write, truncate, sync, create and
delete of SQLite, `-wal` and recovery included, becomes an operation of the same record as those of the spool,
so a cut tears all of them at one moment. Behaviour follows SQLite's own os_unix.c: powersafe overwrite,
and the folder synced with the first sync of a journal. The shared memory of the WAL index lives in the
process, as it does on a real machine, and dies with the power.
"""

from __future__ import annotations

import atexit
import ctypes
import itertools
import sqlite3
import weakref
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recorded_files import Inode, RecordedFiles

NAME = "recorded"

OK, BUSY, IOERR, NOTFOUND, FULL, CANTOPEN = 0, 5, 10, 12, 13, 14
SHORT_READ = IOERR | (2 << 8)
OPEN_CREATE, OPEN_DELETE_ON_CLOSE = 0x4, 0x8
#: Main journal, super-journal, WAL: the folder is synced with their first sync.
JOURNALS = 0x800 | 0x4000 | 0x80000
POWERSAFE_OVERWRITE = 0x1000
SHARED, RESERVED, EXCLUSIVE = 1, 2, 4
SHM_LOCK, SHM_SHARED = 2, 4


class _Methods(Structure):
    pass


class _File(Structure):
    _fields_ = [("methods", POINTER(_Methods)), ("number", c_int64)]


_F = POINTER(_File)
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "xClose": (_F,),
    "xRead": (_F, c_void_p, c_int, c_int64),
    "xWrite": (_F, c_void_p, c_int, c_int64),
    "xTruncate": (_F, c_int64),
    "xSync": (_F, c_int),
    "xFileSize": (_F, POINTER(c_int64)),
    "xLock": (_F, c_int),
    "xUnlock": (_F, c_int),
    "xCheckReservedLock": (_F, POINTER(c_int)),
    "xFileControl": (_F, c_int, c_void_p),
    "xSectorSize": (_F,),
    "xDeviceCharacteristics": (_F,),
    "xShmMap": (_F, c_int, c_int, c_int, POINTER(c_void_p)),
    "xShmLock": (_F, c_int, c_int, c_int),
    "xShmBarrier": (_F,),
    "xShmUnmap": (_F, c_int),
}
_TYPES = {
    name: CFUNCTYPE(None if name == "xShmBarrier" else c_int, *arguments)
    for name, arguments in _SIGNATURES.items()
}
_Methods._fields_ = [("version", c_int), *_TYPES.items()]

_OPEN = CFUNCTYPE(c_int, c_void_p, c_char_p, _F, c_int, POINTER(c_int))
_DELETE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_ACCESS = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int, POINTER(c_int))
_FULL_PATH = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int, c_void_p)


class _Vfs(Structure):
    # struct sqlite3_vfs, version 1. What we do not replace is the pointer of the system's own.
    _fields_ = [
        ("version", c_int), ("file_size", c_int), ("longest_path", c_int), ("next", c_void_p),
        ("name", c_char_p), ("data", c_void_p),
        ("xOpen", _OPEN), ("xDelete", _DELETE), ("xAccess", _ACCESS), ("xFullPathname", _FULL_PATH),
        *((name, c_void_p) for name in (
            "xDlOpen", "xDlError", "xDlSym", "xDlClose", "xRandomness", "xSleep", "xCurrentTime",
            "xGetLastError",
        )),
    ]  # fmt: skip


class Handle:
    """One open file of SQLite."""

    def __init__(self, databases: Databases, path: Path, inode: Inode, flags: int) -> None:
        self.databases = databases
        self.path = path
        self.inode = inode
        self.flags = flags
        self.folder_due = bool(flags & OPEN_CREATE and flags & JOURNALS)
        self.level = 0
        self.shared: set[int] = set()
        self.exclusive: set[int] = set()


class Databases:
    """The databases on one recorded disk."""

    def __init__(self, files: RecordedFiles) -> None:
        register()
        self._number = next(_numbers)
        _disks[self._number] = self
        self.files = files
        self.handles: list[Handle] = []
        #: WAL index by path of the database: regions of shared memory.
        self.memory: dict[Path, list[Any]] = {}

    def connect(self, path: Path) -> sqlite3.Connection:
        """As `headgate.env.SystemFiles.database`."""
        if str(path) == ":memory:":
            return sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        made = sqlite3.connect(
            f"file:/{self._number}{path}?vfs={NAME}",
            uri=True, isolation_level=None, check_same_thread=False, factory=_Connection,
        )  # fmt: skip
        _connections.add(made)
        return made

    def others(self, handle: Handle) -> list[Handle]:
        """Who else has the same file open."""
        return [h for h in self.handles if h is not handle and h.path == handle.path]


class _Connection(sqlite3.Connection):
    """One that can be known weakly."""


_connections: weakref.WeakSet[sqlite3.Connection] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    # One that is left open would call us after the interpreter has gone.
    for connection in list(_connections):
        connection.close()


_numbers = itertools.count(1)
_disks: weakref.WeakValueDictionary[int, Databases] = weakref.WeakValueDictionary()
_handles: dict[int, Handle] = {}
_handle_numbers = itertools.count(1)


def _where(name: bytes) -> tuple[Databases, Path]:
    number, _, path = name.decode().lstrip("/").partition("/")
    return _disks[int(number)], Path("/" + path)


def _guarded(method: Callable[..., int], failure: int = IOERR) -> Callable[..., int]:
    def call(*arguments: Any) -> int:
        try:
            return method(*arguments)
        except OSError as error:
            return FULL if error.errno == 28 else failure

    return call


# ---------------------------------------------------------------- the file system


def _open(vfs: int, name: bytes | None, file: Any, flags: int, out: Any) -> int:
    file[0].methods = POINTER(_Methods)()
    assert name is not None, "temporary files are kept in memory"
    databases, path = _where(name)
    files = databases.files
    inode = files.entries.get(path)
    if inode is None:
        if not flags & OPEN_CREATE:
            return CANTOPEN
        inode = files.create(path)
    handle = Handle(databases, path, inode, flags)
    databases.handles.append(handle)
    number = next(_handle_numbers)
    _handles[number] = handle
    file[0].number = number
    file[0].methods = ctypes.pointer(_methods)
    if out:
        out[0] = flags
    return OK


def _delete(vfs: int, name: bytes, sync_folder: int) -> int:
    databases, path = _where(name)
    if path not in databases.files.entries:
        return IOERR | (23 << 8)  # SQLITE_IOERR_DELETE_NOENT
    databases.files.remove(path)
    if sync_folder & 1:
        databases.files.sync_folder(path.parent)
    return OK


def _access(vfs: int, name: bytes, flags: int, out: Any) -> int:
    databases, path = _where(name)
    size = databases.files.size(path)
    out[0] = int(size is not None and (flags != 0 or size > 0))
    return OK


def _full_path(vfs: int, name: bytes, size: int, out: int) -> int:
    ctypes.memmove(out, name + b"\0", len(name) + 1)
    return OK


# ---------------------------------------------------------------- files


def _close(file: Any) -> int:
    handle = _handles.pop(file[0].number)
    handle.databases.handles.remove(handle)
    if handle.flags & OPEN_DELETE_ON_CLOSE:
        handle.databases.files.remove(handle.path)
    return OK


def _read(file: Any, out: int, size: int, offset: int) -> int:
    data = _handles[file[0].number].inode.data[offset : offset + size]
    ctypes.memmove(out, bytes(data), len(data))
    if len(data) < size:
        ctypes.memset(out + len(data), 0, size - len(data))
        return SHORT_READ
    return OK


def _write(file: Any, data: int, size: int, offset: int) -> int:
    handle = _handles[file[0].number]
    handle.databases.files.write(handle.path, handle.inode, offset, ctypes.string_at(data, size))
    return OK


def _truncate(file: Any, size: int) -> int:
    handle = _handles[file[0].number]
    handle.databases.files.truncate(handle.path, handle.inode, size)
    return OK


def _sync(file: Any, flags: int) -> int:
    handle = _handles[file[0].number]
    files = handle.databases.files
    files.sync(handle.path, handle.inode)
    if handle.folder_due:
        files.sync_folder(handle.path.parent)
        handle.folder_due = False
    return OK


def _file_size(file: Any, out: Any) -> int:
    out[0] = len(_handles[file[0].number].inode.data)
    return OK


def _lock(file: Any, level: int) -> int:
    handle = _handles[file[0].number]
    if handle.level >= level:
        return OK
    highest = max((h.level for h in handle.databases.others(handle)), default=0)
    free = highest < EXCLUSIVE if level == SHARED else highest < RESERVED
    if not free or (level == EXCLUSIVE and highest):
        return BUSY
    handle.level = level
    return OK


def _unlock(file: Any, level: int) -> int:
    handle = _handles[file[0].number]
    handle.level = min(handle.level, level)
    return OK


def _check_reserved(file: Any, out: Any) -> int:
    handle = _handles[file[0].number]
    same = [handle, *handle.databases.others(handle)]
    out[0] = int(any(h.level >= RESERVED for h in same))
    return OK


def _control(file: Any, operation: int, argument: int) -> int:
    return NOTFOUND


def _sector_size(file: Any) -> int:
    return 4096


def _characteristics(file: Any) -> int:
    return POWERSAFE_OVERWRITE


# ---------------------------------------------------------------- the WAL index


def _shm_map(file: Any, region: int, size: int, extend: int, out: Any) -> int:
    handle = _handles[file[0].number]
    regions = handle.databases.memory.setdefault(handle.path, [])
    if region >= len(regions) and not extend:
        out[0] = None
        return OK
    while region >= len(regions):
        regions.append(ctypes.create_string_buffer(size))
    out[0] = ctypes.addressof(regions[region])
    return OK


def _shm_lock(file: Any, offset: int, number: int, flags: int) -> int:
    handle = _handles[file[0].number]
    slots = set(range(offset, offset + number))
    if not flags & SHM_LOCK:
        handle.shared -= slots
        handle.exclusive -= slots
        return OK
    for other in handle.databases.others(handle):
        if slots & other.exclusive or (not flags & SHM_SHARED and slots & other.shared):
            return BUSY
    (handle.shared if flags & SHM_SHARED else handle.exclusive).update(slots)
    return OK


def _shm_barrier(file: Any) -> None:
    return None


def _shm_unmap(file: Any, delete: int) -> int:
    handle = _handles[file[0].number]
    if delete:
        handle.databases.memory.pop(handle.path, None)
    return OK


_methods = _Methods(
    2,
    *(
        _TYPES[name](method if name == "xShmBarrier" else _guarded(method))
        for name, method in zip(
            _SIGNATURES,
            (
                _close, _read, _write, _truncate, _sync, _file_size, _lock, _unlock, _check_reserved,
                _control, _sector_size, _characteristics, _shm_map, _shm_lock, _shm_barrier, _shm_unmap,
            ),
            strict=True,
        )
    ),
)  # fmt: skip
_kept: list[Any] = []


def library() -> ctypes.CDLL:
    """The SQLite that `sqlite3` uses: a shared library beside it, or one inside the interpreter."""
    import _sqlite3

    with open("/proc/self/maps") as maps:
        for line in maps:
            if "libsqlite3" in line:
                return ctypes.CDLL(line.split()[-1])
    for place in (getattr(_sqlite3, "__file__", None), None):
        found = ctypes.CDLL(place)
        if hasattr(found, "sqlite3_vfs_register"):
            return found
    raise OSError("the SQLite of this Python cannot be reached")


def register() -> None:
    """Make the VFS known to SQLite, once."""
    if _kept:
        return
    lib = library()
    lib.sqlite3_vfs_find.restype = POINTER(_Vfs)
    lib.sqlite3_vfs_find.argtypes = [c_char_p]
    system = lib.sqlite3_vfs_find(None)[0]
    ours = _Vfs()
    ctypes.memmove(ctypes.byref(ours), ctypes.byref(system), ctypes.sizeof(_Vfs))
    ours.version, ours.file_size, ours.longest_path = 1, ctypes.sizeof(_File), 512
    ours.next, ours.name = None, NAME.encode()
    ours.xOpen = _OPEN(_guarded(_open, CANTOPEN))
    ours.xDelete = _DELETE(_guarded(_delete))
    ours.xAccess = _ACCESS(_guarded(_access))
    ours.xFullPathname = _FULL_PATH(_guarded(_full_path))
    _kept.append(ours)
    assert lib.sqlite3_vfs_register(ctypes.byref(ours), 0) == OK
