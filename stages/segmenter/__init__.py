"""Patch features of the fit split -> a trained segmenter, which later stages apply to any image.

In: index, features. Out: the parameters of the network, and for every epoch the mean loss and the numbers of concepts
that images use. Source: adaptive concept generator: Li et al., ACSeg (CVPR 2023); semester report, section 3.1.1.
"""
