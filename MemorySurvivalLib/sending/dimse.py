"""C-ECHO and C-STORE: one association for as many instances as fit its presentation contexts."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydicom import dcmread
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from MemorySurvivalLib.sending.answers import Answer, describe_status
from MemorySurvivalLib.sending.errors import SendError, describe_os_error
from MemorySurvivalLib.sending.extra import need
from MemorySurvivalLib.sending.nodes import DimseNode, Tls
from MemorySurvivalLib.sending.outgoing import Outgoing

if TYPE_CHECKING:
    from pynetdicom.association import Association

_PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_REWRITABLE = (*_PLAIN, DeflatedExplicitVRLittleEndian)
_VERIFICATION = UID("1.2.840.10008.1.1")
_MOST_CONTEXTS = 128  # PS3.8 9.3.2.2: odd numbers 1 to 255

_REJECTED = {
    (1, 2): "it does not know the DICOM application context",
    (1, 3): "it does not know our AE title {calling}; have it added at the node, or change ours",
    (1, 7): "it is not called {called}; check the AE title of the node",
    (2, 2): "it speaks another version of the DICOM protocol",
    (3, 1): "it is busy; send again later",
    (3, 2): "too many are connected to it; send again later",
}


def echo(node: DimseNode) -> None:
    """Ask a node whether it is there (C-ECHO). Raises SendError with the reason where it is not."""
    need("pynetdicom")

    with _associate(node, [(_VERIFICATION, _PLAIN)]) as association:
        status = association.send_c_echo()
        if "Status" not in status:
            raise SendError(f"{node.name} ({node.address}) did not answer the C-ECHO within {node.timeout_s:g} s.")
        if status.Status != 0:
            raise SendError(f"{node.name} ({node.address}) answered the C-ECHO with status 0x{status.Status:04X}.")


def store(node: DimseNode, items: Sequence[Outgoing]) -> Generator[tuple[Outgoing, Answer]]:
    """Send instances one after the other and yield each with the node's answer as soon as it is there.

    A file goes in its own transfer syntax where the node takes it; uncompressed and deflated ones are rewritten as
    explicit or implicit little endian where it takes only that. Raises SendError where the node cannot be reached,
    rejects the association, drops it, or falls silent; what was not yielded was not acknowledged. Closing the
    iterator ends the association.
    """
    need("pynetdicom")
    for group in _group(items):
        contexts = [pair for item in group for pair in _contexts(item)]
        with _associate(node, list(dict.fromkeys(contexts))) as association:
            for item in group:
                yield item, _send(node, association, item)


def _contexts(item: Outgoing) -> list[tuple[UID, tuple[UID, ...]]]:
    """The presentation contexts that an instance may travel in: as it is, and rewritten where that loses nothing."""
    sop_class, own = UID(item.sop_class_uid), UID(item.transfer_syntax_uid)
    if own not in _REWRITABLE:
        return [(sop_class, (own,))]
    return [(sop_class, (own,)), (sop_class, tuple(each for each in _PLAIN if each != own))]


def _group(items: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    """Runs of items whose presentation contexts fit one association."""
    group: list[Outgoing] = []
    contexts: set[tuple[UID, tuple[UID, ...]]] = set()
    for item in items:
        more = contexts.union(_contexts(item))
        if group and len(more) > _MOST_CONTEXTS:
            yield group
            group, more = [], set(_contexts(item))
        group.append(item)
        contexts = more
    if group:
        yield group


def _send(node: DimseNode, association: Association, item: Outgoing) -> Answer:
    taken = {
        UID(context.transfer_syntax[0])
        for context in association.accepted_contexts
        if context.abstract_syntax == item.sop_class_uid and context.transfer_syntax
    }
    own = UID(item.transfer_syntax_uid)
    if own not in taken and not (own in _REWRITABLE and taken):
        return Answer(False, f"the node does not take {UID(item.sop_class_uid).name} as {own.name}")
    dataset = dcmread(item.path)  # pynetdicom rewrites it where the node took another uncompressed syntax
    start = time.monotonic()
    if not association.is_established:
        raise SendError(_describe_drop(node, item))
    try:
        status = association.send_c_store(dataset)
    except RuntimeError as error:  # the association ended between the look and the call
        raise SendError(_describe_drop(node, item)) from error
    if "Status" not in status:
        if time.monotonic() - start >= 0.9 * node.timeout_s:
            raise SendError(
                f"{node.name} ({node.address}) did not answer within {node.timeout_s:g} s after a {item.title}; what "
                "it did not acknowledge is kept in the outbox."
            )
        raise SendError(_describe_drop(node, item))
    return describe_status(int(status.Status))


def _describe_drop(node: DimseNode, item: Outgoing) -> str:
    return (
        f"{node.name} ({node.address}) dropped the association at a {item.title}; what it did not acknowledge is kept "
        "in the outbox."
    )


@contextmanager
def _associate(node: DimseNode, contexts: Sequence[tuple[UID, tuple[UID, ...]]]) -> Iterator[Association]:
    """An association with these presentation contexts; released at the end, aborted when the block raises."""
    from pynetdicom import AE, build_context, evt

    ae = AE(ae_title=node.calling_aet)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = node.timeout_s
    ae.requested_contexts = [build_context(sop_class, list(syntaxes)) for sop_class, syntaxes in contexts]
    opened: list[bool] = []

    def note_open(event: Any) -> None:
        opened.append(True)

    tls_args = None if node.tls is None else (make_tls_context(node.tls, node.name), node.host)
    try:
        association = ae.associate(
            node.host,
            node.port,
            ae_title=node.called_aet,
            tls_args=tls_args,
            evt_handlers=[(evt.EVT_CONN_OPEN, note_open)],
        )
    except OSError as error:
        raise SendError(_describe_unreachable(node, error)) from error
    if not association.is_established:
        raise SendError(_describe_failure(node, association, connected=bool(opened)))
    try:
        yield association
    except BaseException:
        association.abort()
        raise
    if association.is_established:
        association.release()


def make_tls_context(tls: Tls, name: str) -> ssl.SSLContext:
    """The TLS settings of a node. Raises SendError where a certificate file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file, password="")  # never ask at a terminal
    except (OSError, ValueError) as error:
        raise SendError(f"The TLS files of the node {name} cannot be used ({error}); check them.") from error
    return context


