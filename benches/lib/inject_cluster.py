"""`inject --cluster` on a large cluster, next to a client that sends the same patches and nothing
else: 500 webhook configurations and 200 CRDs of 200 kB."""

import base64
import json
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from cluster import Scene
from inject import apart
from measure import Failed, output, say

# A smaller cluster for a busy machine: CERTTOOL_BENCH_SHARE=0.1.
SHARE = float(os.environ.get("CERTTOOL_BENCH_SHARE", "1"))
CONFIGURATIONS = int(500 * SHARE)
CRDS = int(200 * SHARE)
CRD_BYTES = 200_000
# As many as certtool works on at a time (src/cluster/injectables.rs).
PARALLEL = 8
ROUNDS = 5
SETTLE_SECONDS = 45
SERVICE = {"namespace": "bench-system", "name": "webhook-service", "path": "/x"}
JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
EXTENSIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def run(options) -> bool:
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="certtool-bench-"))
        return Bench(options, Path(scratch), stack).run()


class Bench(Scene):
    def __init__(self, options, scratch: Path, stack: ExitStack) -> None:
        super().__init__(options, scratch, stack)
        self.server_pid = int((scratch / "control-plane/pids/kube-apiserver").read_text())

    def run(self) -> bool:
        cas = []
        for name in ("one", "two"):
            output(self.options.certtool, "ca", "init", "--out-dir", self.scratch / name, env=self.env)
            cas.append(self.scratch / name / "ca.crt")
        apart(lambda: write_requests(self.scratch, cas))
        say(f"inject-cluster: making {CONFIGURATIONS} configurations and {CRDS} CRDs")
        self.send("create", JSON)
        self.settle()

        # The caBundle goes from one CA to the other and back; every way does so in turn.
        ways = {
            "certtool inject --cluster": self.inject,
            "bare patches": lambda ca: self.send(f"patch-{ca}", JSON),
            "bare patches, metadata alone as the answer": lambda ca: self.send(f"patch-{ca}", METADATA),
        }
        rounds = min(self.options.runs, ROUNDS)
        say(f"inject-cluster: {rounds} rounds of {len(ways)} ways")
        self.inject(0)
        results = {name: [] for name in ways}
        second, ca = [], 0
        names = list(ways)
        for number in range(-1, rounds):
            start = number % len(names)
            for name in names[start:] + names[:start]:
                ca = 1 - ca
                self.settle()
                result = self.watched(ways[name], ca)
                say(told(name, result))
                if number >= 0:
                    results[name].append(result)
                if name == names[0]:
                    self.settle()
                    again = self.watched(self.nothing_to_do, ca)
                    say(told("the same again", again))
                    second += [again] if number >= 0 else []
        return self.report(results, second)

    def watched(self, way, ca: int) -> tuple[float, float, int, float]:
        """With the seconds of CPU that the API server spent meanwhile."""
        before = cpu_of(self.server_pid)
        return (*way(ca), cpu_of(self.server_pid) - before)

    def inject(self, ca: int) -> tuple[float, float, int]:
        name = ("one", "two")[ca]
        words = [
            self.options.certtool, "inject", "--cluster", "--service", "webhook-service.bench-system",
            "--mode", "replace", "--ca", self.scratch / name / "ca.crt", "-o", "name", "-q",
        ]
        return timed(words, None, self.env)

    def nothing_to_do(self, ca: int) -> tuple[float, float, int]:
        before = self.writes()
        result = self.inject(ca)
        if self.writes() != before:
            raise Failed("a pass with nothing to do has written")
        return result

    def send(self, requests: str, accept: str) -> tuple[float, float, int]:
        words = [self.bare, *self.client, PARALLEL, accept]
        return timed(words, self.scratch / f"{requests}.txt", self.env)

    def writes(self) -> int:
        """Patches of our kinds that the API server has carried out so far."""
        metrics = output(self.kubectl, "get", "--raw", "/metrics", env=self.env)
        kinds = ("webhookconfigurations", "customresourcedefinitions", "apiservices")
        return sum(
            int(float(line.rsplit(" ", 1)[1]))
            for line in metrics.splitlines()
            if line.startswith("apiserver_request_total{")
            and 'verb="PATCH"' in line
            and any(kind in line for kind in kinds)
        )

    def settle(self) -> None:
        """Until the API server has digested what was written, or as long as it is sensible: on a
        busy machine it takes minutes over the schemas."""
        deadline = time.monotonic() + SETTLE_SECONDS
        before = cpu_of(self.server_pid)
        while time.monotonic() < deadline:
            time.sleep(1)
            now = cpu_of(self.server_pid)
            if now - before < 0.1:
                return
            before = now
        say("the API server is still busy with what was written before")

    def report(self, results: dict[str, list], second: list) -> bool:
        reference = statistics.median(wall for wall, *_ in results["bare patches"])
        rows = dict(results, **{"certtool inject --cluster, nothing to do": second})
        print(f"\n### {CONFIGURATIONS} webhook configurations and {CRDS} CRDs of {CRD_BYTES // 1000} kB\n")
        print("| | median s | min | max | ratio | CPU s | API server's CPU s | peak memory MiB |")
        print("|---|---:|---:|---:|---:|---:|---:|---:|")
        for name, runs in rows.items():
            walls, cpus, peaks, server = zip(*runs)
            wall = statistics.median(walls)
            memory = f"{max(peaks) / 2**20:.1f}" if name.startswith("certtool") else ""
            print(
                f"| {name} | {wall:.2f} | {min(walls):.2f} | {max(walls):.2f} "
                f"| {wall / reference:.2f} | {statistics.median(cpus):.2f} "
                f"| {statistics.median(server):.1f} | {memory} |"
            )
        print(f"\nratio: of medians, to `bare patches`; {PARALLEL} at a time\n\n### Targets\n")
        ours = results["certtool inject --cluster"]
        ratio = statistics.median(wall for wall, *_ in ours) / reference
        peak = max(peak for _, _, peak, _ in ours + second) / 2**20
        print(f"- of the bare patches' time: {ratio:.2f}, target at most 1.3: {said(ratio <= 1.3)}")
        print(f"- peak memory: {peak:.1f} MiB, target at most 40 MiB: {said(peak <= 40)}")
        print("- a second pass writes nothing: met")
        return ratio <= 1.3 and peak <= 40


