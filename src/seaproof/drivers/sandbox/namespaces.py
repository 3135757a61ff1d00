"""Linux namespaces for the process driver: a file system, a process table and a network of a workload's own.

Standard library only, and plain functions over system calls: they run in the small processes that the supervisor
forks. Works as root, and unprivileged where user namespaces are allowed (the workload then runs under the caller's
own user, not as root). Nothing of the host is changed: what has to exist for a mount is made in a tmpfs.
"""

# Pathlib only gets in the way of system calls.
# ruff: noqa: PTH101, PTH102, PTH103, PTH110, PTH112, PTH114, PTH115, PTH116, PTH120, PTH208, PTH211

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import socket
import stat
import struct
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x00020000,
    0x04000000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT = 1, 2, 4, 8, 32
_NOATIME, _NODIRATIME, _BIND, _REC, _SLAVE, _RELATIME = 1024, 2048, 4096, 16384, 1 << 19, 1 << 21
_DETACH = 2
_PDEATHSIG, _SUBREAPER, _CAPBSET_DROP = 1, 36, 24
_LAST_CAPABILITY = 40
# As Docker gives them: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw,
# sys_chroot, mknod, audit_write, setfcap.
_CONTAINER_CAPABILITIES = frozenset((0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31))
_PRIVATE = ("/tmp", "/var/tmp", "/run", "/dev/shm", "/var/log")
_SIOCSIFADDR, _SIOCSIFFLAGS = 0x8916, 0x8914

INSIDE_ADDRESS = "169.254.255.131"
"""Where a workload with a network of its own is reached: as on the platform, and not through 127.0.0.1, so that a
program that listens on 127.0.0.1 only is found out."""


@dataclass(frozen=True)
class View:
    """What a workload sees of the file system, besides the host's own: target path -> folder of the host."""

    opt_ml: Path
    program: str
    folder: Path
    read_only: tuple[str, ...] = ()
    hosts: Path | None = None
    """A file to be seen as /etc/hosts."""
    hostname: str | None = None
    shared_memory: bool = True
    """Whether /dev/shm can be written to."""
    scratch: int | None = None
    """Bytes that /tmp can hold."""
    visible: frozenset[str] = field(default_factory=frozenset)
    """Paths of the host that have to stay visible although they lie in a folder such as /tmp."""


