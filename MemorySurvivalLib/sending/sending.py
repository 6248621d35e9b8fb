"""Sending results to one named node, and sending again what it did not take."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import msgspec

from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress
from MemorySurvivalLib.sending import dimse, web
from MemorySurvivalLib.sending.answers import Answer
from MemorySurvivalLib.sending.errors import SendError
from MemorySurvivalLib.sending.guard import check_identity, look_at
from MemorySurvivalLib.sending.nodes import DimseNode, Node
from MemorySurvivalLib.sending.outbox import Entry, Outbox, Parcel
from MemorySurvivalLib.sending.outgoing import Outgoing, read_outgoing


def send(
    paths: Sequence[Path],
    node: Node,
    *,
    identified: bool = False,
    without_risk: bool = False,
    token: str | None = None,
    outbox: Outbox | None = None,
    progress: ProgressCallback = ignore_progress,
) -> Parcel:
    """Send DICOM objects of results (files, or folders of them) to `node`; the send as it stands in the outbox then.

    `identified` is the user's word that objects which name the patient may go there; `without_risk` leaves all
    objects with a risk behind. What the node refuses, or had no
    time to acknowledge, stays in the outbox: look at `left`, and call `resend`. Raises InputError before anything is
    sent where an object may not be sent (see guard.look_at). Trouble with the node raises nothing: the send's
    `problem` says it.
    """
    outbox = outbox or Outbox()
    items = look_at(paths, progress, without_risk=without_risk)
    check_identity(items, identified, node.name)
    return _deliver(outbox, outbox.add(node, items, identified=identified), token, progress)


def resend(
    id: str,
    *,
    node: Node | None = None,
    identified: bool | None = None,
    token: str | None = None,
    outbox: Outbox | None = None,
    progress: ProgressCallback = ignore_progress,
) -> Parcel:
    """Send what is left of an earlier send, to the node as it was defined then, or to `node`.

    Another address needs the user's word on names anew (`identified`). Raises InputError for an unknown send or a
    copy that changed.
    """
    outbox = outbox or Outbox()
    parcel = outbox.find(id)
    node = node or parcel.node
    allowed = parcel.identified if identified is None and node.address == parcel.node.address else bool(identified)
    left = [read_outgoing(outbox.path(parcel, entry)) for entry in parcel.left]
    check_identity(left, allowed, node.name)
    parcel = outbox.keep(msgspec.structs.replace(parcel, node=node, identified=allowed, problem=""))
    return _deliver(outbox, parcel, token, progress)


def check_node(node: Node, token: str | None = None) -> None:
    """Ask a node whether it is there, without sending anything of a patient. Raises SendError with the reason."""
    if isinstance(node, DimseNode):
        dimse.echo(node)
    else:
        web.check(node, token)


def _deliver(outbox: Outbox, parcel: Parcel, token: str | None, progress: ProgressCallback) -> Parcel:
    """Send what is left and write down each answer as it comes."""
    entries: dict[str, Entry] = {}
    items: list[Outgoing] = []
    for entry in parcel.left:
        item = read_outgoing(outbox.path(parcel, entry))
        entries[item.sop_instance_uid] = entry
        items.append(item)
    meter = Meter("send", len(items), progress)
    answers = _store(parcel.node, items, token)
    try:
        for item, answer in answers:
            parcel = outbox.note(parcel, entries[item.sop_instance_uid], answer)
            meter.step()
    except SendError as error:
        parcel = outbox.keep(msgspec.structs.replace(parcel, problem=str(error)))
    finally:
        answers.close()  # where the caller cancels, the association ends now
    return parcel


def _store(node: Node, items: Sequence[Outgoing], token: str | None) -> Generator[tuple[Outgoing, Answer]]:
    if isinstance(node, DimseNode):
        return dimse.store(node, items)
    return web.store(node, items, token)
