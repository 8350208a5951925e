"""What the lock file promises of a set-up: nothing is compiled."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import farmhash
import pytest
from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).parents[2]
LOCK: dict[str, Any] = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))

# Built from source, and pure Python: no compiler is needed.
PURE = {"google-apitools", "kfp-server-api", "rouge-score"}
# Compiled on macOS, where make and git come with the compiler (Apple's command line tools).
COMPILED = {("darwin", "pyfarmhash")}

# The oldest that all wheels are for.
MACOS = (12, 0)


class System(NamedTuple):
    sys_platform: str
    machine: str
    python: tuple[int, int]

    def environment(self, extra: str) -> dict[str, str]:
        version = ".".join(map(str, self.python))
        linux = self.sys_platform == "linux"
        return {
            "extra": extra,
            "implementation_name": "cpython",
            "implementation_version": f"{version}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux" if linux else "Darwin",
            "platform_version": "",
            "python_full_version": f"{version}.0",
            "python_version": version,
            "sys_platform": self.sys_platform,
        }

    def tags(self) -> set[Tag]:
        """What a wheel may be for, to be installed here."""
        if self.sys_platform == "linux":
            setup = (ROOT / "scripts" / "setup.sh").read_text(encoding="utf-8")
            (minor,) = re.findall(r"^NEEDED_GLIBC=2\.(\d+)", setup, re.MULTILINE)
            platforms = [f"manylinux_2_{n}_{self.machine}" for n in range(5, int(minor) + 1)]
            platforms += [f"manylinux{n}_{self.machine}" for n in (1, 2010, 2014)]
        else:
            platforms = list(mac_platforms(MACOS, self.machine))
        interpreter = "cp" + "".join(map(str, self.python))
        return {
            *cpython_tags(self.python, platforms=platforms),
            *compatible_tags(self.python, interpreter, platforms),
        }


SYSTEMS = [
    System(sys_platform, machine, python)
    for sys_platform, machine in (("linux", "x86_64"), ("darwin", "arm64"))
    for python in ((3, 11), (3, 12))
]


def locked_for(system: System) -> list[dict[str, Any]]:
    """The packages that set-up installs there: of all extras, and of the groups."""

    def dependencies(package: dict[str, Any], extra: str) -> Iterator[dict[str, Any]]:
        if extra:
            yield from package.get("optional-dependencies", {}).get(extra, [])
        else:
            yield from package.get("dependencies", [])

    def applies(entry: dict[str, Any], extra: str) -> bool:
        marker = entry.get("marker")
        return not marker or Marker(marker).evaluate(system.environment(extra))

    def locked(entry: dict[str, Any]) -> dict[str, Any]:
        found: list[dict[str, Any]] = [
            package
            for package in LOCK["package"]
            if package["name"] == entry["name"]
            and package["version"] == entry.get("version", package["version"])
            and any(
                Marker(marker).evaluate(system.environment(""))
                for marker in package.get("resolution-markers", ["python_version > '3'"])
            )
        ]
        assert len(found) == 1, entry
        return found[0]

    project = locked({"name": "tallygraph"})
    waiting = [(project, extra) for extra in ("", *project["optional-dependencies"])]
    for group in project["dev-dependencies"].values():
        waiting += [(locked(entry), "") for entry in group if applies(entry, "")]
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    while waiting:
        package, extra = waiting.pop()
        if (package["name"], extra) in seen:
            continue
        seen[package["name"], extra] = package
        for entry in dependencies(package, extra):
            if applies(entry, extra):
                waiting += [(locked(entry), name) for name in ("", *entry.get("extra", []))]
    del seen["tallygraph", ""]
    return [package for (_, extra), package in seen.items() if not extra]


def has_wheel(package: dict[str, Any], tags: set[Tag]) -> bool:
    names = (wheel["url"].rsplit("/", 1)[1] for wheel in package.get("wheels", []))
    return any(parse_wheel_filename(name)[3] & tags for name in names)


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: f"{s.sys_platform}-{s.python[1]}")
def test_no_package_is_compiled_at_set_up(system: System) -> None:
    packages = locked_for(system)
    names = {package["name"] for package in packages}
    assert {"tensorflow", "tensorflow-data-validation", "psycopg-binary", "pytest"} <= names
    tags = system.tags()
    without = {package["name"] for package in packages if not has_wheel(package, tags)}
    compiled = {name for platform, name in COMPILED if platform == system.sys_platform}
    assert without == PURE | compiled


@pytest.mark.parametrize("name", sorted(PURE))
def test_what_is_built_from_source_is_pure_python(name: str) -> None:
    files = importlib.metadata.files(name)
    assert files
    assert not [file for file in files if file.suffix in {".so", ".pyd", ".dylib"}]


# The values of pyfarmhash 0.3.2, which TFDV asks for, built from source once. The lengths are
# those at which FarmHash goes another way, and their neighbours.
SENTENCE = "The counts are held to the tokenizer's own library before a model may be pushed. "
FINGERPRINTS = {
    "": (0xDC56D17A, 0x9AE16A3B2F90404F),
    "a": (0x3C973D4D, 0xB3454265B6DF75E3),
    "text": (0x921FA356, 0x8C271BF49FD4354F),
    "summary": (0x0AF6E922, 0xCFA681B97C6912EA),
    "input_ids": (0xB600361F, 0xF518284E4CFEA4CB),
    SENTENCE[:4]: (0x0EA5D26A, 0xF4ED8B2E41E836A5),
    SENTENCE[:5]: (0x0E002094, 0x43B403D54A80636D),
    SENTENCE[:8]: (0x5480CBD7, 0x5BEE4E300C429618),
    SENTENCE[:12]: (0xB36D61BB, 0x3F1E3319A1152ADA),
    SENTENCE[:13]: (0xD85588F4, 0x791A0F26331700F9),
    SENTENCE[:16]: (0xB5590C92, 0xB6DAD5F327C143DE),
    SENTENCE[:17]: (0xF39AC810, 0x1DD3A8E8FCA1588C),
    SENTENCE[:20]: (0xFD7A68A5, 0x477366457A4C4DF2),
    SENTENCE[:24]: (0x0654F58A, 0xA1E938EF69526668),
    SENTENCE[:25]: (0x9EE46897, 0xB913DA713F828BC4),
    SENTENCE[:32]: (0x6724F560, 0xE21E979932ED05D6),
    SENTENCE[:33]: (0x82C4D235, 0xA63C5A2EF634DFDD),
    SENTENCE[:64]: (0x3234BF34, 0x479FD5F8DD644B98),
    SENTENCE[:65]: (0xF797B0F4, 0xB1F1F1DF090ECEB8),
    (2 * SENTENCE)[:128]: (0x3DA4A7C9, 0x421389E8FE07FA95),
    (2 * SENTENCE)[:129]: (0x38AAAA62, 0xF0AB1DD1552D239C),
    "Größe": (0xEB1702FC, 0xF681A9562DB1A908),
    "日本語の文書": (0x6A185C96, 0xA370471B2FCAFA5D),
    "🙂": (0x19974DE2, 0xC3C4182FC65098F4),
    "naïve – “quoted” ": (0xB8A047DD, 0xB04BCD72513DD902),
    "document\x01\x7f": (0x2E53D0D8, 0xCD88D3E38CEC696F),
    SENTENCE * 60: (0xC99E8C16, 0xF3F835F824577046),
}


@pytest.mark.parametrize(("text", "values"), FINGERPRINTS.items(), ids=lambda v: str(v)[:12])
def test_the_fingerprints_that_tfdv_takes_are_those_of_the_release_it_asks_for(
    text: str, values: tuple[int, int]
) -> None:
    assert (farmhash.fingerprint32(text), farmhash.fingerprint64(text)) == values


def test_tfdv_takes_no_other_function_of_farmhash() -> None:
    sources = [
        Path(str(file.locate()))
        for file in importlib.metadata.files("tensorflow-data-validation") or []
        if file.suffix == ".py"
    ]
    taken = {
        name
        for source in sources
        for name in re.findall(r"farmhash\.(\w+)", source.read_text(encoding="utf-8"))
    }
    assert taken == {"fingerprint32", "fingerprint64"}
