#!/usr/bin/env python3
"""The table of devices in the README, made from what tests printed.

    python3 table.py LOG...                  print it
    python3 table.py --write README.md LOG   put it between the README's two marks
    python3 table.py --check README.md       whether what stands there has the table's form

A LOG is Testing/Temporary/LastTest.log of a build folder (which has the tests' output too), ctest's own output, or the output
of test_compile. Of a device in several logs the last one counts; of a family, each version of Mesa has its row.
"""
import re
import sys

MARKS = ("<!-- made by tests/vendor/table.py -->", "<!-- end of table -->")
HEADER = ["| device | driver | what ran |", "| --- | --- | --- |"]
ROW = r"\| [^|]+ \| [^|]+ \| (executed, results checked: \d+ programs|compiled only: \d+ variants, \d+ pipelines.*) \|"
CPUS = {
    "lvp4": ("CPU, subgroups of 4", "lavapipe"),
    "lvp8": ("CPU, subgroups of 8", "lavapipe"),
    "lvp16": ("CPU, subgroups of 16", "lavapipe"),
    "swiftshader": ("CPU, subgroups of 4", "SwiftShader"),
    "gpu": ("what the loader found", "its own"),
}
FAMILIES = {
    "vega10": "AMD Vega",
    "navi10": "AMD RDNA1",
    "navi21": "AMD RDNA2",
    "navi31": "AMD RDNA3",
    "gfx1150": "AMD RDNA3.5",
    "gfx1201": "AMD RDNA4",
    "skl": "Intel Gen9",
    "dg2": "Intel Alchemist",
    "mtl": "Intel Meteor Lake",
    "bmg": "Intel Battlemage",
}


def read(path, executed, compiled):
    driver = None
    name = None
    for line in open(path, encoding="utf-8", errors="replace"):
        line = re.sub(r"^\d+: ", "", line.rstrip("\n"))
        found = re.match(r" *\d+/\d+ Testing: (\S+)", line)
        if found:
            name = found.group(1)
        found = re.match(r" *\d+/\d+ Test +#\d+: (\S+) [ .*]+(Passed|Failed|Skipped)", line)
        if found:
            name = found.group(1)
        passed = (found and found.group(2) == "Passed") or line == "Test Passed."
        if passed and name and name.partition("@")[2] in CPUS:
            executed.setdefault(name.partition("@")[2], set()).add(name.partition("@")[0])
        found = re.match(r".+, (.*Mesa \d+\.\d+\.\d+).*, subgroups of \d+$", line)
        if found:
            driver = found.group(1).replace("Intel open-source Mesa driver", "anv")
        found = re.match(r"compiled for (\w+): (\d+) variants, (\d+) pipelines, subgroups of (\d+)$", line)
        if found and driver:
            family, n_variant, n_pipeline, size = found.groups()
            compiled.setdefault((family, driver), {})[int(size)] = (int(n_variant), int(n_pipeline))


def table(executed, compiled):
    rows = list(HEADER)
    for device, (what, driver) in CPUS.items():
        if device in executed:
            rows.append("| %s | %s | executed, results checked: %d programs |" % (what, driver, len(executed[device])))
    for family, what in FAMILIES.items():
        for (found, driver), sizes in sorted(compiled.items()):
            if found == family:
                rows.append("| %s (%s) | %s | compiled only: %d variants, %d pipelines, subgroups of %s |" % (
                    what, family, driver, max(n for n, _ in sizes.values()), sum(n for _, n in sizes.values()),
                    " and ".join(map(str, sorted(sizes)))))
    return rows


def between_marks(text):
    return text.partition(MARKS[0] + "\n")[2].partition(MARKS[1])[0]


def main():
    words = sys.argv[1:]
    if words[:1] == ["--check"]:
        lines = between_marks(open(words[1], encoding="utf-8").read()).split("\n")
        lines = [line for line in lines if line]
        wrong = [line for line in lines[2:] if not re.fullmatch(ROW, line)]
        if lines[:2] != HEADER or len(lines) < 4:
            wrong.append("a table between %s and %s expected, none found" % MARKS)
        print("\n".join("%s: %s" % (words[1], line) for line in wrong) or "%d rows" % (len(lines) - 2))
        return 1 if wrong else 0
    readme = words[1] if words[:1] == ["--write"] else None
    executed, compiled = {}, {}
    for path in words[2:] if readme else words:
        read(path, executed, compiled)
    text = "\n".join(table(executed, compiled)) + "\n"
    if not readme:
        print(text, end="")
        return 0
    old = open(readme, encoding="utf-8").read()
    head, found, rest = old.partition(MARKS[0] + "\n")
    if not found or MARKS[1] not in rest:
        print("%s: the marks %s and %s are not there" % ((readme,) + MARKS))
        return 1
    with open(readme, "w", encoding="utf-8") as file:
        file.write(head + found + text + MARKS[1] + rest.partition(MARKS[1])[2])
    return 0


sys.exit(main())
