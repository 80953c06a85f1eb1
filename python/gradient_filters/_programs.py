"""The programs: where they are, and a run of one of them with its progress."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO, Mapping, Sequence, Union

from ._paths import is_no_file

# Not from _libraries, which opens what a program's start does not need.
BIN = Path(__file__).parent / "data" / "bin"

Input = Union[str, "os.PathLike[str]", bytes, BinaryIO, None]
Output = Union[str, "os.PathLike[str]", BinaryIO, None]


class ProgramError(RuntimeError):
    """A program that failed: its own words, and `exit_code` (docs/exit-codes.md; negative where a signal ended it)."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Outcome:
    """What a program that succeeded has left.

    Attributes:
        stdout: what it wrote to its standard output, where that went nowhere else.
        facts: what it told of its work (docs/facts.md), without its progress: device, losses, statistics, files.
    """

    def __init__(self, stdout: bytes, facts: list[dict[str, Any]]) -> None:
        self.stdout, self.facts = stdout, facts

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="replace")

    def __repr__(self) -> str:
        events = sorted({fact["event"] for fact in self.facts})
        return f"<outcome: {len(self.stdout):,} bytes on standard output; {len(self.facts)} facts: {', '.join(events)}>"


def demo_folder() -> Path:
    """Where the demo's files are: its model, the autoencoders and a text, which the examples of --help call demo/model,
    demo/saes and demo/sample.txt. `os.symlink(gf.demo_folder(), "demo")` makes these examples run as they stand.

    Raises:
        FileNotFoundError: this package came without the programs, and not in their source code.
    """
    carried = BIN.parent / "libexec" / "gradient-filters" / "demo"
    for folder in (carried, Path(__file__).parents[2] / "demo"):
        if (folder / "model" / "config.json").is_file():
            return folder
    raise FileNotFoundError(f"the demo's files: not in {carried}: install the wheel")


def program(name: str) -> str:
    """The path of a program: of the wheel's, or where this package came without them, of that on the PATH.

    Raises:
        FileNotFoundError: there is none; the places that were looked at stand in it.
    """
    carried = BIN / name
    if os.access(carried, os.X_OK) and carried.is_file():
        return str(carried)
    found = None if BIN.is_dir() else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name}: not in {BIN}" + ("" if BIN.is_dir() else ", nor on the PATH"))
    return found


def run(
    command: Sequence[str | os.PathLike[str]], *, stdin: Input = None, stdout: Output = None,
    progress: bool | None = None, cwd: str | os.PathLike[str] | None = None, env: Mapping[str, str] | None = None,
) -> Outcome:
    """Runs a program to its end and shows its progress.

    Args:
        command: the program's name and its arguments.
        stdin: a path, an open binary file or bytes.
        stdout: a path or an open binary file; by default it is kept, as `Outcome.stdout`. Give streams a path: it gets
            its name when the program has succeeded.
        progress: a tqdm bar, which in a notebook is a widget; by default where tqdm is installed.
        cwd, env: as subprocess.run takes them.

    Raises:
        ProgramError: it failed.
        FileNotFoundError: there is no such program, or no such file for stdin.
        TypeError: the command is no list of arguments.
    """
    if isinstance(command, (str, bytes, os.PathLike)):
        raise TypeError(f"command: expected a list of a program's name and its arguments, found {command!r}; "
                        "shlex.split makes such a list of a shell's command line")
    name, *arguments = [os.fspath(word) for word in command]
    tells = not name.startswith("gradient-filters") and not {"--help", "-h", "--version", "--progress-fd"} & set(arguments)
    bar = _Bar(name, progress)
    partial = None
    target: Any = subprocess.PIPE
    closes: list[Any] = []
    read, write = os.pipe()
    try:
        if tells:
            # Options may come behind the arguments, but not behind what says that none follow.
            place = arguments.index("--") if "--" in arguments else len(arguments)
            arguments[place:place] = ["--progress-fd", str(write)]
        source, given = _input(stdin, closes)
        if isinstance(stdout, (str, os.PathLike)):
            final = os.fspath(stdout)
            if is_no_file(Path(final)):
                target = open(final, "wb")
            else:
                partial = Path(f"{final}.partial-{os.getpid()}")
                target = partial.open("xb")
            closes.append(target)
        elif stdout is not None:
            target = stdout
        child = subprocess.Popen(
            [program(name), *arguments], stdin=source, stdout=target, stderr=subprocess.PIPE, pass_fds=[write], cwd=cwd,
            env=None if env is None else dict(env))
        os.close(write)
        write = -1
        # Closed by whoever reads from it.
        lines, read = read, -1
        facts, said, kept = _attend(child, given, lines, bar)
        if child.returncode != 0:
            told = next((fact["message"] for fact in facts if fact["event"] == "error"), None)
            raise ProgramError(f"{name}: {told}" if told else _error(name, said, child.returncode), child.returncode)
        if partial is not None:
            os.replace(partial, final)
            partial = None
        return Outcome(kept, facts)
    finally:
        bar.close()
        for descriptor in (read, write):
            if descriptor >= 0:
                os.close(descriptor)
        for file in closes:
            file.close()
        if partial is not None:
            partial.unlink(missing_ok=True)


