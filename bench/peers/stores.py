"""Where contestants store: a directory, or versitygw as an S3 server on loopback, plain or with TLS."""
import os
import pathlib
import shutil
import socket
import subprocess

from .line import Line
from .server import Failed, wait_for
from .usage import stat_of


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class DirectoryStore:
    name = "file"

    def __init__(self, directory):
        self.path = pathlib.Path(directory)

    def __enter__(self):
        self.clear()
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def clear(self):
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)

    def cpu(self):
        """CPU seconds of the store's own program so far."""
        return 0.0

    def variables(self):
        return {"WALG_FILE_PREFIX": str(self.path)}

    def stored(self):
        return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(self.path) for name in names)


class S3Store(DirectoryStore):
    """The objects are files below a directory, so that they can be counted without asking."""

    bucket = "bench"

    def __init__(self, directory, tls):
        super().__init__(directory)
        self.name = "s3-tls" if tls else "s3"
        self.tls = tls
        self.root = self.path / "data"

    def __enter__(self):
        shutil.rmtree(self.path, ignore_errors=True)
        (self.root / self.bucket).mkdir(parents=True)
        self.port = free_port()
        command = [os.environ.get("VERSITYGW", "versitygw"), "--port", f"127.0.0.1:{self.port}"]
        if self.tls:
            self.ca = self.path / "ca.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                            "subjectAltName=IP:127.0.0.1", "-keyout", self.path / "key.pem", "-out", self.ca], check=True,
                           stderr=subprocess.DEVNULL)
            command += ["--cert", self.ca, "--key", self.path / "key.pem"]
        log = open(self.path / "log", "w", encoding="utf-8")
        try:
            self.process = subprocess.Popen([*command, "posix", self.root], stdout=log, stderr=log,
                                            env=os.environ | {"ROOT_ACCESS_KEY": "access", "ROOT_SECRET_KEY": "secret"})
        except OSError as error:
            raise Failed(f"versitygw could not be started: {error}") from error
        wait_for("the start of versitygw", self.answers, limit=30)
        return self

    def answers(self):
        with socket.socket() as attempt:
            return attempt.connect_ex(("127.0.0.1", self.port)) == 0

    def cpu(self):
        return stat_of(self.process.pid)[2]

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.path, ignore_errors=True)

    def clear(self):
        shutil.rmtree(self.root / self.bucket)
        (self.root / self.bucket).mkdir()

    def variables(self):
        scheme = "https" if self.tls else "http"
        variables = {"WALG_S3_PREFIX": f"s3://{self.bucket}/server", "AWS_ENDPOINT": f"{scheme}://127.0.0.1:{self.port}",
                     "AWS_REGION": "us-east-1", "AWS_S3_FORCE_PATH_STYLE": "true", "AWS_ACCESS_KEY_ID": "access", "AWS_SECRET_ACCESS_KEY": "secret"}
        return variables | ({"WALG_S3_CA_CERT_FILE": str(self.ca)} if self.tls else {})


class FarStore(S3Store):
    """The same at the end of a line that takes `milliseconds` for each request."""

    def __init__(self, directory, tls, milliseconds):
        super().__init__(directory, tls)
        self.milliseconds = milliseconds

    def __enter__(self):
        super().__enter__()
        self.line = Line(self.port, self.milliseconds)
        self.port = self.line.port
        return self

    def __exit__(self, *arguments):
        self.line.close()
        super().__exit__(*arguments)


def open_store(name, directory):
    """The store of that name: "file", "s3" or "s3-tls"."""
    return DirectoryStore(directory) if name == "file" else S3Store(directory, tls=name == "s3-tls")
