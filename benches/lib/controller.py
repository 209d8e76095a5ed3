"""The controller: approval and signature of a thousand requests, next to a client that makes
the same two writes and nothing else, and to kube-controller-manager, which only signs; latency under
light load; memory."""

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from cluster import control_plane
from measure import Failed, environment, output, say

SHARE = float(os.environ.get("CERTTOOL_BENCH_SHARE", "1"))
REQUESTS = int(1000 * SHARE)
# kube-controller-manager signs 20 a second by default.
FEW = int(200 * SHARE)
ROUNDS = 5
LIGHT = int(300 * SHARE)
# Signed by kube-controller-manager once somebody has approved it.
CLIENTS = "kubernetes.io/kube-apiserver-client"
UNLIMITED = ["--kube-api-qps=2000", "--kube-api-burst=4000"]
POLICY = """\
    policy:
      rules:
        - name: pods
          requester: {serviceAccounts: ["*/*"]}
          names: {services: ["*.{namespace}"], serviceCheck: %s}
          usages: {allowed: [digital signature, key encipherment, server auth]}
          keys: [ecdsa-p256]
          lifetime: {maximum: 1d, whenAbsent: Maximum}
"""


def run(options) -> bool:
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="certtool-bench-"))
        scratch = Path(directory)
        env = environment(scratch / "home")
        bench = Bench(options, scratch, env, control_plane(options.root, scratch, stack, env))
        floor, ours, peaks, default, raised = [], [], [], [], []
        idle = bench.idle()
        say(f"controller: {ROUNDS} rounds of {REQUESTS} requests")
        for number in range(ROUNDS):
            floor.append(bench.minimal(f"minimal{number}"))
            rate, peak = bench.certtool(f"certtool{number}")
            ours.append(rate)
            peaks.append(peak)
            if not options.no_peers:
                raised.append(bench.peer(f"raised{number}", REQUESTS, UNLIMITED))
        if not options.no_peers:
            default.append(bench.peer("default", FEW, []))
        light = bench.light()
        print("\n### Approving and signing 1,000 requests that are there at once\n")
        print("| | requests/s, median | min | max |\n|---|---:|---:|---:|")
        for name, values in {
            "a client that makes the two writes and nothing else": floor,
            "certtool controller, policy with Service and pod": ours,
            "kube-controller-manager, signing alone, client limits raised": raised,
            f"the same with its own limits, {FEW} requests": default,
        }.items():
            if not values:
                continue
            print(f"| {name} | {statistics.median(values):.0f} | {min(values):.0f} | {max(values):.0f} |")
        print(f"\n### 10 requests a second, {LIGHT} of them: creation to certificate\n")
        print("| p50 ms | p99 ms | max ms |\n|---:|---:|---:|")
        print(f"| {light['p50']:.1f} | {light['p99']:.1f} | {light['max']:.1f} |")
        print("\n### Targets\n")
        ratio = statistics.median(a / b for a, b in zip(ours, floor))
        checks = [
            (f"of the minimal client's rate: {ratio:.2f}, target at least 0.8", ratio >= 0.8),
            (f"p99 under light load: {light['p99']:.1f} ms, target 50", light["p99"] <= 50),
            (f"idle, resident: {idle:.1f} MiB, target 15", idle <= 15),
            (f"peak, resident, 1,000 requests: {max(peaks):.1f} MiB, target 30", max(peaks) <= 30),
        ]
        for text, met in checks:
            print(f"- {text}: {'met' if met else 'MISSED'}")
        return all(met for _, met in checks)


