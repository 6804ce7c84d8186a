"""The lines that `training.benchmark` prints."""

import statistics
from typing import Any


def print_decoding(decoding: dict[str, float]) -> None:
    """Prints how fast the files of a folder were read and decoded."""
    speed, count = decoding["images_per_second"], decoding["images"]
    print(f"reading and decoding {count:,} files: {speed:,.0f} images/s", flush=True)


def print_rows(title: str, rows: dict[str, Any]) -> None:
    """Prints a line for each entry as the JSON file holds it, by its label."""
    print(f"\n{title} = 1; median [lowest, highest] of the rounds")
    for label, entry in rows.items():
        print(f"  {label:22} {_row(entry)}", flush=True)


def _row(entry: dict[str, Any]) -> str:
    if "absent" in entry:
        return f"absent: {entry['absent']}"
    time = statistics.median(entry["microseconds_per_image"])
    memory = entry["peak_bytes"] / 2**20
    ratio = ""
    if "ratios" in entry:
        ratios = entry["ratios"]
        middle = statistics.median(ratios)
        ratio = f"x{middle:6.2f} [{min(ratios):5.2f}, {max(ratios):5.2f}]  "
    versions = ", ".join(f"{name} {value}" for name, value in entry["versions"].items())
    speed = f"{time:8.2f} us/image {1e6 / time:9,.0f} images/s"
    return f"{speed}  {ratio}{memory:6.0f} MiB  {versions}"