def libc() -> ctypes.CDLL:
    """The C library, errno kept."""
    return ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags`; OSError where that is not allowed."""
    _checked(libc().unshare(flags), "unshare")


def join(pid: int, kind: str, flag: int) -> None:
    """Enter the namespace `kind` (user, net) of another process."""
    handle = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
    try:
        _checked(libc().setns(handle, flag), f"setns {kind}")
    finally:
        os.close(handle)


def die_with_parent(signal: int) -> None:
    """The kernel sends `signal` to this process when its parent dies, however it dies."""
    _checked(libc().prctl(_PDEATHSIG, signal, 0, 0, 0), "prctl")


def adopt_orphans() -> bool:
    """Become the parent of descendants whose own parent ends; False where the system cannot do that."""
    try:
        return bool(libc().prctl(_SUBREAPER, 1, 0, 0, 0) == 0)
    except AttributeError:
        return False


def leave_process_table() -> None:
    """The next fork is process 1 of a table of its own. Without root this takes a user namespace, in which this
    process then lives under its own user id."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        unshare(NEWPID)
    except PermissionError:
        unshare(NEWUSER | NEWPID)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")


def raise_loopback() -> None:
    """Bring up `lo` in a new network namespace, with INSIDE_ADDRESS beside 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        up = struct.pack("16sh", b"lo", 0x1 | 0x40)
        fcntl.ioctl(control, _SIOCSIFFLAGS, up.ljust(40, b"\0"))
        family = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(INSIDE_ADDRESS))
        fcntl.ioctl(control, _SIOCSIFADDR, struct.pack("16s16s", b"lo:0", family).ljust(40, b"\0"))


def listens(port: int) -> bool:
    """Whether anything listens on this port in the network namespace of the calling process."""
    wanted = f":{port:04X}"
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        if any(line.split()[1].endswith(wanted) and line.split()[3] == "0A" for line in lines):
            return True
    return False


def arrange(view: View) -> None:
    """Build the workload's file system in the (new) mount namespace of the calling process."""
    _mount("none", "/", flags=_REC | _SLAVE)
    if not all(os.path.isdir("/" + target.split("/")[1]) for target in ("/opt/ml", view.program)):
        _copy_root()
    # Opened before anything is covered by a mount; reached afterwards through /proc/self/fd.
    sources = {"/opt/ml": _open(view.opt_ml), view.program: _open(view.folder)}
    hosts = _open(view.hosts) if view.hosts else None
    for folder in _PRIVATE:
        _make_private(folder, view.visible)
    for target in sorted(sources, key=len):
        _make_folder(target)
        if target == "/opt/ml" or not _overlay(sources[target], target):
            _mount(_path(sources[target]), target, flags=_BIND | _REC)
    if view.scratch is not None:
        _mount("none", "/tmp", flags=_REMOUNT | _NOSUID | _NODEV, options=f"size={view.scratch}")
    if not view.shared_memory and os.path.isdir("/dev/shm"):
        _mount("tmpfs", "/dev/shm", "tmpfs", _NOSUID | _NODEV | _RDONLY, "mode=755")
    for name in view.read_only:
        _write_protect(f"/opt/ml/{name}")
    if hosts is not None and os.path.exists("/etc/hosts"):
        _mount(_path(hosts), "/etc/hosts", flags=_BIND)
    if view.hostname:
        socket.sethostname(view.hostname)
    for handle in (*sources.values(), *([hosts] if hosts is not None else [])):
        os.close(handle)
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)


def drop_capabilities() -> None:
    """Give up, for whatever is executed next, all capabilities but those that a container has by default.

    Nothing is done where they are not there to be given up: without root, and in a system that has none.
    """
    for number in range(_LAST_CAPABILITY + 1):
        if number not in _CONTAINER_CAPABILITIES and libc().prctl(_CAPBSET_DROP, number, 0, 0, 0) != 0:
            return


def become(user: int) -> None:
    """Run as this user and group, as `docker run --user` has it."""
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def written_by(members: Collection[int]) -> int:
    """Bytes that lie in the file systems of a workload's own, as seen by one of its processes; 0 once it has ended."""
    for pid in members:
        root = f"/proc/{pid}/root"
        try:
            if os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt"):
                continue  # it has not moved into its own yet
        except OSError:
            continue
        seen = {}
        for folder in _PRIVATE:
            with suppress(OSError):
                found = os.statvfs(root + folder)
                seen[os.stat(root + folder).st_dev] = (found.f_blocks - found.f_bfree) * found.f_frsize
        return sum(seen.values())
    return 0


def visible_paths(words: Collection[str], environment: Mapping[str, str]) -> frozenset[str]:
    """Absolute paths that exist on the host among the words of a command and the values of an environment."""
    named = [part for word in (*words, *environment.values()) for part in word.split(":")]
    return frozenset(path for path in named if path.startswith("/") and os.path.exists(path))


def _make_private(folder: str, visible: Collection[str]) -> None:
    """Cover a folder of the host with an empty one in which only what the program needs is seen."""
    if not os.path.isdir(folder) or os.path.islink(folder):
        return
    keep = set()
    for path in {*visible, *(os.path.realpath(path) for path in visible)}:
        if path.startswith(folder + "/"):
            keep.add(path[len(folder) + 1 :].split("/")[0])
    if folder == "/run":
        keep.update(("systemd", "resolvconf", "NetworkManager") if _resolver_in_run() else ())
    log_folders = [entry.name for entry in os.scandir(folder) if entry.is_dir()] if folder == "/var/log" else []
    _cover(folder, keep)
    mode = 0o755 if folder in ("/run", "/var/log") else 0o1777
    os.chmod(folder, mode)
    for name in log_folders:
        if name not in keep:
            os.mkdir(f"{folder}/{name}")
            # A daemon that drops its rights, such as nginx, writes here as another user.
            os.chmod(f"{folder}/{name}", 0o777)


def _resolver_in_run() -> bool:
    return os.path.realpath("/etc/resolv.conf").startswith("/run/")


def _make_folder(target: str) -> None:
    """Let the folder `target` exist in this namespace, without making it on the host."""
    if os.path.isdir(target):
        return
    parent = os.path.dirname(target)
    while not os.path.isdir(parent):
        parent = os.path.dirname(parent)
    if not _is_ours(parent):
        _cover(parent, set(os.listdir(parent)))
    os.makedirs(target)


_COVERED: set[str] = set()
"""Folders in which this process may make folders: they lie in a tmpfs of its own."""


def _is_ours(folder: str) -> bool:
    # What lies below /opt/ml is the workload's own already; a mount point there is an empty folder.
    return folder in _COVERED or folder == "/opt/ml" or folder.startswith("/opt/ml/")


def _cover(folder: str, keep: Collection[str]) -> None:
    """Mount a tmpfs on `folder` in which the entries `keep` of it are seen as before."""
    original = _open(Path(folder))
    mode = stat.S_IMODE(os.stat(folder).st_mode)
    _mount("tmpfs", folder, "tmpfs", _NOSUID | _NODEV, f"mode={mode:o}")
    _reappear(_path(original), folder, keep)
    os.close(original)
    _COVERED.add(folder)


def _reappear(source: str, target: str, names: Collection[str]) -> None:
    for name in names:
        old, new = f"{source}/{name}", f"{target}/{name}"
        try:
            kind = os.lstat(old).st_mode
            if stat.S_ISLNK(kind):
                os.symlink(os.readlink(old), new)
                continue
            if stat.S_ISDIR(kind):
                os.mkdir(new)
            else:
                os.close(os.open(new, os.O_CREAT | os.O_WRONLY, 0o600))
            _mount(old, new, flags=_BIND | _REC)
        except OSError:
            continue  # not ours to see, or gone in between: then the workload does not see it either


def _copy_root() -> None:
    """Move into a root folder in a tmpfs that shows the host's; needed where a top-level folder has to be made."""
    # Put together where nothing is lost by it: /dev/shm is emptied anyway.
    staging = "/dev/shm"
    _mount("tmpfs", staging, "tmpfs", _NOSUID | _NODEV, "mode=755")
    _reappear("/", staging, os.listdir("/"))
    os.chdir(staging)
    _checked(libc().syscall(_pivot_root_number(), b".", b"."), "pivot_root")
    _checked(libc().umount2(b".", _DETACH), "umount")
    os.chdir("/")
    _COVERED.add("/")


def _pivot_root_number() -> int:
    return {"x86_64": 155, "aarch64": 41, "ppc64le": 203, "s390x": 217, "riscv64": 41}[os.uname().machine]


def _overlay(source: int, target: str) -> bool:
    """Show the folder with a writable layer of its own above it; False where the file system cannot do that."""
    _mount("tmpfs", target, "tmpfs", _NOSUID | _NODEV, "mode=755")
    try:
        for name in ("lower", "upper", "work"):
            os.mkdir(f"{target}/{name}")
        _mount(_path(source), f"{target}/lower", flags=_BIND | _REC)
        options = f"lowerdir={target}/lower,upperdir={target}/upper,workdir={target}/work"
        if re.search(r"[,:\\]", target.replace("/", "")):
            return False
        for extra in ("", ",userxattr"):
            try:
                _mount("overlay", target, "overlay", 0, options + extra)
                return True
            except OSError:
                continue
        return False
    except OSError:
        return False


def _write_protect(path: str) -> None:
    """Nothing below this folder may be written."""
    os.makedirs(path, exist_ok=True)
    _mount(path, path, flags=_BIND | _REC)
    have = os.statvfs(path).f_flag
    # A user namespace may add restrictions but not lift those that the mount has.
    kept = have & (_NOSUID | _NODEV | _NOEXEC | _NOATIME | _NODIRATIME)
    if have & 4096:  # ST_RELATIME
        kept = (kept & ~_BIND) | _RELATIME
    _mount("none", path, flags=_REMOUNT | _BIND | _RDONLY | kept)


def _open(path: Path) -> int:
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def _path(handle: int) -> str:
    return f"/proc/self/fd/{handle}"


def _mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    result = libc().mount(
        source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), options.encode() or None
    )
    _checked(result, f"mount {target}")


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
