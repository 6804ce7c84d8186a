"""The explorer without a browser: what a page shows is what the model gives."""

import base64
import io

import numpy as np
import pytest
from helpers.explorer import sources
from helpers.models import small_vae
from PIL import Image

import tfp_vae

pytest.importorskip("bokeh", reason="needs Bokeh, of the extra explore")
from helpers.explorer_page import bytes_of, page_of, shown

from tfp_vae.explorer import codes, pictures, server
from tfp_vae.explorer.collection import EncodedCollection, different, levels
from tfp_vae.explorer.state import State

CODES = {"model": "vq_vae", "network": "conv", "filters": (4, 6), "codebook_size": 8}


@pytest.fixture(scope="module")
def labels(grey_images):
    return ["dark" if image.mean() < 0.5 else "bright" for image in grey_images]


@pytest.fixture(scope="module")
def found(model, grey_images, labels):
    return EncodedCollection(model, sources(grey_images, labels))


@pytest.fixture(scope="module")
def code_model(grey_images):
    vae = tfp_vae.build_vae((8, 9, 1), images=grey_images, seed=0, **CODES)
    return tfp_vae.inference_model(vae)


@pytest.fixture
def state(model, found):
    return State(model, found)


def widgets(panel, kind):
    return list(panel.root.select({"type": getattr(__import__("bokeh.models").models, kind)}))


def button(page, panel, label):
    (found,) = (each for each in widgets(page.panels[panel], "Button") if each.label == label)
    return found


def click(widget):
    from bokeh.events import ButtonClick

    widget._trigger_event(ButtonClick(widget))


def test_the_picture_is_the_model_s_at_the_sliders_values(model, found):
    page = page_of(model, found)
    sliders = page.panels["latents"]._sliders
    order = np.argsort(-found.weights)
    assert [each.title.split()[0] for each in sliders] == [f"z{latent}" for latent in order]
    values = np.array([0.5, -1.25, 2.0, 0.05], np.float32)
    for slider, latent in zip(sliders, order, strict=True):
        slider.value = float(values[latent])
    np.testing.assert_array_equal(page.state.latent, values)
    np.testing.assert_array_equal(shown(page), bytes_of(model.decode(values[np.newaxis]))[0])
    assert [slider.value for slider in sliders] == [float(values[latent]) for latent in order]


def test_a_draw_is_the_model_s_and_stays_while_nothing_moves(model, found):
    page = page_of(model, found)
    (kind,) = widgets(page.panels["picture"], "RadioButtonGroup")
    mean, kind.active = shown(page), 1
    latents, seed = page.state.latent[np.newaxis], page.state.seed
    draw = shown(page)
    np.testing.assert_array_equal(draw, bytes_of(model.sample_image(latents, seed=seed))[0])
    page.draw()
    np.testing.assert_array_equal(shown(page), draw)
    assert (mean != draw).any()


def test_buttons_draw_latents_and_bring_the_image_back(model, found):
    page = page_of(model, found)
    start = page.state.latent
    click(button(page, "picture", "Sample the prior"))
    drawn = model.prior_sample(1, seed=page.state.seed).latent[0]
    np.testing.assert_array_equal(page.state.latent, drawn)
    page.state.sample_mixture()
    assert (page.state.latent != drawn).all()
    click(button(page, "picture", "Back to this image's mean"))
    np.testing.assert_array_equal(page.state.latent, start)


@pytest.mark.parametrize("spherical", [False, True])
def test_a_path_is_the_model_s_interpolation(model, state, grey_images, spherical):
    state.choose(3)
    state.choose_image("mine", grey_images[7])
    film = model.interpolate(grey_images[3], grey_images[7], 12, spherical=spherical)
    path = model.decode(state.path(spherical=spherical, steps=12))
    np.testing.assert_allclose(path, film, atol=1e-5)
    frames = Image.open(io.BytesIO(base64.b64decode(pictures.gif_url(path).split(",")[1])))
    assert frames.n_frames == 22 and frames.info["loop"] == 0  # there and back


