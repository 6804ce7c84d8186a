"""What MkDocs calls while it builds the site, which then needs nothing from elsewhere."""

import html
import re
from typing import Any

from latex2mathml.converter import convert
from mkdocs.utils import get_relative_url

# As pymdownx.arithmatex leaves them: \( \) in a line, \[ \] in a block of their own.
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
# The name of a function, which latex2mathml sets without a space.
NAME = re.compile(r"(\\(?:log|max|min|det)) ")
SHIM = "https://unpkg.com/iframe-worker/shim"  # which the plugin `offline` asks for


def on_page_content(content: str, **_: Any) -> str:
    """The formulas of a page as MathML, which browsers draw without a script."""
    return FORMULA.sub(_mathml, content)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """A page with our copy of the script that its search needs where it is opened as a file."""
    return output.replace(SHIM, get_relative_url("assets/iframe-worker.js", page.url))


def on_post_template(output: str, template_name: str, **_: Any) -> str:
    """The same of 404.html, which a server sends for any address."""
    is_page = template_name == "404.html"
    return output.replace(SHIM, "/assets/iframe-worker.js") if is_page else output


def _mathml(match: re.Match[str]) -> str:
    display = "block" if match[1] == "div" else "inline"
    formula = NAME.sub(r"\1\\, ", html.unescape(match[2]))
    return convert(formula, display=display)
