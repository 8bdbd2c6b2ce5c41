"""The function's zip file and its bill of materials. Both depend on nothing but what goes into them.

    python scripts/package.py zip BOOTSTRAP ARCHITECTURE FOLDER    prints the name of the zip file that it made
    cargo metadata … | python scripts/package.py sbom ZIP         prints the bill
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


def bill(archive, metadata, lock):
    """The bill of materials (CycloneDX 1.5, JSON) of the zip file `archive`.

    Components with the scope `required` are in the bootstrap; those `excluded` only took part in building it, which
    is what CycloneDX means by the word: macros and build scripts, and what they need.
    """
    checksums = {(package["name"], package["version"]): package.get("checksum")
                 for package in tomllib.loads(lock)["package"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    (root,) = [key for key, package in packages.items() if package["name"] == "restore-proof-function"]

    def needs(key, kinds):
        return sorted(dep["pkg"] for dep in nodes[key]["deps"]
                      if any(kind["kind"] in kinds for kind in dep["dep_kinds"]))

    def is_macro(key):
        return any("proc-macro" in target["kind"] for target in packages[key]["targets"])

    def closure(start, follows):
        found, waiting = set(), [start]
        while waiting:
            key = waiting.pop()
            if key not in found:
                found.add(key)
                waiting += follows(key)
        return found

    linked = closure(root, lambda key: [dep for dep in needs(key, (None,)) if not is_macro(dep)])
    everything = closure(root, lambda key: needs(key, (None, "build")))

    def reference(key):
        return f"pkg:cargo/{packages[key]['name']}@{packages[key]['version']}"

    def component(key):
        package = packages[key]
        checksum = checksums[package["name"], package["version"]]
        return {
            "type": "library",
            "bom-ref": reference(key),
            "name": package["name"],
            "version": package["version"],
            "scope": "required" if key in linked else "excluded",
            # The .crate file, as Cargo.lock has it; what lies in this workspace has none.
            **({"hashes": [{"alg": "SHA-256", "content": checksum}]} if checksum else {}),
            # Old crates write a slash where SPDX writes OR.
            **({"licenses": [{"expression": re.sub(r"\s*/\s*", " OR ", package["license"])}]}
               if package["license"] else {}),
            "purl": reference(key),
        }

    compiler = rustc()
    function = f"pkg:generic/{Path(archive).name}"
    standard = f"pkg:generic/rust-std@{compiler['release']}"
    components = sorted((component(key) for key in everything), key=lambda item: item["bom-ref"])
    components.append({
        "type": "library", "bom-ref": standard, "name": "rust-std", "version": compiler["release"], "scope": "required",
        "description": f"Rust's standard library, commit {compiler['commit-hash']}",
        "licenses": [{"expression": "MIT OR Apache-2.0"}], "purl": standard,
    })
    dependencies = [{"ref": function, "dependsOn": [reference(root), standard]}]
    dependencies += sorted(({"ref": reference(key), "dependsOn": sorted(map(reference, needs(key, (None, "build"))))}
                            for key in everything), key=lambda item: item["ref"])
    content = {
        "metadata": {"component": {
            "type": "application", "bom-ref": function, "name": "restore-proof", "version": version(),
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(Path(archive).read_bytes()).hexdigest()}],
            "licenses": [{"expression": packages[root]["license"]}],
        }},
        "components": components,
        "dependencies": dependencies,
    }
    # Another content, another number; the same content, the same.
    number = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(content, sort_keys=True))
    return {"$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json", "bomFormat": "CycloneDX",
            "specVersion": "1.5", "serialNumber": f"urn:uuid:{number}", "version": 1} | content


def rustc():
    """What the compiler says of itself."""
    lines = subprocess.run(["rustc", "--version", "--verbose"], check=True, capture_output=True, text=True).stdout
    return dict(line.split(": ", 1) for line in lines.splitlines() if ": " in line)


def main():
    match sys.argv[1:]:
        case ["zip", bootstrap, architecture, folder]:
            name = zip_name(bootstrap, architecture)
            make_zip(bootstrap, Path(folder) / name)
            print(name)
        case ["sbom", archive]:
            print(json.dumps(bill(archive, json.load(sys.stdin), (ROOT / "Cargo.lock").read_text()), indent=1))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
