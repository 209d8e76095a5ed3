"""Bulk signing: a directory of CSRs, next to the crypto library alone and to cfssl."""

import json
import os
import re
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import measure
from measure import Failed, environment, output, say

CSRS = 10_000
# Verifying and signing takes the same time for a copy.
DISTINCT = 200
ROUNDS = 5
PROFILE = {"signing": {"default": {"usages": ["server auth"], "expiry": "24h"}}}


def run(options) -> bool:
    with tempfile.TemporaryDirectory(prefix="certtool-bench-") as directory:
        scratch = Path(directory)
        env = environment(scratch / "home")
        certtool = options.certtool
        output(certtool, "ca", "init", "--out-dir", scratch / "ca", env=env)
        crypto = build_crypto(options.root)
        peer = None if options.no_peers else cfssl_peer(options.root)
        csrs = requests(certtool, scratch, env)
        say(f"signing: {ROUNDS} rounds of {CSRS} CSRs")
        floor, ours, cfssl = [], [], []
        for number in range(ROUNDS):
            floor.append(crypto_alone(crypto, scratch, env))
            ours.append(sign(certtool, scratch, csrs, number, env))
            if peer:
                cfssl.append(cfssl_rate(peer, scratch, csrs))
        rates = {
            "the crypto library alone: one verification, one signature each": floor,
            "certtool sign --csr DIR": ours,
        }
        if cfssl:
            rates["cfssl's signer, in one process on one core (it has no bulk mode)"] = cfssl
        print("\n### Signing ECDSA P-256 CSRs from a directory\n")
        print("| | CSRs/s, median | min | max | CPU us per CSR |\n|---|---:|---:|---:|---:|")
        for name, rounds in rates.items():
            wall = [rate.wall for rate in rounds]
            cpu = statistics.median(rate.cpu for rate in rounds)
            print(
                f"| {name} | {statistics.median(wall):.0f} | {min(wall):.0f} | {max(wall):.0f} "
                f"| {1e6 / cpu:.0f} |"
            )
        print("\n### Targets\n")
        wall = median_ratio(ours, floor, "wall")
        met = wall >= 0.7
        print(
            f"- of the crypto library's rate: {wall:.2f} ({median_ratio(ours, floor, 'cpu'):.2f} per "
            f"second of CPU), target at least 0.7: {'met' if met else 'MISSED'}"
        )
        if cfssl:
            print(
                f"- of cfssl's rate: {median_ratio(ours, cfssl, 'wall'):.1f} "
                f"({median_ratio(ours, cfssl, 'cpu'):.1f} per second of CPU)"
            )
        return met


@dataclass
class Rate:
    """CSRs per second on the clock, and per second of CPU (user and system)."""

    wall: float
    cpu: float


def median_ratio(ours: list[Rate], theirs: list[Rate], of: str) -> float:
    """The median of each round's ratio."""
    return statistics.median(getattr(a, of) / getattr(b, of) for a, b in zip(ours, theirs))


def requests(certtool: Path, scratch: Path, env: dict) -> Path:
    made, csrs = scratch / "made", scratch / "csrs"
    csrs.mkdir()
    for number in range(DISTINCT):
        output(
            certtool, "genkey", "-q", "--service", f"hook-{number}.shop",
            "--out-dir", made, "--name", str(number), env=env,
        )
    for number in range(CSRS):
        shutil.copy(made / f"{number % DISTINCT}.csr", csrs / f"{number}.csr")
    return csrs


def sign(certtool: Path, scratch: Path, csrs: Path, number: int, env: dict) -> Rate:
    # A new directory each time, and the last one stays until the end: ext4 does not use an
    # inode again for some seconds after its file was removed, and every file that is made
    # soon after 10,000 were removed looks at all of those first. That would be measured, at
    # 50 to 250 us a file, for certtool and for any other program.
    out = scratch / f"out-{number}"
    command = [certtool, "sign", "--csr", csrs, "--out-dir", out, "--ca-dir", scratch / "ca"]
    elapsed, cpu = timed(command, env, scratch / "log")
    count = sum(1 for _ in out.iterdir())
    if count != CSRS:
        raise Failed(f"{count} certificates for {CSRS} requests")
    output("openssl", "verify", "-CAfile", scratch / "ca/ca.crt", out / "0.crt", out / f"{CSRS - 1}.crt")
    return Rate(CSRS / elapsed, CSRS / cpu)


