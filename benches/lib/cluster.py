"""A control plane of the benchmark's own, so that nobody's is disturbed."""

import os
import re
import shutil
from contextlib import ExitStack
from pathlib import Path

from measure import output


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
