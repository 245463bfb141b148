"""Patch features of the fit split -> a trained segmenter, which later stages apply to any image.

In: index, features; for some methods also the images of the index. Out: the parameters of the network, and for every
epoch the mean loss and the numbers of concepts that images use. Sources: adaptive concept generator: Li et al., ACSeg
(CVPR 2023); semester report, section 3.1.1. Sempart: Ravindran and Basavaraj (ICCV 2023); the paper "Two Tricks".
"""
