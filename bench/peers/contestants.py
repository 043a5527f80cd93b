"""Who is measured. Each contestant says what it can do; a row leaves out those that cannot do it."""
import os
import pathlib
import secrets
import shutil
import subprocess

from .server import Failed
from .usage import run


class Contestant:
    """One way of backing up a server with one method of compression into one store, encrypted where the program can."""

    name = ""
    programs = ()  # names of the processes that do the work
    methods = ()
    stores = ("file",)
    can = ()  # what it has: "ship", "backup", "restore", "fetch", "version"

    def __init__(self, directory, server, store, method):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        self.server, self.store, self.method = server, store, method

    @classmethod
    def missing(cls):
        """Why it cannot be run here, or nothing."""
        return None if shutil.which(cls.executable()) else f"{cls.executable()} is not installed"

    @classmethod
    def executable(cls):
        return cls.programs[0]

    def prepare(self):
        """After the store was emptied."""

    def archiving(self):
        """Settings of the server that ship its WAL."""
        raise NotImplementedError

    def backup(self):
        raise NotImplementedError

    def restore(self, target, sync):
        """None where it knows only the other kind of restore."""
        raise NotImplementedError

    def fetch_command(self, name, path):
        raise NotImplementedError

    def restore_command(self, data):
        """For the server whose data directory that is."""
        return " ".join(str(word) for word in self.fetch_command("%f", "%p"))

    def environment(self):
        return {}

    def call(self, command, more=None):
        """(seconds, CPU seconds, peak bytes) of a command that must succeed."""
        seconds, cpu, peak, code = run([str(word) for word in command], self.environment() | (more or {}), quiet=not os.environ.get("BENCH_VERBOSE"))
        if code != 0:
            raise Failed(f"{self.name}: \"{' '.join(str(word) for word in command[:4])} …\" ended with {code}")
        return seconds, cpu, peak


class Walg(Contestant):
    """A program with WAL-G's verbs and variables."""

    stores = ("file", "s3", "s3-tls")
    methods = ("lz4", "zstd", "brotli")
    can = ("ship", "backup", "restore", "fetch", "version")

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.env = self.directory / "env"
        self.env.mkdir()
        key = self.directory / "key"
        key.touch(0o600)
        key.write_text(secrets.token_hex(32) + "\n")
        self.variables = self.store.variables() | {
            "WALG_COMPRESSION_METHOD": self.method, "WALG_LIBSODIUM_KEY_PATH": str(key), "WALG_LIBSODIUM_KEY_TRANSFORM": "hex"}
        for name, value in self.variables.items():
            (self.env / name).write_text(value + "\n")

    def environment(self):
        return self.variables | self.server.environment

    def archiving(self):
        script = self.directory / "archive"
        exports = "".join(f"export {name}='{value}'\n" for name, value in self.variables.items())
        script.write_text(f"#!/bin/sh\n{exports}exec {self.executable()} wal-push \"$1\"\n")
        script.chmod(0o755)
        return {"archive_command": f"{script} %p"}

    def backup(self):
        return self.call([self.executable(), "backup-push", self.server.data])

    def fetch_command(self, name, path):
        return [self.executable(), "wal-fetch", name, path]


class Forge(Walg):
    name = "forge_backup"
    programs = ("forge-backup",)

    def archiving(self):
        return {"archive_library": "forge_backup", "forge_backup.env_dir": self.env}

    def environment(self):
        return {"WALG_PREFETCH_DIR": str(self.directory / "prefetch")} | super().environment()

    def restore(self, target, sync):
        return self.call(["forge-backup", "--quiet", "backup-fetch", target, "LATEST"]) if sync else None

    def uploads(self, count):
        """Sends so many segments at a time."""
        self.variables["WALG_UPLOAD_CONCURRENCY"] = str(count)
        (self.env / "WALG_UPLOAD_CONCURRENCY").write_text(f"{count}\n")


class Walrus(Walg):
    """WAL-RUS; it trusts no certificate of one's own."""

    name = "WAL-RUS"
    programs = ("walrus",)
    stores = ("file", "s3")

    @classmethod
    def executable(cls):
        return os.environ.get("WALRUS", "walrus")

    def restore(self, target, sync):
        return self.call([self.executable(), "backup-fetch", target, "LATEST"]) if sync else None


