"""The jobs about DICOM nodes: which there are, whether one answers, sending, and what waits in the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert
from MemorySurvivalLib.sending.guard import look_at
from MemorySurvivalLib.sending.nodes import Node, NodeBook
from MemorySurvivalLib.sending.outbox import Outbox, Parcel
from MemorySurvivalLib.sending.sending import check_node, resend, send


@dataclass(frozen=True)
class SaveRequest:
    """A node as nodes.json has it, and whether it may take the place of one of that name."""

    node: Node
    replace: bool = False


@dataclass(frozen=True)
class NameRequest:
    """A node by its name, and a token where a DICOMweb node wants one."""

    name: str
    token: str | None = None


@dataclass(frozen=True)
class SendRequest:
    """Which files or folders go to which node, whether objects that name the patient may go there, and whether those
    with a risk stay behind."""

    paths: tuple[Path, ...]
    node: str
    identified: bool = False
    without_risk: bool = False
    token: str | None = None


@dataclass(frozen=True)
class ResendRequest:
    """A send of the outbox (None: all that wait); another node by its name, where it is not to go to the same one."""

    id: str | None = None
    node: str | None = None
    identified: bool | None = None
    token: str | None = None


@dataclass(frozen=True)
class DiscardRequest:
    """Sends of the outbox that nobody wants any more."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class LookRequest:
    """Files or folders that are to be sent."""

    paths: tuple[Path, ...]
    without_risk: bool = False


def nodes(parameters: Mapping[str, Any], context: JobContext) -> JobOutput:
    """All nodes, each with its address in words."""
    return JobOutput({"nodes": _plain_nodes(NodeBook())})


def save_node(parameters: Mapping[str, Any], context: JobContext) -> JobOutput:
    """Keep a node; all nodes then."""
    request, book = convert(parameters, SaveRequest), NodeBook()
    book.save(request.node, replace=request.replace)
    return JobOutput({"nodes": _plain_nodes(book)})


def remove_node(parameters: Mapping[str, Any], context: JobContext) -> JobOutput:
    """Forget a node; all nodes then."""
    book = NodeBook()
    book.remove(convert(parameters, NameRequest).name)
    return JobOutput({"nodes": _plain_nodes(book)})


def check(parameters: Mapping[str, Any], context: JobContext) -> JobOutput:
    """Ask a node whether it is there."""
    request = convert(parameters, NameRequest)
    node = NodeBook().find(request.name)
    check_node(node, request.token)
    return JobOutput({"name": node.name, "address": node.address})


def look(parameters: Mapping[str, Any], context: JobContext) -> JobOutput:
    """What would be sent: kinds, sizes, and how many objects name the patient. Fails where something may not go."""
    request = convert(parameters, LookRequest)
    items = look_at(request.paths, context.progress, without_risk=request.without_risk)
    return JobOutput(
        {
            "objects": [{"kind": item.kind, "title": item.title, "size_bytes": item.size_bytes} for item in items],
            "named": sum(item.names_patient for item in items),
        }
    )


def send_objects(parameters: Mapping[str, Any], context: JobContext) -> JobOutput:
    """Send, and say what the node took."""
    request = convert(parameters, SendRequest)
    node = NodeBook().find(request.node)
    parcel = send(
        request.paths,
        node,
        identified=request.identified,
        without_risk=request.without_risk,
        token=request.token,
        progress=context.progress,
    )
    return JobOutput(tell_parcel(parcel))


def resend_objects(parameters: Mapping[str, Any], context: JobContext) -> JobOutput:
    """Send what is left, and say what the node took."""
    request = convert(parameters, ResendRequest)
    waiting = [each.id for each in Outbox().unfinished()] if request.id is None else [request.id]
    if request.node is not None and request.id is None:
        raise InputError("Another node takes one send at a time; name the send.")
    node = None if request.node is None else NodeBook().find(request.node)
    sends = [
        resend(id, node=node, identified=request.identified, token=request.token, progress=context.progress)
        for id in waiting
    ]
    return JobOutput({"sends": [tell_parcel(each) for each in sends], "left": sum(len(each.left) for each in sends)})


def outbox(parameters: Mapping[str, Any], context: JobContext) -> JobOutput:
    """The sends of which something is left, and a sentence for each that cannot be read."""
    parcels, problems = Outbox().parcels()
    return JobOutput({"waiting": [tell_parcel(each) for each in parcels if each.left], "problems": list(problems)})


def discard(parameters: Mapping[str, Any], context: JobContext) -> JobOutput:
    """Give sends up; what waits then."""
    for each in convert(parameters, DiscardRequest).ids:
        Outbox().discard(each)
    return outbox({}, context)


def tell_parcel(parcel: Parcel) -> dict[str, Any]:
    """A send as a panel shows it."""
    return {
        "id": parcel.id,
        "created": parcel.created,
        "node": parcel.node.name,
        "address": parcel.node.address,
        "identified": parcel.identified,
        "total": len(parcel.entries),
        "accepted": parcel.accepted,
        "left": len(parcel.left),
        "sentence": parcel.describe(),
        "problem": parcel.problem,
    }


def _plain_nodes(book: NodeBook) -> list[dict[str, Any]]:
    return [{**msgspec.to_builtins(node), "address": node.address} for node in book.nodes()]
