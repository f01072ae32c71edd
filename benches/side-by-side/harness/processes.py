"""Child processes that never outlive the run, and what the kernel counts of them."""

import ctypes
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PR_SET_PDEATHSIG = 1
PATIENCE = 10  # seconds for a start or an end
libc = ctypes.CDLL(None)


class Children:
    """All processes of the run. As a context manager it ends them, whatever ends the run."""

    def __init__(self):
        self.running = []

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: raise_exit(128 + number))
        return self

    def __exit__(self, *_):
        for process in list(self.running):
            self.stop(process)

    def start(self, command, cpus, **options):
        """Starts a command on these CPUs. The kernel ends it should this process be killed."""

        def in_child():
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            os.sched_setaffinity(0, cpus)

        options = {"stdin": subprocess.DEVNULL} | options
        process = subprocess.Popen(command, preexec_fn=in_child, **options)
        self.running.append(process)
        return process

    def stop(self, process):
        """Ends a child, and waits for it."""
        if process in self.running:
            self.running.remove(process)
        if process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def raise_exit(status):
    raise SystemExit(status)


def wait_for(what, ready, process=None):
    """Waits until `ready()` gives something, and returns that."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process and process.poll() is not None:
            raise RuntimeError(f"{what}: ended with status {process.returncode}")
        answer = ready()
        if answer:
            return answer
        time.sleep(0.01)
    raise RuntimeError(f"{what}: still not after {PATIENCE} s")


def tree(pid):
    """A process and its descendants."""
    pids = [pid]
    for each in pids:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            pids += [int(child) for child in task.read_text().split()]
    return pids


def cpu_seconds(pid):
    """User and system time of a process and its descendants, in steps of a tick (10 ms)."""
    return sum(sum(stat(Path(f"/proc/{each}/stat"))) for each in tree(pid)) / TICKS


def thread_seconds(pid):
    """The same by thread, as (name, seconds)."""
    threads = []
    for task in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name)):
        threads.append(((task / "comm").read_text().strip(), sum(stat(task / "stat")) / TICKS))
    return threads


def stat(path):
    """utime and stime, in ticks. The name before them may hold spaces and parentheses."""
    fields = path.read_text().rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


def resident(pid):
    """Resident octets of a process and its descendants; what they share counts for each."""
    return sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in tree(pid)) * PAGE


def allow_files():
    """Lets this process and its children open as many files as the system permits; returns how many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
