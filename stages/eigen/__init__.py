"""Patch features (+ colour) -> eigenvalues and eigenvectors of a graph of each image's tokens.

In: index, features. Out: the K smallest eigenpairs of the graph Laplacian, D-orthonormal, row 0 trivial. `affinity` and `svd` give
the K largest of the weights and of the features instead. `methods/` holds the affinities.
Source: Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), section 3.2.
"""
