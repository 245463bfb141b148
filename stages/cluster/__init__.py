"""Segment features of the fit split -> a clustering.

In: index, crops. Out: centres and whatever else the method needs to label new segments.
Rows are read in blocks (`rows.py`), so that memory does not bound their number; while the stage runs it needs as much disk as the features
of the fit split take, for a scaled copy beside them.
Source: the semester report on DSM, section 3.2 (k-means, optimal transport, attention-based clustering).
"""
