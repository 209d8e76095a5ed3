"""The controller's injector: a changed CA reaches 500 webhook configurations, next to a client that
sends the same patches and nothing else, and to cert-manager's cainjector; memory, also with CRDs and
Secrets that none of them is about."""

import base64
import http.client
import json
import os
import socket
import ssl
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

from cluster import Scene
from controller import Running, resident
from inject_cluster import ADMISSION, EXTENSIONS, JSON, PARALLEL, configuration, crd, timed
from measure import Failed, output, say
from peers import cainjector

SHARE = float(os.environ.get("CERTTOOL_BENCH_SHARE", "1"))
CONFIGURATIONS = int(500 * SHARE)
CRDS = int(200 * SHARE)
SECRETS = int(2000 * SHARE)
SECRET_BYTES = 10_000
ROUNDS = 5
LIMIT_SECONDS = 180
SOURCE = "/api/v1/namespaces/bench-system/secrets/ca"
ANNOTATION = {"cert-manager.io/inject-ca-from-secret": "bench-system/ca"}
CERTTOOL = "certtool controller"
PATCHES = "bare patches"
CAINJECTOR = "cainjector"
UNLIMITED = "cainjector, client unlimited"


def run(options) -> bool:
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="certtool-bench-"))
        return Bench(options, Path(scratch), stack).run()


