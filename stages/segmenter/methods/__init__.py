"""The trained segmenters: name -> module with `Options`, `fit(tokens, ...) -> Training` and `segmenter(weights, ...)`.

What `segmenter` returns is called with the tokens of one image, float32 (token, channel), and gives the label of each, int64 (token,).
"""

from usseg.stages.segmenter.methods import acg

METHODS = {"acg": acg}
