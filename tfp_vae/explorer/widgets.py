"""Widgets as the panels use them."""

from collections.abc import Callable
from typing import Any

from bokeh.model import Model
from bokeh.models import Button, FlexBox


def on_change(model: Model, name: str, call: Callable[[Any], None]) -> None:
    """Calls `call` with each new value of a property of a model of Bokeh."""
    model.on_change(name, lambda attr, old, new: call(new))


def button(label: str, clicked: Callable[[], None], **options: Any) -> Button:
    """A button that calls `clicked`."""
    made = Button(label=label, **options)
    made.on_click(clicked)
    return made


def row(*widgets: Any) -> FlexBox:
    """Widgets in a row, which is broken where it is too narrow."""
    gap = {"flex-wrap": "wrap", "gap": "8px", "align-items": "end"}
    return FlexBox(children=list(widgets), styles=gap, sizing_mode="stretch_width")
