#!/usr/bin/env python3
"""Take the lines that test_compile asks for into tests/vendor/budgets/.

    ctest --test-dir build -L vendor -V | python3 tests/vendor/record.py [--fresh]

A number that is there already is only ever raised, so that a budget covers all versions of Mesa that were recorded; with
--fresh (after deleting the family's files) nothing is kept. Look at the difference before committing it.
"""
import os
import re
import sys

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "budgets")


def read(path):
    versions, lines = set(), {}
    if os.path.exists(path):
        for line in open(path, encoding="utf-8"):
            words = line.split()
            if words[:1] == ["mesa"]:
                versions.update(words[1:])
            elif words and not line.startswith("#"):
                lines[words[0], int(words[1])] = [int(word) for word in words[2:]]
    return versions, lines


def write(path, versions, lines):
    with open(path, "w", encoding="utf-8") as file:
        file.write("# variant, subgroup size, registers, spills, bytes of shared memory: see budget.h\n")
        file.write("mesa %s\n" % " ".join(sorted(versions)))
        for (variant, size), numbers in sorted(lines.items()):
            file.write("%s %d %s\n" % (variant, size, " ".join(map(str, numbers))))


def main():
    fresh = "--fresh" in sys.argv[1:]
    runs = {}  # ctest's number of the test: version and lines seen so far
    for line in sys.stdin:
        prefix, text = re.match(r"(?:(\d+): )?(.*)", line).groups()
        run = runs.setdefault(prefix, {"version": None, "lines": {}})
        version = re.search(r", .*Mesa (\d+\.\d+)[^,]*, subgroups of", text)
        if version:
            run["version"] = version.group(1)
        elif text.startswith("budget: "):
            words = text.split()[1:]
            run["lines"][words[0], int(words[1])] = [int(word) for word in words[2:]]
        elif text.startswith("compiled for "):
            path = os.path.join(FOLDER, text.split()[2].rstrip(":") + ".txt")
            versions, lines = read(path)
            for key, numbers in run["lines"].items():
                old = lines.get(key, numbers)
                lines[key] = numbers if fresh else [max(pair) for pair in zip(old, numbers)]
            write(path, versions | {run["version"]}, lines)
            print("%s: %d lines recorded" % (path, len(run["lines"])))
            runs.pop(prefix)


main()
