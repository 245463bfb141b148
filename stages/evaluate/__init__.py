"""Maps + ground truth -> one confusion matrix, and every score from it.

In: index, segments, assign, refine, cluster. Out: the matrix, the matching, metrics/<split>.json and plots.
Source: conventions of STEGO, PriMaPs, MaskContrast and DSM; see matching.py.
"""
