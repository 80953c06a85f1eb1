"""Runs programs and pipelines, and tells what they took."""
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field


@dataclass
class Process:
    """One program of a pipeline."""

    name: str
    seconds: float
    # Peak resident memory in MB, and how much of it was file-mapped when most was resident.
    peak: float
    mapped: float
    # The most that was resident and not mapped from a file, in MB.
    private: float
    # Bytes that it wrote.
    written: int | None
    # Processor seconds, of all its threads.
    processor: float
    # MiB of a GPU's memory at most, as the program says on standard error.
    gpu: int


@dataclass
class Run:
    seconds: float
    processes: list[Process] = field(default_factory=list)

    @property
    def peak(self):
        return max(process.peak for process in self.processes)

    @property
    def cores(self):
        """How many were busy with it, on average."""
        return sum(process.processor for process in self.processes) / self.seconds

    @property
    def gpu(self):
        """What all processes together had of a GPU's memory, if each had its most at the same time."""
        return sum(process.gpu for process in self.processes)


class Watch(threading.Thread):
    """Samples a process's memory: the kernel keeps the peak of the sum alone."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.mapped, self.private = pid, 0, 0, 0
        self.ended = threading.Event()

    def run(self):
        while not self.ended.wait(0.01):
            try:
                with open(f"/proc/{self.pid}/status") as file:
                    fields = dict(line.split(":", 1) for line in file)
                mapped, total = (int(fields[name].split()[0]) / 1024 for name in ("RssFile", "VmRSS"))
            except (OSError, KeyError):
                continue
            if total > self.peak:
                self.peak, self.mapped = total, mapped
            self.private = max(self.private, total - mapped)


def run(*commands, stdin=None, stdout=None, environment=None):
    """Runs commands joined by pipes, from starting the first to the end of the last.

    - stdin, stdout: paths; nothing is read, and the output dropped, where they are None.

    What they write on standard error is shown where one fails.
    """
    environment = os.environ | (environment or {})
    source = open(stdin or os.devnull, "rb")
    sink = open(stdout or os.devnull, "wb")
    start = time.monotonic()
    children = []
    for index, command in enumerate(commands):
        is_last = index == len(commands) - 1
        errors = tempfile.TemporaryFile("w+")
        child = subprocess.Popen(
            [str(word) for word in command], stdin=source, stdout=sink if is_last else subprocess.PIPE, stderr=errors,
            env=environment)
        source.close()
        source = child.stdout
        watch = Watch(child.pid)
        watch.start()
        children.append((command, child, watch, errors))
    sink.close()
    processes = [ended(*child, start) for child in children]
    return Run(max(process.seconds for process in processes), processes)


def side_by_side(commands, stdin):
    """Runs commands at the same time, each reading the same file."""
    runs = [None] * len(commands)

    def one(index):
        runs[index] = run(commands[index], stdin=stdin)

    threads = [threading.Thread(target=one, args=(index,)) for index in range(len(commands))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return runs


def ended(command, child, watch, errors, start):
    """Waits for a child; what it wrote can be read between its end and its burial."""
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    seconds = time.monotonic() - start
    watch.ended.set()
    try:
        with open(f"/proc/{child.pid}/io") as file:
            written = int(dict(line.split(":") for line in file)["wchar"])
    except (OSError, KeyError):
        written = None
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    with errors:
        errors.seek(0)
        said = errors.read()
    if child.returncode != 0:
        sys.exit(f"{said}ended with {child.returncode}: {' '.join(map(str, command))}")
    gpu = re.search(r"cuda:\d+: at most (\d+) MiB in use", said)
    name = os.path.basename(str(command[0]))
    return Process(
        name, seconds, usage.ru_maxrss / 1024, watch.mapped, watch.private, written,
        usage.ru_utime + usage.ru_stime, int(gpu[1]) if gpu else 0)


def read(*paths):
    """Brings files into the page cache."""
    buffer = bytearray(1 << 22)
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
