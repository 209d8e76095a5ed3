"""Times processes from outside: monotonic clock, spawn, wait."""

import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

WARM_UP = 2
LIMIT_SECONDS = 60


class Failed(Exception):
    """A benchmark that measured nothing."""


@dataclass
class Case:
    """One way to do the work.

    `commands` run one after the other; a command that is a list of lists is a pipeline.
    """

    name: str
    commands: list
    env: dict[str, str]
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    times: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.times)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def interleave(cases: list[Case], runs: int, log: Path) -> None:
    """A B C, B C A, C A B, …: what disturbs the machine disturbs all of them."""
    for number in range(-WARM_UP, runs):
        start = number % len(cases)
        for case in cases[start:] + cases[:start]:
            case.before()
            elapsed, cpu = timed(case, log)
            case.after()
            if number >= 0:
                case.times.append(elapsed)
                case.cpu.append(cpu)


def timed(case: Case, log: Path) -> tuple[float, float]:
    """Milliseconds from before the first spawn until after the last wait; and of CPU."""
    log.write_bytes(b"")
    signal.signal(signal.SIGALRM, over)
    signal.alarm(LIMIT_SECONDS)
    began = time.monotonic_ns()
    waited = [run(command, case.env, log) for command in case.commands]
    elapsed = time.monotonic_ns() - began
    signal.alarm(0)
    if any(failed for failed, _ in waited):
        raise Failed(f"{case.name} failed:\n{case.commands}\n{log.read_text(errors='replace')}")
    return elapsed / 1e6, sum(cpu for _, cpu in waited) * 1e3


def over(*_) -> None:
    raise Failed(f"a run took more than {LIMIT_SECONDS} s")


def run(command: list, env: dict[str, str], log: Path) -> tuple[bool, float]:
    """Whether it failed, and its seconds of CPU.

    posix_spawn does not copy this interpreter's memory as fork would.
    """
    stages = command if isinstance(command[0], list) else [command]
    children, upstream = [], None
    for stage in stages:
        last = stage is stages[-1]
        read_end, write_end = (None, None) if last else os.pipe()
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
            if upstream is None
            else (os.POSIX_SPAWN_DUP2, upstream, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_APPEND, 0)
            if last
            else (os.POSIX_SPAWN_DUP2, write_end, 1),
            (os.POSIX_SPAWN_OPEN, 2, str(log), os.O_WRONLY | os.O_APPEND, 0),
        ]
        arguments = [str(argument) for argument in stage]
        children.append(os.posix_spawn(arguments[0], arguments, env, file_actions=actions))
        for used in (upstream, write_end):
            if used is not None:
                os.close(used)
        upstream = read_end
    # All of them, before any status counts.
    try:
        ended = [os.wait4(child, 0) for child in children]
    except Failed:
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        raise
    cpu = sum(usage.ru_utime + usage.ru_stime for _, _, usage in ended)
    return any(status != 0 for _, status, _ in ended), cpu


@contextmanager
def realtime(wanted: bool) -> Iterator[None]:
    """Before everything else on the machine. For programs that soon end: a server would
    keep the machine to itself."""
    if not wanted:
        yield
        return
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    except (AttributeError, OSError) as error:
        raise Failed(f"--realtime: {error}") from error
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def table(title: str, cases: list[Case], reference: Case) -> None:
    """Markdown, to be read as it is."""
    width = max(len(case.name) for case in cases)
    print(f"\n### {title}\n")
    print(f"| {'':{width}} | median ms |    min |    max | CPU ms | ratio |")
    print(f"|{'-' * (width + 2)}|----------:|-------:|-------:|-------:|------:|")
    for case in cases:
        print(
            f"| {case.name:{width}} | {case.median:9.2f} | {min(case.times):6.2f} | "
            f"{max(case.times):6.1f} | {statistics.median(case.cpu):6.2f} | "
            f"{case.median / reference.median:5.2f} |"
        )
    print(f"\nratio: of medians, to `{reference.name}`; {len(reference.times)} runs of each")


def target(what: str, value: float, limit: float, unit: str = "") -> bool:
    met = value <= limit
    print(f"- {what}: {value:.3g}{unit}, target {limit:g}{unit}: {'met' if met else 'MISSED'}")
    return met


def machine() -> str:
    cpu = first_match("/proc/cpuinfo", "model name") or platform.processor()
    memory = first_match("/proc/meminfo", "MemTotal") or "?"
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return (
        f"- {cpu or platform.machine()}, {os.cpu_count()} CPUs, memory {memory}\n"
        f"- {platform.system()} {platform.release()}, {platform.machine()}; load {load}"
    )


def first_match(path: str, key: str) -> str | None:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)


def output(*command: object, env: dict[str, str] | None = None, stdin: str | None = None) -> str:
    """The stdout of a command that is not timed."""
    done = subprocess.run(
        [str(word) for word in command], env=env, input=stdin, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")
    return done.stdout


def environment(home: Path) -> dict[str, str]:
    """Nothing of the user's: whatever a program keeps is under `home`."""
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    return {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home / "tmp")}
