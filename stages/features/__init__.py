"""Images -> dense patch features.

In: index. Out: one feature vector a patch, row-major, and one a whole image. Backbones: any plain ViT of timm (DINO, DINOv2,
DINOv3), a local DINO or DINOv2 checkpoint, any convolutional network of timm, or the embedded `lowlevel` descriptor that needs no download.
Source: Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), section 3; Caron et al., DINO (ICCV 2021).
"""
