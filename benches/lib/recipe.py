"""`certtool issue` next to the recipe that it replaces, on a real API server."""

import json
import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from cluster import control_plane
from measure import Case, Failed, environment, interleave, output, say, table, target

REQUEST = {
    "hosts": ["hook.shop.svc", "hook.shop.svc.cluster.local", "127.0.0.1"],
    "CN": "hook.shop.svc",
    "key": {"algo": "ecdsa", "size": 256},
}
CA = {"CN": "My Example Signer", "key": {"algo": "rsa", "size": 2048}}
SIGNING = {
    "signing": {
        "default": {
            "usages": ["digital signature", "key encipherment", "server auth"],
            "expiry": "876000h",
            "ca_constraint": {"is_ca": False},
        }
    }
}
SIGNER = "example.com/serving"

# The hand-made recipe, command by command; $NAME is the request's, $KUBECTL and $CFSSL
# where the programs are.
BY_HAND = r"""
set -euo pipefail
PATH="$CFSSL:$PATH"
cfssl genkey csr.json | cfssljson -bare server
cat <<EOF | "$KUBECTL" apply -f -
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: $NAME}
spec:
  request: $(base64 < server.csr | tr -d '\n')
  signerName: example.com/serving
  usages: [digital signature, key encipherment, server auth]
EOF
"$KUBECTL" certificate approve "$NAME"
cfssl gencert -initca ca.json | cfssljson -bare ca
"$KUBECTL" get csr "$NAME" -o jsonpath='{.spec.request}' | base64 -d |
  cfssl sign -ca ca.pem -ca-key ca-key.pem -config sign.json - | cfssljson -bare ca-signed
"$KUBECTL" get csr "$NAME" -o json |
  jq '.status.certificate = "'"$(base64 < ca-signed.pem | tr -d '\n')"'"' |
  "$KUBECTL" replace --raw "/apis/certificates.k8s.io/v1/certificatesigningrequests/$NAME/status" -f -
"$KUBECTL" get csr "$NAME" -o jsonpath='{.status.certificate}' | base64 -d > tls.crt
cp server-key.pem tls.key
"""


def run(options) -> bool:
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="certtool-bench-")))
        env = environment(scratch / "home")
        kubectl = control_plane(options.root, scratch, stack, env)
        for name, content in (("csr", REQUEST), ("ca", CA), ("sign", SIGNING)):
            (scratch / f"{name}.json").write_text(json.dumps(content))
        cases = [issue(options, scratch, env, kubectl, made=True)]
        cases.append(issue(options, scratch, env, kubectl, made=False))
        if not options.no_peers:
            cases.append(by_hand(scratch, env, kubectl))
        say(f"recipe: {len(cases)} ways, {options.runs} runs of each")
        interleave(cases, options.runs, scratch / "log")
        table("From nothing to a pair through the CertificateSigningRequest API", cases, cases[-1])
        if options.no_peers:
            return True
        print("\n### Targets\n")
        hand, ours = cases[-1], cases[0]
        cpu = sorted(ours.cpu)[len(ours.cpu) // 2] / sorted(hand.cpu)[len(hand.cpu) // 2]
        met = [
            target("certtool issue, of the recipe's wall time", ours.median / hand.median, 0.1),
            target("certtool issue, of the recipe's CPU", cpu, 0.1),
        ]
        return all(met)


def issue(options, scratch: Path, env: dict, kubectl: str, made: bool) -> Case:
    name = "issue-made" if made else "issue-new"
    work = scratch / name
    work.mkdir()
    init = [
        options.certtool, "ca", "init", "--from", scratch / "ca.json", "--out-dir", work / "ca"
    ]
    if made:
        output(*init, env=env)
    command = [
        options.certtool, "issue", "--name", name, "--signer", SIGNER,
        "--from", scratch / "csr.json", "--config", scratch / "sign.json",
        "--ca-dir", work / "ca", "--cert-dir", work / "certs",
    ]

    def before() -> None:
        output(kubectl, "delete", "csr", name, "--ignore-not-found", env=env)
        shutil.rmtree(work / "certs", ignore_errors=True)
        if not made:
            shutil.rmtree(work / "ca", ignore_errors=True)

    def after() -> None:
        check(work / "certs/tls.crt", work / "ca/ca.crt")

    title = "certtool issue" if made else "certtool ca init (RSA), certtool issue"
    return Case(title, [command] if made else [init, command], env, before, after)


def by_hand(scratch: Path, env: dict, kubectl: str) -> Case:
    work = scratch / "by-hand"
    work.mkdir()
    cfssl = output(Path(__file__).parents[2] / "scripts/cfssl-peer", env=dict(os.environ)).strip()
    env = env | {"KUBECTL": kubectl, "CFSSL": cfssl, "NAME": "by-hand"}
    script = work / "recipe"
    script.write_text(f"cd {work}\n{BY_HAND}")

    def before() -> None:
        output(kubectl, "delete", "csr", "by-hand", "--ignore-not-found", env=env)
        for file in ("csr.json", "ca.json", "sign.json"):
            shutil.copy(scratch / file, work / file)

    def after() -> None:
        check(work / "tls.crt", work / "ca.pem")

    bash = shutil.which("bash") or "/bin/bash"
    if shutil.which("jq") is None:
        raise Failed("the hand-made recipe needs jq: install it, or use --no-peers")
    return Case("the recipe by hand (cfssl, kubectl, jq)", [[bash, script]], env, before, after)


def check(certificate: Path, ca: Path) -> None:
    output("openssl", "verify", "-CAfile", ca, "-verify_hostname", "hook.shop.svc", certificate)
