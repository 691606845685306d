"""Commits what lies in a collection of Xandikos, as Xandikos would, but all at once: `fill.py FOLDER`."""

import sys

from dulwich import porcelain


def main(folder: str) -> None:
    porcelain.add(folder)
    porcelain.commit(folder, message="Add events", author="bench <bench>", committer="bench <bench>")


if __name__ == "__main__":
    main(sys.argv[1])
