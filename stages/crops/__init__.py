"""Segments -> a feature vector of each segment.

In: index, features, segments. Out: row s of an image is its segment s + 1; background has none.
Source: Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), section 3.3; masked attention: the semester report,
section 3.1.
"""
