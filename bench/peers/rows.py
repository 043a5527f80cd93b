"""What is measured: a row is a piece of work that every contestant does with the same server, the same WAL and an empty store."""
import os
import pathlib
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass, field

from .server import Failed, size_of, wait_for
from .usage import Usage, run


@dataclass
class Figures:
    """Of one contestant in one round; what a row does not measure stays empty."""

    seconds: float
    cpu: float = 0.0
    peak: int = 0  # bytes
    stored: int = 0  # bytes
    read: int = 0  # bytes of the server's files
    archiver_cpu: float = 0.0  # a segment
    store_cpu: float = 0.0  # of the store's own program
    more: dict = field(default_factory=dict)


class Work:
    """What the rows share: the server, its segments, and a data directory from before them."""

    def __init__(self, server, directory, full, empty):
        self.server, self.directory = server, directory
        self.base = directory / "base"
        self.discarded = directory / "discarded"
        subprocess.run(["pg_basebackup", "-D", self.base, "-X", "stream", "-c", "fast"], check=True, env=os.environ | server.environment)
        self.full = server.write_segments(full)
        # What a recovery from the base replays: all WAL from where it begins.
        start = (self.base / "backup_label").read_text().partition("(file ")[2][:24]
        self.since_base = sorted(name for name in os.listdir(server.data / "pg_wal") if len(name) == 24 and start <= name <= self.full[-1])
        self.empty = [server.switch() for _ in range(empty)]
        server.idle()

    def path_of(self, name):
        return self.server.data / "pg_wal" / name


def ship(work, contestant, names):
    """Lets the archiver of a running server drain a queue; the time counts from its waking up."""
    server = work.server
    contestant.store.clear()
    contestant.prepare()
    server.archive(contestant.archiving())
    # One segment first: whoever keeps a process or a connection has it now.
    warm = server.switch()
    wait_for(f"{contestant.name}: the first segment", lambda: warm not in server.waiting(), limit=60)
    before = contestant.store.stored()
    with Usage(contestant, server.archiver()) as usage:
        begin = time.monotonic()
        last = server.offer(names)
        wait_for(f"{contestant.name}: {len(names)} segments", lambda: not server.waiting() & {*names, last}, limit=300)
        seconds = time.monotonic() - begin
    count = len(names) + 1
    return Figures(seconds, usage.cpu, usage.peak, contestant.store.stored() - before, count * 16 * 1024 * 1024, usage.archiver_cpu / count,
                   usage.store_cpu)


def ship_full(work, contestant):
    return ship(work, contestant, work.full)


def ship_empty(work, contestant):
    return ship(work, contestant, work.empty)


def ship_one(work, contestant):
    """From a segment that is ready to one that is archived, on an idle server: median of 30."""
    ship(work, contestant, [])
    times = []
    for _ in range(30):
        name = work.server.switch()
        begin = time.monotonic()
        wait_for(f"{contestant.name}: a segment", lambda: name not in work.server.waiting(), limit=60, pause=0.0005)
        times.append(time.monotonic() - begin)
    return Figures(statistics.median(times), more={"p90": sorted(times)[26]})


def backup(work, contestant):
    contestant.store.clear()
    contestant.prepare()
    if "ship" in contestant.can:
        work.server.archive(contestant.archiving())
    else:
        work.server.archive({"archive_command": "true"})
    before = contestant.store.stored()
    with Usage(contestant) as usage:
        seconds, cpu, peak = contestant.backup()
    return Figures(seconds, cpu, max(peak, usage.peak), contestant.store.stored() - before, size_of(work.server.data) - size_of(work.server.data / "pg_wal"),
                   store_cpu=usage.store_cpu)


def discard(work, directory):
    """Its files are emptied and stay until the end: ext4 passes over inodes that were freed in the last minutes, one by one, and
    whoever makes files next would pay for it."""
    for folder, _, names in os.walk(directory):
        for name in names:
            if not os.path.islink(os.path.join(folder, name)):
                os.truncate(os.path.join(folder, name), 0)
    work.discarded.mkdir(exist_ok=True)
    directory.rename(work.discarded / str(time.monotonic_ns()))
    os.sync()


def restore(work, contestant, sync=True):
    backup(work, contestant)
    target = work.directory / "restored"
    target.mkdir(mode=0o700)
    os.sync()
    try:
        with Usage(contestant) as usage:
            done = contestant.restore(target, sync)
        return done and Figures(done[0], done[1], max(done[2], usage.peak), read=size_of(target), store_cpu=usage.store_cpu)
    finally:
        discard(work, target)


def is_open(data):
    """Whether the server there has recovered and accepts connections."""
    pid_file = data / "postmaster.pid"
    return pid_file.exists() and pid_file.read_text().splitlines()[7:8] == ["ready   "]


def end_of_log(data):
    """The log goes with the directory, so the message has what matters of it."""
    log = data / "log"
    return "".join(f"\n    {line}" for line in log.read_text().splitlines()[-5:]) if log.exists() else ""


def copy_of_base(work, settings):
    """A copy of the data directory from before the segments, without WAL."""
    target = work.directory / "recovering"
    shutil.copytree(work.base, target, symlinks=True)
    shutil.rmtree(target / "pg_wal")
    (target / "pg_wal").mkdir(mode=0o700)
    with open(target / "postgresql.conf", "a", encoding="utf-8") as file:
        file.write(f"unix_socket_directories = '{work.directory}'\nport = {work.server.port + 1}\nhot_standby = off\n{settings}")
    return target


def recover(work, contestant):
    """Archive recovery of the full segments, from the start of the server to its promotion."""
    ship(work, contestant, work.since_base)
    target = copy_of_base(work, "")
    with open(target / "postgresql.conf", "a", encoding="utf-8") as file:
        file.write(f"restore_command = '{contestant.restore_command(target)}'\n")
    (target / "recovery.signal").touch()
    return promoted(work, contestant, target)


