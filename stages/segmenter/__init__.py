"""Patch features of the fit split -> a trained segmenter, which later stages apply to any image.

In: index, features. Out: the network's weights, its losses, and how many concepts images used, epoch by epoch.
Adaptive concept generator: Li et al., ACSeg (CVPR 2023); semester report, section 3.1.1.
"""
