#!/usr/bin/env python3
"""What formatting cannot decide: arrows between rooms, file lengths, and the few words that must not stand in the tree."""

import pathlib
import re
import subprocess
import sys

MAX_LINES = 600
CODE = {".cc", ".h", ".py", ".cmake", ""}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
LATER = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
NAPS = re.compile(r"\btime\.sl" r"eep\b")
EXCUSES = re.compile(r"\b(pytest\.sk" r"ip|mark\.sk" r"ip|mark\.xf" r"ail|GTEST_SK" r"IP|DISA" r"BLED_)")


def tracked(root):
    out = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root,
                         stdout=subprocess.PIPE, check=True).stdout
    for name in sorted(set(out.decode().split("\0")) - {""}):
        path = pathlib.PurePosixPath(name)
        if (root / path).is_file():
            yield path


def order(root):
    """The rooms as src/CMakeLists.txt lists them; a room uses only rooms above it."""
    return re.findall(r"^\s*add_subdirectory\((\w+)", (root / "src" / "CMakeLists.txt").read_text(), re.M)


def declared(root):
    """{room: (set of the rooms its CMake names in DEPENDS, path of that CMake file)}"""
    rooms = {}
    for path in sorted((root / "src").glob("*/CMakeLists.txt")):
        text = re.sub(r"#.*", "", path.read_text())
        for call in re.finditer(r"\broom\(\s*(\w+)([^)]*)\)", text):
            words, section, depends = call.group(2).split(), None, set()
            for word in words:
                if word in ("SOURCES", "DEPENDS", "LIBS"):
                    section = word
                elif section == "DEPENDS":
                    depends.add(word)
            rooms[call.group(1)] = (depends, path.relative_to(root))
    return rooms


def check_rooms(rooms, above):
    for room, (depends, path) in rooms.items():
        if room not in above:
            yield f"{path}: {room} is not listed in src/CMakeLists.txt"
            continue
        for other in sorted(depends):
            if other not in above or above.index(other) >= above.index(room):
                yield f"{path}: {room} must not use {other}; a room uses only rooms above it"


def check_includes(path, lines, rooms):
    room = path.parts[1]
    allowed = rooms[room][0] | {room} if room in rooms else {room}
    for number, line in enumerate(lines, 1):
        include = INCLUDE.match(line)
        if not include:
            continue
        target = include.group(1).split("/")[0]
        if "/" not in include.group(1):
            yield f"{path}:{number}: include as \"{room}/{include.group(1)}\""
        elif target not in allowed:
            yield f"{path}:{number}: {room} includes {target}/ but does not name it in DEPENDS"


def check_file(path, lines, rooms):
    if len(lines) > MAX_LINES and path.suffix in CODE and path.name != "LICENSE":
        yield f"{path}: {len(lines)} lines, more than {MAX_LINES}"
    is_test = path.parts[0] == "tests"
    for number, line in enumerate(lines, 1):
        if LATER.search(line):
            yield f"{path}:{number}: do it now or file it as an issue: {line.strip()}"
        if path.suffix in (".cc", ".h") and re.search(r"\bco_spa" r"wn\b", line.split("//")[0]) and str(path) != "src/async/scope.cc":
            yield f"{path}:{number}: every coroutine belongs to a Scope"
        if is_test and path.suffix in (".cc", ".h", ".py"):
            if path.name.startswith("test_") and NAPS.search(line):
                yield f"{path}:{number}: a test waits for an event, it does not sleep"
            if EXCUSES.search(line):
                yield f"{path}:{number}: a test runs or does not exist"
    if path.parts[0] == "src" and path.suffix in (".cc", ".h") and len(path.parts) > 2:
        yield from check_includes(path, lines, rooms)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    rooms = declared(root)
    complaints = list(check_rooms(rooms, order(root)))
    files = 0
    for path in tracked(root):
        try:
            lines = (root / path).read_text().splitlines()
        except UnicodeDecodeError:
            continue
        files += 1
        complaints += check_file(path, lines, rooms)
    print("\n".join(complaints) if complaints else f"lint: {files} files, {len(rooms)} rooms, no complaint")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