class Bench:
    def __init__(self, options, scratch: Path, env: dict, kubectl: str):
        self.options, self.scratch, self.env, self.kubectl = options, scratch, env, kubectl
        self.client = build(options.root, scratch)
        self.config = scratch / "controller.yaml"
        view = json.loads(self.kube("config", "view", "--raw", "-o", "json"))
        cluster = view["clusters"][0]["cluster"]
        user = view["users"][0]["user"]
        self.server = cluster["server"]
        files = {
            "ca": (cluster, "certificate-authority"), "cert": (user, "client-certificate"),
            "key": (user, "client-key"),
        }
        self.access = ["-server", self.server]
        for name, (holder, field) in files.items():
            path = scratch / f"{name}.pem"
            if field in holder:
                path = Path(holder[field])
                if not path.is_absolute():
                    path = Path(env["KUBECONFIG"]).parent / path
            else:
                import base64
                path.write_bytes(base64.b64decode(holder[f"{field}-data"]))
            self.access += [f"-{name}", str(path)]
        self.prepare()

    def kube(self, *words: object, stdin: str | None = None) -> str:
        return output(self.kubectl, *words, env=self.env, stdin=stdin)

    def tool(self, *words: object) -> str:
        return output(self.options.certtool, *words, env=self.env)

    def prepare(self) -> None:
        """A namespace with a CA, a Service, a pod that it selects, and the pod's own token."""
        self.kube("create", "namespace", "shop")
        self.kube("-n", "shop", "create", "serviceaccount", "hook")
        self.kube("create", "clusterrole", "asker", "--verb=create,get,list,watch",
                  "--resource=certificatesigningrequests.certificates.k8s.io")
        self.kube("create", "clusterrolebinding", "asker", "--clusterrole=asker",
                  "--serviceaccount=shop:hook")
        self.kube("-n", "shop", "apply", "-f", "-", stdin=json.dumps({
            "apiVersion": "v1", "kind": "List", "items": [
                {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"},
                 "spec": {"ports": [{"port": 443}], "selector": {"app": "hook"}}},
                {"apiVersion": "v1", "kind": "Pod",
                 "metadata": {"name": "hook", "labels": {"app": "hook"}},
                 "spec": {"serviceAccountName": "hook",
                          "containers": [{"name": "c", "image": "x"}]}},
            ]}))
        uid = self.kube("-n", "shop", "get", "pod", "hook", "-o", "jsonpath={.metadata.uid}")
        token = self.kube("-n", "shop", "create", "token", "hook", "--bound-object-kind=Pod",
                          "--bound-object-name=hook", f"--bound-object-uid={uid}")
        (self.scratch / "token").write_text(token)
        self.tool("ca", "init", "--secret", "shop/ca")
        self.tool("ca", "init", "--out-dir", self.scratch / "ca")
        self.tool("genkey", "--service", "hook.shop", "--out-dir", self.scratch, "--name", "hook")
        self.tool("sign", "--csr", self.scratch / "hook.csr", "--ca-dir", self.scratch / "ca",
                  "--out", self.scratch / "hook.crt")

    def ask(self, signer: str, command: str, *words: object, pod: bool = False) -> list[str]:
        access = self.access
        if pod:
            access = self.access[:4] + ["-token", str(self.scratch / "token")]
        return [str(word) for word in (
            self.client, *access, "-signer", signer, "-prefix", signer.partition(".")[0],
            "-csr", self.scratch / "hook.csr", "-issued", self.scratch / "hook.crt", *words, command,
        )]

    def minimal(self, name: str) -> float:
        signer = f"{name}.example.com/serving"
        output(*self.ask(signer, "create", "-n", REQUESTS, pod=True))
        watch = subprocess.Popen(self.ask(signer, "watch", "-n", REQUESTS), stdout=subprocess.PIPE)
        time.sleep(1)
        output(*self.ask(signer, "write"))
        return rate(watch)

    def certtool(self, name: str) -> tuple[float, float]:
        signer = f"{name}.example.com/serving"
        output(*self.ask(signer, "create", "-n", REQUESTS, pod=True))
        watch = subprocess.Popen(self.ask(signer, "watch", "-n", REQUESTS), stdout=subprocess.PIPE)
        time.sleep(1)
        with self.controller(signer) as controller:
            result = rate(watch)
            return result, resident(controller.pid, "VmHWM")

    def peer(self, prefix: str, count: int, limits: list[str]) -> float:
        """What is approved already is signed by kube-controller-manager, counted from its first
        certificate to its last."""
        words = ["-n", count, "-usages", "digital signature,key encipherment,client auth"]
        words += ["-prefix", prefix, "-signed"]
        output(*self.ask(CLIENTS, "create", *words))
        output(*self.ask(CLIENTS, "approve", *words))
        watch = subprocess.Popen(self.ask(CLIENTS, "watch", *words), stdout=subprocess.PIPE)
        time.sleep(1)
        log = (self.scratch / "peer.log").open("ab")
        with Running([
            str(Path(self.kubectl).parent / "kube-controller-manager"),
            f"--kubeconfig={self.env['KUBECONFIG']}", "--leader-elect=false", "--secure-port=0",
            "--controllers=certificatesigningrequest-signing-controller",
            f"--cluster-signing-cert-file={self.scratch / 'ca/ca.crt'}",
            f"--cluster-signing-key-file={self.scratch / 'ca/ca.key'}", *limits,
        ], self.env, log):
            result = rate(watch)
        # One request; kubectl by itself would send one for each.
        path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
        self.kube("delete", "--raw", f"{path}?fieldSelector=spec.signerName%3D{CLIENTS}")
        return result

    def idle(self) -> float:
        with self.controller("idle.example.com/serving") as controller:
            time.sleep(5)
            return resident(controller.pid, "VmRSS")

    def light(self) -> dict:
        signer = "light.example.com/serving"
        with self.controller(signer):
            time.sleep(1)
            return json.loads(output(*self.ask(signer, "light", "-n", LIGHT, "-rate", 10, pod=True)))

    def controller(self, signer: str):
        policy = POLICY % "SelectsPod"
        self.config.write_text(
            "apiVersion: certtool.dev/v1alpha1\nkind: ControllerConfig\nsigners:\n"
            f"  - name: {signer}\n    authority: {{secret: shop/ca}}\n{policy}"
        )
        log = (self.scratch / "controller.log").open("ab")
        return Running([
            str(self.options.certtool), "controller", "--config", str(self.config),
            "--listen", "none", "--leader-elect=false",
        ], self.env, log)


class Running:
    def __init__(self, command: list[str], env: dict, log):
        self.process = subprocess.Popen(command, env=env, stderr=log)

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)


def rate(watch: subprocess.Popen) -> float:
    text, _ = watch.communicate(timeout=180)
    if watch.returncode != 0:
        raise Failed("not all requests got a certificate")
    answer = json.loads(text)
    return answer["count"] / answer["seconds"]


def resident(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise Failed(f"no {field}")


def build(root: Path, scratch: Path) -> Path:
    if not shutil.which("go"):
        raise Failed("go is not installed: it builds the client that the controller is held against")
    binary = scratch / "two_writes"
    done = subprocess.run(
        ["go", "build", "-o", str(binary), "."], cwd=root / "benches/two_writes",
        env={**os.environ, "GOFLAGS": "", "CGO_ENABLED": "0"}, capture_output=True, text=True,
    )
    if done.returncode != 0:
        raise Failed(done.stderr)
    return binary
