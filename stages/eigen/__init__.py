"""Patch features (+ colour) -> eigenvalues and eigenvectors of the normalised graph Laplacian of each image.

In: index, features. Out: the K smallest eigenpairs, D-orthonormal, row 0 trivial.
Source: Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), section 3.2.
"""
