"""Features, eigenvectors or a trained segmenter -> one segment map for each image.

In: index, features, and eigen or segmenter where the method reads it. Out: the segment of each token: 0 background, 1
and up foreground. Source: Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), section 3.3. Each method states its
own source.
"""
