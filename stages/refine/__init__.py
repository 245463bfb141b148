"""Map on the token grid + image -> map at full size.

In: index (and its images), features (the pixels that the grid covers), assign or segments. Out: the label of each
pixel. Source: Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), section 3.3.
"""
