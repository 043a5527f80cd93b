"""What perf sees of processes while something is measured."""
import contextlib
import pathlib
import subprocess

from .server import Failed, wait_for

PARANOID = pathlib.Path("/proc/sys/kernel/perf_event_paranoid")


def demand(level, what):
    """Ends the program where perf may not do that."""
    if int(PARANOID.read_text()) > level:
        raise SystemExit(f"bench: perf may not look into {what} here: run sysctl kernel.perf_event_paranoid={level}")


@contextlib.contextmanager
def sampled(path, *options):
    """perf writes what these options choose to `path` while the block runs; times are those of time.monotonic()."""
    command = ["perf", "record", "-q", "-k", "CLOCK_MONOTONIC", "-e", "cpu-clock", "-o", path, *options, "--", "sleep", "86400"]
    with subprocess.Popen(command) as perf:
        try:
            # It has begun once there is more than the head of the file.
            wait_for("the start of perf", lambda: perf.poll() is not None or path.exists() and path.stat().st_size >= 4096, limit=30)
            if perf.poll() is not None:
                raise Failed("perf has ended; what it says above is why")
            yield
        finally:
            perf.terminate()


def script(path, fields):
    """What was written, as text: the samples with these fields."""
    command = ["perf", "script", "-i", path, "-F", fields]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
