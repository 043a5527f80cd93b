"""A server of our own for measurements: a data directory that every contestant backs up, whose WAL every contestant ships."""
import contextlib
import os
import pathlib
import subprocess
import time

SEGMENT = 16 * 1024 * 1024
# What pgbench does, many at once. Whole pages come first into WAL; later segments are alike.
UPDATES = "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid IN (SELECT (random() * 1000000)::int FROM generate_series(1, 40000))"


class Failed(Exception):
    """A measurement that cannot be made; its text says why."""


def wait_for(what, condition, limit=600, pause=0.005):
    end = time.monotonic() + limit
    while not (result := condition()):
        if time.monotonic() > end:
            raise Failed(f"{what} took longer than {limit} s")
        time.sleep(pause)
    return result


def size_of(directory):
    """Bytes of the files in it; those that go meanwhile do not count."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


class Server:
    """Runs as long as the block does. Archiving is what archive() said last; WAL is never recycled, so that the same
    segments can be shipped again and again."""

    def __init__(self, directory, port, scheduler=False):
        """With the scheduler of forge_backup a first base backup is made of it, and no others."""
        self.directory = pathlib.Path(directory)
        self.directory.mkdir()
        self.port = port
        self.library = None
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        subprocess.run(["initdb", "-D", self.data, "-k", "-A", "trust", "-N", "-U", "bench", "--locale=C.UTF-8"], check=True,
                       stdout=subprocess.DEVNULL)
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.write(f"listen_addresses = ''\nport = {port}\nunix_socket_directories = '{self.directory}'\nshared_buffers = 256MB\n"
                       "max_wal_size = 64GB\nwal_keep_size = 64GB\ncheckpoint_timeout = 1d\nautovacuum = off\nfsync = off\n"
                       "archive_mode = on\ninclude = 'archiving.conf'\n")
            if scheduler:
                file.write("shared_preload_libraries = 'forge_backup'\nforge_backup.schedule = ''\nforge_backup.check_interval = '1h'\n")
        self.archive({})

    @property
    def environment(self):
        """What tools need to connect as psql does."""
        return {"PGHOST": str(self.directory), "PGPORT": str(self.port), "PGUSER": "bench", "PGDATABASE": "postgres"}

    def __enter__(self):
        self.control("-l", self.log, "start")
        return self

    def __exit__(self, *_):
        self.control("-m", "immediate", "stop")

    def control(self, *arguments):
        subprocess.run(["pg_ctl", "-s", "-w", "-D", self.data, *arguments], check=True, stdout=subprocess.DEVNULL)

    def sql(self, query):
        done = subprocess.run(["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", query], check=True, stdout=subprocess.PIPE,
                              text=True, env=os.environ | self.environment)
        return done.stdout.strip()

    # --- archiving ----------------------------------------------------------------------------------------------------

    def archive(self, settings):
        """Ships WAL as these settings say; without any it is said to be archived, and stays here."""
        settings = settings or {"archive_command": "true"}
        text = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        (self.data / "archiving.conf").write_text(text)
        changed = self.library != settings.get("archive_library")
        self.library = settings.get("archive_library")
        if self.is_running():
            # The archiver ends when its library changes, and the server waits ten seconds before it starts the next one.
            self.control("-m", "fast", "-l", self.log, "restart") if changed else self.control("reload")

    def is_running(self):
        return (self.data / "postmaster.pid").exists()

    def archiver(self):
        return int(self.sql("SELECT coalesce((SELECT pid FROM pg_stat_activity WHERE backend_type = 'archiver'), 0)"))

    def waiting(self):
        """Names of the segments that wait for the archiver."""
        with os.scandir(self.data / "pg_wal" / "archive_status") as entries:
            return {entry.name.removesuffix(".ready") for entry in entries if entry.name.endswith(".ready")}

    def offer(self, names):
        """Makes these segments wait again, and wakes the archiver by one more, which is returned."""
        status = self.data / "pg_wal" / "archive_status"
        for name in names:
            (status / f"{name}.done").rename(status / f"{name}.ready")
        return self.switch()

    def switch(self):
        """Ends the segment after a small write; the name of that segment."""
        return self.sql("SELECT pg_logical_emit_message(false, 'bench', 'x')").splitlines() and \
            self.sql("SELECT pg_walfile_name(pg_switch_wal())")

    def idle(self):
        """Ends what a contestant did: no WAL waits any more."""
        self.archive({})
        self.switch()
        wait_for("the end of archiving", lambda: not self.waiting(), limit=120)

    # --- content ------------------------------------------------------------------------------------------------------

    def fill(self, megabytes):
        subprocess.run(["pgbench", "-i", "-q", "-s", str(max(1, megabytes // 15)), "postgres"], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env=os.environ | self.environment)

    def fill_dense(self, megabytes):
        """A table that compresses about 2.5:1: numbers and texts in hexadecimal that do not repeat."""
        self.sql("CREATE TABLE dense AS SELECT g AS id, md5(g::text) || md5((g + 1)::text) AS text, random() AS number "
                 f"FROM generate_series(1, {megabytes * 8500}) g")

    def write_segments(self, count):
        """Full segments of WAL; their names."""
        first = self.switch()
        before = self.position()
        while self.position() < before + count:
            self.sql(UPDATES)
        self.idle()
        return sorted(name for name in os.listdir(self.data / "pg_wal") if len(name) == 24 and name > first)[:count]

    def position(self):
        return int(self.sql(f"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint / {SEGMENT}"))
