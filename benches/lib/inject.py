"""`inject` on 20 MB of manifests: how fast, and in how much memory."""

import os
import statistics
import tempfile
import time
import traceback
from pathlib import Path

from measure import environment, output, say

SIZE = 20_000_000
MB = 1e6

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: app-{n}
  namespace: team-{n}
  labels: {{app.kubernetes.io/name: app-{n}, app.kubernetes.io/part-of: shop}}
spec:
  replicas: 2
  selector:
    matchLabels: {{app.kubernetes.io/name: app-{n}}}
  template:
    metadata:
      labels: {{app.kubernetes.io/name: app-{n}}}
    spec:
      containers:
      - name: app
        image: registry.example.com/shop/app-{n}:v1.{n}.0
        args: ["--listen=:8080", "--metrics=:9090"]
        resources:
          limits: {{cpu: 500m, memory: 128Mi}}
          requests: {{cpu: 10m, memory: 64Mi}}
        livenessProbe:
          httpGet: {{path: /healthz, port: 8081}}
          initialDelaySeconds: 15
"""

ROLE = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: app-{n}
rules:
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch]
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingwebhookconfigurations]
  verbs: [get]
"""

CRD_HEAD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  annotations:
    controller-gen.kubebuilder.io/version: v0.20.1
  name: things{n}.shop.example.com
spec:
  group: shop.example.com
  names: {{kind: Thing{n}, listKind: Thing{n}List, plural: things{n}, singular: thing{n}}}
  scope: Namespaced
  conversion:
    strategy: Webhook
    webhook:
      clientConfig:
        service:
          name: hook
          namespace: shop
          path: /convert
      conversionReviewVersions: [v1]
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
"""

CRD_FIELD = """\
          field{n}:
            description: |-
              Field {n} says how many of them there are, and which.
              When it is not set, the webhook sets it.
            properties:
              name: {{type: string, maxLength: 253}}
              weight:
                format: int32
                maximum: 100
                type: integer
            required:
            - name
            type: object
"""

WEBHOOKS_HEAD = """\
apiVersion: admissionregistration.k8s.io/v1
kind: {kind}
metadata:
  labels:
    app.kubernetes.io/managed-by: kustomize
  name: hooks-{n}
webhooks:
"""

WEBHOOK = """\
- admissionReviewVersions:
  - v1
  clientConfig:
    service:
      name: hook
      namespace: shop
      path: /validate-shop-example-com-v1-thing{n}
  failurePolicy: Fail
  name: vthing{n}.shop.example.com
  rules:
  - apiGroups:
    - shop.example.com
    apiVersions:
    - v1
    operations:
    - CREATE
    - UPDATE
    resources:
    - things{n}
  sideEffects: None
