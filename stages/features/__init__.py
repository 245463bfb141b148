"""Images -> dense patch features.

In: index. Out: a feature vector of each patch in row-major order, and one of each image. Backbones: any plain ViT of
timm (DINO, DINOv2, DINOv3), a local DINO or DINOv2 checkpoint, any convolutional network of timm, or the embedded
`lowlevel` descriptor that needs no download. Source: Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), section
3; Caron et al., DINO (ICCV 2021).
"""
