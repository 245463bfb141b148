"""Segment features of the fit split, or its patch features -> a clustering.

In: index; crops, or features where `cluster.rows` is tokens. Out: centres and whatever else the method needs to label new rows.
Rows are read in blocks (`rows.py`), so that memory does not bound their number; while the stage runs it needs as much disk as the features
that are clustered take, for a scaled copy beside them.
Source: the semester report on DSM, section 3.2 (k-means, optimal transport, attention-based clustering); k-means on tokens is the
baseline of most papers on unsupervised segmentation.
"""
