"""Flowables that the PDF's blocks are made of: tagged paragraphs and pictures, stacks side by side, rows with a head.

Sizes are in points (1/72 inch), as everywhere in reportlab. Each flowable can be split between two sheets or says
that it cannot; none draws beyond the size it stated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from reportlab.lib.colors import Color
from reportlab.lib.styles import ParagraphStyle
from reportlab.platypus import Flowable, Image, Paragraph

from MemorySurvivalLib.report.pdf_tags import Element, Tags, place_figure

FUZZ = 1e-6

Stack = Sequence[Flowable]


class Words(Paragraph):
    """A paragraph that is the content of a structure element; `on_draw` is called with the canvas before."""

    def __init__(
        self,
        text: str | None,
        style: ParagraphStyle,
        tags: Tags | None = None,
        element: Element | None = None,
        **more: Any,
    ) -> None:
        # reportlab makes the halves of a split paragraph with the class's name, no text, and what it calls frags
        super().__init__(cast("str", text), style, **more)
        self.tags, self.element = tags, element
        self.on_draw: Callable[[Any], None] | None = None

    def wrap(self, availWidth: float, availHeight: float) -> tuple[float, float]:
        """Its size in this width; measured once, because stacks ask again and again."""
        if getattr(self, "_measured_in", None) != availWidth or not hasattr(self, "blPara"):
            self._measured_in, self._measured = availWidth, super().wrap(availWidth, 1e6)
        return self._measured

    def split(self, availWidth: float, availHeight: float) -> list[Flowable]:
        """Both halves belong to the same element."""
        parts: list[Any] = super().split(availWidth, availHeight)
        for index, part in enumerate(parts):
            if part is not self:
                part.tags, part.element = self.tags, self.element
                part.on_draw = self.on_draw if index == 0 else None
        return parts

    def draw(self) -> None:
        """Draw inside the element's mark."""
        if self.on_draw is not None:
            self.on_draw(self.canv)
        assert self.tags is not None
        with self.tags.mark(self.canv, self.element):
            super().draw()


class Shown(Image):
    """A picture that is the content of a structure element."""

    def __init__(self, file: str, width: float, height: float, tags: Tags, element: Element) -> None:
        super().__init__(file, width, height)
        self.hAlign = "LEFT"
        self.tags, self.element = tags, element

    def draw(self) -> None:
        """Draw inside the element's mark."""
        place_figure(self.element, self.canv, self.drawWidth, self.drawHeight)
        with self.tags.mark(self.canv, self.element):
            super().draw()


class Drawn(Flowable):
    """A drawing of a fixed size, made by a function of the canvas; decoration where it has no element."""

    def __init__(
        self, width: float, height: float, paint: Callable[[Any], None], tags: Tags, element: Element | None
    ) -> None:
        super().__init__()
        self.width, self.height = width, height
        self.paint, self.tags, self.element = paint, tags, element

    def wrap(self, availWidth: float, availHeight: float) -> tuple[float, float]:
        """Its size."""
        return self.width, self.height

    def draw(self) -> None:
        """Draw inside the element's mark."""
        if self.element is not None:
            place_figure(self.element, self.canv, self.width, self.height)
        with self.tags.mark(self.canv, self.element):
            self.paint(self.canv)


def stack_height(stack: Stack, width: float) -> float:
    """How high the flowables are one below the other, with the larger of two spaces between them."""
    height, after = 0.0, 0.0
    for index, item in enumerate(stack):
        height += item.wrap(width, 1e6)[1]
        if index:
            height += max(after, item.getSpaceBefore())
        after = item.getSpaceAfter()
    return height


def draw_stack(stack: Stack, canvas: Any, x: float, top: float, width: float) -> None:
    """Draw the flowables downwards from `top`."""
    after = 0.0
    for index, item in enumerate(stack):
        if index:
            top -= max(after, item.getSpaceBefore())
        top -= item.wrap(width, 1e6)[1]
        item.drawOn(canvas, x, top)
        after = item.getSpaceAfter()


def split_stack(stack: Stack, width: float, height: float) -> tuple[list[Flowable], list[Flowable]]:
    """What fits into the height, and the rest."""
    head: list[Flowable] = []
    for index, item in enumerate(stack):
        if stack_height([*head, item], width) <= height + FUZZ:
            head.append(item)
            continue
        used = stack_height(head, width) + (max(head[-1].getSpaceAfter(), item.getSpaceBefore()) if head else 0.0)
        item.wrap(width, 1e6)
        parts = item.split(width, height - used) if height > used else []
        if len(parts) > 1:
            return [*head, parts[0]], [*parts[1:], *stack[index + 1 :]]
        return head, list(stack[index:])
    return head, []


