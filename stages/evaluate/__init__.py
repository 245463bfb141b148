"""Maps + ground truth -> scores of classes, of object masks and boxes, or of partitions.

In: index, segments, refine; for classes also assign and cluster. Out: the main scores, the confusion matrix, the
matching, metrics/<split>.json, metrics/details/<split>.json and plots. Source: conventions of STEGO, PriMaPs,
MaskContrast and DSM (matching.py), of TokenCut and SelfMask (object_scores.py), and of BSDS500 (partition_scores.py).
"""
