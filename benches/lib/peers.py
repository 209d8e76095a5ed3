"""The programs that certtool is timed against, from Go modules, kept outside the tree."""

import os
import shutil
import subprocess
from pathlib import Path

from measure import say

MODULES = {
    "mkcert": ["filippo.io/mkcert@v1.4.4"],
    "cfssl": [
        "github.com/cloudflare/cfssl/cmd/cfssl@v1.6.5",
        "github.com/cloudflare/cfssl/cmd/cfssljson@v1.6.5",
    ],
    # Big: last.
    "step": ["github.com/smallstep/cli/cmd/step@v0.28.7"],
}


def directory() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "certtool/peers"


def binary(module: str) -> Path:
    package, _, version = module.partition("@")
    return directory() / version / Path(package).name


def find() -> set[str]:
    """Those that are there or can be built; each of the others is named on stderr."""
    found = {name for name in MODULES if build(name)}
    if shutil.which("openssl"):
        found.add("openssl")
    else:
        say("left out: openssl (not installed)")
    return found


def build(name: str) -> bool:
    for module in MODULES[name]:
        target = binary(module)
        if target.is_file():
            continue
        if not shutil.which("go"):
            say(f"left out: {name} (it is built from its Go module, and go is not installed)")
            return False
        say(f"building {module} (once; it is kept in {target.parent})")
        target.parent.mkdir(parents=True, exist_ok=True)
        built = subprocess.run(
            ["nice", "go", "install", "-trimpath", "-ldflags=-s -w", module],
            # Without cgo: what needs it (cfssl's database drivers) is not timed.
            env={**os.environ, "GOBIN": str(target.parent), "GOFLAGS": "", "CGO_ENABLED": "0"},
            cwd=target.parent, capture_output=True, text=True,
        )
        if built.returncode != 0 or not target.is_file():
            lines = built.stderr.strip().splitlines()
            say(f"left out: {name} (go install {module} failed: {lines[-1] if lines else '?'})")
            return False
    return True


def versions(found: set[str]) -> str:
    names = [
        module.rpartition("/")[2].replace("@", " ")
        for name, modules in MODULES.items() if name in found
        for module in modules[:1]
    ]
    if "openssl" in found:
        words = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.split()
        names.append(" ".join(words[:2]))
    return ", ".join(names) or "none"


def cainjector(root: Path) -> Path | None:
    """cert-manager's injection controllers, of benches/cainjector."""
    source = root / "benches/cainjector"
    version = next(
        line.split()[1] for line in (source / "go.mod").read_text().splitlines()
        if line.strip().startswith("github.com/cert-manager/cert-manager ")
    )
    target = directory() / f"cainjector-{version}" / "cainjector"
    if target.is_file():
        return target
    if not shutil.which("go"):
        say("left out: cainjector (it is built from its Go module, and go is not installed)")
        return None
    say(f"building cainjector {version} (once, some minutes; it is kept in {target.parent})")
    target.parent.mkdir(parents=True, exist_ok=True)
    built = subprocess.run(
        ["nice", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(target), "."],
        env={**os.environ, "GOFLAGS": "", "CGO_ENABLED": "0"},
        cwd=source, capture_output=True, text=True,
    )
    if built.returncode != 0:
        lines = built.stderr.strip().splitlines()
        say(f"left out: cainjector (go build failed: {lines[-1] if lines else '?'})")
        return None
    return target
