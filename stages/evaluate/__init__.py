"""Maps + what is known of the images -> scores: of classes by one confusion matrix, of object masks and boxes, of partitions.

In: index, segments, refine; for classes assign and cluster too. Out: main scores, the matrix, its matching,
metrics/<split>.json and plots. Source: conventions of STEGO, PriMaPs, MaskContrast and DSM (matching.py), of TokenCut
and SelfMask (object_scores.py), and of BSDS500 (partition_scores.py).
"""
