"""Bytes that someone has damaged, and what may come of them."""

import random
import struct

import hypothesis
from hypothesis import strategies as st

# Numbers at which sizes overflow, wrap or allocate.
SIZES = (0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1)


@st.composite
def damaged(draw, samples):
    """One of the byte strings `samples`, cut, overwritten, or with parts that moved."""
    content = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(0, 4))):
        # Headers are where damage is more than noise.
        reach = len(content) if draw(st.booleans()) else min(len(content), 160)
        place = draw(st.integers(0, max(reach - 1, 0)))
        kind = draw(st.sampled_from(["bit", "byte", "size", "cut", "drop", "double", "noise"]))
        if kind == "bit" and content:
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "byte" and content:
            content[place] = draw(st.integers(0, 255))
        elif kind == "size":
            order = draw(st.sampled_from([">I", "<I", "<Q"]))
            packed = struct.pack(order, draw(st.sampled_from(SIZES)))
            content[place : place + len(packed)] = packed
        elif kind == "cut":
            del content[place:]
        elif kind == "drop":
            del content[place : place + draw(st.integers(1, 40))]
        elif kind == "double":
            content[place:place] = content[place : place + 40]
        else:
            length = draw(st.integers(1, 40))
            noise = random.Random(draw(st.integers(0, 2**32))).randbytes(length)
            content[place : place + length] = noise
    return bytes(content)


def outcome(function, *arguments, refusal, **options):
    """What `function` returns, or None where it raises `refusal` in one line; else it fails."""
    try:
        result = function(*arguments, **options)
    except refusal as error:
        line = str(error)
        assert line and "\n" not in line, repr(line)
        hypothesis.event("refused")
        return None
    hypothesis.event("accepted")
    return result
