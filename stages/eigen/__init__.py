"""Patch features (+ colour) -> eigenvalues and eigenvectors of a graph of each image's tokens.

In: index, features. Out: the K smallest eigenpairs of the graph Laplacian. The eigenvectors are D-orthonormal, and row
0 is the trivial eigenvector. The methods `affinity` and `svd` give the K largest eigenpairs of the weights, or the K
largest singular values of the features, instead. `methods/` holds the affinities. Source: Melas-Kyriazi et al., Deep
Spectral Methods (CVPR 2022), section 3.2.
"""
