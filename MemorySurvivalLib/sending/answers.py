"""What a node says to one instance, in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """Whether the node took an instance, and what there is to say about it."""

    accepted: bool
    said: str = ""


_TAKEN = {
    0x0000: "",
    0x0111: "the node had this instance already",
    0xB000: "the node changed some values when it stored the instance",
    0xB006: "the node left some elements out when it stored the instance",
    0xB007: "the node stored the instance although it does not match its SOP class",
}
_REFUSED = {
    0x0117: "the node says that the instance has an invalid UID",
    0x0122: "the node does not take this kind of object",
    0x0124: "the node does not allow this sender to store",
    0x0110: "the node could not process the instance",
    0x0210: "the node had a message of that number already",
    0x0212: "the node did not expect the message",
}


def describe_status(status: int) -> Answer:
    """A DIMSE status or a STOW-RS failure reason (PS3.4 B.2.3, PS3.18 I.2.2) as an answer."""
    if status in _TAKEN:
        return Answer(True, _TAKEN[status])
    if status in _REFUSED:
        said = _REFUSED[status]
    elif 0xA700 <= status <= 0xA7FF:
        said = "the node is out of resources (its storage may be full); send again later"
    elif 0xA900 <= status <= 0xA9FF:
        said = "the node says that the instance does not match its SOP class"
    elif 0xC000 <= status <= 0xCFFF:
        said = "the node does not understand the instance"
    else:
        said = "the node did not store the instance"
    return Answer(False, f"{said} (status 0x{status:04X})")