def _error(name: str, said: list[str], exit_code: int) -> str:
    """What a program that failed has said of it where it has told no fact. Of a wrong command line it says what is wrong
    with it, and in a last line where its help is."""
    if not said:
        return f"{name}: exit {exit_code}"
    return "\n".join(said[-2:] if said[-1].startswith("see ") else said[-1:])


def _input(stdin: Input, closes: list[Any]) -> tuple[Any, bytes | None]:
    """What the child reads, and what it is to be sent."""
    if isinstance(stdin, (bytes, bytearray, memoryview)):
        return subprocess.PIPE, bytes(stdin)
    if isinstance(stdin, (str, os.PathLike)):
        file = Path(stdin).open("rb")
        closes.append(file)
        return file, None
    return (subprocess.DEVNULL if stdin is None else stdin), None


def _attend(
    child: Any, given: bytes | None, read: int, bar: _Bar
) -> tuple[list[dict[str, Any]], list[str], bytes]:
    """Feeds and reads the child to its end; returns its facts, its words and its standard output."""
    facts: list[dict[str, Any]] = []
    said: list[str] = []
    kept: list[bytes] = []

    def hear() -> None:
        for line in child.stderr:
            said.append(line.decode(errors="replace").rstrip("\n"))
            bar.say(said[-1])

    def keep() -> None:
        kept.append(child.stdout.read())

    def send() -> None:
        try:
            with child.stdin:
                child.stdin.write(given)
        except BrokenPipeError:
            pass

    jobs = [hear, *([keep] if child.stdout else []), *([send] if given is not None else [])]
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        with os.fdopen(read) as lines:
            for line in lines:
                fact = json.loads(line)
                if fact["event"] == "progress":
                    bar.update(fact)
                else:
                    facts.append(fact)
        child.wait()
    except BaseException:
        # A notebook interrupts its kernel alone.
        child.send_signal(signal.SIGINT)
        child.wait()
        raise
    finally:
        for thread in threads:
            thread.join()
        for pipe in filter(None, [child.stdout, child.stderr]):
            pipe.close()
    return facts, said, b"".join(kept)


class _Bar:
    """Progress as tqdm draws it, and a program's words above it."""

    def __init__(self, name: str, wanted: bool | None) -> None:
        self._name, self._done = name, 0
        self._bar: Any = None
        self._tqdm: Any = None
        if wanted is not False:
            try:
                from tqdm.auto import tqdm  # type: ignore[import-untyped]

                self._tqdm = tqdm
            except ImportError:
                if wanted:
                    raise

    def update(self, fact: dict[str, Any]) -> None:
        if self._tqdm is None:
            return
        done, total = fact["done"], fact.get("total")
        if self._bar is None:
            self._bar = self._tqdm(total=total, unit=f" {fact['unit']}", desc=self._name)
        elif done < self._done:
            # The next segment.
            self._bar.reset(total)
            self._done = 0
        self._bar.update(done - self._done)
        self._done = done

    def say(self, line: str) -> None:
        if self._tqdm is not None:
            self._tqdm.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