def told(name: str, result: tuple) -> str:
    wall, cpu, peak, server = result
    return (
        f"{name}: {wall:.2f} s, CPU {cpu:.2f} s, the API server's {server:.1f} s, "
        f"peak {peak / 2**20:.1f} MiB"
    )


def said(met: bool) -> str:
    return "met" if met else "MISSED"


def timed(words: list, stdin: Path | None, env: dict) -> tuple[float, float, int]:
    """Seconds, seconds of CPU, and the peak of resident memory in bytes."""
    words = [str(word) for word in words]
    files = [
        (os.POSIX_SPAWN_OPEN, 0, str(stdin or os.devnull), os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    ]
    began = time.monotonic()
    child = os.posix_spawn(words[0], words, env, file_actions=files)
    _, status, usage = os.wait4(child, 0)
    elapsed = time.monotonic() - began
    if status != 0:
        raise Failed(f"{' '.join(words)} failed")
    # Linux counts in KiB.
    return elapsed, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_requests(scratch: Path, cas: list[Path]) -> None:
    """The requests that make the objects, and for each CA those that patch them."""
    objects = []
    with (scratch / "create.txt").open("w") as create:
        for number in range(CONFIGURATIONS):
            kind = ("validating", "mutating")[number % 2]
            path, body = f"{ADMISSION}/{kind}webhookconfigurations", configuration(kind, number)
            objects.append((f"{path}/{body['metadata']['name']}", "/webhooks/0/clientConfig/caBundle"))
            create.write(f"POST\t{path}\t{JSON}\t{json.dumps(body)}\n")
        for number in range(CRDS):
            body = crd(number)
            text = json.dumps(body)
            if not 0.95 * CRD_BYTES < len(text) < 1.05 * CRD_BYTES:
                raise Failed(f"a CRD has {len(text)} bytes")
            pointer = "/spec/conversion/webhook/clientConfig/caBundle"
            objects.append((f"{EXTENSIONS}/{body['metadata']['name']}", pointer))
            create.write(f"POST\t{EXTENSIONS}\t{JSON}\t{text}\n")
    for number, ca in enumerate(cas):
        bundle = base64.b64encode(ca.read_bytes()).decode()
        with (scratch / f"patch-{number}.txt").open("w") as patch:
            for path, pointer in objects:
                body = json.dumps([{"op": "add", "path": pointer, "value": bundle}])
                patch.write(f"PATCH\t{path}\tapplication/json-patch+json\t{body}\n")


def configuration(kind: str, number: int) -> dict:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{kind.capitalize()}WebhookConfiguration",
        "metadata": {"name": f"bench-{number}.certtool.dev"},
        "webhooks": [{
            "name": f"hook-{number}.bench.certtool.dev",
            "clientConfig": {"service": SERVICE},
            "rules": [{
                "apiGroups": ["bench.certtool.dev"], "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"], "resources": ["things"],
            }],
            "namespaceSelector": {"matchLabels": {"never": "there"}},
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
        }],
    }


def crd(number: int) -> dict:
    kind = f"Large{number}"
    text = "What this field is for, and what it may hold, at some length, as API documentation goes. "
    fields = {f"field{n}": {"type": "string", "description": text} for n in range(734)}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "properties": fields},
    }}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.lower()}s.bench.certtool.dev"},
        "spec": {
            "group": "bench.certtool.dev",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": f"{kind.lower()}s"},
            "versions": [
                {"name": name, "served": True, "storage": name == "v1", "schema": schema}
                for name in ("v1", "v1beta1")
            ],
            "conversion": {
                "strategy": "Webhook",
                "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"service": SERVICE}},
            },
        },
    }
