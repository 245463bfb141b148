"""Segment features of the fit split -> a clustering.

In: index, crops. Out: centres and whatever else the method needs to label new segments.
Source: the semester report on DSM, section 3.2 (k-means, optimal transport, attention-based clustering).
"""
