"""Fitting backbones and heads; needs the extra 'train'."""
