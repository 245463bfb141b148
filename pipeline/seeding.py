"""Seeds per image, so that no result depends on order, blocks or workers."""

import hashlib


def image_seed(seed: int, image_id: str) -> int:
    """Derive the seed of one image, in [0, 2**31), from a stage's seed and the image id."""
    digest = hashlib.sha256(f"{seed}:{image_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
