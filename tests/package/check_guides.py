"""Every fragment of code in the guides: the C of a page is one program, compiled with warnings as errors, and run if it
has a main; Python is run; the page on statuses names each of them.

check_guides.py SOURCE SCRATCH COMPILER PYTHON-OR-EMPTY DEVICE(0|1) [COMPILER ARGUMENTS...]
"""

import os
import re
import subprocess
import sys

source, scratch, compiler, python, has_device = sys.argv[1:6]
arguments = sys.argv[6:]
guides = os.path.join(source, "samples/guide")
zoo = os.path.join(source, "models/zoo")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What a page's program is given, and a part of what it prints.
RUNS = {
    "engine": ([f"{zoo}/smnist-s5"], "3 frames, a texture of 128 x 28"),
    "hugging_face": ([f"{zoo}/stories-mamba2", "Once upon a time"], " "),
}


def run(command, wanted=""):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode or wanted not in result.stdout:
        sys.exit(f"{' '.join(command)}: {result.returncode}\n{result.stdout}")


os.makedirs(scratch, exist_ok=True)
n_block = 0
for name in sorted(os.listdir(guides)):
    page = name[: -len(".md")]
    with open(os.path.join(guides, name), encoding="utf-8") as file:
        text = file.read()
    code = {}
    for language, block in BLOCK.findall(text):
        if language not in ("c", "python"):
            sys.exit(f"{name}: a fragment of {language}, which nothing compiles")
        code[language] = code.get(language, "") + block
        n_block += 1
    base = os.path.join(scratch, page)
    if "c" in code:
        with open(base + ".c", "w", encoding="utf-8") as file:
            file.write(code["c"])
        flags = ["-std=c11", "-Wall", "-Wextra", "-Wswitch", "-Werror"]
        if "int main(" not in code["c"]:
            run([compiler, *flags, "-c", "-o", base + ".o", base + ".c", *(a for a in arguments if a.startswith("-I"))])
        else:
            run([compiler, *flags, "-o", base, base + ".c", *arguments])
            if has_device == "1":
                run([base, *RUNS[page][0]], RUNS[page][1])
    if "python" in code:
        compile(code["python"], name, "exec")
        with open(base + ".py", "w", encoding="utf-8") as file:
            file.write(code["python"])
        if has_device == "1" and python:
            os.environ["PYTHONPATH"] = os.path.join(source, "samples/python")
            run([python, "-B", base + ".py", *RUNS[page][0]], "Once upon a time")

with open(os.path.join(source, "host/include/vkssm/base.h"), encoding="utf-8") as file:
    codes = re.findall(r"^    X\((\w+), \d+, ", file.read(), re.MULTILINE)
with open(os.path.join(guides, "status.md"), encoding="utf-8") as file:
    text = file.read()
missing = [code for code in codes if f"| `VKSSM_{code}` |" not in text]
if missing or len(codes) < 11:
    sys.exit(f"status.md does not explain {missing or 'the statuses'}")
print(f"{n_block} fragments, {len(codes)} statuses")
