"""A host for the Slicer module without Slicer: PySide6 widgets, slicer-core's real MRML scene, stand-ins for the rest.

What is real: MRML nodes, segmentations, colours, slice logic, slicer.util, Qt. What stands in: the PythonQt dialect
(`qt`), the ctk and qMRML widgets in use, slicer.app, slicer.modules, the layout manager, the DICOM database, DICOMLib;
and, where no Slicer checkout is named (real_checkout.py), Slicer's own Python files such as parameterNodeWrapper.
Stand-ins know only what the module uses and fail on anything else, so that they cannot hide a typo.
"""
