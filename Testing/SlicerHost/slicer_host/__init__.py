"""A host for the Slicer module without Slicer: PySide6 widgets, slicer-core's real MRML scene, stand-ins for the rest.

What is real: MRML nodes, segmentations, colours, slice logic, slicer.util, Qt. What stands in: the PythonQt dialect
(`qt`), three ctk and qMRML widgets, slicer.app, slicer.modules, ScriptedLoadableModule, parameterNodeWrapper, i18n.
Stand-ins know only what the module uses and fail on anything else, so that they cannot hide a typo.
"""
