"""Films the page: python docs/make_explorer_gif.py http://127.0.0.1:5006/ docs/explorer.gif.

Of `python -m tfp_vae explore` on a model of MNIST. Needs Playwright and Debian's chromium.
"""

import io
import shutil
import sys

from PIL import Image
from playwright.sync_api import Page, sync_playwright

WIDTH, HEIGHT, SHOWN = 1280, 810, 800  # pixels; the film is SHOWN wide
FRAME_MS = 90


def film(page: Page) -> list[Image.Image]:
    """What a person does in ten seconds."""
    frames = []

    def note(times: int = 1) -> None:
        page.wait_for_timeout(250)
        for _ in range(times):
            frames.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))

    box = page.locator("#section-map .bk-Figure").bounding_box()
    places = [(0.86, 0.3), (0.3, 0.32), (0.7, 0.78)]
    for x, y in places:  # images on the map
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        note(6)
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
        note(5)
    page.mouse.move(5, 5)
    for slider, key, count in ((0, "ArrowLeft", 10), (1, "ArrowRight", 10), (2, "ArrowLeft", 10)):
        page.locator("#section-latents .noUi-handle").nth(slider).focus()
        for _ in range(count):
            for _ in range(5):
                page.keyboard.press(key)
            note()
    for _ in range(3):
        page.get_by_role("button", name="Sample the mixture").click()
        note(4)
    return frames


def main(url: str, out: str) -> None:
    """Writes the film."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(url)
        page.wait_for_function("document.getElementById('picture').src.startsWith('data:')")
        page.add_style_tag(content="header, #message { display: none } body { padding-top: 8px }")
        page.wait_for_timeout(3000)
        frames = film(page)
        browser.close()
    size = SHOWN, SHOWN * HEIGHT // WIDTH
    small = [frame.resize(size, Image.Resampling.LANCZOS) for frame in frames]
    first = small[0].quantize(255, kmeans=2, dither=Image.Dither.NONE)
    rest = [each.quantize(palette=first, dither=Image.Dither.NONE) for each in small[1:]]
    first.save(out, save_all=True, append_images=rest, duration=FRAME_MS, loop=0, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
