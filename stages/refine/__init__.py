"""Coarse map + image -> full-size map.

In: index (and its images), features (what the grid covers), assign or segments. Out: a label a pixel.
Source: Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), section 3.3.
"""
