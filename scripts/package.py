"""The function's zip file and its bill of materials. Both depend on nothing but what goes into them.

    python scripts/package.py zip BOOTSTRAP ARCHITECTURE FOLDER    prints the name of the zip file that it made
    python scripts/package.py sbom ZIP TARGET                      prints the bill; TARGET is Rust's name of it
"""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
import uuid
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: The oldest time that a zip file can say.
NO_TIME = (1980, 1, 1, 0, 0, 0)


def version():
    """The version of this workspace."""
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def make_zip(bootstrap, path):
    """A zip file with the bootstrap alone in it, as Lambda wants it: at the top, and executable."""
    entry = zipfile.ZipInfo("bootstrap", NO_TIME)
    entry.create_system = 3  # Unix, else the permissions mean nothing
    entry.external_attr = 0o100755 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, Path(bootstrap).read_bytes(), zipfile.ZIP_DEFLATED, 9)


def zip_name(bootstrap, architecture):
    """The content is in the name: CloudFormation changes a function's code only when the code's place changes."""
    digest = hashlib.sha256(Path(bootstrap).read_bytes()).hexdigest()[:16]
    return f"restore-proof-{version()}-{architecture}-{digest}.zip"


def bill(archive, target):
    """The bill of materials (CycloneDX 1.5, JSON) of the zip file `archive`, built for Rust's `target`.

    Components with the scope `required` are in the bootstrap; those `excluded` only took part in building it, which
    is what CycloneDX means by the word: macros and build scripts, and what they need.
    """
    root = ("restore-proof-function", version())
    linked = _reachable(root, _tree(target, "normal,no-proc-macro"))
    needs = _tree(target, "normal,build")
    metadata = json.loads(_output("cargo", "metadata", "--locked", "--format-version", "1"))
    packages = {(package["name"], package["version"]): package for package in metadata["packages"]}
    checksums = {(package["name"], package["version"]): package.get("checksum")
                 for package in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}

    def reference(crate):
        return f"pkg:cargo/{crate[0]}@{crate[1]}"

    def component(crate):
        checksum, license_ = checksums[crate], packages[crate]["license"]
        return {
            "type": "library",
            "bom-ref": reference(crate),
            "name": crate[0],
            "version": crate[1],
            "scope": "required" if crate in linked else "excluded",
            # Of the .crate file, as Cargo.lock has it; what lies in this workspace has none.
            **({"hashes": [{"alg": "SHA-256", "content": checksum}]} if checksum else {}),
            # Old crates write a slash where SPDX writes OR.
            **({"licenses": [{"expression": re.sub(r"\s*/\s*", " OR ", license_)}]} if license_ else {}),
            "purl": reference(crate),
        }

    everything = sorted(_reachable(root, needs) | linked)
    compiler = dict(line.split(": ", 1) for line in _output("rustc", "-vV").splitlines() if ": " in line)
    function = f"pkg:generic/{Path(archive).name}"
    standard = f"pkg:generic/rust-std@{compiler['release']}"
    content = {
        "metadata": {"component": {
            "type": "application", "bom-ref": function, "name": "restore-proof", "version": version(),
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(Path(archive).read_bytes()).hexdigest()}],
            "licenses": [{"expression": packages[root]["license"]}],
        }},
        "components": [*map(component, everything), {
            "type": "library", "bom-ref": standard, "name": "rust-std", "version": compiler["release"],
            "scope": "required", "description": f"Rust's standard library, commit {compiler['commit-hash']}",
            "licenses": [{"expression": "MIT OR Apache-2.0"}], "purl": standard,
        }],
        "dependencies": [{"ref": function, "dependsOn": [reference(root), standard]}] + [
            {"ref": reference(crate), "dependsOn": sorted(map(reference, needs.get(crate, ())))}
            for crate in everything],
    }
    # Another content, another number; the same content, the same.
    number = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(content, sort_keys=True))
    return {"$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json", "bomFormat": "CycloneDX",
            "specVersion": "1.5", "serialNumber": f"urn:uuid:{number}", "version": 1} | content


def _tree(target, edges):
    """What each crate needs, with the features that the build gives it; `cargo metadata` knows more crates than that."""
    text = _output("cargo", "tree", "--locked", "--workspace", "--target", target, "--edges", edges,
                   "--prefix", "depth", "--format", " {p}")
    needs, above = {}, []
    for line in filter(None, text.splitlines()):
        depth, name, number = line.split(" ")[:3]
        crate = (name, number.removeprefix("v"))
        needs.setdefault(crate, set())
        above[int(depth):] = [crate]
        if len(above) > 1:
            needs[above[-2]].add(crate)
    return needs


def _reachable(root, needs):
    """A crate and all that it needs, directly or not."""
    found, waiting = set(), [root]
    while waiting:
        crate = waiting.pop()
        if crate not in found:
            found.add(crate)
            waiting += needs[crate]
    return found


def _output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def main():
    match sys.argv[1:]:
        case ["zip", bootstrap, architecture, folder]:
            name = zip_name(bootstrap, architecture)
            make_zip(bootstrap, Path(folder) / name)
            print(name)
        case ["sbom", archive, target]:
            print(json.dumps(bill(archive, target), indent=1))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
