"""The page of a model, in a real browser: it gives the pixels of the native runtime, and says what it cannot do."""

import hashlib
import json
import lzma
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from i2i import images
from i2i.deploy.web import web
from i2i.errors import UserError
from i2i.paths import shared
from i2i.runtime.model import Exported
from i2i.runtime.scale import resized
from i2i.translation import translate

from .browser import FLAGS, PATIENCE, WEBGPU, chromium, executable, pixels, ready, says, served, tiny

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

ORT = shared("export") / "web" / "ort"
SIZES = ((1, 1), (1, 9), (64, 64), (63, 97), (201, 130))  # height, width


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    pytest.importorskip("playwright.sync_api", reason="pages are tested with playwright: pip install -e '.[dev]'")
    path = executable()
    if path is None:
        pytest.skip("no Chromium on this machine to open pages with: apt-get install chromium")
    with chromium(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    return tiny(folder / "tiny.onnx")


@pytest.fixture(scope="module")
def picture(folder: Path, noise: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """picture(height, width): a file with blocks, slopes and noise in it, as pictures have."""

    def make(height: int, width: int, channels: int = 3) -> Path:
        path = folder / f"{height}x{width}x{channels}.png"
        rough = noise(1, height // 9 + 1, width // 9 + 1, channels).repeat(9, 0).repeat(9, 1)[:height, :width]
        mixed = (rough.astype(int) * 3 + noise(2, height, width, channels)) // 4
        images.write(path, mixed.astype(np.uint8), force=True)
        return path

    return make


@pytest.fixture(scope="module")
def single(folder: Path, model: Path, picture: Callable[..., Path]) -> Path:
    examples = [picture(40, 60), picture(64, 64)]
    return web(model, folder / "single.html", title="Noise → noise", examples=examples)


@pytest.fixture(scope="module")
def site(folder: Path, model: Path, picture: Callable[..., Path]) -> Path:
    return web(model, folder / "site", title="Noise → noise", examples=[picture(40, 60)]).parent


@pytest.fixture
def context(browser: "Browser") -> "Iterator[BrowserContext]":
    opened = browser.new_context(viewport={"width": 1100, "height": 900})
    opened.set_default_timeout(PATIENCE)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def asked() -> list[str]:
    """Every address that the shared page has asked for."""
    return []


@pytest.fixture(scope="module")
def page(browser: "Browser", single: Path, asked: list[str]) -> "Iterator[Page]":
    """The single file, opened from disk with its model started: shared by the tests that leave it usable."""
    context = browser.new_context(viewport={"width": 1100, "height": 900}, has_touch=True)
    context.set_default_timeout(PATIENCE)
    context.on("request", lambda request: asked.append(request.url))
    opened = context.new_page()
    opened.goto(single.as_uri())
    ready(opened)
    yield opened
    context.close()


def native(model: Path, path: Path) -> np.ndarray:
    exported = Exported(model, device="cpu")
    return np.broadcast_to(exported(images.read(path, exported.inputs)), (*images.read(path).shape[:2], 3))


def give(page: "Page", path: Path) -> None:
    """Chooses a picture, and waits until it is translated."""
    page.evaluate("document.getElementById('status').textContent = ''")
    page.set_input_files("#file", path)
    translated(page)


def translated(page: "Page") -> None:
    says(page, "#status", re.compile(r" in \d.* · "))


def apart(one: np.ndarray, other: np.ndarray) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other).max())


def blank(page: "Page") -> None:
    page.click("#clear")
    assert (pixels(page, "input") == 255).all()


def stroke(page: "Page", *points: tuple[float, float]) -> None:
    """Draws through points in [0, 1] of the canvas."""
    box = page.locator("#input").bounding_box()
    assert box
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


# What is written


def test_the_vendored_runtime_is_what_its_sums_say() -> None:
    sums = dict(reversed(line.split()) for line in (ORT / "SHA256SUMS").read_text().splitlines())
    for name, expected in sums.items():
        packed = ORT / f"{name}.xz"
        content = lzma.decompress(packed.read_bytes()) if packed.is_file() else (ORT / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == expected, name
    there = {path.name.removesuffix(".xz") for path in ORT.iterdir()}
    assert there == sums.keys() | {"README.md", "SHA256SUMS"}


def test_two_pages_of_one_model_are_the_same_bytes(single: Path, model: Path, picture: Callable[..., Path]) -> None:
    again = web(model, single.with_name("b.html"), title="Noise → noise", examples=[picture(40, 60), picture(64, 64)])
    assert again.read_bytes() == single.read_bytes()


def test_a_page_carries_the_licences_of_its_runtime(single: Path, site: Path) -> None:
    assert "Permission is hereby granted, free of charge" in single.read_text("utf-8")
    assert 'id="asset-notices"' in single.read_text("utf-8")
    assert (site / "ort" / "LICENSE").is_file()
    assert (site / "ort" / "ThirdPartyNotices.txt").is_file()


def test_examples_are_small_and_tell_nothing_of_where_they_come_from(folder: Path, model: Path) -> None:
    source = folder / "large.jpg"
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    Image.new("RGB", (2000, 1000), "red").save(source, exif=exif)
    web(model, folder / "examples", title="t", examples=[source])
    with Image.open(folder / "examples" / "examples" / "1.png") as made:
        assert made.size == (512, 256)
        assert made.info == {}
    assert b"/large.jpg" not in (folder / "examples" / "index.html").read_bytes()


@pytest.mark.parametrize("name", ["page.html", "folder"])
def test_a_page_is_replaced_only_if_told(name: str, model: Path, tmp_path: Path) -> None:
    first = web(model, tmp_path / name, title="one")
    with pytest.raises(UserError, match="exists already"):
        web(model, tmp_path / name, title="two")
    assert "<title>one<" in first.read_text("utf-8")
    assert "<title>two<" in web(model, tmp_path / name, title="two", force=True).read_text("utf-8")


def test_a_folder_with_other_things_is_never_taken(model: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<title>mine</title>")
    with pytest.raises(UserError, match="other things than a page of i2i"):
        web(model, tmp_path, title="t", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


@pytest.mark.parametrize(
    ("told", "channels", "message"),
    [
        ({"task": "sample"}, (3, 3), "pictures from noise"),
        ({"pixels": "uint16"}, (3, 3), "Export it with --pixels uint8"),
        ({}, (4, 3), "4 into 3 channels"),
        ({"planes": '[{"name": "a", "look": {"labels": 3}}]'}, (3, 3), "takes the 3 classes of a segmentation map"),
        ({"result": '{"labels": 3}'}, (3, 3), "makes the 3 classes of a segmentation map"),
        ({"planes": '[{"name": "a", "look": 2}, {"name": "mask", "look": 1}]'}, (3, 3), "together with its mask"),
    ],
)
def test_a_model_that_a_page_cannot_run_is_refused(
    told: dict[str, str], channels: tuple[int, int], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        web(tiny(tmp_path / "m.onnx", *channels, **told), tmp_path / "page.html", title="t")
    assert not (tmp_path / "page.html").exists()


def test_a_model_too_large_for_one_file_is_sent_to_a_folder(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("i2i.deploy.web.MOST_EMBEDDED", 100)
    with pytest.raises(UserError, match="Name a folder"):
        web(model, tmp_path / "page.html", title="t")
    assert web(model, tmp_path / "folder", title="t").is_file()


# The same pixels as outside of the browser


@pytest.mark.parametrize("size", SIZES)
def test_a_page_from_disk_gives_the_native_pixels(
    size: tuple[int, int], page: "Page", model: Path, picture: Callable[..., Path]
) -> None:
    give(page, picture(*size))
    assert apart(pixels(page, "input"), images.read(picture(*size))) == 0
    assert apart(pixels(page, "output"), native(model, picture(*size))) <= 1


def test_a_served_folder_gives_the_native_pixels_and_asks_nobody_else(
    context: "BrowserContext", site: Path, model: Path, picture: Callable[..., Path]
) -> None:
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    with served(site) as address:
        page = context.new_page()
        page.goto(address)
        ready(page)
        give(page, picture(63, 97))
        assert apart(pixels(page, "output"), native(model, picture(63, 97))) <= 1
        page.click("#licences summary")
        says(page, "#notices", "THIRD PARTY")
        fetched = [url for url in asked if not url.startswith(("data:", "blob:"))]
        assert fetched
        assert all(url.startswith(address) for url in fetched)
        assert {url.removeprefix(address).split("?")[0] for url in fetched} >= {"model.onnx", "examples/1.png"}
        # The second visit fetches nothing large: addresses change with their content, so what was kept is right.
        page.reload()
        ready(page)
        sizes = page.evaluate("performance.getEntriesByType('resource').map((e) => [e.name, e.transferSize])")
        assert {name.split("/")[-1].split("?")[0] for name, size in sizes if size == 0} >= {"model.onnx"}


def test_the_model_runs_beside_the_page_and_not_in_it(page: "Page") -> None:
    assert len(page.workers) == 1  # so buttons and strokes go on during a translation


def test_a_page_from_disk_asks_for_nothing(page: "Page", single: Path, asked: list[str]) -> None:
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [single.as_uri()]


def test_even_a_script_slipped_into_the_page_cannot_send_pictures_away(page: "Page") -> None:
    attempts = """() => {
      const told = new Promise((refused) => addEventListener("securitypolicyviolation", refused, { once: true }));
      ATTEMPT;
      const sent = new Promise((done) => setTimeout(done, 5000, { effectiveDirective: "it was sent" }));
      return Promise.race([told, sent]).then((event) => event.effectiveDirective);
    }"""
    for attempt, directive in (
        ("fetch('http://127.0.0.1:9/').catch(() => {})", "connect-src"),
        ("new Image().src = 'http://127.0.0.1:9/'", "img-src"),
        ("document.head.append(Object.assign(document.createElement('script'), { src: 'http://127.0.0.1:9/' }))",
         "script-src-elem"),
    ):  # fmt: skip
        assert page.evaluate(attempts.replace("ATTEMPT", attempt)) == directive


@pytest.fixture(scope="module")
def grey(browser: "Browser", folder: Path) -> "Iterator[tuple[Page, Path]]":
    """A page whose model takes and gives grey pictures, and has memory for 7500 pixels."""
    model = tiny(folder / "grey.onnx", 1, 1, memory="200000")
    context = browser.new_context(viewport={"width": 360, "height": 780}, device_scale_factor=2, has_touch=True)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(web(model, folder / "grey.html", title="Greyness" * 12).as_uri())
    ready(page)
    yield page, model
    context.close()


def test_a_grey_model_sees_the_luma_that_python_reads(grey: "tuple[Page, Path]", picture: Callable[..., Path]) -> None:
    page, model = grey
    give(page, picture(63, 97))
    assert apart(pixels(page, "output"), native(model, picture(63, 97))) <= 1
    assert not page.is_visible("#colour")


def test_transparency_is_laid_on_white(page: "Page", folder: Path, noise: Callable[..., np.ndarray]) -> None:
    path = folder / "alpha.png"
    Image.fromarray(noise(3, 30, 20, 4), "RGBA").save(path)
    give(page, path)
    assert apart(pixels(page, "input"), images.read(path)) <= 2  # browsers keep colours multiplied by their alpha


def test_a_photo_stands_upright(page: "Page", folder: Path) -> None:
    path = folder / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by a quarter
    top_left = Image.new("RGB", (48, 32), "white")
    top_left.paste((200, 0, 0), (0, 0, 16, 16))
    top_left.save(path, exif=exif, quality=95)
    give(page, path)
    assert apart(pixels(page, "input"), images.read(path)) <= 3
    assert pixels(page, "input").shape == (48, 32, 3)


# What a person does


def test_a_stroke_changes_only_where_it_goes_and_undo_takes_it_back(page: "Page") -> None:
    blank(page)
    assert page.is_visible("#empty")
    assert not page.is_visible("#output")
    stroke(page, (0.1, 0.25), (0.9, 0.25))
    drawn = pixels(page, "input")
    assert drawn.shape == (64, 64, 3)
    assert (drawn[16, 10:54] < 100).all()
    assert (drawn[32:] == 255).all()
    translated(page)
    assert page.is_visible("#output")
    assert not page.is_visible("#empty")
    stroke(page, (0.1, 0.75), (0.9, 0.75))
    page.click("#undo")
    assert (pixels(page, "input") == drawn).all()
    page.click("#undo")
    assert (pixels(page, "input") == 255).all()
    page.click("#redo")
    assert (pixels(page, "input") == drawn).all()
    page.keyboard.press("Control+z")
    assert (pixels(page, "input") == 255).all()
    page.keyboard.press("Control+Shift+z")
    assert (pixels(page, "input") == drawn).all()


def test_the_eraser_is_white_and_the_brush_has_the_chosen_colour_and_size(page: "Page") -> None:
    blank(page)
    page.fill("#colour", "#ff0000")
    page.evaluate("document.getElementById('width').value = 4")
    stroke(page, (0.5, 0.5))  # a dot
    drawn = pixels(page, "input")
    assert drawn[32, 32].tolist() == [255, 0, 0]
    assert 12 <= (drawn != 255).any(2).sum() <= 25  # a disc of 4 pixels across has 12.6, and an edge
    page.click("#eraser")
    page.evaluate("document.getElementById('width').value = 8")
    stroke(page, (0.5, 0.5))
    assert (pixels(page, "input") == 255).all()
    page.click("#brush")
    page.fill("#colour", "#000000")


def test_a_finger_draws(page: "Page") -> None:
    blank(page)
    box = page.locator("#input").bounding_box()
    assert box
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert (pixels(page, "input")[32, 32] < 100).all()
    page.click("#undo")


def test_pictures_can_be_dropped_and_pasted(page: "Page", picture: Callable[..., Path]) -> None:
    put = """([bytes, kind]) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], "given.png", { type: "image/png" }));
      dispatchEvent(kind === "drop" ? new DragEvent("drop", { dataTransfer: data })
                                    : new ClipboardEvent("paste", { clipboardData: data }));
    }"""
    for kind, path in (("drop", picture(40, 60)), ("paste", picture(63, 97))):
        page.evaluate(put, [list(path.read_bytes()), kind])
        wanted = images.read(path)
        says(page, "#input-size", f"{wanted.shape[1]} × {wanted.shape[0]}")
        assert apart(pixels(page, "input"), wanted) == 0


def test_an_example_is_one_click_away(page: "Page", model: Path, picture: Callable[..., Path]) -> None:
    blank(page)
    page.evaluate("document.getElementById('status').textContent = ''")
    page.click("#examples button >> nth=0")
    translated(page)
    assert apart(pixels(page, "output"), native(model, picture(40, 60))) <= 1


def test_the_download_is_a_png_of_exactly_the_translation(page: "Page", picture: Callable[..., Path]) -> None:
    give(page, picture(63, 97))
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "63x97x3_translated.png"
    with Image.open(download.value.path()) as saved:
        assert saved.format == "PNG"
        assert saved.size == (97, 63)
    assert apart(images.read(download.value.path()), pixels(page, "output")) == 0


def test_the_slider_shows_both_pictures_and_moves_by_key(page: "Page", picture: Callable[..., Path]) -> None:
    give(page, picture(40, 60))
    page.click("#view >> text=Slider")
    assert apart(pixels(page, "compare-input"), pixels(page, "input")) == 0
    assert apart(pixels(page, "compare-output"), pixels(page, "output")) == 0
    page.focus("#split")
    page.keyboard.press("End")
    clip = "getComputedStyle(document.getElementById('compare-output')).clipPath"
    assert page.evaluate(clip) == "inset(0px 0px 0px 100%)"
    page.click("#view >> text=Both")
    assert page.is_visible("#input")
    assert not page.is_visible("#compare")


def test_every_control_is_reached_by_tab_and_has_a_name(page: "Page") -> None:
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.dataset?.view || ''"))
    assert {"open", "brush", "eraser", "width", "undo", "clear", "live", "translate", "download", "backend"} <= {*seen}
    nameless = """[...document.querySelectorAll("button, input:not([hidden]), select")].filter((control) =>
      !control.getAttribute("aria-label") && !control.textContent.trim() && !control.labels?.length
      && !control.querySelector("img[alt]")).map((control) => control.id)"""
    assert page.evaluate(nameless) == []


def test_a_small_phone_never_scrolls_sideways(grey: "tuple[Page, Path]", picture: Callable[..., Path]) -> None:
    page, _ = grey
    give(page, picture(40, 60))
    for width in (360, 320):
        page.set_viewport_size({"width": width, "height": 700})
        for view in ("Slider", "Both"):
            page.click(f"#view >> text={view}")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (width, view)


def test_a_picture_too_large_is_scaled_down_only_if_wanted(
    grey: "tuple[Page, Path]", picture: Callable[..., Path]
) -> None:
    page, _ = grey
    give(page, picture(40, 60))
    page.set_input_files("#file", picture(201, 130))
    page.wait_for_selector("#large[open]")
    assert "130 × 201" in page.inner_text("#large-text")
    page.keyboard.press("Escape")
    says(page, "#status", "Nothing was changed.")
    assert pixels(page, "input").shape == (40, 60, 3)
    page.set_input_files("#file", picture(201, 130))
    page.wait_for_selector("#large[open]")
    page.click("#scale")
    translated(page)
    height, width, _ = pixels(page, "output").shape
    assert 7000 < height * width <= 7500
    assert abs(height / width - 201 / 130) < 0.05


@pytest.mark.parametrize("channels", [1, 3])
def test_a_larger_picture_is_worked_on_at_the_scale_of_the_training_and_downloaded_in_its_own(
    channels: int, context: "BrowserContext", folder: Path, picture: Callable[..., Path], tmp_path: Path
) -> None:
    model = tiny(folder / f"scaled{channels}.onnx", channels, channels, recipe='{"data": {"load": 20, "crop": 16}}')
    page = context.new_page()
    page.goto(web(model, folder / f"scaled{channels}.html", title="Scaled").as_uri())
    ready(page)
    # 30 is hardly larger than 20; 61 is brought to 30.5, and 63 to 31.5, which is rounded to the even number
    for given, worked in (((30, 45), ""), ((40, 61), "30 × 20"), ((63, 40), "20 × 32"), ((201, 130), "20 × 31")):
        path = picture(*given)
        give(page, path)
        said = page.inner_text("#status")
        assert f"worked at {worked}, the scale of the training" in said if worked else "worked at" not in said
        assert apart(pixels(page, "input"), images.read(path)) == 0
        with page.expect_download() as download:
            page.click("#download")
        made = images.read(download.value.path())
        assert apart(made, pixels(page, "output")) == 0
        target = tmp_path / path.name  # i2i translate gives the picture back with as many channels as the model makes
        [told] = translate([path], model, target)
        assert told.target, told.error
        assert apart(made, np.broadcast_to(images.read(told.target), made.shape)) <= 1
    blank(page)  # is comfortable to draw on
    assert pixels(page, "input").shape[:2] == (512, 512)
    stroke(page, (0.2, 0.5), (0.8, 0.5))
    translated(page)
    assert "worked at 20 × 20" in page.inner_text("#status")
    assert pixels(page, "output").shape[:2] == (512, 512)


def test_a_drawing_is_made_on_a_roomy_sheet_and_reaches_the_working_scale_in_lines_of_three_pixels(
    context: "BrowserContext", folder: Path, tmp_path: Path
) -> None:
    model = tiny(folder / "drawn.onnx", recipe='{"data": {"load": 64, "crop": 64}}')
    page = context.new_page()
    page.goto(web(model, folder / "drawn.html", title="Drawn").as_uri())
    ready(page)
    assert pixels(page, "input").shape == (512, 512, 3)
    stroke(page, (0.1, 0.5), (0.9, 0.5))
    says(page, "#status", "512 × 512 in")
    says(page, "#status", "worked at 64 × 64")
    drawn = pixels(page, "input")
    ink = 1 - resized(drawn, (64, 64))[:, 32, 0] / 255
    assert 2.5 < ink.sum() < 3.5
    images.write(tmp_path / "drawn.png", drawn)
    [told] = translate([tmp_path / "drawn.png"], model, tmp_path / "made.png")
    assert told.target, told.error
    assert apart(pixels(page, "output"), images.read(told.target)) <= 1


@pytest.mark.parametrize(
    ("data", "sheet"),
    [
        ({"load": 136, "crop": 128}, 512),
        ({"load": 400, "crop": 384}, 384),  # 512 is hardly larger, and would not be brought to the training's scale
        ({"load": None, "crop": 64}, 64),
        ({"load": None, "crop": 1024}, 512),
        ({}, 256),
        (None, 256),
    ],
)
def test_a_sheet_is_roomy_where_the_model_sees_it_at_its_scale_and_of_the_size_of_training_elsewhere(
    data: dict[str, Any] | None, sheet: int, tmp_path: Path
) -> None:
    model = tiny(tmp_path / "m.onnx", recipe=json.dumps({"data": data}))
    assert config_of(web(model, tmp_path / "page.html", title="t"))["sheet"] == sheet


def test_the_browser_resizes_to_the_bit_as_python(page: "Page", noise: Callable[..., np.ndarray]) -> None:
    script = (shared("export") / "web" / "resize.js").read_text("utf-8")
    resize = f"([pixels, from, to]) => {{ {script}\n return [...resized(new Uint8Array(pixels), from, to)]; }}"
    for size, wanted in (((16, 21), (96, 128)), ((96, 128), (16, 21)), ((300, 60), (30, 6)), ((30, 6), (300, 60)),
                         ((60, 300), (6, 30)), ((5, 5), (5, 5)), ((201, 130), (31, 20))):  # fmt: skip
        for channels in (1, 3):
            given = np.where(noise(5, *size, channels) > 127, 255, 0).astype(np.uint8)  # edges make it overshoot
            made = page.evaluate(resize, [given.reshape(-1).tolist(), size, wanted])
            assert np.array_equal(np.array(made).reshape(*wanted, channels), resized(given, wanted)), (size, wanted)


# What goes wrong, and what is said then


def test_a_file_that_is_no_picture_is_named(page: "Page", folder: Path) -> None:
    (folder / "notes.png").write_text("no picture")
    before = pixels(page, "input")
    page.set_input_files("#file", folder / "notes.png")
    page.wait_for_selector("#status.bad")
    assert "notes.png is not a picture" in page.inner_text("#status")
    assert (pixels(page, "input") == before).all()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("delete window.DecompressionStream", "It lacks DecompressionStream."),
        ("delete window.WebAssembly", "It lacks WebAssembly and WebAssembly SIMD."),
        ("delete window.createImageBitmap; delete window.PointerEvent", "createImageBitmap and pointer events"),
        (
            "const read = CanvasRenderingContext2D.prototype.getImageData;"
            "CanvasRenderingContext2D.prototype.getImageData = function (...box) {"
            "  const image = read.apply(this, box); image.data[0] ^= 1; return image; }",
            "altering the pictures",
        ),
    ],
)
def test_a_browser_that_cannot_do_it_is_told_why(
    script: str, message: str, context: "BrowserContext", single: Path
) -> None:
    page = context.new_page()
    page.add_init_script(script)
    page.goto(single.as_uri())
    says(page, "#problem", message)
    assert not page.is_visible("#app")


def test_without_scripts_the_page_still_says_what_it_needs(browser: "Browser", single: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(single.as_uri())
    assert "with JavaScript switched on" in page.inner_text("body")
    context.close()


def test_a_folder_opened_from_disk_says_what_to_do(context: "BrowserContext", site: Path) -> None:
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    page.wait_for_selector("#problem")
    assert "python -m http.server" in page.inner_text("#problem")


def test_a_broken_model_is_told_and_tried_again(context: "BrowserContext", site: Path, tmp_path: Path) -> None:
    broken = tmp_path / "site"
    shutil.copytree(site, broken)
    model = broken / "model.onnx"
    whole = model.read_bytes()
    page = context.new_page()

    def problem() -> str:
        page.wait_for_selector("#again:visible")
        return page.inner_text("#problem")

    with served(broken) as address:
        model.unlink()
        page.goto(address)
        assert "model.onnx: the server answered 404" in problem()
        model.write_bytes(whole[:1000])
        page.click("#again")
        says(page, "#problem", "got 1000 of")
        model.write_bytes(whole)
        page.click("#again")
        ready(page)
        assert not page.is_visible("#problem")
    model.write_bytes(bytes(len(whole)))
    with served(broken) as address:  # another address, so that nothing was kept
        page.goto(address)
        assert "The model could not be started" in problem()


def test_a_translation_that_fails_is_told_and_the_next_one_works(page: "Page", picture: Callable[..., Path]) -> None:
    give(page, picture(40, 60))
    page.evaluate("""() => {
      const post = Worker.prototype.postMessage;
      Worker.prototype.postMessage = function (message, moved) {
        Worker.prototype.postMessage = post;
        post.call(this, { ...message, pixels: new Uint8Array(3) }, moved);
      };
    }""")
    page.set_input_files("#file", picture(64, 64))
    says(page, "#status", "64 × 64 could not be translated")
    page.click("#translate")  # as soon as the model is there again
    translated(page)
    assert pixels(page, "output").shape == (64, 64, 3)


def test_pixels_that_differ_from_pythons_are_confessed(
    context: "BrowserContext", model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Exported.__call__
    monkeypatch.setattr(Exported, "__call__", lambda self, picture: honest(self, picture) ^ 32)
    page = context.new_page()
    page.goto(web(model, tmp_path / "page.html", title="t").as_uri())
    says(page, "#problem", "up to 32 of 255 away from Python's")
    assert page.is_visible("#problem")


def test_a_title_stays_a_title(context: "BrowserContext", site: Path, model: Path, tmp_path: Path) -> None:
    title = "</title></script><script>document.title = 'taken'</script> & $config"
    page = context.new_page()
    page.goto(web(model, tmp_path / "site", title=title).as_uri())
    page.wait_for_selector("#problem")
    assert page.title() == page.inner_text("h1") == title


# Other ways to run


def test_without_workers_the_page_does_the_work_itself(
    context: "BrowserContext", single: Path, model: Path, picture: Callable[..., Path]
) -> None:
    page = context.new_page()
    page.add_init_script("window.Worker = class { constructor() { throw new Error('no workers here'); } }")
    page.goto(single.as_uri())
    ready(page)
    assert page.workers == []
    assert "no worker could be started" in (page.text_content("#facts") or "")
    give(page, picture(63, 97))
    assert apart(pixels(page, "output"), native(model, picture(63, 97))) <= 1


def test_an_isolated_page_uses_threads(
    context: "BrowserContext", site: Path, model: Path, picture: Callable[..., Path]
) -> None:
    isolation = (("Cross-Origin-Opener-Policy", "same-origin"), ("Cross-Origin-Embedder-Policy", "require-corp"))
    with served(site, *isolation) as address:
        page = context.new_page()
        page.add_init_script("Object.defineProperty(navigator, 'hardwareConcurrency', { get: () => 2 })")
        page.goto(address)
        ready(page)
        assert re.search(r"WASM on the processor, \d+ threads", page.text_content("#facts") or "")
        give(page, picture(63, 97))
        assert apart(pixels(page, "output"), native(model, picture(63, 97))) <= 1


@pytest.mark.slow
def test_a_long_translation_can_be_cancelled(page: "Page", picture: Callable[..., Path]) -> None:
    page.set_input_files("#file", picture(2700, 2700))
    says(page, "#input-size", "2700 × 2700")
    page.click("#translate")
    page.click("#cancel")
    ready(page)
    give(page, picture(40, 60))
    assert pixels(page, "output").shape == (40, 60, 3)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", ["auto", "webgpu"])
def test_webgpu_gives_the_native_pixels(
    wanted: str, single: Path, model: Path, picture: Callable[..., Path], browser: "Browser"
) -> None:
    """Chromium's WebGPU in software stands for a graphics card; by itself a page prefers WASM to it."""
    context = browser.browser_type.launch(executable_path=executable(), args=[*FLAGS, *WEBGPU]).new_context()
    page = context.new_page()
    page.goto(single.as_uri())
    ready(page)
    if wanted == "webgpu":
        page.evaluate("delete document.body.dataset.backend")
        page.select_option("#backend", "webgpu")
        ready(page)
    assert page.evaluate("document.body.dataset.backend") == ("webgpu" if wanted == "webgpu" else "wasm")
    page.uncheck("#live")
    page.set_input_files("#file", picture(63, 97))
    says(page, "#input-size", "97 × 63")
    page.click("#translate")
    says(page, "#output-size", "97 × 63")
    assert apart(pixels(page, "output"), native(model, picture(63, 97))) <= 1
    assert context.browser
    context.browser.close()


def config_of(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="config">(.*?)</script>', page.read_text("utf-8"), re.S)
    assert found
    told: dict[str, Any] = json.loads(found[1])
    return told


def test_a_page_knows_what_its_model_is(site: Path, model: Path) -> None:
    told = config_of(site / "index.html")
    assert (told["inputs"], told["outputs"], told["sheet"], told["single"]) == (3, 3, 64, False)
    assert told["facts"]["Trained for"] == "1,234 steps"
    assert told["assets"]["model"]["bytes"] == model.stat().st_size
    assert all((site / part["url"]).stat().st_size == part["bytes"] for part in told["assets"].values())
