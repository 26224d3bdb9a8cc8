"""Objects for other programs: COCO, ImageJ, the Cell Tracking Challenge, QuPath, palettes."""

from rleseg_core.objects.exports.base import Export, ExportOptions
from rleseg_core.objects.exports.registry import EXPORTS, ExportSummary, export, export_stack

__all__ = ["EXPORTS", "Export", "ExportOptions", "ExportSummary", "export", "export_stack"]
