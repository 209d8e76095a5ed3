"""Bulk signing: a directory of CSRs, next to the crypto library alone and to cfssl."""

import json
import os
import re
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from measure import environment, output, say

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
        csrs = requests(certtool, scratch, env)
        floor, ours, cfssl = [], [], []
        peer = None if options.no_peers else cfssl_peer(options.root)
        say(f"signing: {ROUNDS} rounds of {CSRS} CSRs")
        for _ in range(ROUNDS):
            floor.append(crypto_alone(options.root))
            ours.append(sign(certtool, scratch, csrs, env))
            if peer:
                cfssl.append(cfssl_rate(peer, scratch, csrs))
        rates = {
            "the crypto library alone: one verification, one signature each": floor,
            "certtool sign --csr DIR": ours,
        }
        if cfssl:
            rates["cfssl's signer, in one process on one core (it has no bulk mode)"] = cfssl
        print("\n### Signing ECDSA P-256 CSRs from a directory\n")
        print("| | CSRs/s, median | min | max |\n|---|---:|---:|---:|")
        for name, values in rates.items():
            print(f"| {name} | {statistics.median(values):.0f} | {min(values):.0f} | {max(values):.0f} |")
        print("\n### Targets\n")
        ratio = statistics.median(a / b for a, b in zip(ours, floor))
        met = ratio >= 0.7
        print(f"- of the crypto library's rate: {ratio:.2f}, target at least 0.7: {'met' if met else 'MISSED'}")
        if cfssl:
            print(f"- of cfssl's rate: {statistics.median(a / b for a, b in zip(ours, cfssl)):.1f}")
        return met


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


def sign(certtool: Path, scratch: Path, csrs: Path, env: dict) -> float:
    out = scratch / "out"
    shutil.rmtree(out, ignore_errors=True)
    began = time.monotonic()
    output(certtool, "sign", "--csr", csrs, "--out-dir", out, "--ca-dir", scratch / "ca", env=env)
    elapsed = time.monotonic() - began
    count = sum(1 for _ in out.iterdir())
    if count != CSRS:
        raise RuntimeError(f"{count} certificates for {CSRS} requests")
    output("openssl", "verify", "-CAfile", scratch / "ca/ca.crt", out / "0.crt", out / f"{CSRS - 1}.crt")
    return CSRS / elapsed


def crypto_alone(root: Path) -> float:
    """benches/crypto.rs, on all cores."""
    said = output("cargo", "bench", "--quiet", "--bench", "crypto", "--manifest-path", root / "Cargo.toml", env=dict(os.environ))
    return float(re.search(r"([0-9.]+) per second", said)[1])


def cfssl_peer(root: Path) -> Path:
    return Path(output(root / "scripts/cfssl-peer", env=dict(os.environ)).strip()) / "peer"


def cfssl_rate(peer: Path, scratch: Path, csrs: Path) -> float:
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
    began = time.monotonic()
    results = json.loads(output(peer, stdin=request, env=dict(os.environ)))
    elapsed = time.monotonic() - began
    failed = [result for result in results if result.get("error")]
    if failed:
        raise RuntimeError(f"cfssl: {failed[0]}")
    return count / elapsed


def sec1(key: Path) -> str:
    return output("openssl", "pkey", "-in", key)
