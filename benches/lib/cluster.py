"""A control plane of the benchmark's own, so that nobody's is disturbed."""

import base64
import os
import re
import shutil
from contextlib import ExitStack
from pathlib import Path

from measure import environment, output


def control_plane(root: Path, scratch: Path, stack: ExitStack, env: dict[str, str]) -> str:
    """Starts it, points `env` at it, stops it with `stack`; kubectl's path."""
    script = root / "scripts/control-plane"
    directory = scratch / "control-plane"
    # Building its binaries, once, takes the user's own caches.
    up = output(script, "up", "--dir", directory, env=dict(os.environ))
    stack.callback(lambda: output(script, "down", "--dir", directory))
    env["KUBECONFIG"] = str(directory / "kubeconfig")
    named = re.search(r"^# kubectl: ([^;]+);", up, re.MULTILINE)
    return named[1] if named else shutil.which("kubectl") or "kubectl"


class Scene:
    """A control plane, credentials for it, and a client that sends requests that are ready made."""

    def __init__(self, options, scratch: Path, stack: ExitStack) -> None:
        self.options, self.scratch = options, scratch
        self.env = environment(scratch / "home")
        self.kubectl = control_plane(options.root, scratch, stack, self.env)
        self.bare = scratch / "bare-requests"
        build = dict(os.environ, CGO_ENABLED="0")
        output("go", "build", "-C", options.root / "benches/bare-requests", "-o", self.bare, ".", env=build)
        self.client = credentials(Path(self.env["KUBECONFIG"]), scratch)


def credentials(kubeconfig: Path, scratch: Path) -> list:
    """Server, CA, certificate and key, as files."""
    text = kubeconfig.read_text()
    found = {}
    for line in text.splitlines():
        key, _, value = line.strip().removeprefix("- ").partition(": ")
        found[key.strip('"')] = value.strip('",')
    files = []
    for key in ("certificate-authority", "client-certificate", "client-key"):
        if key in found:
            files.append(found[key])
            continue
        target = scratch / f"{key}.pem"
        target.write_bytes(base64.b64decode(found[f"{key}-data"]))
        files.append(target)
    return [found["server"], *files]
