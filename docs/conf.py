"""Configuration of the documentation site; docs/README.md says how it is built."""

import os
import re
import tempfile
from pathlib import Path

import pylstm

ROOT = Path(__file__).parents[1]

project = "pylstm"
author = "The pylstm developers"
copyright = author
version = release = pylstm.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["README.md", "_build", "api/generated/*.md", "gallery/*.ipynb", "gallery/*.py"]
templates_path = ["_templates"]
default_role = "literal"  # docstrings put names of parameters into single backticks
nitpicky = True
suppress_warnings = [
    "config.cache",  # the gallery's configuration has functions
    "myst.header",  # RESULTS.md skips a level of headings
]

# Markdown

myst_heading_anchors = 3

# Files of the repository -> what shows them on the site. Links lead to the files, so that they work in
# the repository too.
PAGES = {
    "CHANGELOG.md": "docs/changelog.md",
    "CONTRIBUTING.md": "docs/contributing.md",
    "README.md": "docs/index.md",
    "SECURITY.md": "docs/security.md",
    "benchmarks/DASK.md": "docs/benchmarks/dask.md",
    "benchmarks/LEARNING.md": "docs/benchmarks/learning.md",
    "benchmarks/R.md": "docs/benchmarks/r.md",
    "benchmarks/README.md": "docs/benchmarks/method.md",
    "benchmarks/RESULTS.md": "docs/benchmarks/results.md",
    "benchmarks/MANY.md": "docs/benchmarks/many.md",
    "benchmarks/SERIES.md": "docs/benchmarks/series.md",
    "examples": "docs/gallery/index.rst",
    "examples/co2_forecast.py": "docs/gallery/co2_forecast.rst",
    "examples/grid_search.py": "docs/gallery/grid_search.rst",
    "examples/inside_the_gates.py": "docs/gallery/inside_the_gates.rst",
    "examples/sp500_next_day.py": "docs/gallery/sp500_next_day.rst",
}
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")


def mend_links(content, file, page):
    """Links in a file, as they are in a page that shows it: relative to the page, and to other pages."""

    def mend(match):
        target = os.path.normpath(Path(file).parent / match[1])
        return "](" + os.path.relpath(PAGES.get(target, target), Path(page).parent)

    content[0] = LINK.sub(mend, content[0])


def mend_page(app, name, content):
    file = app.env.doc2path(name)
    if str(file).endswith(".md"):
        file = Path(file).resolve().relative_to(ROOT)
        mend_links(content, file, file)


def mend_included(app, path, page, content):
    file = str(Path(app.srcdir, path).resolve().relative_to(ROOT))
    if file in PAGES:
        mend_links(content, file, PAGES[file])


# Docstrings

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's sections tell the types
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
# All of numpydoc's checks but those of sections that not every docstring needs (ES, EX, SA), of parameters
# that are described elsewhere or together (PR03, PR04), and of style where the project has its own.
numpydoc_validation_checks = {
    "all", "ES01", "EX01", "SA01", "PR03", "PR04", "RT02", "RT03", "GL02", "SS02", "SS05",
}  # fmt: skip
# Described once: arguments in the base class, fields of named tuples in the function that returns them, a
# backtest in its attributes.
numpydoc_validation_exclude = {
    r"\.Backtest$",
    r"\.core\.(AdamW|Backward|Forward|GateActivations)$",
    r"\.core\.\w+\.(check_targets|n_outputs|prediction|std)$",
    r"\.forecasting\.Forecast$",
    r"\.training\.\w+\.(before|after)_(training|iteration)$",
    r"\.training\.(StepDecay|CosineDecay|ReduceOnPlateau|EMA|SWA)\.(factors|begin)$",
}


def skip_member(app, kind, name, member, skip, options):
    """Leave out what scikit-learn's mixins and named tuples add, which is documented there."""
    if re.fullmatch(r"set_\w+_request|set_output|get_metadata_routing|count|index", name):
        return True
    if (getattr(member, "__doc__", None) or "").startswith("Alias for field number"):
        return True
    return None


# References to other projects are links where their inventories can be read, which takes a network.
if os.environ.get("DOCS_ONLINE"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "joblib": ("https://joblib.readthedocs.io/en/stable/", None),
        "matplotlib": ("https://matplotlib.org/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "python": ("https://docs.python.org/3/", None),
        "sklearn": ("https://scikit-learn.org/stable/", None),
        "xgboost": ("https://xgboost.readthedocs.io/en/stable/", None),
    }
nitpick_ignore_regex = [("py:.*", r"(joblib|matplotlib|numpy|sklearn|xgboost)\..*")]

# Gallery

_pictures = tempfile.TemporaryDirectory()


def arguments(gallery_conf, script_vars):
    """The examples' own pictures go elsewhere; the gallery takes the figures as they are."""
    return ["--output", str(Path(_pictures.name, "picture.png"))]


def set_file(gallery_conf, name):
    """Examples run here as `python example.py` would run them: with a `__file__`."""
    import builtins

    builtins.__file__ = str(ROOT / "examples" / Path(name).name)


sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"make_\w+\.py$",
    "within_subsection_order": "FileNameSortKey",
    "thumbnail_size": (640, 448),
    "reset_argv": arguments,
    "reset_modules": ("matplotlib", set_file),
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "copyfile_regex": r".*\.csv",
}

# Pages

html_theme = "pydata_sphinx_theme"
html_title = "pylstm"
html_static_path = ["_static"]
html_css_files = ["pylstm.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {name: [] for name in ("start", "coming_from", "comparison")}  # no pages below them
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "secondary_sidebar_items": ["page-toc"],
}


def setup(app):
    app.connect("source-read", mend_page)
    app.connect("include-read", mend_included)
    app.connect("autodoc-skip-member", skip_member)
