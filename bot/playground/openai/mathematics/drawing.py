"""Drawings: a function's graph as a PNG, with nothing but zlib.

https://www.w3.org/TR/png-3/: a signature, and chunks of length, kind, data and checksum; one palette byte a pixel.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from sympy import Expr, Symbol, lambdify

from bot.playground.openai.mathematics.solutions import Unsolved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WIDTH, HEIGHT = 640, 400
_PALETTE = bytes((255, 255, 255, 226, 226, 226, 90, 90, 90, 31, 97, 196))
_GRID, _AXIS, _CURVE = 1, 2, 3
_BEYOND = (ArithmeticError, ValueError, TypeError, NameError)
"""What a function raises where it has no real value."""


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the plane that is drawn."""

    left: float
    right: float
    bottom: float
    top: float

    def column(self, x: float) -> int:
        """The pixel of an x, which may lie outside."""
        return round((x - self.left) / (self.right - self.left) * (WIDTH - 1))

    def row(self, y: float) -> int:
        """The pixel of a y, which may lie outside."""
        return round((self.top - y) / (self.top - self.bottom) * (HEIGHT - 1))


def draw(function: Expr, variable: Symbol, low: float, high: float) -> bytes:
    """The graph as a PNG. Raises `Unsolved` when there is nothing to draw."""
    points = _samples(function, variable, low, high)
    window = window_of(points, low, high)
    pixels = [bytearray(WIDTH) for _ in range(HEIGHT)]
    for step, line in ((_step(low, high), _vertical), (_step(window.bottom, window.top), _horizontal)):
        line(pixels, window, step)
    _curve(pixels, window, points)
    return _png(pixels)


def window_of(points: Sequence[tuple[float, float]], low: float, high: float) -> Window:
    """A window that holds the graph, without the far ends of poles. Raises `Unsolved` when there are no points."""
    values = sorted(y for _, y in points)
    if not values or low >= high:
        raise Unsolved("I found no real values to draw there.")
    bottom, top = values[len(values) // 20], values[-1 - len(values) // 20]
    if values[-1] - values[0] <= 20 * (top - bottom) or bottom == top:
        bottom, top = values[0], values[-1]
    margin = (top - bottom) * 0.08 or 1.0
    return Window(low, high, bottom - margin, top + margin)


def _samples(function: Expr, variable: Symbol, low: float, high: float) -> list[tuple[float, float]]:
    compute: Callable[[float], object] = lambdify(variable, function, "math")
    points = []
    for index in range(2 * WIDTH + 1):
        x = low + (high - low) * index / (2 * WIDTH)
        try:
            y = compute(x)
        except _BEYOND:
            continue
        if isinstance(y, int | float) and math.isfinite(y):
            points.append((x, float(y)))
    return points


def _step(low: float, high: float) -> float:
    """The distance of the grid's lines: 1, 2 or 5 times a power of ten, with some ten lines."""
    rough = (high - low) / 10
    power = 10.0 ** math.floor(math.log10(rough))
    return float(next(factor for factor in (1, 2, 5, 10) if factor * power >= rough) * power)


def _vertical(pixels: list[bytearray], window: Window, step: float) -> None:
    for number in range(math.ceil(window.left / step), math.floor(window.right / step) + 1):
        for row in pixels:
            row[window.column(number * step)] = _GRID if number else _AXIS


def _horizontal(pixels: list[bytearray], window: Window, step: float) -> None:
    for number in range(math.ceil(window.bottom / step), math.floor(window.top / step) + 1):
        row = pixels[window.row(number * step)]
        for column in range(WIDTH):
            if row[column] != _AXIS:
                row[column] = _GRID if number else _AXIS


def _curve(pixels: list[bytearray], window: Window, points: Sequence[tuple[float, float]]) -> None:
    """Each column from one point's row to the next one's, but not across a pole or a hole."""
    for (x, y), (next_x, next_y) in pairwise(points):
        rows = sorted((window.row(y), window.row(next_y)))
        hole = next_x - x > 1.5 * (window.right - window.left) / (2 * WIDTH)
        if hole or rows[1] - rows[0] > HEIGHT:
            continue
        for row in range(max(rows[0] - 1, 0), min(rows[1] + 2, HEIGHT)):
            column = window.column(x)
            pixels[row][column : min(column + 2, WIDTH)] = bytes([_CURVE]) * (min(column + 2, WIDTH) - column)


def _png(pixels: Sequence[bytearray]) -> bytes:
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 3, 0, 0, 0)
    # Each row begins with the number of its filter; 0 is none.
    data = zlib.compress(b"".join(b"\0" + row for row in pixels), 9)
    chunks = ((b"IHDR", header), (b"PLTE", _PALETTE), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
