"""Buttons beside the picture: what is drawn, and from where."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from bokeh.models import Column, RadioButtonGroup, Spinner

from tfp_vae.explorer import pictures
from tfp_vae.explorer.collection import EncodedCollection
from tfp_vae.explorer.widgets import button, on_change, row

if TYPE_CHECKING:
    from tfp_vae.explorer.page import Page

MEAN, DRAW = range(2)


class PicturePanel:
    """The picture itself is in `page.html`; this is what it can be made from."""

    def __init__(self, page: "Page") -> None:
        self.page = page
        state = page.state
        self._kind = RadioButtonGroup(
            labels=["mean of p(x|z)", "a draw"], active=MEAN, sizing_mode="stretch_width"
        )
        on_change(self._kind, "active", lambda _: page.act(self._set_kind))
        buttons = []
        if state.model.description.has_density:
            buttons.append(button("Sample the prior", lambda: page.act(state.sample_prior)))
        found = state.collection
        if found is not None and found.has_mixture:
            draw = partial(self._sample_mixture, found)
            buttons.append(button("Sample the mixture", draw))
        self._row = Spinner(low=0, high=0, value=0, step=1, title="Image", width=110)
        if found is not None:
            self._row.high = len(found.names) - 1
            self._row.title = f"Image, 0 to {self._row.high}"
            on_change(self._row, "value", lambda _: page.act(self._choose))
            buttons.append(button("Back to this image's mean", lambda: page.act(state.back)))
        shown = [self._kind, row(*buttons)]
        if found is not None:
            shown.append(self._row)
        self.root = Column(children=shown, sizing_mode="stretch_width", spacing=4)

    def original(self) -> str:
        """The address of the image that was chosen last, or none."""
        chosen = self.page.state.chosen
        return pictures.png_url(chosen[-1].image) if chosen else ""

    def caption(self) -> str:
        """Its name and label."""
        if not self.page.state.chosen:
            return ""
        chosen = self.page.state.chosen[-1]
        return chosen.name if chosen.label is None else f"{chosen.name}, label {chosen.label}"

    def update(self) -> None:
        """Shows which image was chosen last."""
        chosen = self.page.state.chosen
        if chosen:
            self._row.value = chosen[-1].row  # none of a file of the user's own

    def _set_kind(self) -> None:
        self.page.state.noisy = self._kind.active == DRAW
        self.page.state.seed += 1

    def _choose(self) -> None:
        state, row = self.page.state, self._row.value
        if row is not None and not (state.chosen and state.chosen[-1].row == row):
            state.choose(int(row))

    def _sample_mixture(self, found: EncodedCollection) -> None:
        async def fitted() -> None:
            await asyncio.to_thread(lambda: found.mixture)
            self.page.act(self.page.state.sample_mixture)

        self.page.say("fitting a mixture to the latents ...")
        self.page.document.add_next_tick_callback(fitted)
