"""The structure tree of a tagged PDF: what is a heading, a table cell, a picture with its words, in reading order.

After ISO 32000-1 section 14.7 and 14.8; reportlab draws but does not tag. Elements are made in reading order while the
story is written; what is drawn for an element is enclosed by `mark`, and `attach` writes the tree into the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from reportlab.pdfbase.pdfdoc import PDFArray, PDFDictionary, PDFName, PDFObjectReference, PDFString

ONCE = ("TH", "H1")
"""Roles that a table or page repeats on its further sheets; what is repeated is no content of its own."""


@dataclass(eq=False)
class Element:
    """A node of the tree. `role` is a standard structure type (P, H1, Table, TD, Figure ...)."""

    role: str
    alt: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    marks: list[tuple[int, int]] = field(default_factory=list)  # sheet number from 1, its number on the sheet

    def add(self, role: str, alt: str = "", **attributes: Any) -> Element:
        """A new last child."""
        child = Element(role, alt, attributes)
        self.children.append(child)
        return child


class Tags:
    """The tree of one document and the numbers given out on each sheet."""

    def __init__(self) -> None:
        self.root = Element("Document")
        self._sheets: dict[int, list[Element]] = {}

    @contextmanager
    def mark(self, canvas: Any, element: Element | None) -> Iterator[None]:
        """Enclose what is drawn: as content of `element`, or as decoration where it is None or was drawn before."""
        if element is None or (element.role in ONCE and element.marks):
            canvas.addLiteral("/Artifact BMC")
        else:
            sheet = canvas.getPageNumber()
            numbers = self._sheets.setdefault(sheet, [])
            canvas.addLiteral(f"/{element.role} <</MCID {len(numbers)}>> BDC")
            element.marks.append((sheet, len(numbers)))
            numbers.append(element)
        yield
        canvas.addLiteral("EMC")

    def attach(self, canvas: Any, language: str) -> None:
        """Write the tree into the document behind the canvas, whose pages are all drawn."""
        document: Any = canvas._doc
        pages = document.Pages.pages
        references = {number: document.Reference(page) for number, page in enumerate(pages, start=1)}
        names: dict[Element, PDFObjectReference] = {}
        _name_all(self.root, names)
        top = PDFObjectReference("structure")
        self._write(document, self.root, top, names, references)
        numbers: list[Any] = []
        for index, (sheet, elements) in enumerate(sorted(self._sheets.items())):
            page = pages[sheet - 1]
            page.__NoDefault__ = [*page.__NoDefault__, "StructParents"]
            page.StructParents = index
            numbers += [index, PDFArray([names[element] for element in elements])]
        tree = PDFDictionary(
            {
                "Type": PDFName("StructTreeRoot"),
                "K": PDFArray([names[self.root]]),
                "ParentTree": PDFDictionary({"Nums": PDFArray(numbers)}),
                "ParentTreeNextKey": len(self._sheets),
            }
        )
        document.Reference(tree, "structure")
        document.Catalog.StructTreeRoot = tree
        document.Catalog.MarkInfo = PDFDictionary({"Marked": "true"})
        document.Catalog.Lang = PDFString(language)

    def _write(
        self,
        document: Any,
        element: Element,
        parent: PDFObjectReference,
        names: dict[Element, PDFObjectReference],
        pages: dict[int, Any],
    ) -> None:
        kids: list[Any] = [
            PDFDictionary({"Type": PDFName("MCR"), "Pg": pages[sheet], "MCID": number})
            for sheet, number in element.marks
        ]
        kids += [names[child] for child in element.children]
        entries: dict[str, Any] = {
            "Type": PDFName("StructElem"),
            "S": PDFName(element.role),
            "P": parent,
            "K": PDFArray(kids),
        }
        if element.alt:
            entries["Alt"] = PDFString(element.alt)
        if element.attributes:
            entries["A"] = PDFDictionary(element.attributes)
        document.Reference(PDFDictionary(entries), names[element].name)
        for child in element.children:
            self._write(document, child, names[element], names, pages)


def scope(way: str) -> dict[str, Any]:
    """The attributes of a heading cell: of its `Column` or its `Row`."""
    return {"O": PDFName("Table"), "Scope": PDFName(way)}


def place_figure(element: Element, canvas: Any, width: float, height: float) -> None:
    """Say where on the sheet a picture is that is drawn at the canvas's origin (ISO 32000-1, 14.8.5.4.3)."""
    left, bottom = canvas.absolutePosition(0, 0)
    right, top = canvas.absolutePosition(width, height)
    box = PDFArray([round(float(value), 2) for value in (left, bottom, right, top)])
    element.attributes = {"O": PDFName("Layout"), "BBox": box, "Placement": PDFName("Block")}


def _name_all(element: Element, names: dict[Element, PDFObjectReference]) -> None:
    names[element] = PDFObjectReference(f"element{len(names)}")
    for child in element.children:
        _name_all(child, names)