def redo_alone(work, contestant):
    """The same where all WAL is in pg_wal before it begins."""
    target = copy_of_base(work, "restore_command = '/bin/false'\n")
    for name in work.since_base:
        shutil.copy(work.path_of(name), target / "pg_wal" / name)
    (target / "recovery.signal").touch()
    return promoted(work, contestant, target)


def promoted(work, contestant, target):
    os.sync()
    control = ["pg_ctl", "-s", "-D", target]
    try:
        with Usage(contestant) as usage:
            begin = time.monotonic()
            subprocess.run([*control, "-W", "-l", target / "log", "start"], check=True, env=os.environ | contestant.environment())
            wait_for(f"{contestant.name}: the recovery", lambda: is_open(target), limit=300)
            seconds = time.monotonic() - begin
        # Promotion begins a timeline with the segment in which recovery ended.
        if not any(name.startswith("00000002") and name[8:] >= work.full[-1][8:] for name in os.listdir(target / "pg_wal")):
            raise Failed(f"{contestant.name}: recovery ended too early{end_of_log(target)}")
        return Figures(seconds, usage.cpu, usage.peak, read=len(work.since_base) * 16 * 1024 * 1024, store_cpu=usage.store_cpu)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        raise Failed(f"{contestant.name}: the recovery failed{end_of_log(target)}") from error
    finally:
        # Also one that has not come to its end in time.
        if (target / "postmaster.pid").exists():
            subprocess.run([*control, "-w", "-m", "immediate", "stop"], check=False)
        discard(work, target)


def fetch_all(work, contestant):
    """restore_command for one segment after the other, as a recovery asks, without the redo."""
    ship(work, contestant, work.full)
    target = work.directory / "fetched"
    shutil.rmtree(target, ignore_errors=True)
    (target / "pg_wal").mkdir(parents=True)
    (target / "recovery.signal").touch()
    try:
        with Usage(contestant) as usage:
            begin = time.monotonic()
            parts = [contestant.call(contestant.fetch_command(name, target / "pg_wal" / "RECOVERYXLOG")) for name in work.full]
            seconds = time.monotonic() - begin
        return Figures(seconds, sum(part[1] for part in parts), usage.peak, read=len(work.full) * 16 * 1024 * 1024, store_cpu=usage.store_cpu)
    finally:
        shutil.rmtree(target, ignore_errors=True)


def median_call(work, contestant, name, expected):
    target = work.directory / "fetched" / "pg_wal" / "RECOVERYXLOG"
    target.parent.mkdir(parents=True, exist_ok=True)
    times = []
    for _ in range(20):
        seconds, _, _, code = run([str(word) for word in contestant.fetch_command(name, target)], contestant.environment())
        if (code == 0) != expected:
            raise Failed(f"{contestant.name}: fetching {name} ended with {code}")
        times.append(seconds)
        shutil.rmtree(contestant.directory / "prefetch", ignore_errors=True)
    shutil.rmtree(target.parent.parent, ignore_errors=True)
    return Figures(statistics.median(times))


def fetch_missing(work, contestant):
    ship(work, contestant, work.full[:1])
    return median_call(work, contestant, "0000000100000FFF000000FF", expected=False)


def fetch_one(work, contestant):
    ship(work, contestant, work.full[:1])
    return median_call(work, contestant, work.full[0], expected=True)


def version(work, contestant):
    times = [run([contestant.executable(), "--version"], {})[0] for _ in range(50)]
    return Figures(statistics.median(times))


def libraries_alone(paths, method):
    """Compressor, cipher and digest of what a program makes of these files, on all processors (bench/limit.cpp)."""
    begin = os.times()
    done = subprocess.run(["bench_limit", method, *paths], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    end = os.times()
    return Figures(float(done[0]), end.children_user + end.children_system - begin.children_user - begin.children_system, stored=int(done[1]))


def files_of_backup(work):
    found = [pathlib.Path(folder) / name for folder, _, names in os.walk(work.server.data) for name in names]
    return [path for path in found if work.server.data / "pg_wal" not in path.parents and path.is_file()]


@dataclass
class Row:
    key: str
    title: str
    needs: str  # of Contestant.can
    measure: object
    by_method: bool = True  # measured for each method of compression
    by_store: bool = True
    limit: object = None  # what nobody can be faster than: Figures of (Work, Idle contestant)


rows = [
    Row("ship", "ship full segments", "ship", ship_full, limit=lambda work, idle: libraries_alone([work.path_of(name) for name in work.full], idle.method)),
    Row("empty", "ship almost empty segments", "ship", ship_empty, by_method=False, limit=ship_empty),
    Row("one", "ready to archived, one almost empty segment, median", "ship", ship_one, by_method=False, limit=ship_one),
    Row("backup", "base backup", "backup", backup, limit=lambda work, idle: libraries_alone(files_of_backup(work), idle.method)),
    Row("restore", "restore, synced", "restore", restore, by_method=False),
    Row("restore-unsynced", "restore, not synced", "restore", lambda work, contestant: restore(work, contestant, sync=False), by_method=False),
    Row("fetch", "fetch the full segments, one call after the other", "fetch", fetch_all, by_method=False),
    Row("recovery", "recovery of the full segments", "fetch", recover, by_method=False, limit=redo_alone),
    Row("missing", "fetch of a missing segment, one call, median", "fetch", fetch_missing, by_method=False),
    Row("existing", "fetch of an existing segment, one call, median", "fetch", fetch_one, by_method=False),
    Row("start", "start of the executable", "version", version, by_method=False, by_store=False),
]
