"""Patch features of the fit split -> a trained segmenter, which later stages apply to any image.

Adaptive concept generator: Li et al., ACSeg (CVPR 2023); semester report, section 3.1.1.
"""