def timed(command: list, env: dict, log: Path) -> tuple[float, float]:
    """Seconds on the clock, and of CPU."""
    log.write_bytes(b"")
    began = time.monotonic()
    failed, cpu = measure.run(command, env, log)
    elapsed = time.monotonic() - began
    if failed:
        raise Failed(f"{command}:\n{log.read_text(errors='replace')}")
    return elapsed, cpu


def build_crypto(root: Path) -> Path:
    """benches/crypto.rs, with the very library that certtool is linked with.

    `cargo bench` would build all of certtool and what it depends on once more, since it
    cannot have `panic = "abort"`; this takes seconds, and only when something changed.
    """
    messages = output(
        "cargo", "build", "--release", "--locked", "--package", "aws-lc-rs", "--message-format", "json",
        "--manifest-path", root / "Cargo.toml", env=dict(os.environ),
    )
    library, native = None, []
    for message in map(json.loads, messages.splitlines()):
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == "aws_lc_rs":
            library = next(Path(name) for name in message["filenames"] if name.endswith(".rlib"))
        if message["reason"] == "build-script-executed":
            native += [path.removeprefix("native=") for path in message["linked_paths"]]
    if library is None:
        raise Failed("cargo build --release has no aws_lc_rs")
    # Cargo links what it is asked for into the directory above.
    release = library.parent.parent if library.parent.name == "deps" else library.parent
    source, built = root / "benches/crypto.rs", release / "crypto-floor"
    if built.is_file() and built.stat().st_mtime > max(
        library.stat().st_mtime, source.stat().st_mtime
    ):
        return built
    say("signing: building benches/crypto.rs")
    search = [word for path in native for word in ("-L", f"native={path}")]
    output(
        "rustc", "--edition", "2024", "-C", "opt-level=3", "-C", "lto=fat", "-C", "codegen-units=1",
        "-C", "panic=abort", source, "-L", f"dependency={release / 'deps'}", *search,
        "--extern", f"aws_lc_rs={library}", "-o", built, env=dict(os.environ),
    )
    return built


def crypto_alone(crypto: Path, scratch: Path, env: dict) -> Rate:
    """On all cores, for a fixed time."""
    log = scratch / "log"
    elapsed, cpu = timed([crypto], env, log)
    wall = float(re.search(r"([0-9.]+) per second", log.read_text())[1])
    return Rate(wall, wall * elapsed / cpu)


def cfssl_peer(root: Path) -> Path:
    return Path(output(root / "scripts/cfssl-peer", env=dict(os.environ)).strip()) / "peer"


def cfssl_rate(peer: Path, scratch: Path, csrs: Path) -> Rate:
    count = 2000
    cases = [
        {"kind": "sign", "json": json.dumps(PROFILE), "csr": (csrs / f"{number}.csr").read_text()}
        for number in range(count)
    ]
    request = json.dumps({
        "ca": (scratch / "ca/ca.crt").read_text(),
        "ca_key": sec1(scratch / "ca/ca.key"),
        "cases": cases,
    })
    began, before = time.monotonic(), os.times()
    results = json.loads(output(peer, stdin=request, env=dict(os.environ)))
    elapsed, after = time.monotonic() - began, os.times()
    failed = [result for result in results if result.get("error")]
    if failed:
        raise Failed(f"cfssl: {failed[0]}")
    cpu = sum(getattr(after, kind) - getattr(before, kind) for kind in ("children_user", "children_system"))
    return Rate(count / elapsed, count / cpu)


def sec1(key: Path) -> str:
    return output("openssl", "pkey", "-in", key)
