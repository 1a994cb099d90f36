"""The ids of an item's jobs: as written, with a suffix for each cell, or made from the content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.jobs import content_id
from batchgen.manifest.identifiers import refuse_misleading_id, render_id
from batchgen.manifest.sweeps import cell_suffix

if TYPE_CHECKING:
    from batchgen.manifest.items import Item
    from batchgen.manifest.scope import SweepHead
    from batchgen.manifest.sweeps import Cell, Sweep
    from batchgen.manifest.templates.texts import CompiledText
    from batchgen.models.catalog import Model


class JobIds:
    """`head` begins the suffix of the item's cells, if its id is no template and needs one."""

    def __init__(self, item: Item, sweep: Sweep, head: SweepHead | None) -> None:
        self._item = item
        self._sweep = sweep
        self._head = head
        # If the id is a template, its first job shows whether it needs a suffix.
        self._may_need_suffix = item.is_sweep and item.literal_id is None

    def of(self, model: Model, body: str, cell: Cell) -> str:
        """Raises CellError."""
        if self._item.id is not None:
            return self.rendered(self._item.id, cell)
        if cell.file:
            return self.of_file(model, cell)
        job_id = content_id(model.id, body)
        return f"{job_id}-{cell.repeat}" if cell.repeat > 1 else job_id

    def of_file(self, model: Model, cell: Cell) -> str:
        return f"{model.alias}-{cell_suffix(self._sweep.whole_head, cell)}"

    def rendered(self, template: CompiledText, cell: Cell) -> str:
        job_id = render_id(template, cell.variables)
        if self._may_need_suffix and self._head is None:
            self._head = self._sweep.suffix_head(cell)
            self._may_need_suffix = False
        if self._head is not None and (suffix := cell_suffix(self._head, cell)):
            job_id = f"{job_id}-{suffix}"
        refuse_misleading_id(job_id, template)
        return job_id
