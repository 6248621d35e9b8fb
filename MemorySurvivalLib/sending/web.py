"""STOW-RS: one instance a request, so that each has an answer of its own."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from pydicom import Dataset, dcmread

from MemorySurvivalLib.sending.answers import Answer, describe_status
from MemorySurvivalLib.sending.errors import SendError
from MemorySurvivalLib.sending.extra import need
from MemorySurvivalLib.sending.nodes import WebNode
from MemorySurvivalLib.sending.outgoing import Outgoing

if TYPE_CHECKING:
    from dicomweb_client import DICOMwebClient

TOKEN_VARIABLE = "MEMORYSURVIVAL_DICOMWEB_TOKEN"
"""The environment variable with a DICOMweb token; a token is never kept in a file."""

_NOBODY = "2.25.0"  # asked for by the check: a study that no node has, so that no patient's data come back

_STATUS = {
    400: "does not understand the request",
    401: "wants a token: set " + TOKEN_VARIABLE + ", or renew it",
    403: "does not allow this token to store here",
    404: "has no DICOMweb service at this address; it is the part before /studies",
    405: "does not take STOW-RS at this address",
    413: "does not take objects as large as this",
    415: "does not take this kind of object",
    429: "is busy; send again later",
    507: "has no space left",
}


def check(node: WebNode, token: str | None = None) -> None:
    """Ask a node for a study that nobody has. Raises SendError with the reason where it does not answer properly."""
    with _talking(node):
        _client(node, token).search_for_studies(search_filters={"StudyInstanceUID": _NOBODY}, limit=1)


def store(node: WebNode, items: Sequence[Outgoing], token: str | None = None) -> Generator[tuple[Outgoing, Answer]]:
    """Send instances one after the other and yield each with the node's answer as soon as it is there.

    Raises SendError where the node cannot be reached, does not let this sender in, or fails; what was not yielded was
    not acknowledged.
    """
    client = _client(node, token)
    for item in items:
        yield item, _send(node, client, item)


def _send(node: WebNode, client: DICOMwebClient, item: Outgoing) -> Answer:
    from requests.exceptions import HTTPError

    dataset = dcmread(item.path)
    with _talking(node):
        try:
            response = client.store_instances([dataset])
        except HTTPError as error:
            answer = _refusal(error, item)
            if answer is None:
                raise
            return answer
    return _judge(response, item) or Answer(True)


def _refusal(error: Any, item: Outgoing) -> Answer | None:
    """What the node says of the one instance in an HTTP error; None where the trouble is with node or sender."""
    reply = error.response
    if reply is None:
        return None
    if "json" in reply.headers.get("Content-Type", ""):
        try:
            answer = _judge(Dataset.from_json(reply.json()), item)
        except (ValueError, TypeError, KeyError, AttributeError):
            answer = None
        if answer is not None and not answer.accepted:
            return answer
    if reply.status_code in (400, 409, 413, 415):
        said = _STATUS.get(reply.status_code, "does not take this object")
        return Answer(False, f"the node {said} (HTTP {reply.status_code})")
    return None


def _judge(response: Dataset, item: Outgoing) -> Answer | None:
    """The answer to one instance in a STOW-RS response (PS3.18 table I.1-1); None where it says nothing of it."""
    for failed in response.get("FailedSOPSequence", []):
        if failed.get("ReferencedSOPInstanceUID", item.sop_instance_uid) == item.sop_instance_uid:
            return describe_status(int(failed.get("FailureReason", 0x0110)))
    for stored in response.get("ReferencedSOPSequence", []):
        if stored.get("ReferencedSOPInstanceUID") == item.sop_instance_uid:
            warning = describe_status(int(stored.get("WarningReason", 0)))
            return Answer(True, warning.said)
    return None


def _client(node: WebNode, token: str | None) -> DICOMwebClient:
    need("dicomweb_client")
    import requests
    from dicomweb_client import DICOMwebClient

    session = requests.Session()
    if node.tls is not None:
        session.verify = node.tls.ca_file or True
        if node.tls.cert_file is not None:
            key = node.tls.key_file
            session.cert = node.tls.cert_file if key is None else (node.tls.cert_file, key)
    token = token or os.environ.get(TOKEN_VARIABLE, "").strip() or None
    headers = {} if token is None else {"Authorization": token if " " in token else f"Bearer {token}"}
    if token is not None and not node.keeps_secrets:
        raise SendError(f"{node.name} ({node.url}) is not encrypted, so no token is sent there; use an https address.")
    client = DICOMwebClient(node.url.rstrip("/"), session=session, headers=headers, timeout=node.timeout_s)
    client.set_http_retry_params(retry=False)  # its second attempt would send an empty body
    return client


class _talking:
    """Turns what the HTTP library raises into a sentence about the node."""

    def __init__(self, node: WebNode) -> None:
        self._node = node

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        from requests import exceptions

        place = f"{self._node.name} ({self._node.url})"
        if isinstance(error, exceptions.HTTPError):
            status = 0 if error.response is None else error.response.status_code
            said = _STATUS.get(status, "cannot store at the moment" if status >= 500 else "refused the request")
            raise SendError(f"{place} {said} (HTTP {status}).") from error
        if isinstance(error, exceptions.SSLError):
            raise SendError(f"{place} could not agree on TLS; check its certificate.") from error
        if isinstance(error, exceptions.ConnectTimeout | exceptions.ReadTimeout):
            raise SendError(
                f"{place} did not answer within {self._node.timeout_s:g} s; what it did not acknowledge is kept in the "
                "outbox."
            ) from error
        if isinstance(error, exceptions.ConnectionError):
            raise SendError(
                f"{place} cannot be reached or dropped the connection; check the address and whether it is running."
            ) from error
        if isinstance(error, exceptions.RequestException | ValueError):
            raise SendError(f"{place} did not answer as a DICOMweb service does; check the address.") from error
