"""Figures as SVG inside the page: no style of their own, no foreign link, names kept apart."""

import re
from xml.etree import ElementTree

from markupsafe import Markup

from unlearnbench.reporting import sections
from unlearnbench.reporting.document import Findings, Picture

from .._figures.drawing import FOREGROUND

_ELEMENTS = frozenset(
    ("svg", "g", "defs", "path", "use", "rect", "circle", "ellipse", "line", "polyline", "polygon",
     "text", "tspan", "clipPath", "mask", "image", "linearGradient", "radialGradient", "stop",
     "pattern", "marker", "symbol", "title", "desc")
)  # fmt: skip
_WEIGHTS = frozenset(["bold", *(str(hundred) for hundred in range(100, 1000, 100))])
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def drawn(findings: Findings, picture: Picture) -> Markup | None:
    """The figure of that name as an <svg> element; None where there is nothing to draw."""
    image = sections.figures()[picture.figure]().image(findings, "svg")
    return None if image is None else inline(image, f"figure-{picture.figure}")


def inline(svg: bytes, name: str) -> Markup:
    """An SVG file as an element of an HTML page, described by the element NAME-caption."""
    root = ElementTree.fromstring(svg)
    _clean(root, f"{name}-")
    for side in ("width", "height"):  # of a page of paper, where type may be smaller
        if match := re.fullmatch(r"([\d.]+)(pt)?", root.get(side, "")):
            root.set(side, f"{1.3 * float(match[1]):.1f}pt")
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-caption")
    # What is left was made by this module's own rules: escaped by the writer, nothing that acts.
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _clean(element: ElementTree.Element, prefix: str) -> None:
    element.tag = _local(element.tag)
    element.attrib = _attributes(element.attrib, prefix)
    for child in list(element):
        # A comment's tag is a function.
        if isinstance(child.tag, str) and _local(child.tag) in _ELEMENTS:
            _clean(child, prefix)
        else:
            element.remove(child)


def _attributes(attributes: dict[str, str], prefix: str) -> dict[str, str]:
    """Without events, foreign links and style, which the page's policy would block."""
    plain = {_local(name): value for name, value in attributes.items() if _local(name) != "style"}
    for declaration in attributes.get("style", "").split(";"):
        name, _, value = declaration.partition(":")
        plain.update(_font(value) if name.strip() == "font" else {name.strip(): value.strip()})
    return {
        name: _value(name, value, prefix)
        for name, value in plain.items()
        if name and _is_harmless(name, value)
    }


def _font(shorthand: str) -> dict[str, str]:
    """Size, weight and slant; the page has its own family for all figures."""
    words = shorthand.split()
    size = next((word for word in words if word[0].isdigit() and word.endswith("px")), "")
    weight = next((word for word in words if word in _WEIGHTS), "")
    slant = next((word for word in words if word in ("italic", "oblique")), "")
    named = {"font-size": size, "font-weight": weight, "font-style": slant}
    return {name: value for name, value in named.items() if value}


def _is_harmless(name: str, value: str) -> bool:
    if name == "href":
        return value.startswith(("#", "data:image/png;base64,"))
    return not name.lower().startswith("on") and "url(" not in _REFERENCE.sub("", value)


def _value(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return prefix + value
    if name == "href" and value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    if value.lower() == FOREGROUND:
        return "currentColor"  # ink on paper, or light on dark
    return _REFERENCE.sub(rf"url(#{prefix}\1)", value)


def _local(name: str) -> str:
    return name.rpartition("}")[2]
