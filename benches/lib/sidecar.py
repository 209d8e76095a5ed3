"""The sidecar: from its start to a pair on disk, and what it takes while it waits."""

import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import in_pod
from cluster import control_plane
from measure import Case, Failed, environment, interleave, output, say, table, target

NAMES = ["--service", "hook.default"]
SECRET = "default/hook-ca"
SIGNER = "bench.example.com/serving"
CONTROLLER = f"""\
apiVersion: certtool.dev/v1alpha1
kind: ControllerConfig
signers:
  - name: {SIGNER}
    authority: {{secret: default/controller-ca}}
    policy:
      rules:
        - name: hooks
          requester: {{serviceAccounts: ["default/hook"]}}
          names: {{services: ["*.{{namespace}}"], serviceCheck: None}}
          usages: {{allowed: [digital signature, key encipherment, server auth]}}
          keys: [ecdsa-p256]
          lifetime: {{maximum: 1d, whenAbsent: Maximum}}
"""
SHOWN = ["--listen", "127.0.0.1:0"]
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


class Words:
    """The command lines of a sidecar with each of the issuers."""

    def __init__(self, certtool: Path, scratch: Path) -> None:
        self.certs, self.asked = scratch / "certs", scratch / "asked"
        sidecar = [certtool, "sidecar", *NAMES, "--cert-dir"]
        self.own = [*sidecar, self.certs, "--ca-secret", SECRET]
        self.own += ["--webhook", "validatingwebhookconfiguration/bench"]
        self.asking = [*sidecar, self.asked, "--signer", SIGNER]


def run(options) -> bool:
    with tempfile.TemporaryDirectory(prefix="certtool-bench-") as directory, ExitStack() as stack:
        scratch = Path(directory)
        env = environment(scratch / "home")
        kubectl = control_plane(options.root, scratch, stack, env)
        output(kubectl, "apply", "-f", "-", env=env, stdin=CONFIGURATION)
        words, log = Words(options.certtool, scratch), scratch / "log"
        certs, asked, own, asking = words.certs, words.asked, words.own, words.asking

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

        accounts = {
            "owner": in_pod.Account(kubectl, env, scratch, "owner", own),
            "hook": in_pod.Account(kubectl, env, scratch, "hook", asking),
        }
        as_pod = accounts["hook"].kubeconfig(scratch / "pod")

        def not_asked() -> None:
            shutil.rmtree(asked, ignore_errors=True)

        def answered() -> None:
            if not (asked / "tls.crt").is_file():
                raise Failed("no pair on disk")

        first = Case("its own CA, the first replica", [[*own, "--once"]], env, no_ca, made)
        more = Case("its own CA, another replica", [[*own, "--once"]], env, nothing, made)
        through = Case("through the controller", [[*asking, "--once"]], as_pod, not_asked, answered)
        say(f"sidecar: {options.runs} runs")
        interleave([first], options.runs, log)
        interleave([more], options.runs, log)
        with controller(options.certtool, scratch, env):
            interleave([through], options.runs, log)
            say(f"sidecar: watching two that wait, {WATCH_SECONDS} s each")
            waiting = {
                "with its own CA, one webhook, metrics": watch(
                    accounts["owner"], [*own, *SHOWN], certs
                ),
                "with a signer, metrics": watch(accounts["hook"], [*asking, *SHOWN], asked),
            }
        cases = [first, more, through]
        table("From the start of the process to a pair on disk", cases, more)
        print("\n### While it waits\n")
        print("| | RSS MiB | CPU, % of a core | CPU, s an hour |\n|---|---:|---:|---:|")
        for name, (rss, cpu) in waiting.items():
            print(f"| {name} | {rss:.1f} | {cpu:.3f} | {36 * cpu:.2f} |")
        print("\n### Targets\n")
        met = target("own CA, start to pair", first.median, 50, " ms")
        met &= target("through the controller, start to pair", through.median, 100, " ms")
        for name, (rss, cpu) in waiting.items():
            met &= target(f"RSS {name}", rss, 10, " MiB")
            met &= target(f"CPU {name}", cpu, 0.1, " %")
        return met


def watch(account: in_pod.Account, command: list, certs: Path) -> tuple[float, float]:
    """RSS in MiB and CPU in percent of one that has its pair."""
    log = certs.with_suffix(".log")
    with account.process(command, log) as process:
        deadline = time.monotonic() + 30
        while not (certs / "tls.crt").exists():
            if time.monotonic() > deadline:
                raise Failed(f"no pair: {log.read_text()}")
            time.sleep(0.05)
        time.sleep(SETTLE_SECONDS)
        before = used(process.pid)
        time.sleep(WATCH_SECONDS)
        seconds = used(process.pid) - before
        return resident(process.pid), 100 * seconds / WATCH_SECONDS


@contextmanager
def controller(certtool: Path, scratch: Path, env: dict, within=(), patience=30):
    """A controller that signs while this lasts, run by a command if there is one."""
    output(certtool, "ca", "init", "--secret", "default/controller-ca", env=env)
    config, said = scratch / "controller.yaml", scratch / "controller.log"
    config.write_text(CONTROLLER)
    words = ["controller", "--config", config, "--leader-elect=false", "--listen", "127.0.0.1:0"]
    with said.open("w") as log:
        process = subprocess.Popen([*within, certtool, *words], env=env, stderr=log)
    try:
        deadline = time.monotonic() + patience
        while "started" not in said.read_text():
            if time.monotonic() > deadline:
                raise Failed(f"no controller: {said.read_text()}")
            time.sleep(0.05)
        time.sleep(SETTLE_SECONDS)
        yield
    finally:
        process.terminate()
        process.wait(patience)


def used(pid: int) -> float:
    """The CPU time of all its threads in seconds; `stat` counts hundredths."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise Failed(f"process {pid} is gone")
