"""Images -> dense patch features.

In: index. Out: one feature vector a patch, row-major, and one a whole image. Backbones: any timm ViT (DINO, DINOv2, DINOv3)
with weights from the hub or a local file, or the embedded `lowlevel` descriptor that needs no download.
Source: Melas-Kyriazi et al., Deep Spectral Methods (CVPR 2022), section 3; Caron et al., DINO (ICCV 2021).
"""