class Unit(Flowable):
    """Flowables that stay together, such as a picture and its caption; parted only where a whole sheet is too low."""

    def __init__(self, stack: Stack, sheet_height: float, space_before: float = 0.0, space_after: float = 0.0) -> None:
        super().__init__()
        self.stack, self.sheet_height = list(stack), sheet_height
        self.spaceBefore, self.spaceAfter = space_before, space_after

    def wrap(self, availWidth: float, availHeight: float) -> tuple[float, float]:
        """The width that is there and the height of the stack."""
        self.width, self.height = availWidth, stack_height(self.stack, availWidth)
        return self.width, self.height

    def split(self, availWidth: float, availHeight: float) -> list[Flowable]:
        """Nothing, unless it would not fit a sheet of its own."""
        if stack_height(self.stack, availWidth) <= self.sheet_height:
            return []
        head, tail = split_stack(self.stack, availWidth, availHeight)
        if not head or not tail:
            return []
        before, after = self.spaceBefore or 0.0, self.spaceAfter or 0.0
        return [Unit(head, self.sheet_height, before), Unit(tail, self.sheet_height, 0.0, after)]

    def draw(self) -> None:
        """The stack, downwards."""
        draw_stack(self.stack, self.canv, 0, self.height, self.width)


class Beside(Flowable):
    """Stacks side by side; each runs on by itself where they are split.

    `columns` are (width, stack); `whole_up_to` is the height up to which they go to the next sheet unsplit.
    """

    def __init__(
        self,
        columns: Sequence[tuple[float, Stack]],
        gap: float,
        whole_up_to: float = 0.0,
        space_after: float = 0.0,
        padding: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        super().__init__()
        self.columns = [(width, list(stack)) for width, stack in columns]
        self.gap, self.whole_up_to, self.padding = gap, whole_up_to, padding
        self.spaceAfter = space_after

    def wrap(self, availWidth: float, availHeight: float) -> tuple[float, float]:
        """As high as the highest stack, and the padding above and below."""
        self.width = sum(width for width, _ in self.columns) + self.gap * (len(self.columns) - 1)
        self.height = max((stack_height(stack, width) for width, stack in self.columns), default=0.0)
        self.height += sum(self.padding)
        return self.width, self.height

    def split(self, availWidth: float, availHeight: float) -> list[Flowable]:
        """Two of its kind, or nothing where it should stay whole."""
        if self.wrap(availWidth, availHeight)[1] <= self.whole_up_to + FUZZ:
            return []
        parts = [split_stack(stack, width, availHeight - sum(self.padding)) for width, stack in self.columns]
        if not any(head for head, _ in parts) or not any(tail for _, tail in parts):
            return []
        if any(stack and not head for (_, stack), (head, _) in zip(self.columns, parts, strict=True)):
            return []  # one stack would begin on the next sheet only
        widths = [width for width, _ in self.columns]
        return [
            Beside(list(zip(widths, stacks, strict=True)), self.gap, 0.0, self.spaceAfter, self.padding)
            for stacks in ([head for head, _ in parts], [tail for _, tail in parts])
        ]

    def draw(self) -> None:
        """From left to right."""
        x, top = 0.0, self.height - self.padding[0]
        for width, stack in self.columns:
            draw_stack(stack, self.canv, x, top, width)
            x += width + self.gap


class Rows(Flowable):
    """Rows with a thin line below each; `head` stands again on every sheet. A row is split only where a sheet is too
    low for it. Checked when made: `rows` holds at least one."""

    def __init__(
        self,
        head: Beside | None,
        rows: Sequence[Beside],
        tags: Tags,
        line: Color,
        sheet_height: float,
        space_after: float = 0.0,
    ) -> None:
        super().__init__()
        if not rows:
            raise ValueError("a table of rows needs a row")
        self.head, self.rows, self.tags, self.line = head, list(rows), tags, line
        self.sheet_height = sheet_height
        self.spaceAfter = space_after

    def wrap(self, availWidth: float, availHeight: float) -> tuple[float, float]:
        """The width that is there and the height of head and rows."""
        self.width = availWidth
        self.height = self._head_height(availWidth) + sum(self._heights(availWidth))
        return self.width, self.height

    def split(self, availWidth: float, availHeight: float) -> list[Flowable]:
        """The rows that fit and the rest, each with the head."""
        room = availHeight - self._head_height(availWidth)
        used, fit = 0.0, 0
        for height in self._heights(availWidth):
            if used + height > room + FUZZ:
                break
            used, fit = used + height, fit + 1
        if fit == len(self.rows):
            return [self]
        first, rest = self.rows[:fit], self.rows[fit:]
        if self._heights(availWidth)[fit] > self.sheet_height - self._head_height(availWidth):
            parts = rest[0].split(availWidth, room - used)
            if len(parts) == 2:
                first, rest = [*first, cast("Beside", parts[0])], [cast("Beside", parts[1]), *rest[1:]]
        if not first:
            return []
        return [
            Rows(self.head, rows, self.tags, self.line, self.sheet_height, self.spaceAfter) for rows in (first, rest)
        ]

    def draw(self) -> None:
        """Head, rows and lines, downwards."""
        y = self.height
        for row in [self.head, *self.rows] if self.head else self.rows:
            y -= row.wrap(self.width, 1e6)[1]
            row.drawOn(self.canv, 0, y)
            with self.tags.mark(self.canv, None):
                self.canv.setStrokeColor(self.line)
                self.canv.setLineWidth(0.55)
                self.canv.line(0, y, self.width, y)

    def least(self, width: float) -> float:
        """What has to fit for the table to begin: its head and first row."""
        return min(self._head_height(width) + self._heights(width)[0], self.sheet_height)

    def _head_height(self, width: float) -> float:
        return self.head.wrap(width, 1e6)[1] if self.head else 0.0

    def _heights(self, width: float) -> list[float]:
        if getattr(self, "_measured_for", None) != width:
            self._measured = [row.wrap(width, 1e6)[1] for row in self.rows]
            self._measured_for = width
        return self._measured


class Boxed(Flowable):
    """A stack on a tint with a bar at its left."""

    def __init__(
        self,
        stack: Stack,
        tags: Tags,
        tint: Color,
        bar: Color,
        padding: tuple[float, float] = (8.5, 3.4),
        space_after: float = 0.0,
    ) -> None:
        super().__init__()
        self.stack, self.tags, self.tint, self.bar, self.padding = list(stack), tags, tint, bar, padding
        self.spaceBefore = self.spaceAfter = space_after

    def wrap(self, availWidth: float, availHeight: float) -> tuple[float, float]:
        """The width that is there and the stack's height with the padding."""
        self.width = availWidth
        self.height = stack_height(self.stack, availWidth - 2 * self.padding[0]) + 2 * self.padding[1]
        return self.width, self.height

    def split(self, availWidth: float, availHeight: float) -> list[Flowable]:
        """Two boxes."""
        head, tail = split_stack(self.stack, availWidth - 2 * self.padding[0], availHeight - 2 * self.padding[1])
        if not head or not tail:
            return []
        return [
            Boxed(part, self.tags, self.tint, self.bar, self.padding, self.spaceAfter or 0.0) for part in (head, tail)
        ]

    def draw(self) -> None:
        """The tint, the bar, the stack."""
        with self.tags.mark(self.canv, None):
            self.canv.setFillColor(self.tint)
            self.canv.rect(0, 0, self.width, self.height, stroke=0, fill=1)
            self.canv.setFillColor(self.bar)
            self.canv.rect(0, 0, 2.8, self.height, stroke=0, fill=1)
        x, y = self.padding
        draw_stack(self.stack, self.canv, x, self.height - y, self.width - 2 * x)


class Reduced(Flowable):
    """A stack drawn smaller, so that it fits one sheet; it was laid out for the width and height of a larger one."""

    def __init__(self, stack: Stack, scale: float) -> None:
        super().__init__()
        self.stack, self.scale = list(stack), scale

    def wrap(self, availWidth: float, availHeight: float) -> tuple[float, float]:
        """The width that is there and the reduced height."""
        self.width, self.height = availWidth, self.scale * stack_height(self.stack, availWidth / self.scale)
        return self.width, self.height

    def draw(self) -> None:
        """The stack, downwards."""
        self.canv.scale(self.scale, self.scale)
        draw_stack(self.stack, self.canv, 0, self.height / self.scale, self.width / self.scale)


def least_height(item: Flowable, width: float) -> float:
    """How much of a flowable has to stand under its heading: the whole of what cannot be split, else some lines."""
    height = float(item.wrap(width, 1e6)[1])
    if isinstance(item, Rows):
        return item.least(width)
    if isinstance(item, Beside) and item.columns:
        firsts = [least_height(stack[0], own) for own, stack in item.columns if stack]
        return height if height <= item.whole_up_to else max(firsts, default=0.0)
    if isinstance(item, Paragraph):
        return min(height, 3 * float(item.style.leading))
    if isinstance(item, Boxed):
        return min(height, 48.0)
    return height
