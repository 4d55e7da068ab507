"""The shared library exports exactly what the public headers declare with VKSSM_API.

check_symbols.py NM LIBRARY HEADER-FOLDER
"""

import os
import re
import subprocess
import sys

import lint

DECLARATION = re.compile(r"^VKSSM_API\s[^;{]*?\b(\w+)\s*\(", re.MULTILINE)


def declared(folder):
    names = set()
    for name in sorted(os.listdir(folder)):
        if name.endswith(".h"):
            names.update(DECLARATION.findall(re.sub(r"//.*", "", lint.read(folder, name))))
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
