"""The shared library exports exactly what the public headers declare with VKSSM_API.

check_symbols.py NM LIBRARY HEADER-FOLDER
"""

import os
import re
import subprocess
import sys

import lint

DECLARATION = re.compile(r"^VKSSM_API\s[^;{]*?\b(\w+)\s*\(", re.MULTILINE)


VERSION = re.compile(r"^#define VKSSM_API_VERSION (\d+)", re.MULTILINE)
VERSIONED = re.compile(r"^#define (\w+) VKSSM_VERSIONED\(\1\)", re.MULTILINE)


def declared(folder):
    text = "".join(
        re.sub(r"//.*", "", lint.read(folder, name)) for name in sorted(os.listdir(folder)) if name.endswith(".h")
    )
    names = set(DECLARATION.findall(text))
    version = VERSION.search(text)
    for name in VERSIONED.findall(text):  # the number is part of the symbol
        names.remove(name)
        names.add(f"{name}_api{version.group(1)}")
    return names


def exported(nm, library):
    result = subprocess.run([nm, "-D", "--defined-only", library], stdout=subprocess.PIPE, text=True, check=True)
    names = set()
    for line in result.stdout.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] != "A":
            names.add(words[2].split("@")[0])
    return names


def check(nm, library, folder):
    wanted, found = declared(folder), exported(nm, library)
    problems = [f"{name}: declared in a public header, not exported" for name in sorted(wanted - found)]
    problems += [f"{name}: exported, not declared in a public header" for name in sorted(found - wanted)]
    return problems, len(wanted)


if __name__ == "__main__":
    lint.finish(*check(*sys.argv[1:]), "declarations")
