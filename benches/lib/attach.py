"""`certtool local-dev attach`: 20 webhooks of a real API server, each one proven."""

import json
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from cluster import control_plane
from measure import Case, Failed, environment, interleave, output, say, table, target

WEBHOOKS = 20
KINDS = "validatingwebhookconfigurations,mutatingwebhookconfigurations,customresourcedefinitions"


def run(options) -> bool:
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="certtool-bench-"))
        return Bench(options, Path(scratch), stack).run()


class Bench:
    def __init__(self, options, scratch: Path, stack: ExitStack) -> None:
        self.options, self.scratch, self.stack = options, scratch, stack
        self.env = environment(scratch / "home")
        self.kubectl = control_plane(options.root, scratch, stack, self.env)
        self.port = free_port()
        self.certs = scratch / "certs"

    def run(self) -> bool:
        operator = [configuration("Validating", "checks", 8), configuration("Mutating", "fills", 8)]
        operator += [conversion(number) for number in range(WEBHOOKS - 16)]
        spread = [configuration("Validating", f"one-{number}", 1) for number in range(WEBHOOKS)]
        shapes = {
            "two configurations and four CRDs": operator,
            f"{WEBHOOKS} configurations": spread,
        }
        cases = []
        for number, (shape, objects) in enumerate(shapes.items()):
            label = f"bench.certtool.dev/shape={number}"
            name, value = label.split("=")
            for item in objects:
                item["metadata"]["labels"] = {name: value}
            manifest = self.scratch / f"shape-{number}.json"
            manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
            output(self.kubectl, "apply", "-f", manifest, env=self.env)
            cases.append(self.attach(shape, label))
        if not self.options.no_peers:
            cases.append(self.patch(spread))
        say(f"attach: {len(cases)} ways, {self.options.runs} runs of each")
        interleave(cases, self.options.runs, self.scratch / "log")
        table(f"Attaching {WEBHOOKS} webhooks", cases, cases[0])

        print("\n### Targets\n")
        met = [
            target(f"attach and prove {WEBHOOKS}, {shape}", case.median, 1000, " ms")
            for shape, case in zip(shapes, cases)
        ]
        return all(met)

    def serve(self) -> None:
        """The webhook server, on the pair that certtool wrote."""
        script = Path(__file__).parent / "webhooks.py"
        server = subprocess.Popen(
            [
                sys.executable, str(script), str(self.port),
                str(self.certs / "tls.crt"), str(self.certs / "tls.key"),
            ],
            stdout=subprocess.PIPE,
        )
        self.stack.callback(server.wait)
        self.stack.callback(server.kill)
        if server.stdout.readline() != b"listening\n":
            raise Failed("the webhook server did not start")

    def attach(self, shape: str, label: str) -> Case:
        certtool, where = self.options.certtool, ["--cert-dir", self.certs]
        if not self.certs.exists():
            output(certtool, "local-dev", *where, env=self.env)
            self.serve()
        command = [
            certtool, "local-dev", "attach", *where, "-l", label, "--port", self.port
        ]
        detach = [certtool, "local-dev", "detach", "-l", label]
        original = self.client_configs(label)

        # Once with a look at everything; this also puts the hosts into the certificate.
        said = json.loads(output(*command, "-o", "json", env=self.env))
        changed = [hook for item in said["objects"] for hook in item["webhooks"] if hook["changed"]]
        urls = [config.get("url") for config in self.client_configs(label)]
        if not (said["proven"] and len(changed) == WEBHOOKS == len(urls) and all(urls)):
            raise Failed(f"attach did not attach: {said} {urls}")

        def put_back() -> None:
            output(*detach, env=self.env)
            if self.client_configs(label) != original:
                raise Failed(f"detach did not put back what was there ({shape})")

        put_back()
        return Case(
            f"certtool local-dev attach, with proof, {shape}", [command], self.env, after=put_back
        )

    def client_configs(self, label: str) -> list[dict]:
        found = output(self.kubectl, "get", KINDS, "-l", label, "-o", "json", env=self.env)
        return [
            config
            for item in json.loads(found)["items"]
            for config in (
                [hook["clientConfig"] for hook in item["webhooks"]]
                if "webhooks" in item
                else [item["spec"]["conversion"]["webhook"]["clientConfig"]]
            )
        ]

    def patch(self, objects: list[dict]) -> Case:
        """By hand: a patch for each configuration, and no proof that it works."""
        change = [{
            "op": "replace", "path": "/webhooks/0/clientConfig",
            "value": {"url": f"https://127.0.0.1:{self.port}/", "caBundle": ""},
        }]
        commands = [
            [
                self.kubectl, "patch", item["kind"], item["metadata"]["name"],
                "--type=json", "-p", json.dumps(change),
            ]
            for item in objects
        ]
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})

        def put_back() -> None:
            output(self.kubectl, "replace", "-f", "-", env=self.env, stdin=manifest)

        return Case(
            f"kubectl patch, {WEBHOOKS} times, no proof", commands, self.env, after=put_back
        )


def configuration(kind: str, name: str, count: int) -> dict:
    """Webhooks for a namespace that does not exist: nobody is kept waiting by them."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{kind}WebhookConfiguration",
        "metadata": {"name": f"{name}.bench.certtool.dev"},
        "webhooks": [
            {
                "name": f"{name}-{number}.bench.certtool.dev",
                "clientConfig": {"service": service(f"/{name}-{number}")},
                "rules": [{
                    "apiGroups": ["bench.certtool.dev"], "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"], "resources": ["things"],
                }],
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
            }
            for number in range(count)
        ],
    }


def conversion(number: int) -> dict:
    kind = f"Thing{number}"
    names = {"kind": kind, "plural": f"{kind.lower()}s", "singular": kind.lower()}
    schema = {"openAPIV3Schema": {"type": "object"}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.bench.certtool.dev"},
        "spec": {
            "group": "bench.certtool.dev",
            "scope": "Namespaced",
            "names": names,
            "versions": [
                {"name": name, "served": True, "storage": name == "v1", "schema": schema}
                for name in ("v1", "v1beta1")
            ],
            "conversion": {
                "strategy": "Webhook",
                "webhook": {
                    "conversionReviewVersions": ["v1"],
                    "clientConfig": {"service": service(f"/convert-{number}")},
                },
            },
        },
    }


def service(path: str) -> dict:
    return {"namespace": "bench-system", "name": "webhook-service", "path": path}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
