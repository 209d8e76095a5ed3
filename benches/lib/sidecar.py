"""The sidecar: from its start to a pair on disk, and what it takes while it waits."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from cluster import control_plane
from measure import Case, Failed, environment, interleave, output, say, table, target

NAMES = ["--service", "hook.default"]
SECRET = "default/hook-ca"
SIGNER = "bench.example.com/serving"
# How long a waiting sidecar is watched.
SETTLE_SECONDS = 5
WATCH_SECONDS = 60

CONFIGURATION = """\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: bench}
webhooks:
- name: bench.certtool.dev
  clientConfig: {service: {namespace: default, name: hook}}
  rules: [{apiGroups: [bench.certtool.dev], apiVersions: [v1], resources: [none], operations: [CREATE]}]
  sideEffects: None
  admissionReviewVersions: [v1]
"""


def run(options) -> bool:
    with tempfile.TemporaryDirectory(prefix="certtool-bench-") as directory, ExitStack() as stack:
        scratch = Path(directory)
        env = environment(scratch / "home")
        kubectl = control_plane(options.root, scratch, stack, env)
        output(kubectl, "apply", "-f", "-", env=env, stdin=CONFIGURATION)
        certtool, log, certs = options.certtool, scratch / "log", scratch / "certs"
        own = [certtool, "sidecar", *NAMES, "--cert-dir", certs, "--ca-secret", SECRET]
        own += ["--webhook", "validatingwebhookconfiguration/bench"]

        def nothing() -> None:
            shutil.rmtree(certs, ignore_errors=True)

        def no_ca() -> None:
            nothing()
            output(kubectl, "delete", "secret", "hook-ca", "--ignore-not-found", env=env)
            # A CA that was lost is not replaced as long as a webhook trusts it.
            output(kubectl, "replace", "-f", "-", env=env, stdin=CONFIGURATION)

        def made() -> None:
            if not (certs / "tls.crt").is_file():
                raise Failed("no pair on disk")

        first = Case("its own CA, the first replica", [[*own, "--once"]], env, no_ca, made)
        more = Case("its own CA, another replica", [[*own, "--once"]], env, nothing, made)
        say(f"sidecar: {options.runs} runs")
        interleave([first], options.runs, log)
        interleave([more], options.runs, log)
        table("From the start of the process to a pair on disk", [first, more], more)

        asking = [certtool, "sidecar", *NAMES, "--cert-dir", scratch / "asked", "--signer", SIGNER]
        shown = ["--listen", "127.0.0.1:0"]
        say(f"sidecar: watching two that wait, {WATCH_SECONDS} s each")
        waiting = {
            "with its own CA, one webhook, metrics": watch([*own, *shown], certs, env, log),
            "with a signer, metrics": watch_signer(asking + shown, scratch, env, log, certtool),
        }
        print("\n### While it waits\n")
        print("| | RSS MiB | CPU, % of a core |\n|---|---:|---:|")
        for name, (rss, cpu) in waiting.items():
            print(f"| {name} | {rss:.1f} | {cpu:.3f} |")
        print("\n### Targets\n")
        met = target("own CA, start to pair", first.median, 50, " ms")
        for name, (rss, cpu) in waiting.items():
            met &= target(f"RSS {name}", rss, 10, " MiB")
            met &= target(f"CPU {name}", cpu, 0.1, " %")
        return met


def watch(command: list, certs: Path, env: dict, log: Path) -> tuple[float, float]:
    """RSS in MiB and CPU in percent of one that has its pair."""
    with log.open("w") as said:
        process = subprocess.Popen([str(word) for word in command], env=env, stderr=said)
    try:
        deadline = time.monotonic() + 30
        while not (certs / "tls.crt").exists():
            if time.monotonic() > deadline:
                raise Failed(f"no pair: {log.read_text()}")
            time.sleep(0.05)
        time.sleep(SETTLE_SECONDS)
        before = ticks(process.pid)
        time.sleep(WATCH_SECONDS)
        used = ticks(process.pid) - before
        seconds = used / os.sysconf("SC_CLK_TCK")
        return resident(process.pid), 100 * seconds / WATCH_SECONDS
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def watch_signer(command, scratch: Path, env: dict, log: Path, certtool: Path) -> tuple[float, float]:
    """The same for one that asks a signer: one request is approved and signed by hand."""
    output(certtool, "ca", "init", "--out-dir", scratch / "ca", env=env)
    by_hand = f"""
        until name=$({certtool} list --signer {SIGNER} -o name -q | grep .); do sleep 0.1; done
        {certtool} approve "${{name#*/}}" && {certtool} sign "${{name#*/}}" --ca-dir {scratch}/ca
    """
    signer = subprocess.Popen(["bash", "-c", by_hand], env=env, stdout=subprocess.DEVNULL)
    try:
        return watch(command, scratch / "asked", env, log)
    finally:
        signer.terminate()
        signer.wait(10)


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise Failed(f"process {pid} is gone")
