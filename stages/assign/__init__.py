"""Clustering + segments -> one class id a segment, and the semantic map on the token grid.

In: index, segments, crops, cluster (of the fit split). Out: 0 background, cluster + 1 otherwise.
"""
