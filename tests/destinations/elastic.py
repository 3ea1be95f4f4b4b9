"""The bulk API, with documents and their versions."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.destinations.wire import Request, Response, StrictHttp, exactly, must, ndjson

KEY = "a2V5OnNlY3JldA=="


@dataclass
class Elastic(StrictHttp):
    """Takes documents as external versions and `create` have it; `bad` is refused, `busy` items are told to wait.

    Where `missing`, they are told so because their index is not there yet.
    """

    bad: str = ""
    busy: int = 0
    missing: bool = False
    documents: dict[str, tuple[int, Any]] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)

    def handle(self, request: Request) -> Response:
        """One request."""
        exactly(request, "authorization", "content-type")
        must(request.path.startswith("/_bulk?filter_path="), request.path)
        must(request.headers["content-type"] == "application/x-ndjson", "content type")
        if request.headers["authorization"] != f"ApiKey {KEY}":
            return Response.of({"error": {"type": "security_exception"}, "status": 401}, 401)
        lines = ndjson(request.body)
        must(len(lines) % 2 == 0, "an odd number of lines")
        items = []
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            ((operation, about),) = action.items()
            must(operation in ("index", "create"), operation)
            items.append({operation: self._take(operation, about, document)})
        return Response.of({"errors": any("error" in next(iter(item.values())) for item in items), "items": items})

    def _take(self, operation: str, about: dict[str, Any], document: Any) -> dict[str, Any]:
        known = {"_index", "_id", "version", "version_type", "pipeline"}
        must(about.keys() <= known and {"_index", "_id"} <= about.keys(), f"{about}")
        if self.busy:
            self.busy -= 1
            if self.missing:
                return {"status": 404, "error": {"type": "index_not_found_exception", "reason": "no such index"}}
            return {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "queue is full"}}
        if self.bad and self.bad in json.dumps(document):
            return {"status": 400, "error": {"type": "document_parsing_exception", "reason": "failed to parse [time]"}}
        id, version = about["_id"], about.get("version", 0)
        there = self.documents.get(id)
        if there is not None and (operation == "create" or there[0] > version):
            return {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "is there"}}
        if "version" in about:
            must(about["version_type"] == "external_gte", "version type")
        self.documents[id] = (version, document)
        self.ids.append(f"{id}-{version}" if operation == "index" else id)
        return {"status": 200 if there else 201}
