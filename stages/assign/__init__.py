"""Clustering + segments or tokens -> the label of each segment or token, and the semantic map on the token grid.

In: index, cluster (of the fit split); segments and crops, or features where tokens are clustered. Out: label 0 for the
background and cluster + 1 otherwise; for tokens also the scores of all clusters. The margin between the two nearest
centres says how clear each label is.
"""
