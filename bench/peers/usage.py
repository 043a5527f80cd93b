"""CPU time and memory of the programs of a contestant, also of those that left their parents."""
import ctypes
import os
import pathlib
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")
MARK = "FORGE_BENCH"  # a variable in the environment of everything that was started here
PR_SET_CHILD_SUBREAPER = 36


def adopt_children(directory):
    """Marks what is started from now on, and makes programs that leave their parents come to us, so that none is left behind."""
    os.environ[MARK] = str(directory)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def stat_of(pid):
    """(name, parent, own CPU seconds, CPU seconds of children that were waited for), or None when it is gone."""
    try:
        head, _, rest = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return None
    fields = rest.split()
    ticks = [int(fields[i]) / TICKS for i in (11, 12, 13, 14)]
    return head.partition("(")[2], int(fields[1]), ticks[0] + ticks[1], ticks[2] + ticks[3]


def exact_cpu_of(pid):
    """CPU seconds of a process itself, without its children, to the microsecond; 0 when it is gone."""
    try:
        return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return 0.0


def memory_of(pid):
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


class Usage:
    """Looks at a contestant's programs while the block runs. `cpu`: seconds of all of them, `peak`: largest sum of their resident memory in
    bytes, `store_cpu`: seconds of the store's program, `archiver_cpu`: seconds of the archiver process itself. `interval`: when the block that
    ended last began and ended, by time.monotonic()."""

    PAUSE = 0.02
    interval = (0.0, 0.0)

    def __init__(self, contestant, archiver=0):
        self.programs = {name[:15] for name in contestant.programs}
        self.store = contestant.store
        self.archiver = archiver
        self.mark = os.environ[MARK].encode()
        self.peak = 0
        self.first, self.last, self.of_archiver, self.ours = {}, {}, set(), {}

    def __enter__(self):
        self.before = stat_of(self.archiver) or ("", 0, 0.0, 0.0)
        self.archiver_before = exact_cpu_of(self.archiver)
        self.store_before = self.store.cpu()
        self.look(first=True)
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        self.begin = time.monotonic()
        return self

    def __exit__(self, *_):
        Usage.interval = (self.begin, time.monotonic())
        self.done.set()
        self.thread.join()
        self.look()
        self.store_cpu = self.store.cpu() - self.store_before
        after = stat_of(self.archiver) or self.before
        reaped = after[3] - self.before[3]
        self.archiver_cpu = exact_cpu_of(self.archiver) - self.archiver_before
        # What the archiver has waited for is in its own account.
        counted = [pid for pid in self.last if pid not in self.of_archiver or stat_of(pid) is not None]
        self.cpu = reaped + sum(self.last[pid] - self.first.get(pid, 0.0) for pid in counted)

    def watch(self):
        while not self.done.wait(self.PAUSE):
            self.look()

    def is_ours(self, pid, first):
        """Asked of each process once, since this must not take the time that is measured. Ours are those with the mark, and the children
        of such, which may have been started without an environment. Without one are also the kernel's threads, and programs
        for a moment when they start."""
        if pid not in self.ours:
            try:
                environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:
                environment = b"of somebody else"
            stat = stat_of(pid)
            ours = self.mark in environment or stat is not None and self.ours.get(str(stat[1]), False)
            if not environment and not ours and not first:
                return False
            self.ours[pid] = ours
        return self.ours[pid]

    def look(self, first=False):
        together = 0
        for name in os.listdir("/proc"):
            stat = stat_of(name) if name.isdigit() and self.is_ours(name, first) else None
            if stat is None or stat[0] not in self.programs:
                continue
            together += memory_of(name)
            self.last[name] = stat[2] + stat[3]
            if first:
                self.first[name] = self.last[name]
            if self.archiver and self.comes_from_archiver(stat[1]):
                self.of_archiver.add(name)
        self.peak = max(self.peak, together)

    def comes_from_archiver(self, parent):
        for _ in range(4):
            if parent == self.archiver:
                return True
            stat = stat_of(parent)
            if stat is None:
                return False
            parent = stat[1]
        return False


def run(command, environment, quiet=True):
    """(seconds, CPU seconds, peak bytes, exit code) of a command that is waited for."""
    begin = time.monotonic()
    actions = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_WRONLY, 0) for fd in ((1, 2) if quiet else (1,))]
    pid = os.posix_spawnp(command[0], command, os.environ | environment, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    return time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, os.waitstatus_to_exitcode(status)
