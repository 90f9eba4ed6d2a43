"""Print what pyproject.toml requires: to build, to run, and for the extras that are named.

For environments that are to hold these and not the package: linters need no build, and packages for another
platform are not resolved from here.
"""

import sys
from pathlib import Path

try:
    import tomllib
except ImportError:  # before Python 3.11
    from pip._vendor import tomli as tomllib

declared = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text("utf-8"))
project = declared["project"]
requirements = declared["build-system"]["requires"] + project["dependencies"]
for extra in sys.argv[1:]:
    requirements += project["optional-dependencies"][extra]
print(*requirements, sep="\n")
