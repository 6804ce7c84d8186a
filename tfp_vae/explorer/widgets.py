"""Widgets as the panels use them."""

from collections.abc import Callable
from typing import Any

from bokeh.model import Model
from bokeh.models import Button, Row, Slider

SLIDER_STYLE = """
.noUi-connect { background-color: #4c6ef5 !important; }
.noUi-handle { border-radius: 50%; border-color: #4c6ef5; }
.noUi-handle:focus-visible { outline: 3px solid #ffa94d; }
"""


def slider(limit: float, step: float, **options: Any) -> Slider:
    """A slider from -limit to limit, at 0."""
    return Slider(
        start=-limit,
        end=limit,
        step=step,
        value=0,
        sizing_mode="stretch_width",
        stylesheets=[SLIDER_STYLE],
        **options,
    )


def on_change(model: Model, name: str, call: Callable[[Any], None]) -> None:
    """Calls `call` with each new value of a property of a model of Bokeh."""
    model.on_change(name, lambda attr, old, new: call(new))


def button(label: str, clicked: Callable[[], None], **options: Any) -> Button:
    """A button that calls `clicked`."""
    made = Button(label=label, **options)
    made.on_click(clicked)
    return made


def row(*widgets: Any) -> Row:
    """Widgets in a row, which is broken where it is too narrow."""
    gap = {"flex-wrap": "wrap", "column-gap": "4px", "align-items": "end"}
    return Row(children=list(widgets), styles=gap, sizing_mode="stretch_width")
