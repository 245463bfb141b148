"""Clustering + segments, or tokens -> one class id each, and the semantic map on the token grid.

In: index, cluster (of the fit split); segments and crops, or features where the clustering is of tokens. Out: 0
background, cluster + 1 otherwise; of tokens the scores of all clusters too.
"""
