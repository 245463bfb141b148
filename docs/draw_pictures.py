"""Draw docs/demo.png from the pictures on the demo's report page. Run after `make demo`: python docs/draw_demo.py"""

import base64
import io
import re
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ["photo", "eigenvectors 2 to 4", "segments", "prediction", "ground truth"]
SCENES = (1, 5, 6, 10)

page = (ROOT / "report/index.html").read_text(encoding="utf-8")
val = page[page.index("<h2>val</h2>") :]
rows = [re.findall(r"base64,([^\"]+)", row) for row in val.split('<div class="row">')[1:]]
figure, axes = plt.subplots(len(SCENES), len(COLUMNS), figsize=(10, 6.4), constrained_layout=True)
for scene, line in zip(SCENES, axes, strict=True):
    for picture, axis in zip(rows[scene], line, strict=False):
        axis.imshow(Image.open(io.BytesIO(base64.b64decode(picture)), formats=["PNG", "JPEG"]))
        axis.axis("off")
for axis, title in zip(axes[0], COLUMNS, strict=True):
    axis.set_title(title, fontsize=10)
figure.savefig(ROOT / "docs/demo.png", dpi=100, metadata={"Software": None})