"""


def webhooks(number: int) -> str:
    kind = ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"][number % 2]
    head = WEBHOOKS_HEAD.format(kind=kind, n=number)
    return head + "".join(WEBHOOK.format(n=number * 3 + hook) for hook in range(3))


def crd(number: int) -> str:
    return CRD_HEAD.format(n=number) + "".join(CRD_FIELD.format(n=field) for field in range(250))


def mixed(number: int) -> str:
    """As a platform's manifests are: mostly others' kinds, a few large CRDs, some webhooks."""
    if number % 25 == 0:
        return crd(number)
    if number % 5 == 1:
        return webhooks(number)
    return [DEPLOYMENT, ROLE][number % 2].format(n=number)


def stream(make) -> bytes:
    parts, size, number = [], 0, 0
    while size < SIZE:
        part = make(number).encode()
        parts.append(part)
        size += len(part) + 4
        number += 1
    return b"---\n".join(parts)


def as_list(make) -> bytes:
    """What `kubectl get -o yaml` gives: one document."""
    parts, size, number = [b"apiVersion: v1\nkind: List\nitems:\n"], 0, 0
    while size < SIZE:
        lines = make(number).splitlines()
        part = "".join(f"{'- ' if first == 0 else '  '}{line}\n" for first, line in enumerate(lines))
        parts.append(part.encode())
        size += len(part)
        number += 1
    return b"".join(parts)


INPUTS = {
    "a mixed stream": lambda: stream(mixed),
    "a dense stream (webhook configurations alone)": lambda: stream(webhooks),
    "a mixed `List` in one document": lambda: as_list(mixed),
    "a dense `List` in one document": lambda: as_list(webhooks),
}


def run(options) -> bool:
    met = True
    with tempfile.TemporaryDirectory(prefix="certtool-bench-") as directory:
        scratch = Path(directory)
        env = environment(scratch / "home")
        output(options.certtool, "ca", "init", "--out-dir", scratch / "ca", env=env)
        rows = []
        for name, make in INPUTS.items():
            manifest, done = scratch / "in.yaml", scratch / "out.yaml"
            apart(lambda: manifest.write_bytes(make()))
            for what, source in [("injected", manifest), ("unchanged", done)]:
                say(f"inject: {name}, {what}")
                size = source.stat().st_size
                runs = [
                    inject(options.certtool, source, scratch, env)
                    for _ in range(max(3, options.runs // 3))
                ]
                if what == "injected":
                    (scratch / "new.yaml").rename(done)
                    apart(lambda: check(manifest.read_bytes(), done.read_bytes()))
                else:
                    output("cmp", scratch / "new.yaml", done)
                wall = statistics.median(run[0] for run in runs)
                cpu = statistics.median(run[1] for run in runs)
                memory = max(run[2] for run in runs)
                rows.append((f"{name}, {what}", size, wall, cpu, memory))
        floor = statistics.median(
            cat(scratch / "in.yaml", scratch / "new.yaml") for _ in range(5)
        )
    print("\n### `inject` on 20 MB of manifests\n")
    print("| | input MB | ms | CPU ms | MB/s | peak memory MB | of the input |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, size, wall, cpu, memory in rows:
        print(
            f"| {name} | {size / MB:.1f} | {wall * 1e3:.0f} | {cpu * 1e3:.0f} "
            f"| {size / MB / wall:.0f} | {memory / MB:.0f} | {memory / size:.1f} |"
        )
    print(f"\n`cat` of the last one takes {floor * 1e3:.0f} ms.")
    print("\n### Targets\n")
    # The streams are what the target speaks of.
    for name, size, wall, _, memory in rows:
        rate, share = size / MB / wall, memory / size
        fast, small = rate >= 100, share <= 4
        met &= fast and small
        print(
            f"- {name}: {rate:.0f} MB/s, target at least 100: {'met' if fast else 'MISSED'}; "
            f"{share:.1f} times the input, target at most 4: {'met' if small else 'MISSED'}"
        )
    return met


def apart(work) -> None:
    """In another process: what this one ever had in memory counts as the peak of the programs
    that it starts (Linux takes it over at exec)."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        raise RuntimeError("see above")


def inject(certtool: Path, source: Path, scratch: Path, env: dict) -> tuple[float, float, int]:
    """Seconds, seconds of CPU, and the peak of resident memory in bytes."""
    words = [certtool, "inject", "-q", "-f", source, "--ca", scratch / "ca/ca.crt"]
    return timed([str(word) for word in words], scratch / "new.yaml", env)


def cat(source: Path, target: Path) -> float:
    return timed(["/bin/cat", str(source)], target, dict(os.environ))[0]


def timed(words: list[str], target: Path, env: dict) -> tuple[float, float, int]:
    target.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    began = time.monotonic()
    child = os.posix_spawn(
        words[0], words, env, file_actions=[(os.POSIX_SPAWN_OPEN, 1, str(target), flags, 0o644)]
    )
    _, status, usage = os.wait4(child, 0)
    elapsed = time.monotonic() - began
    if status != 0:
        raise RuntimeError(f"{' '.join(words)} failed")
    # Linux counts in KiB.
    return elapsed, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def check(before: bytes, after: bytes) -> None:
    """Without its caBundle lines the output is the input."""
    kept = [line for line in after.splitlines() if not line.lstrip().startswith(b"caBundle: ")]
    if kept != before.splitlines():
        raise RuntimeError("more than the caBundles changed")
    if len(kept) == len(after.splitlines()):
        raise RuntimeError("nothing was injected")
