"""Which voxels moved the risk: occlusion plans, their execution, heatmaps."""