class Bench(Scene):
    def __init__(self, options, scratch: Path, stack: ExitStack) -> None:
        super().__init__(options, scratch, stack)
        self.bundles = []
        config = scratch / "controller.yaml"
        config.write_text(
            "apiVersion: certtool.dev/v1alpha1\nkind: ControllerConfig\n"
            "injection: {certManagerAnnotations: true}\n"
        )
        self.ways = {
            CERTTOOL: [
                options.certtool, "controller", "--config", config, "--listen", "none",
                "--leader-elect=false",
            ],
        }
        peer = None if options.no_peers else cainjector(options.root)
        if peer:
            self.ways[CAINJECTOR] = [peer]
            self.ways[UNLIMITED] = [peer, "-qps", "-1"]

    def run(self) -> bool:
        say(f"injection: making {CONFIGURATIONS} configurations")
        self.prepare()
        rounds = min(self.options.runs, ROUNDS)
        alone = self.measure("500 configurations", rounds)
        say(f"injection: making {CRDS} CRDs and {SECRETS} Secrets")
        self.send("more", self.more())
        crowded = self.measure("with CRDs and Secrets", rounds)
        return self.report(alone, crowded)

    def prepare(self) -> None:
        self.kube("create", "namespace", "bench-system")
        for name in ("one", "two"):
            directory = self.scratch / name
            output(self.options.certtool, "ca", "init", "--out-dir", directory, env=self.env)
            self.bundles.append(base64.b64encode((directory / "ca.crt").read_bytes()).decode())
        self.kube("apply", "-f", "-", stdin=json.dumps({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {
                "name": "ca", "namespace": "bench-system",
                "annotations": {"cert-manager.io/allow-direct-injection": "true"},
            },
            "data": {"ca.crt": self.bundles[0]},
        }))
        self.objects = []
        lines = []
        for number in range(CONFIGURATIONS):
            kind = ("validating", "mutating")[number % 2]
            body = configuration(kind, number)
            body["metadata"]["annotations"] = ANNOTATION
            path = f"{ADMISSION}/{kind}webhookconfigurations"
            self.objects.append(f"{path}/{body['metadata']['name']}")
            lines.append(f"POST\t{path}\t{JSON}\t{json.dumps(body)}\n")
        self.send("create", lines)
        options = json.dumps({"apiVersion": "v1", "kind": "DeleteOptions"})
        with (self.scratch / "delete.txt").open("w") as delete:
            for path in self.objects:
                delete.write(f"DELETE\t{path}\t{JSON}\t{options}\n")
        for number, bundle in enumerate(self.bundles):
            body = json.dumps([
                {"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": bundle}
            ])
            with (self.scratch / f"patch-{number}.txt").open("w") as patch:
                for path in self.objects:
                    patch.write(f"PATCH\t{path}\tapplication/json-patch+json\t{body}\n")

    def more(self):
        for number in range(CRDS):
            yield f"POST\t{EXTENSIONS}\t{JSON}\t{json.dumps(crd(number))}\n"
        filling = base64.b64encode(b"x" * (SECRET_BYTES * 3 // 4)).decode()
        for number in range(SECRETS):
            body = {
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"other-{number}"},
                "data": {"filling": filling},
            }
            yield f"POST\t/api/v1/namespaces/bench-system/secrets\t{JSON}\t{json.dumps(body)}\n"

    def kube(self, *words: object, stdin: str | None = None) -> str:
        return output(self.kubectl, *words, env=self.env, stdin=stdin)

    def send(self, name: str, lines=None) -> None:
        path = self.scratch / f"{name}.txt"
        if lines:
            with path.open("w") as file:
                file.writelines(lines)
        timed([self.bare, *self.client, PARALLEL, JSON], path, self.env)

    def measure(self, what: str, rounds: int) -> dict[str, dict]:
        """Seconds of each round, and the peak of each process."""
        say(f"injection: {what}, {rounds} rounds")
        found = {name: {"seconds": [], "peak": []} for name in [PATCHES, *self.ways]}
        for number in range(rounds):
            for name in found:
                if name == PATCHES:
                    found[name]["seconds"].append(self.patches())
                    continue
                seconds, peak = self.controller(name)
                found[name]["seconds"].append(seconds)
                found[name]["peak"].append(peak)
        return found

    def patches(self) -> float:
        with Watched(self.client, self.bundles[0], len(self.objects)) as first:
            self.send("patch-0")
            first.wait()
        with Watched(self.client, self.bundles[1], len(self.objects)) as watched:
            began = time.monotonic()
            self.send("patch-1")
            return watched.wait() - began

    def controller(self, name: str) -> tuple[float, float]:
        # Fresh objects: cainjector leaves a field alone that another field manager owns.
        self.send("delete")
        self.send("create")
        self.source(0)
        log = (self.scratch / "controller.log").open("ab")
        words = [str(word) for word in self.ways[name]]
        with Running(words, self.env, log) as process:
            try:
                with Watched(self.client, self.bundles[0], len(self.objects)) as first:
                    first.wait()
                # What it does after a start is done.
                time.sleep(3)
                with Watched(self.client, self.bundles[1], len(self.objects)) as watched:
                    began = time.monotonic()
                    self.source(1)
                    seconds = watched.wait() - began
            except Failed as failure:
                said = (self.scratch / "controller.log").read_text()[-3000:]
                raise Failed(f"{name}: {failure}\n{said}") from failure
            peak = resident(process.pid, "VmHWM")
        say(f"{name}: {seconds:.2f} s, peak {peak:.1f} MiB")
        return seconds, peak

    def source(self, number: int) -> None:
        # Not by kubectl, whose start takes longer than many a patch.
        body = json.dumps({"data": {"ca.crt": self.bundles[number]}})
        self.send(f"source-{number}", [f"PATCH\t{SOURCE}\tapplication/merge-patch+json\t{body}\n"])

    def report(self, alone: dict, crowded: dict) -> bool:
        met = True
        for title, found in {
            f"A changed CA reaches {CONFIGURATIONS} configurations": alone,
            f"The same beside {CRDS} CRDs of 200 kB and {SECRETS} Secrets of 10 kB": crowded,
        }.items():
            reference = statistics.median(found[PATCHES]["seconds"])
            print(f"\n### {title}\n")
            print("| | seconds, median | min | max | of the patches | peak, resident, MiB |")
            print("|---|---:|---:|---:|---:|---:|")
            for name, result in found.items():
                seconds = result["seconds"]
                median = statistics.median(seconds)
                peak = f"{max(result['peak']):.1f}" if result["peak"] else ""
                print(
                    f"| {name} | {median:.2f} | {min(seconds):.2f} | {max(seconds):.2f} | "
                    f"{median / reference:.2f} | {peak} |"
                )
            if found is alone:
                ratio = statistics.median(found[CERTTOOL]["seconds"]) / reference
                met &= ratio <= 1.3
                told = "met" if ratio <= 1.3 else "MISSED"
                print(f"\n- of the bare patches' time: {ratio:.2f}, target at most 1.3: {told}")
            else:
                peak = max(found[CERTTOOL]["peak"])
                met &= peak <= 30
                told = "met" if peak <= 30 else "MISSED"
                print(f"\n- peak, resident: {peak:.1f} MiB, target at most 30 MiB: {told}")
        return met


def certificate(bundle: str) -> bytes:
    """The one certificate of a bundle; cainjector keeps those of before beside it."""
    return base64.b64decode(bundle).strip()


class Watched:
    """Counts the configurations that hold a bundle, by watches that are open when it is entered."""

    def __init__(self, client: list, bundle: str, count: int) -> None:
        self.client, self.bundle, self.count = client, certificate(bundle), count
        self.holding: set[str] = set()
        self.done = threading.Event()
        self.finished = 0.0
        self.lock = threading.Lock()
        self.sockets = []

    def __enter__(self):
        for kind in ("validating", "mutating"):
            path = f"{ADMISSION}/{kind}webhookconfigurations"
            listed = json.loads(self.open(path).read())
            for item in listed["items"]:
                self.see(kind, item)
            version = listed["metadata"]["resourceVersion"]
            events = self.open(f"{path}?watch=1&resourceVersion={version}")
            threading.Thread(target=self.follow, args=(kind, events), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        # To close them would wait for whoever reads.
        for each in self.sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def open(self, path: str):
        server, ca, cert, key = self.client
        context = ssl.create_default_context(cafile=str(ca))
        context.load_cert_chain(str(cert), str(key))
        connection = http.client.HTTPSConnection(urlsplit(server).netloc, context=context)
        connection.connect()
        self.sockets.append(connection.sock)
        connection.request("GET", path)
        return connection.getresponse()

    def follow(self, kind: str, events) -> None:
        try:
            for line in events:
                self.see(kind, json.loads(line)["object"])
        except (OSError, ValueError, AttributeError):
            # The connection was closed: nobody waits any more.
            return

    def see(self, kind: str, item: dict) -> None:
        name = f"{kind}/{item['metadata']['name']}"
        holds = all(
            self.bundle in base64.b64decode(webhook["clientConfig"].get("caBundle", ""))
            for webhook in item["webhooks"]
        )
        with self.lock:
            (self.holding.add if holds else self.holding.discard)(name)
            if len(self.holding) == self.count and not self.done.is_set():
                self.finished = time.monotonic()
                self.done.set()

    def wait(self) -> float:
        """When the last one had it."""
        if not self.done.wait(LIMIT_SECONDS):
            raise Failed(f"{len(self.holding)} of {self.count} had the bundle after {LIMIT_SECONDS} s")
        return self.finished
