"""Individual objects: ids of pixels, the table that describes them, and how they are joined.

Ids are uint32, 0 = background, and unique in the whole stack, so that one table describes it.
"""

from rleseg_core.objects.table import ObjectTable, objects_output

__all__ = ["ObjectTable", "objects_output"]
