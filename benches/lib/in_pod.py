"""A process as a kubelet starts it: its service account's files where they are mounted, no kubeconfig."""

import base64
import json
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

from measure import output, say

MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount"
# A mount namespace of its own, so that nothing of it is seen on this machine.
SCRIPT = f"""
mount -t tmpfs none "$1" && mkdir -p {MOUNTED} && cp "$2"/* {MOUNTED} && shift 2 && exec "$@"
"""


class Account:
    """A service account with the rights that a sidecar prints."""

    def __init__(self, kubectl: str, env: dict, scratch: Path, name: str, sidecar: list) -> None:
        self.env = env
        output(kubectl, "create", "serviceaccount", name, env=env)
        rights = output(*sidecar, "--rbac-for", f"default/{name}", env=env)
        output(kubectl, "apply", "-f", "-", env=env, stdin=rights)
        self.token = output(kubectl, "create", "token", name, env=env).strip()
        view = output(kubectl, "config", "view", "--raw", "--flatten", "-o", "json", env=env)
        self.config = json.loads(view)
        self.directory = scratch / name
        self.directory.mkdir()
        cluster = self.config["clusters"][0]["cluster"]
        self.server = cluster["server"].removeprefix("https://").split(":")
        files = {
            "token": self.token,
            "namespace": "default",
            "ca.crt": base64.b64decode(cluster["certificate-authority-data"]).decode(),
        }
        for file, text in files.items():
            (self.directory / file).write_text(text)

    def kubeconfig(self, path: Path) -> dict:
        """The environment of one that reads a kubeconfig."""
        self.config["users"][0]["user"] = {"token": self.token}
        path.write_text(json.dumps(self.config))
        return {**self.env, "KUBECONFIG": str(path)}

    @contextmanager
    def process(self, command: list, log: Path):
        """One that runs while this lasts, in a pod if that is possible, and has ended after it."""
        if is_possible():
            command, env = self.in_pod(command)
        else:
            say("not as root: with a kubeconfig, which takes more memory than a pod's files")
            env = self.kubeconfig(log.with_suffix(".kubeconfig"))
        with log.open("w") as said:
            process = subprocess.Popen([str(word) for word in command], env=env, stderr=said)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def in_pod(self, command: list) -> tuple[list, dict]:
        """Command and environment of one in a pod; takes root."""
        host, port = self.server
        env = {key: value for key, value in self.env.items() if key != "KUBECONFIG"}
        env |= {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
        run = os.path.realpath("/var/run")
        unshare = ["unshare", "--mount", "--propagation", "private"]
        return [*unshare, "sh", "-c", SCRIPT, "sh", run, self.directory, *command], env


def is_possible() -> bool:
    return os.geteuid() == 0 and shutil.which("unshare") is not None
