"""What the checks share: the files of the tree, and how a check ends."""

import os
import sys

# Not ours to judge: build folders, version control, and binary or recorded data.
SKIPPED_FOLDERS = {".git", ".cache"}
DATA_FOLDERS = ("models/zoo/", "tests/golden/", "tests/fuzz/")
TEXT_NAMES = (".c", ".h", ".comp", ".glsl", ".py", ".sh", ".md", ".txt", ".cmake", ".supp", ".yml")


def walk(root):
    """Relative paths of all files, with forward slashes, in order."""
    for folder, folders, files in os.walk(root):
        top = folder == root
        folders[:] = sorted(
            name for name in folders if name not in SKIPPED_FOLDERS and not (top and name.startswith("build"))
        )
        for name in sorted(files):
            path = os.path.join(folder, name)
            if os.path.isfile(path) and name not in SKIPPED_FOLDERS:  # .git is a file in a second working tree
                yield os.path.relpath(path, root).replace(os.sep, "/")


def is_data(path):
    """Recorded data: not a program, a build file or a page."""
    return path.startswith(DATA_FOLDERS) and not path.endswith((".c", ".h", ".py", ".md"))


def is_text(path):
    return not is_data(path) and (path.endswith(TEXT_NAMES) or "." not in os.path.basename(path)[1:])


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def finish(problems, n_checked, what):
    """Print every problem and leave; a check that looked at nothing has failed too."""
    for problem in problems:
        print(problem)
    print(f"{n_checked} {what}, {len(problems)} problems")
    sys.exit(1 if problems or n_checked == 0 else 0)
