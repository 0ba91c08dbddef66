"""A client's request for a change of the meta group's state: how it ends for the client.

Not here: what is asked for (`api_meta`, `api_peers`), what a stream's leader answers once it has followed the change.
"""

from typing import TYPE_CHECKING, Final

from broker.cluster.meta.meta import MetaChange
from broker.cluster.meta.meta_group import MetaWaiter
from broker.jetstream.api_errors import CLUSTER_NOT_AVAIL
from broker.jetstream.api_types import ApiRequest, answer

if TYPE_CHECKING:
    from broker.cluster.meta.api_meta import MetaApi


class MetaRequestWaiter(MetaWaiter):
    """Tells of a change that everybody refused; of one that was made only with `says_done`, else others tell."""

    def __init__(self, api: "MetaApi", request: ApiRequest, kind: str, says_done: bool) -> None:
        self._api: Final = api
        self._request: Final = request
        self._kind: Final = kind
        self._says_done: Final = says_done

    def changed(self, change: MetaChange) -> None:
        if change.error is not None:
            self._api.refuse(self._request, self._kind, change.error)
        elif self._says_done:
            self._api.say(self._request, answer(self._kind, {"success": True}))

    def abandoned(self) -> None:
        self._api.refuse(self._request, self._kind, CLUSTER_NOT_AVAIL)