def test_a_direction_is_the_model_s(model, found, grey_images, labels):
    page = page_of(model, found)
    state = page.state
    state.choose(5)
    selects = page.panels["groups"]._groups
    for select, label in zip(selects, ("dark", "bright"), strict=True):
        select.value = f"label {label}"
    chosen = {name: np.array([name == each for each in labels]) for name in ("dark", "bright")}
    direction = model.latent_direction(grey_images[chosen["bright"]], grey_images[chosen["dark"]])
    np.testing.assert_allclose(state.direction, direction, atol=1e-6)
    (strength,) = widgets(page.panels["groups"], "Slider")
    strength.value = 1.5
    (expected,) = model.apply_direction(grey_images[5], direction, [1.5])
    np.testing.assert_allclose(shown(page), bytes_of(expected), atol=1)
    before = state.latent
    state.set_coordinate(2, 0.5)  # the direction stays
    np.testing.assert_allclose(state.latent, [*before[:2], 0.5, before[3]], atol=1e-6)
    state.strength = 0.0
    np.testing.assert_allclose(state.latent[0], found.latents[5, 0], atol=1e-6)


def test_a_lasso_is_a_group(model, found):
    page = page_of(model, found)
    groups = page.panels["groups"]
    groups._take_lasso(0)
    assert "no points are selected" in page._message.data["text"][0]
    for place, rows in enumerate(([0, 1, 2], [3, 4])):
        page.panels["map"].source.selected.indices = rows
        groups._take_lasso(place)
    expected = found.latents[3:5].mean(axis=0) - found.latents[:3].mean(axis=0)
    np.testing.assert_allclose(page.state.direction, expected, atol=1e-6)


def test_a_click_on_the_map_chooses_the_nearest_image(model, found):
    from bokeh.events import Tap

    page = page_of(model, found)
    figure = page.panels["map"].figure
    low, high = found.points.min(axis=0), found.points.max(axis=0)
    (figure.x_range.start, figure.y_range.start), figure.x_range.end = low, high[0]
    figure.y_range.end = high[1]
    x, y = found.points[17] + 0.001
    figure._trigger_event(Tap(figure, x=x, y=y))
    assert page.state.chosen[-1].row == 17
    np.testing.assert_array_equal(page.state.latent, found.latents[17])
    figure._trigger_event(Tap(figure, x=high[0] * 100, y=y))  # beside all points
    figure._trigger_event(Tap(figure, x=None, y=None))
    assert page.state.chosen[-1].row == 17


