"""Features of the segments of the fit split, or of its patches -> a clustering.

In: index; crops, or features where `cluster.rows` is tokens. Out: the cluster centres, the scaling of
the features, and the parameters of a network where the method trains one.
The rows are read in blocks (`rows.py`), so that memory does not limit their number. While the stage runs, a scaled
copy of the clustered features lies on disk, with 4 bytes a number. Source: the semester report on DSM, section 3.2
(k-means, optimal transport, attention-based clustering); k-means on tokens is the baseline of most papers on
unsupervised segmentation.
"""
