"""Plain rules for all text: no path or package host of some machine, no unfinished business, no outgrown file, no two
files of one name."""

import os
import re
import sys

import lint

# Written so that no pattern matches this file.
PATTERNS = [
    (re.compile(r"(?<![\w.$}])/(?:work|home|root|Users|mnt|media)/\w"), "a path of some machine"),
    (re.compile(r"\b[A-Z]:\\\\?[Uu]sers\b"), "a path of some machine"),
    (
        re.compile(
            r"\b(?:(?:deb|ftp|security|snapshot|httpredir)\.debian\.org|(?:\w+\.)?archive\.ubuntu\.com|pypi\.org"
            r"|files\.pythonhosted\.org|crates\.io|registry\.npmjs\.org|proxy\.golang\.org|conda\.anaconda\.org)\b"
        ),
        "the host of a package registry",
    ),
    (re.compile(r"\b(?:T[O]DO|FIX[M]E|XX[X])\b"), "unfinished business"),
]
MAX_LINES = {".c": 1000, ".comp": 300}
# The same name in several folders is right for these; for C and shader files a name is one file.
COMMON_NAMES = {"README.md", "CMakeLists.txt", "main.c", "config.json"}
UNIQUE_EXTENSIONS = {".c", ".h", ".comp", ".glsl", ".py", ".cmake", ".sh"}


def check(root):
    problems, n_checked, seen = [], 0, {}
    for path in lint.walk(root):
        if not lint.is_text(path):
            continue
        n_checked += 1
        name = os.path.basename(path)
        extension = os.path.splitext(name)[1]
        try:
            text = lint.read(root, path)
        except UnicodeDecodeError as error:
            problems.append(f"{path}: not UTF-8: {error.reason} at byte {error.start}")
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for pattern, what in PATTERNS:
                match = pattern.search(line)
                if match:
                    problems.append(f"{path}:{number}: {what}: {match.group()}")
        n_line = text.count("\n")
        if n_line > MAX_LINES.get(extension, n_line):
            problems.append(f"{path}: {n_line} lines, more than {MAX_LINES[extension]}")
        if extension in UNIQUE_EXTENSIONS and name not in COMMON_NAMES:
            # params/<op>.h is the GLSL side's header and has the operator's name, as other files of the operator have.
            if name in seen:
                problems.append(f"{path}: the name is taken by {seen[name]}")
            seen[name] = path
    return problems, n_checked


if __name__ == "__main__":
    lint.finish(*check(sys.argv[1]), "text files")