def test_a_click_changes_one_code(code_model, grey_images):
    from bokeh.events import Tap

    page = page_of(code_model, EncodedCollection(code_model, sources(grey_images)))
    panel, before = page.panels["latents"], page.state.latent
    assert "path" not in page.panels and "groups" not in page.panels
    rows, columns = panel._shape
    assert rows * columns == code_model.latent_size
    position = columns + 1  # second row, second column
    code = (before[position] + 1) % 8
    panel._codes._trigger_event(
        Tap(panel._codes, x=code % panel._columns + 0.3, y=-(code // panel._columns) + 0.2)
    )
    panel._grid._trigger_event(Tap(panel._grid, x=1.4, y=-0.8))
    changed = np.flatnonzero(page.state.latent != before)
    assert changed.tolist() == [position] and page.state.latent[position] == code
    expected = code_model.decode(page.state.latent[np.newaxis])
    np.testing.assert_array_equal(shown(page), bytes_of(expected)[0])
    assert panel._cells.data["code"].tolist() == page.state.latent.tolist()


@pytest.mark.parametrize(
    ("count", "shape", "expected"),
    [(49, (28, 28, 1), (7, 7)), (32, (32, 16, 3), (8, 4)), (6, (8, 9, 1), (2, 3)), (5, (8, 8), 1)],
)
def test_codes_have_a_grid_of_the_image_s_proportions(count, shape, expected):
    found = codes.grid_shape(count, shape)
    assert found == expected or (expected == 1 and sorted(found) == [1, 5])


def test_each_code_has_a_colour(code_model):
    found = codes.code_colours(code_model, 0)
    assert len(found) == 8 and len(set(found)) > 1
    assert all(len(each) == 7 and int(each[1:], 16) >= 0 for each in found)


def test_two_latents_are_the_map_and_more_are_projected(grey_images, found):
    flat = tfp_vae.inference_model(small_vae(latent_size=2))
    plane = EncodedCollection(flat, sources(grey_images))
    np.testing.assert_array_equal(plane.points, plane.latents)
    single = tfp_vae.inference_model(small_vae(latent_size=1))
    line = EncodedCollection(single, sources(grey_images))
    np.testing.assert_array_equal(line.points[:, 1], 0)
    centred = found.latents - found.latents.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    np.testing.assert_allclose(np.abs(found.points), np.abs(centred @ axes.T), atol=1e-4)
    np.testing.assert_allclose(found.project(found.latents[:3]), found.points[:3], atol=1e-5)


def test_equal_images_are_one_point_and_one_component(model, grey_images):
    found = EncodedCollection(model, sources(np.repeat(grey_images[:1], 30, axis=0)))
    assert found.plane == "the latents" and len(np.unique(found.points, axis=0)) == 1
    assert found.mixture.n_components == 1


def test_a_last_batch_of_dark_images_is_encoded(model, grey_images):
    pixels = np.rint(255 * np.resize(grey_images, (513, 8, 9, 1))).astype(np.uint8)
    pixels[512] = np.arange(72).reshape(8, 9, 1) % 2
    found = EncodedCollection(model, sources(pixels))
    expected = model.encode(pixels[512:].astype(np.float32) / 255)
    np.testing.assert_allclose(found.latents[512:], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["10", "9", "-1"], ["-1", "9", "10"]),
        (["10", "9", "--5"], ["--5", "10", "9"]),
        (["b", "a", "b"], ["a", "b"]),
    ],
)
def test_labels_are_in_the_order_of_numbers_if_they_are(labels, expected):
    assert different(labels) == expected


def test_latents_are_weighed_by_their_kl(model, found, grey_images):
    kl = tfp_vae.evaluate(model, np.round(grey_images), num_samples=1).kl_per_dimension
    rounded = EncodedCollection(model, sources(np.round(grey_images)))
    np.testing.assert_allclose(rounded.weights, kl, rtol=1e-5)
    assert found.weight == "KL, nats"
    other = tfp_vae.inference_model(small_vae(prior="mixture", prior_components=3))
    spread = EncodedCollection(other, sources(grey_images))
    assert spread.weight == "standard deviation"
    np.testing.assert_allclose(spread.weights, spread.latents.std(axis=0), rtol=1e-4)


def test_sliders_of_a_hierarchy_are_by_level_and_many_are_in_parts(grey_images):
    model = tfp_vae.inference_model(small_vae(model="hierarchical", latent_size=(40, 3)))
    page = page_of(model, EncodedCollection(model, sources(grey_images)))
    panel = page.panels["latents"]
    level, part = panel._set, panel._part
    assert list(level.options) == [
        "all latents",
        "level 2, the top",
        "level 1, next to the image",
    ]
    assert len(widgets(panel, "Slider")) == 32 and len(part.options) == 2
    part.value = "32"
    assert len(widgets(panel, "Slider")) == 43 - 32
    level.value = "level 2, the top"
    titles = [each.title.split()[0] for each in widgets(panel, "Slider")]
    assert sorted(titles) == ["z0", "z1", "z2"]
    assert levels((2, 2, 1))["level 2, the top"].tolist() == [0, 1] and levels((0, 0)) == {}


def test_an_autoencoder_without_a_density_has_no_prior_to_sample(grey_images):
    model = tfp_vae.inference_model(small_vae(posterior="deterministic"))
    found = EncodedCollection(model, sources(grey_images))
    page = page_of(model, found)
    assert "Sample the prior" not in [b.label for b in widgets(page.panels["picture"], "Button")]
    assert "no prior" in server.about(model, found)
    assert shown(page_of(model)).shape == (8, 9)  # no images either


def test_without_images_the_page_has_samples(model):
    page = page_of(model)
    assert "map" not in page.panels and "no images" in server.about(model, None)
    before = shown(page)
    click(button(page, "picture", "Sample the prior"))
    assert (shown(page) != before).any()
