"""From memory states and covariates to a log-risk: downsamplers, fusion, DeepSurv, model bundles."""
