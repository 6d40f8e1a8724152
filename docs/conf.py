"""How the documentation is built: MyST pages, furo, and a warning is an error (`make docs`)."""

import tomllib
from pathlib import Path

project = "Headgate"
author = "the Headgate authors"
copyright = "the Headgate authors, Apache-2.0"
version = release = tomllib.loads(
    Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8")
)["project"]["version"]

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "decisions/COPYME.md"]
nitpicky = True

# Every heading can be linked to by the words it consists of, as on a code host.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]
# Frames and site files are shown as they are; a section may wait for its first page.
suppress_warnings = ["misc.highlighting_failure", "toc.empty_glob"]

html_theme = "furo"
html_title = "Headgate"
html_show_sphinx = False


def setup(app):
    """Write the pages that are made from the code: messages, keys of a site file, kinds of audit entries."""
    from headgate.audit.page import kinds_table
    from headgate.config.schema import reference_page as site
    from headgate.messages.page import reference_page as messages

    folder = Path(__file__).parent / "reference"
    told, mark, _ = (folder / "audit.md").read_text(encoding="utf-8").partition("<!-- kinds -->\n")
    audit = f"{told}{mark}\n{kinds_table()}"
    for name, text in {"site.md": site(), "messages.md": messages(), "audit.md": audit}.items():
        page = folder / name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