class Original(Walg):
    """WAL-G itself, where the variable WALG names it."""

    name = "WAL-G"
    programs = ("wal-g",)

    @classmethod
    def executable(cls):
        return os.environ.get("WALG", "wal-g")

    def restore(self, target, sync):
        return None if sync else self.call([self.executable(), "backup-fetch", target, "LATEST"])


class PgBackRest(Contestant):
    name = "pgBackRest"
    programs = ("pgbackrest",)
    methods = ("lz4", "zstd")
    stores = ("file", "s3-tls")
    can = ("ship", "backup", "restore", "fetch", "version")
    asynchronous = False

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.config = self.directory / "pgbackrest.conf"
        settings = {"compress-type": {"lz4": "lz4", "zstd": "zst"}[self.method], "process-max": 2, "log-level-file": "off", "log-level-console": "off",
                    "log-level-stderr": "warn", "lock-path": self.directory / "lock", "spool-path": self.directory / "spool", "start-fast": "y",
                    "repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": secrets.token_hex(32),
                    "archive-async": "y" if self.asynchronous else "n"} | self.repository()
        server = {"pg1-path": self.server.data, "pg1-port": self.server.port, "pg1-socket-path": self.server.directory, "pg1-user": "bench"}
        text = "\n".join(["[global]", *(f"{k}={v}" for k, v in settings.items()), "[main]", *(f"{k}={v}" for k, v in server.items()), ""])
        self.config.write_text(text)
        self.tool = ["pgbackrest", f"--config={self.config}", "--stanza=main"]

    def repository(self):
        if self.store.name == "file":
            return {"repo1-path": self.store.path}
        return {"repo1-path": "/server", "repo1-type": "s3", "repo1-s3-uri-style": "path", "repo1-s3-bucket": self.store.bucket, "repo1-s3-region": "us-east-1",
                "repo1-s3-endpoint": "127.0.0.1", "repo1-storage-port": self.store.port, "repo1-storage-verify-tls": "n",
                "repo1-s3-key": "access", "repo1-s3-key-secret": "secret"}

    def prepare(self):
        shutil.rmtree(self.directory / "spool", ignore_errors=True)
        subprocess.run([*self.tool, "--no-online", "stanza-create"], check=True)

    def archiving(self):
        return {"archive_command": " ".join([*self.tool, "archive-push", "%p"])}

    def backup(self):
        return self.call([*self.tool, "--no-archive-check", "--type=full", "backup"])

    def restore(self, target, sync):
        return self.call([*self.tool, f"--pg1-path={target}", "--type=none", "restore"]) if sync else None

    def fetch_command(self, name, path):
        return [*self.tool, "archive-get", name, path]

    def restore_command(self, data):
        return " ".join(map(str, [*self.tool, f"--pg1-path={data}", "archive-get", "%f", "%p"]))


class PgBackRestAsync(PgBackRest):
    name = "pgBackRest async"
    asynchronous = True
    can = ("ship",)


class PgBasebackup(Contestant):
    """The server's own, not encrypted."""

    name = "pg_basebackup"
    programs = ("pg_basebackup",)
    methods = ("lz4", "zstd")
    can = ("backup",)

    def backup(self):
        return self.call(["pg_basebackup", "-D", self.store.path / "backup", "-F", "t", "-X", "none", "-c", "fast", "--compress", f"server-{self.method}",
                          "--no-manifest"])

    def environment(self):
        return self.server.environment


class Copy(Contestant):
    """cp: neither compressed nor encrypted, what the disk allows."""

    name = "cp"
    programs = ("cp",)
    methods = ("lz4", "zstd", "brotli")
    can = ("ship", "fetch", "version")  # the start of a program that does next to nothing

    def archiving(self):
        return {"archive_command": f"cp %p {self.store.path}/%f"}

    def fetch_command(self, name, path):
        return ["cp", self.store.path / name, path]


class Idle(Contestant):
    """Nobody: what the server needs by itself while others work."""

    name = "(limit)"
    programs = ("true",)

    def archiving(self):
        return {"archive_command": "true"}


everybody = [Forge, Original, Walrus, PgBackRest, PgBackRestAsync, PgBasebackup, Copy]
