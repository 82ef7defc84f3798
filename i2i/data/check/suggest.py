"""What was understood → the `data:` block of a recipe that would use it."""

import io
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML

from i2i.data.check.about_files import COLOURLESS, Plane, planes
from i2i.data.check.layout import Layout
from i2i.data.check.look import Seen

CROPS = (512, 256, 128, 96, 64, 48, 32, 28, 16)  # sides that networks like; 512 only where asked for
USUAL = 256  # larger ones are for those who know they want them
MOST_LABELS = 64
PLAIN = re.compile(r"\.{0,2}/?[A-Za-z_][\w./-]*")  # what YAML takes for a string without quotes, but for ...
WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", ".inf", ".nan"}


@dataclass(frozen=True)
class Suggestion:
    """`data`: the block. `remarks`: by key, what stands beside it as a comment."""

    data: dict[str, Any]
    remarks: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """YAML to paste into a recipe."""
        lines = ["data:"]
        for key, value in self.data.items():
            remark = self.remarks.get(key, "")
            lines.append(f"  {key}: {flow(value)}" + (f"   # {remark}" if remark else ""))
        return "\n".join(lines)


def flow(value: Any) -> str:
    """A value in YAML's flow style, on one line."""
    yaml, stream = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style, yaml.width = True, sys.maxsize
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(value, stream)
    return stream.getvalue().removesuffix("...\n").strip()


def suggest(layout: Layout, seen: Sequence[Seen], crop: int | None = None) -> Suggestion:
    """The block, from sizes, channels and depth of what was seen. `crop`: where the user has chosen one."""
    key = {"folder": "root", "manifest": "manifest", "shards": "shards"}[layout.source]
    data: dict[str, Any] = {"layout": layout.reading, key: str(layout.root)}
    remarks: dict[str, str] = {}
    sides = planes(seen, layout.conditions)
    channels = _channels(layout, sides)
    if layout.reading == "paired":
        back = isinstance(channels, dict) and channels["a"] == 3 and channels["b"] != 3
        if back:  # a batch's side a is then the folder's B
            channels = {"a": channels["b"], "b": channels["a"]}
        data["direction"] = "b2a" if back else "a2b"
        plain = "b, which has no colours of its own, becomes the input" if back else "a → b; b2a for the other way"
        remarks["direction"] = plain
    if layout.reading == "unpaired" and layout.classes:
        data["labels"] = "a"
        remarks["labels"] = "its folders are its classes; leave it out where they are not"
    if layout.derivable:
        remarks["layout"] = "or edges → photos: paired, with `derive: {a: edges}`"
    if layout.columns:
        data["columns"] = dict(layout.columns)
    if layout.conditions:
        data["condition"] = list(layout.conditions)
    if channels not in (None, 3, {"a": 3, "b": 3}):
        data["channels"] = channels
    if any(2 * sum(fact.bits > 8 for fact, _ in plane) > len(plane) for plane in sides.values()):
        data["bits"] = 16
    sizes = [s for each in seen for s in _sizes(each)]
    if sizes:
        data |= _window(sizes, crop)
        common, times = Counter(sizes).most_common(1)[0]
        remarks["crop"] = f"{times / len(sizes):.0%} of the pictures are {common[0]}×{common[1]}"
    elif crop:
        data["crop"] = crop
    return Suggestion(data, remarks)


def _sizes(each: Seen) -> list[tuple[int, int]]:
    """Of each picture (w, h); a half for files that hold both."""
    halves = 2 if each.item.side == "both" else 1
    return [(fact.width // halves, fact.height) for fact in each.facts if not fact.error]


def _window(sizes: Sequence[tuple[int, int]], crop: int | None) -> dict[str, Any]:
    """load, fit and crop: the classic 286 → 256, scaled to the pictures."""
    shorter = sorted(min(size) for size in sizes)
    middle = shorter[len(shorter) // 2]
    chosen = crop or next((c for c in CROPS if c <= middle and c <= USUAL), middle)
    aspects = sorted(width / height for width, height in sizes)
    odd = aspects[len(aspects) // 20] < 0.95 or aspects[-len(aspects) // 20 - 1] > 1.05
    if len(set(sizes)) == 1 and middle > chosen and middle <= 1.5 * chosen and not odd:
        return {"crop": chosen}  # of this size they are, with room to move the crop
    window: dict[str, Any] = {"load": chosen + max(1, chosen // 8) if chosen >= 64 else chosen}
    if chosen == USUAL:
        window["load"] = 286
    if odd:
        window["fit"] = "shorter"
    return {**window, "crop": chosen}


def _channels(layout: Layout, sides: dict[str, Plane]) -> Any:
    looks = {name: _look(plane) for name, plane in sides.items()}
    if layout.reading in ("labelled", "unlabelled"):
        only = looks.get("", 3)
        return only if isinstance(only, int) else 3
    if "a" in looks and "b" in looks:
        return {"a": looks["a"], "b": looks["b"]}
    return None


def _look(plane: Plane) -> Any:
    """Channels of a side, or its classes if it is a segmentation map."""
    counts = Counter(fact.channels for fact, _ in plane)
    usual = counts.most_common(1)[0][0]
    if usual not in (1, 3):
        return usual
    looks = [look for _, look in plane if look is not None]
    if looks and all(look.colours for look in looks):
        values = sorted({value for look in looks for value in look.colours})
        if all(fact.channels == 1 for fact, _ in plane) and values[-1] % 256 < MOST_LABELS:
            return {"labels": max(2, values[-1] % 256 + 1)}
        if 3 <= len(values) <= MOST_LABELS and all(fact.format == "PNG" for fact, _ in plane):
            return {"palette": [f"#{value:06x}" for value in values]}
    grey = sum(fact.channels == 1 or (look is not None and look.vivid < COLOURLESS) for fact, look in plane)
    return 1 if grey > len(plane) / 2 else 3
