"""`certtool local-dev`: from nothing, again, `--help`, and the binary's size."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import peers
from measure import Case, Failed, environment, interleave, output, realtime, say, table, target

SERVICE = "webhook-service.shop-system"


@dataclass
class Place:
    """A home of its own for each way to do the work, and the files that it ends with."""

    home: Path
    cert_name: str = "tls.crt"
    key_name: str = "tls.key"

    @property
    def leaf(self) -> Path:
        return self.home / "leaf"

    @property
    def cert(self) -> Path:
        return self.leaf / self.cert_name

    @property
    def key(self) -> Path:
        return self.leaf / self.key_name

    def clear_leaf(self) -> None:
        shutil.rmtree(self.leaf, ignore_errors=True)

    def empty_leaf(self) -> None:
        """For programs that do not make the directory."""
        self.clear_leaf()
        self.leaf.mkdir()

    def clear(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        (self.home / "tmp").mkdir(parents=True)


def run(options) -> bool:
    found = set() if options.no_peers else peers.find()
    print(f"- peers: {peers.versions(found)}")
    with tempfile.TemporaryDirectory(prefix="certtool-bench-") as scratch:
        return Bench(options, Path(scratch), found).run()


class Bench:
    def __init__(self, options, scratch: Path, found: set[str]) -> None:
        self.options, self.scratch, self.found = options, scratch, found
        self.log = scratch / "log"

    def run(self) -> bool:
        nothing, pairs = self.pairs()
        say(f"local-dev: {len(pairs)} programs, {self.options.runs} runs of each")
        with realtime(self.options.realtime):
            interleave(pairs, self.options.runs, self.log)
        table("A serving certificate", pairs, nothing)
        rest = self.rest()
        with realtime(self.options.realtime):
            interleave(rest, self.options.runs, self.log)
        floor, again, help_ = rest[:3]
        table("Starting, and running again", rest, floor)
        size = self.options.certtool.stat().st_size / 2**20

        print("\n### Targets\n")
        met = True
        mkcert = next((case for case in pairs if case.name.startswith("mkcert -ecdsa")), None)
        if mkcert:
            met &= target("from nothing, by mkcert's leaf", nothing.median / mkcert.median, 0.3)
        met &= target("run again, nothing to do", again.median, 5, " ms")
        met &= target("--help", help_.median, 5, " ms")
        met &= target("binary", size, 15, " MiB")
        return met

    def place(self, name: str) -> tuple[Place, dict[str, str]]:
        home = self.scratch / name
        return Place(home), environment(home)

    def local_dev(self, place: Place) -> list:
        return [self.options.certtool, "local-dev", "--service", SERVICE, "--cert-dir", place.leaf]

    def pairs(self) -> tuple[Case, list[Case]]:
        """certtool's CA and leaf; then everybody's leaf, by a CA that is there."""
        place, env = self.place("nothing")
        nothing = Case(
            "certtool local-dev, CA and leaf", [self.local_dev(place)], env, before=place.clear
        )
        place, env = self.place("leaf")
        command = self.local_dev(place)
        made = json.loads(output(*command, "-o", "json", env=env))
        certtool = Case(
            "certtool local-dev, leaf", [command], env, before=place.clear_leaf
        )
        # What the others get: the same names, and the same CA where they take one.
        self.names = [name["value"] for name in made["names"]]
        self.ca = Path(made["authority"]["certificate"])
        self.ca_key = Path(made["authority"]["key"])
        cases = [nothing, certtool]
        for name in ("mkcert", "cfssl", "step", "openssl"):
            if name in self.found:
                cases += getattr(self, name)()
        return nothing, cases

    def case(self, name: str, place: Place, commands: list, env: dict[str, str], ca: Path) -> Case:
        """A peer's case; its result is judged, since a program that did less is no peer."""

        def judge() -> None:
            if "openssl" not in self.found:
                return
            output(
                "openssl", "verify", "-CAfile", ca, "-purpose", "sslserver",
                "-verify_hostname", f"{SERVICE}.svc", place.cert,
            )
            if not place.key.is_file():
                raise Failed(f"{name}: no {place.key}")

        return Case(name, commands, env, before=place.empty_leaf, after=judge)

    def mkcert(self) -> list[Case]:
        cases = []
        program = peers.binary(peers.MODULES["mkcert"][0])
        for name, flags, more in (
            ("mkcert (RSA, its default)", [], {}),
            ("mkcert -ecdsa", ["-ecdsa"], {}),
            ("mkcert -ecdsa, not looking at trust stores", ["-ecdsa"], {"TRUST_STORES": "none"}),
        ):
            place, env = self.place(f"mkcert-{len(cases)}")
            # Its own CA, RSA; without -install nothing outside this directory is touched.
            env |= {"CAROOT": str(place.home / "ca"), **more}
            place.empty_leaf()
            command = [
                program, *flags, "-cert-file", place.cert, "-key-file", place.key, *self.names
            ]
            output(*command, env=env)
            cases.append(self.case(name, place, [command], env, place.home / "ca/rootCA.pem"))
        return cases

    def cfssl(self) -> list[Case]:
        place, env = self.place("cfssl")
        cfssl, cfssljson = map(peers.binary, peers.MODULES["cfssl"])
        request, config = place.home / "csr.json", place.home / "config.json"
        key = {"algo": "ecdsa", "size": 256}
        request.write_text(json.dumps({"CN": "localhost", "hosts": self.names, "key": key}))
        usages = ["digital signature", "key encipherment", "server auth"]
        default = {"usages": usages, "expiry": "720h"}
        config.write_text(json.dumps({"signing": {"default": default}}))
        pipeline = [
            [
                cfssl, "gencert", "-loglevel=5", "-ca", self.ca, "-ca-key", self.ca_key,
                "-config", config, request,
            ],
            [cfssljson, "-bare", place.leaf / "tls"],
        ]
        # cfssljson chooses the names.
        place.cert_name, place.key_name = "tls.pem", "tls-key.pem"
        return [self.case("cfssl gencert, cfssljson", place, [pipeline], env, self.ca)]

    def step(self) -> list[Case]:
        place, env = self.place("step")
        names = [word for name in self.names for word in ("--san", name)]
        command = [
            peers.binary(peers.MODULES["step"][0]), "certificate", "create", "localhost",
            place.cert, place.key, "--ca", self.ca, "--ca-key", self.ca_key, *names,
            "--kty", "EC", "--curve", "P-256", "--not-after", "720h",
            "--no-password", "--insecure", "--force",
        ]
        return [self.case("step certificate create", place, [command], env, self.ca)]

    def openssl(self) -> list[Case]:
        place, env = self.place("openssl")
        program = shutil.which("openssl")
        names = ",".join(f"{'IP' if is_ip(name) else 'DNS'}:{name}" for name in self.names)
        request, extensions = place.leaf / "tls.csr", place.home / "extensions"
        extensions.write_text(
            f"subjectAltName={names}\nbasicConstraints=critical,CA:FALSE\n"
            "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
            "authorityKeyIdentifier=keyid\n"
        )
        commands = [
            [
                program, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-keyout", place.key, "-subj", "/CN=localhost", "-out", request,
            ],
            [
                program, "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca_key,
                "-days", "30", "-extfile", extensions, "-out", place.cert,
            ],
        ]
        return [self.case("openssl req, openssl x509", place, commands, env, self.ca)]

    def rest(self) -> list[Case]:
        """The floor first: what it costs to start any process and wait for it."""
        place, env = self.place("again")
        command = self.local_dev(place)
        output(*command, env=env)
        certtool = self.options.certtool
        cases = [
            Case("true (the floor)", [[shutil.which("true")]], env),
            Case("certtool local-dev, unchanged", [command], env),
            Case("certtool --help", [[certtool, "--help"]], env),
            Case("certtool local-dev --help", [[certtool, "local-dev", "--help"]], env),
        ]
        if "mkcert" in self.found:
            mkcert = peers.binary(peers.MODULES["mkcert"][0])
            cases.append(Case("mkcert -help", [[mkcert, "-help"]], env))
        if "cfssl" in self.found:
            cfssl = peers.binary(peers.MODULES["cfssl"][0])
            cases.append(Case("cfssl version", [[cfssl, "version"]], env))
        if "step" in self.found:
            step = peers.binary(peers.MODULES["step"][0])
            cases.append(Case("step --help", [[step, "--help"]], env))
        if "openssl" in self.found:
            cases.append(Case("openssl version", [[shutil.which("openssl"), "version"]], env))
        return cases


def is_ip(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdigit()