def _describe_failure(node: DimseNode, association: Association, *, connected: bool) -> str:
    place = f"{node.name} ({node.address})"
    if association.is_rejected:
        answer: Any = association.acceptor.primitive
        reason = _REJECTED.get((int(answer.result_source), int(answer.diagnostic)), "it gave no reason")
        reason = reason.format(calling=node.calling_aet, called=node.called_aet)
        return f"{place} rejected the association: {reason}."
    if association.rejected_contexts:
        return f"{place} takes none of these kinds of object; ask who runs it to allow them."
    if connected:
        return f"{place} did not agree to an association within {node.timeout_s:g} s, or is not a DICOM node."
    try:  # once more: pynetdicom only logs why there was no connection
        with socket.create_connection((node.host, node.port), timeout=node.timeout_s) as plain:
            if node.tls is not None:
                make_tls_context(node.tls, node.name).wrap_socket(plain, server_hostname=node.host).close()
    except OSError as error:
        return _describe_unreachable(node, error)
    return f"{place} closed the connection; check whether it expects TLS."


def _describe_unreachable(node: DimseNode, error: OSError) -> str:
    place = f"{node.name} ({node.address})"
    if isinstance(error, ssl.SSLError):
        return f"{place} could not agree on TLS ({error.reason or error}); check the certificates."
    if isinstance(error, socket.gaierror):
        return f"{place} cannot be found: no machine has that name; check the host."
    return describe_os_error(error, place)
